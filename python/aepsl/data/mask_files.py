"""Files of masks: whether they have their image's size, and values that are classes."""

from collections.abc import Sequence

import numpy as np

from aepsl.base.errors import BrokenFile, InputError
from aepsl.data.lists import shown
from aepsl.images.pictures import read_indexed


def of_size(path: str, shape: tuple[int, int]) -> np.ndarray:
    """A mask, H x W; InputError for one that is not of `shape`, its image's."""
    mask = read_indexed(path)
    if mask.shape != shape:
        raise wrong_size(path, mask.shape, shape)
    return mask


def wrong_size(path: str, shape: tuple[int, int], expected: tuple[int, int]) -> BrokenFile:
    """The InputError for a mask, a file of regions or a map that is not of its image's size; both: (height, width)."""
    fault = "is {} x {}, its image {} x {}".format(*shape[::-1], *expected[::-1])
    return BrokenFile(path, fault, "make it anew; a true mask that only training has may be removed")


def check_values(path: str, values: np.ndarray, allowed: Sequence[int]) -> None:
    """InputError for a mask in which `values` occur that are not `allowed`; path: names it."""
    wrong = np.setdiff1d(values, allowed)
    if wrong.size:
        known = shown([str(value) for value in allowed])
        raise InputError(f"{path}: has the value {wrong[0]}, which is no class: those are {known}; mend it")
