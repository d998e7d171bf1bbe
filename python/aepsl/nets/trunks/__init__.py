"""Trunks, a file each under the name that `net:` in experiment.yaml gives. Imports nets/parts.py.

A trunk is a function trunk(n, x, experiment): it adds its layers to the NetSpec `n`, from the image `x`, N x 3 x h x w
with sides of 8k + 1, and returns its last blob, N x K x (k + 1) x (k + 1), not negative, for the heads.
"""
