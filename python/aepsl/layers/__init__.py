"""Caffe Python layers; their parameters are JSON in `param_str`."""
