"""Detectors of salient objects: robust background detection, and DRFI. Imports data and below."""
