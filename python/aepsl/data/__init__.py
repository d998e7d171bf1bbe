"""Data sets in VOC layout: lists, labels, checks, downloads, the demo's creatures. Imports images and below."""
