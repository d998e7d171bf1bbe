"""Detectors of salient objects. One file a detector, what it costs and needs included; docs/extending.md."""
