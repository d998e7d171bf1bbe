"""Mined regions as files: 16-bit PNGs of the image's size, a bit for each of the image's labels; 0 is not erased."""

import numpy as np

from aepsl.base.errors import InputError
from aepsl.images import decoding
from aepsl.images.pictures import read_indexed

MOST_LABELS = 16


def read(path: str, count: int = MOST_LABELS) -> np.ndarray:
    """A file's bit sets, H x W uint16; InputError if it is not a file of regions, or has regions of more labels."""
    bits = read_indexed(path)
    check_regions(path, bits.max(initial=0), count)
    return bits


def check_regions(path: str, largest: int, count: int) -> None:
    """InputError for a PNG that is not of regions, or has more than `count` labels by its `largest` bit set."""
    if (bits := decoding.header(path).bits) != 16:
        raise InputError(f"{path}: has {bits} bits, and mined regions have 16; name the folder that `aepsl mine` made")
    if int(largest) >> int(count):
        line = f"has regions of more labels than the image's {int(count)}"
        raise InputError(f"{path}: {line}; mine it anew with these labels")


def check_is_mask(path: str) -> None:
    """InputError for a PNG of mined regions where a training mask is meant; only its header is read."""
    if decoding.header(path).bits == 16:
        raise InputError(f"{path}: has 16 bits, as mined regions have; name the folder that `aepsl masks` made")


def packed(regions: np.ndarray) -> np.ndarray:
    """H x W uint16 bit sets from `regions`, N x H x W booleans; InputError if N is above 16."""
    if len(regions) > MOST_LABELS:
        raise InputError(f"an image has {len(regions)} labels; regions have room for {MOST_LABELS}")
    bits = np.arange(len(regions), dtype=np.uint16)[:, None, None]
    return np.bitwise_or.reduce(regions.astype(np.uint16) << bits, axis=0)


def unpacked(bits: np.ndarray, count: int) -> np.ndarray:
    """The inverse of `packed`: count x H x W booleans."""
    return (bits[None] >> np.arange(count, dtype=np.uint16)[:, None, None] & 1).astype(bool)
