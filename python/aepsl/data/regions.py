"""Mined regions as files: 16-bit PNGs of the image's size, a bit for each of the image's labels; 0 is not erased."""

import numpy as np

from aepsl.errors import InputError

MOST_LABELS = 16


def packed(regions):
    """N x H x W booleans as H x W uint16 bit sets; N at most 16."""
    if len(regions) > MOST_LABELS:
        raise InputError(f"an image has {len(regions)} labels; regions have room for {MOST_LABELS}")
    bits = np.uint16(1) << np.arange(len(regions), dtype=np.uint16)
    return (regions * bits[:, None, None]).sum(axis=0).astype(np.uint16)


def unpacked(bits, count):
    """The inverse of `packed` for `count` regions."""
    return (bits[None] >> np.arange(count, dtype=np.uint16)[:, None, None] & 1).astype(bool)
