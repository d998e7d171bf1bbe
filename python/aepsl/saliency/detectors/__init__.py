"""Detectors of salient objects, a file each, with the detector's cost and inputs; see docs/extending.md."""
