"""Checks files of masks: their size must be the image's, and their values must be classes."""

import os
from collections.abc import Iterable

import numpy as np

from aepsl.base.errors import BrokenFile, InputError
from aepsl.data.lists import shown
from aepsl.images import decoding

Shape = tuple[int, ...]  # (height, width)
ANEW = "make it anew; a true mask that only training has may be removed"
TRUTH = "the ground truth", "segment the image at its own size"  # what a prediction is compared with, and the remedy


def check_shape(path: str, shape: Shape, expected: Shape, of: str = "its image", remedy: str = ANEW) -> None:
    """InputError for a mask, a file of regions or a map whose shape is not `expected`, that of `of`."""
    if tuple(shape) != tuple(expected):
        fault = "is {} x {}, {} {} x {}".format(*shape[::-1], of, *expected[::-1])
        raise BrokenFile(path, fault, remedy)


def check_upright(path: str, header: decoding.Header, mask: str) -> None:
    """InputError for an image that is stored turned, by its EXIF, unless its mask has the turned image's size.

    Masks, regions and maps fit the image as a labelling tool showed it. Some tools turn it as EXIF says, some do not. A
    mask with the size of the turned image alone shows that. Then the image is turned wherever it is read.
    """
    is_shown = os.path.isfile(mask) and decoding.header(mask)[:2] == header.size != header[:2]
    if header.orientation != 1 and not is_shown:
        fault = f"EXIF's orientation is {header.orientation}, and no mask tells whether to turn it"
        remedy = "`exiftran -ai` turns it, `exiftool -Orientation=` only removes the tag; take what fits its labels"
        raise InputError(f"{path}: {fault}; {remedy}")


def check_values(path: str, values: Iterable[int], allowed: Iterable[int]) -> None:
    """InputError for a mask with `values` of which one is not `allowed`; path: the mask, for messages."""
    if (wrong := np.setdiff1d(values, allowed)).size:
        known = shown([str(value) for value in allowed])
        raise InputError(f"{path}: has the value {wrong[0]}, which is no class: those are {known}; mend it")
