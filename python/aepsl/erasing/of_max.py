"""{of_max: d}: pixels above d times the map's maximum, as in the works that section 4.1 cites for its 20%."""

import numpy as np

SCHEMA = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}


def bound(maps: np.ndarray, value: float) -> np.ndarray:
    """The value that a pixel must exceed to be mined: N x 1 x 1, one for each of the maps, N x H x W."""
    return value * maps.max(axis=(1, 2), keepdims=True)
