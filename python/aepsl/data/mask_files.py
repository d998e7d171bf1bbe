"""Checks files of masks: their size must be the image's, and their values must be classes."""

import os
from collections.abc import Iterable

import numpy as np

from aepsl.base.errors import BrokenFile, InputError
from aepsl.data.lists import shown
from aepsl.images import decoding
from aepsl.images.pictures import read_indexed

Shape = tuple[int, ...]  # (height, width)


def of_size(path: str, shape: Shape) -> np.ndarray:
    """A mask, H x W; InputError if its shape is not `shape`, its image's."""
    mask = read_indexed(path)
    if mask.shape != shape:
        raise wrong_size(path, mask.shape, shape)
    return mask


def wrong_size(path: str, shape: Shape, expected: Shape) -> BrokenFile:
    """The InputError for a mask, a file of regions or a map whose shape is not `expected`, its image's."""
    fault = "is {} x {}, its image {} x {}".format(*shape[::-1], *expected[::-1])
    return BrokenFile(path, fault, "make it anew; a true mask that only training has may be removed")


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
    wrong = np.setdiff1d(values, allowed)
    if wrong.size:
        known = shown([str(value) for value in allowed])
        raise InputError(f"{path}: has the value {wrong[0]}, which is no class: those are {known}; mend it")
