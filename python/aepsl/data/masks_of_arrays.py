"""Masks from the arrays that other projects write instead of PNGs: MATLAB's .mat, NumPy's .npy, pickled lists.

Nothing in these files is run as code. Each public function returns masks, H x W uint8 mask values. size: the image's;
values: K, the mask value of each channel of scores. InputError, with the file and what it has, for anything else.
"""

import pickle
import re
from collections.abc import Sequence

import cv2
import numpy as np
import scipy.io

from aepsl.base.errors import InputError
from aepsl.base.files import opened
from aepsl.data.mask_files import TRUTH, Shape, check_shape

REMEDY = "give masks as PNGs named ID.png, with a class at each pixel"
# The names in a pickle of NumPy arrays, of NumPy 1 and 2. Any other name could be a function that does harm.
PARTS_OF_ARRAYS = re.compile(
    r"numpy\.(ndarray|dtype|_?core\.multiarray\._reconstruct|_?core\.numeric\._frombuffer)|_codecs\.encode"
)


def of_pickle(path: str, ids: Sequence[str], sizes: Sequence[Shape]) -> list[np.ndarray]:
    """The masks of a pickled list, one for each of `ids`; sizes: of their images."""
    with opened(path, "rb") as file:
        masks = _unpickled(path, file, "a pickle of masks (mmsegmentation's test.py: --out, without --eval)")
    if not isinstance(masks, list) or len(masks) != len(ids):
        what = f"a list of {len(masks)}" if isinstance(masks, list) else f"a {type(masks).__name__}"
        raise InputError(f"{path}: holds {what}; it must be a list of one mask for each of the {len(ids)} images")
    return [_classes(f"{path}: {name}", np.asarray(mask), size) for name, mask, size in zip(ids, masks, sizes)]


def of_mat(path: str, size: Shape, values: np.ndarray) -> np.ndarray:
    """From `data` as DeepLab's layer MatWrite writes it: W x H x K scores, or W x H labels, of a padded image."""
    with opened(path, "rb") as file:
        try:
            found = scipy.io.loadmat(file)
        except NotImplementedError:
            raise InputError(f"{path}: is a MATLAB file of version 7.3; save it with -v7") from None
        except Exception:  # of any kind, for damaged bytes
            raise InputError(f"{path}: is damaged, or not a MATLAB file; make it anew") from None
    data = found.get("data")
    if not isinstance(data, np.ndarray):
        known = ", ".join(sorted(key for key in found if not key.startswith("__"))) or "nothing else"
        raise InputError(f"{path}: has no array `data`, but {known}; DeepLab's layer MatWrite writes it")
    if data.ndim > 4 or data.shape[3:] not in ((), (1,)) or data.dtype.kind not in "fiu":
        raise InputError(f"{path}: `data` has the shape {data.shape}; MatWrite writes width x height x channels")
    maps = data.reshape(*data.shape[:2], -1).transpose(2, 1, 0)  # K x H x W
    if min(np.subtract(maps.shape[1:], size)) < 0:
        what = f"has {maps.shape[2]} x {maps.shape[1]} cells, its image {size[1]} x {size[0]} pixels"
        raise InputError(f"{path}: {what}; write the blob that comes out of the net's last Interp")
    maps = maps[:, : size[0], : size[1]]  # the padding is at the bottom and right
    return _classes(path, maps[0], size) if len(maps) == 1 else _best(path, maps, values)


def of_npy(path: str, size: Shape, values: np.ndarray) -> np.ndarray:
    """From labels H x W, from scores K x h x w whose cells cover the image, or from a dict of psa."""
    with opened(path, "rb") as file:
        try:
            found = np.load(file, allow_pickle=False)
        except Exception:  # of any kind, for damaged bytes; for a pickle, which begins where `file` is now
            found = _unpickled(path, file, "an array of NumPy")
            found = found.item() if isinstance(found, np.ndarray) and found.shape == () else found
    if isinstance(found, dict):
        return _of_dict(path, found, size, values)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        what = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
        raise InputError(f"{path}: holds {what}, not an array of numbers; {REMEDY}")
    if found.ndim == 2:
        return _classes(path, found, size)
    if found.ndim != 3 or not found.size or max(np.subtract(found.shape[1:], size)) > 0:
        what = f"has the shape {found.shape}, its image {size[1]} x {size[0]} pixels"
        raise InputError(f"{path}: {what}; scores have channels x rows x columns, at most those of the image")
    maps = np.float32(found)  # bilinear, as PyTorch's interpolate with align_corners=False
    return _best(path, np.stack([cv2.resize(each, size[::-1]) for each in maps]), values)


def _of_dict(path, found, size, values):
    """From psa's {channel: H x W}, channel 0 the background; the values of a pixel must have the sum 1."""
    maps = [np.asarray(each) for each in found.values()]
    if not all(type(key) is int for key in found) or not maps or any(each.shape != size for each in maps):
        keys = ", ".join(map(str, list(found)[:3]))
        raise InputError(f"{path}: holds a dict of {keys}; {REMEDY}, or what psa writes with --out_la_crf")
    if 0 not in found or np.abs(np.sum(maps, axis=0, dtype=np.float64) - 1).max() > 0.01:
        what = "holds heat maps of classes without background, of which each project makes masks by a threshold"
        raise InputError(f"{path}: {what}; {REMEDY}, or what psa writes with --out_la_crf")
    if max(found) >= len(values):
        raise InputError(f"{path}: has a channel {max(found)}; the experiment has 0 to {len(values) - 1}")
    return values[np.array(list(found))[np.argmax(maps, axis=0)]].astype(np.uint8)


def _best(path, maps, values):
    """The mask value of the channel with the largest score. InputError unless there are K channels."""
    if len(maps) != len(values):
        what = f"has {len(maps)} channels; {len(values)} are needed, background and one for each class"
        raise InputError(f"{path}: {what}")
    if not np.isfinite(maps).all():
        raise InputError(f"{path}: has scores that are not finite; make it anew")
    return values[maps.argmax(axis=0)].astype(np.uint8)


def _classes(name, mask, size):
    """The mask of an array of mask values. InputError for another size, and for values that are not 0 ... 255."""
    if mask.ndim != 2:
        raise InputError(f"{name}: is no mask of rows x columns, but has the shape {mask.shape}; {REMEDY}")
    check_shape(name, mask.shape, size, *TRUTH)
    if mask.dtype.kind not in "fiu" or not np.array_equal(mask, mask.astype(np.uint8)):
        raise InputError(f"{name}: has values that are not classes; each pixel needs a whole number from 0 to 255")
    return mask.astype(np.uint8)


def _unpickled(path, file, what):
    """The lists, dicts and arrays of a pickle. InputError for one that is damaged, or holds other objects."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if not PARTS_OF_ARRAYS.fullmatch(f"{module}.{name}"):
                raise InputError(f"{path}: holds {module}.{name}, not {what}; {REMEDY}")
            return super().find_class(module.replace("_core", "core"), name)  # `_core` is NumPy 2's name of `core`

    try:
        return Unpickler(file, encoding="latin1").load()
    except InputError:
        raise
    except Exception:  # of any kind, for damaged bytes
        raise InputError(f"{path}: is damaged, or not {what}; {REMEDY}") from None


READERS = {".mat": of_mat, ".npy": of_npy}  # by the ending of a file
