"""Reads arrays that other programs wrote: MATLAB's .mat, NumPy's .npy, pickles. Nothing in them is run as code."""

import io
import pickle
import zlib
from typing import Any

import numpy as np
import scipy.io

from aepsl.base.errors import InputError
from aepsl.base.files import opened

# The names in a pickle of NumPy arrays, of NumPy 1 and 2. Any other name could be a function that does harm.
PARTS_OF_ARRAYS = {
    (module, name)
    for module, names in (
        ("numpy", "ndarray dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
    )
    for name in names.split()
}
DAMAGED = (ValueError, EOFError, OSError, KeyError, IndexError, TypeError, AttributeError, ImportError, MemoryError)


class ForeignName(pickle.UnpicklingError):
    """A pickle holds more than arrays, lists, dicts, texts and numbers. Argument: the first such name."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in PARTS_OF_ARRAYS:
            raise ForeignName(f"{module}.{name}")
        module = module.replace("_core", "core")  # NumPy 2 has in `_core` what this NumPy has in `core`
        return super().find_class(module, name)


def read_pickle(path: str) -> Any:
    """The lists, dicts and arrays of a pickle. Raises ForeignName, and InputError for a file that is damaged."""
    with opened(path, "rb") as file:
        return _unpickled(path, file)


def _unpickled(path, file):
    try:
        return _Unpickler(file, encoding="latin1").load()
    except ForeignName:
        raise
    except (pickle.UnpicklingError, *DAMAGED):
        raise InputError(f"{path}: is damaged, or not a pickle; make it anew") from None


def read_npy(path: str) -> Any:
    """The array of a .npy, or the dict of one that np.save made of a dict. Raises as read_pickle does."""
    with opened(path, "rb") as file:
        content = io.BytesIO(file.read())
    try:
        return np.load(content, allow_pickle=False)
    except DAMAGED:
        content.seek(0)
    try:
        version = np.lib.format.read_magic(content)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        pickled = header(content)[2].hasobject
    except DAMAGED:
        pickled = False
    if not pickled:
        raise InputError(f"{path}: is damaged, or not an array of NumPy; make it anew")
    found = _unpickled(path, content)
    return found.item() if isinstance(found, np.ndarray) and found.shape == () else found


def read_mat(path: str, name: str) -> np.ndarray:
    """The array `name` of a MATLAB file of version 5 or 4. Raises InputError for any other file."""
    try:
        with opened(path, "rb") as file:
            found = scipy.io.loadmat(file)
    except NotImplementedError:
        raise InputError(f"{path}: is a MATLAB file of version 7.3; save it with -v7") from None
    except (*DAMAGED, zlib.error, scipy.io.matlab.miobase.MatReadError):
        raise InputError(f"{path}: is damaged, or not a MATLAB file; make it anew") from None
    if not isinstance(found.get(name), np.ndarray):
        known = ", ".join(sorted(key for key in found if not key.startswith("__"))) or "nothing else"
        raise InputError(f"{path}: has no array `{name}`, but {known}; DeepLab's layer MatWrite writes it")
    return found[name]
