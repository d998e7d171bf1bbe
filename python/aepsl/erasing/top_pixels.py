"""{top_pixels: d}: the share d of the pixels with the largest values; another reading of section 4.1's 20%."""

import numpy as np

SCHEMA = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


def bound(maps: np.ndarray, value: float) -> np.ndarray:
    """The value that a pixel must exceed to be mined: N x 1 x 1, one for each of the maps, N x H x W."""
    return np.quantile(maps, 1 - value, axis=(1, 2), keepdims=True)
