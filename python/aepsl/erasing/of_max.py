"""{of_max: d}: pixels above d times the map's maximum; the works that section 3.1 cites for its 20% do this."""

SCHEMA = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}


def bound(maps, value):
    """N x 1 x 1: what a pixel of each of the N x H x W maps must exceed to be mined."""
    return value * maps.max(axis=(1, 2), keepdims=True)
