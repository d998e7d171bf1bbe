"""Saliency maps: the detectors that draw them, DRFI's parts, and the user's own. Imports data and below."""
