"""{top_pixels: d}: the share d of the pixels, those of the largest values; another reading of section 3.1's 20%."""

import numpy as np

SCHEMA = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


def bound(maps, value):
    """N x 1 x 1: what a pixel of each of the N x H x W maps must exceed to be mined."""
    return np.quantile(maps, 1 - value, axis=(1, 2), keepdims=True)
