"""Caffe Python layers; their parameters are JSON in `param_str`. Imports data and below."""
