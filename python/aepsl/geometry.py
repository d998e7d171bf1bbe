"""Sizes that fit the nets, and growing their maps back to images."""

import numpy as np

from aepsl.nets import STRIDE


def padded(image):
    """Pad H x W x ... with zeros at the bottom and right until both sides are 8k + 1."""
    more = [(0, -(side - 1) % STRIDE) for side in image.shape[:2]]
    return np.pad(image, more + [(0, 0)] * (image.ndim - 2), mode="constant")


def grown(maps, size):
    """Grow K x h x w by the net's stride, align-corners bilinear (out = 8 (in - 1) + 1), and crop to `size`.

    size: (height, width) of the image before it was padded.
    """
    rows = _interpolation(maps.shape[1], size[0])
    columns = _interpolation(maps.shape[2], size[1])
    return (rows @ maps.astype(np.float32)) @ columns.T


def _interpolation(cells, pixels):
    """The pixels x cells matrix of linear interpolation where cell k stands at pixel 8 k."""
    position = np.arange(pixels) / STRIDE
    weight = 1 - np.abs(position[:, None] - np.arange(cells)[None])
    return np.maximum(weight, 0).astype(np.float32)
