"""Detectors of salient objects, a file each, and the user's own maps. Imports data and below."""
