"""The user's own saliency maps, of any detector: ID.png or ID.jpg, grey, each of its image's size, on any scale."""

import glob
import os
from collections.abc import Callable, Sequence

import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads
from aepsl.data import meaning
from aepsl.data.dataset import Dataset
from aepsl.data.mask_files import check_shape
from aepsl.images import decoding
from aepsl.store import digests

EXTENSIONS = (".png", ".jpg")
GREY_TOLERANCE = 8  # of 255 steps: JPEG may change the channels of a grey map, stored as colour, by so much


def maps(folder: str, dataset: Dataset, ids: Sequence[str], together: bool = True) -> Callable[[str], np.ndarray]:
    """The function of an id that reads its map, as a detector's `maps` returns it (aepsl.saliency.detectors).

    Raises InputError for the first of `ids` that `read_map` refuses. together: `ids` are a whole list, and its maps
    are also checked together (aepsl.data.meaning.of_maps).
    """

    def read(image_id: str) -> np.ndarray:
        return read_map(folder, image_id, decoding.header(dataset.image_path(image_id)).size)

    def says(image_id: str) -> tuple[int, float, float]:
        values = read(image_id)
        return meaning.map_says(values, dataset.truth(image_id, values.shape))

    if together:
        meaning.of_maps(folder, ids, in_threads(says, [(image_id,) for image_id in ids]))
    else:
        for image_id in ids:
            read(image_id)
    return read


def contents(folder: str, ids: Sequence[str]) -> str:
    """The SHA-256 of the precomputed maps of `ids`."""
    return digests.together([files_of(folder, image_id)[0] for image_id in ids], ids)


def files_of(folder: str, image_id: str, extensions: Sequence[str] = EXTENSIONS) -> list[str]:
    """The paths of the files ID.extension that exist, in the order of `extensions`; InputError if none does."""
    found = [path for each in extensions if os.path.exists(path := os.path.join(folder, image_id + each))]
    if not found:
        if not os.path.isdir(folder):
            raise InputError(f"{folder}: no such folder; name another")
        remedy = "add it, or take the image from the list"
        near = sorted(glob.glob(os.path.join(glob.escape(folder), glob.escape(image_id) + "[!0-9A-Za-z]*")))
        why = f", but {os.path.basename(near[0])}" if near else ""
        raise InputError(f"{folder}: holds no {image_id}{' or '.join(extensions)}{why}; {remedy}")
    return found


def read_map(folder: str, image_id: str, size: tuple[int, int]) -> np.ndarray:
    """A precomputed map as H x W float32, its minimum at 0 and its maximum at 1 (all 0 if it is constant).

    Raises InputError for a map that is missing, broken, coloured, or not of `size` (width, height).
    """
    path, *others = files_of(folder, image_id)
    if others:
        line = f"holds {image_id}.png and .jpg, and one of the two is the map"
        raise InputError(f"{folder}: {line}; move the other, as all such, to another folder")
    with decoding.opened(path) as image:
        decoding.load(image, path)
        grey = image.mode in ("1", "L", "I", "I;16", "F")
        values = np.array(image if grey else image.convert("RGB"), np.float32)
        has_alpha = image.mode.endswith(("A", "a")) or (image.mode == "P" and "transparency" in image.info)
        if has_alpha and np.ptp(image.convert("RGBA").getchannel("A")) > 0:
            fault = "is transparent in some places, and may hold the map there or in its grey"
            raise InputError(f"{path}: {fault}; save the map as a grey PNG without transparency")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: has values that are not finite; compute this map anew")
    check_shape(path, values.shape[:2], size[::-1], remedy="compute the map on this very image, at its full size")
    if values.ndim == 3:
        if np.ptp(values, axis=2).max() > GREY_TOLERANCE:
            raise InputError(f"{path}: has colours; a saliency map is grey, the brighter the more salient")
        values = values.mean(axis=2)
    return normalised(values)


def normalised(values: np.ndarray) -> np.ndarray:
    """`values` as float32, its minimum at 0 and its maximum at 1; all 0 if it is constant."""
    low, high = values.min(), values.max()
    if not high > low:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
