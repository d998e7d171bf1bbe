"""Masks from the arrays that other projects write instead of PNGs: scores, labels, lists of them.

Each function returns the mask of an image, H x W uint8 mask values. size: the image's; values: K, the mask value of
each channel of scores. Raises InputError, with the file and what it has, for anything else.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from aepsl.base.errors import InputError
from aepsl.data import arrays

Size = tuple[int, int]  # (height, width)
REMEDY = "give masks as PNGs named ID.png, with a class at each pixel"


def of_pickle(path: str, ids: Sequence[str], sizes: Sequence[Size]) -> list[np.ndarray]:
    """The masks of a pickled list, one for each of `ids`; sizes: of their images."""
    try:
        masks = arrays.read_pickle(path)
    except arrays.ForeignName as error:
        what = "mmsegmentation's test.py writes masks with --out and without --eval"
        raise InputError(f"{path}: holds {error}, no masks; {what}; {REMEDY}") from None
    if not isinstance(masks, list) or len(masks) != len(ids):
        what = f"a list of {len(masks)}" if isinstance(masks, list) else f"a {type(masks).__name__}"
        raise InputError(f"{path}: holds {what}; it must be a list of one mask for each of the {len(ids)} images")
    return [_classes(f"{path}: {name}", np.asarray(mask), size) for name, mask, size in zip(ids, masks, sizes)]


def of_mat(path: str, size: Size, values: np.ndarray) -> np.ndarray:
    """From `data` as DeepLab's layer MatWrite writes it: W x H x K scores, or W x H labels, of a padded image."""
    data = arrays.read_mat(path, "data")
    if data.ndim > 4 or data.shape[3:] not in ((), (1,)) or data.dtype.kind not in "fiu":
        raise InputError(f"{path}: `data` has the shape {data.shape}; MatWrite writes width x height x channels")
    maps = data.reshape(*data.shape[:2], -1).transpose(2, 1, 0)  # K x H x W
    if min(np.subtract(maps.shape[1:], size)) < 0:
        what = f"has {maps.shape[2]} x {maps.shape[1]} cells, its image {size[1]} x {size[0]} pixels"
        raise InputError(f"{path}: {what}; write the blob that comes out of the net's last Interp")
    maps = maps[:, : size[0], : size[1]]  # the padding is at the bottom and right
    return _classes(path, maps[0], size) if len(maps) == 1 else _best(path, maps, values)


def of_npy(path: str, size: Size, values: np.ndarray) -> np.ndarray:
    """From labels H x W, from scores K x h x w whose cells cover the image, or from a dict of psa."""
    try:
        found = arrays.read_npy(path)
    except arrays.ForeignName as error:
        raise InputError(f"{path}: holds {error}, not an array of NumPy; {REMEDY}") from None
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
    if mask.shape != tuple(size):
        shape = " x ".join(map(str, mask.shape[::-1]))
        raise InputError(f"{name}: is {shape}, the ground truth {size[1]} x {size[0]}; segment the image at its size")
    if mask.dtype.kind not in "fiu" or not np.array_equal(mask, mask.astype(np.uint8)):
        raise InputError(f"{name}: has values that are not classes; each pixel needs a whole number from 0 to 255")
    return mask.astype(np.uint8)


READERS = {".mat": of_mat, ".npy": of_npy}  # by the ending of a file
