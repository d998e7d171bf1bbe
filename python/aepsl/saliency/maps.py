"""The user's own saliency maps, of any detector: ID.png or ID.jpg, grey, each of its image's size, on any scale."""

import glob
import os
from collections.abc import Sequence

import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads
from aepsl.data import meaning
from aepsl.data.dataset import Dataset
from aepsl.images import decoding
from aepsl.store import digests

EXTENSIONS = (".png", ".jpg")
GREY_TOLERANCE = 8  # of 255 steps: JPEG may change the channels of a grey map, stored as colour, by so much


class Maps:
    """The maps of a folder, as a Detector draws them (aepsl.saliency.detectors)."""

    def __init__(self, folder: str, dataset: Dataset) -> None:
        self.folder, self.dataset = folder, dataset

    def check(self, ids: Sequence[str]) -> None:
        """Raise InputError for the first map of `ids` that `read_map` refuses."""
        for image_id in ids:
            self.saliency(image_id)

    def check_meaning(self, ids: Sequence[str]) -> None:
        """As `check`, for a whole list; its maps are also checked together (aepsl.data.meaning.of_maps)."""
        meaning.of_maps(self.folder, ids, in_threads(self._says, [(image_id,) for image_id in ids]))

    def _says(self, image_id):
        values = self.saliency(image_id)
        return meaning.map_says(values, self.dataset.truth(image_id, values.shape))

    def saliency(self, image_id: str) -> np.ndarray:
        return read_map(self.folder, image_id, decoding.header(self.dataset.image_path(image_id)).size)


def contents(folder: str, ids: Sequence[str]) -> str:
    """The SHA-256 of the precomputed maps of `ids`."""
    return digests.together([first_of(folder, image_id, EXTENSIONS) for image_id in ids], ids)


def first_of(folder: str, image_id: str, extensions: Sequence[str]) -> str:
    """The path of the first file ID.extension that exists; InputError if none does."""
    found = there(folder, image_id, extensions)
    if not found:
        if not os.path.isdir(folder):
            raise InputError(f"{folder}: no such folder; name another")
        remedy = "add it, or take the image from the list"
        near = sorted(glob.glob(os.path.join(glob.escape(folder), glob.escape(image_id) + "[!0-9A-Za-z]*")))
        why = f", but {os.path.basename(near[0])}" if near else ""
        raise InputError(f"{folder}: holds no {image_id}{' or '.join(extensions)}{why}; {remedy}")
    return found[0]


def there(folder: str, image_id: str, extensions: Sequence[str]) -> list[str]:
    """The paths of the files ID.extension that exist."""
    return [path for path in (os.path.join(folder, image_id + each) for each in extensions) if os.path.exists(path)]


def read_map(folder: str, image_id: str, size: tuple[int, int]) -> np.ndarray:
    """A precomputed map as H x W float32, its minimum at 0 and its maximum at 1 (all 0 if it is constant).

    Raises InputError for a map that is missing, broken, coloured, or not of `size` (width, height).
    """
    path = first_of(folder, image_id, EXTENSIONS)
    if len(there(folder, image_id, EXTENSIONS)) > 1:
        line = f"holds {image_id}.png and .jpg, and one of the two is the map"
        raise InputError(f"{folder}: {line}; move the other, as all such, to another folder")
    with decoding.opened(path) as image:
        decoding.load(image, path)
        found = image.size
        grey = image.mode in ("1", "L", "I", "I;16", "F")
        values = np.array(image if grey else image.convert("RGB"), np.float32)
        _refuse_transparency(path, image)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: has values that are not finite; compute this map anew")
    if found != tuple(size):
        fault = "is {} x {}, its image {} x {}".format(*found, *size)
        raise InputError(f"{path}: {fault}; compute the map on this very image, at its full size")
    if values.ndim == 3:
        if np.ptp(values, axis=2).max() > GREY_TOLERANCE:
            raise InputError(f"{path}: has colours; a saliency map is grey, the brighter the more salient")
        values = values.mean(axis=2)
    return normalised(values)


def _refuse_transparency(path, image):
    """InputError for a Pillow image of varying transparency, which may be the map itself."""
    has_alpha = image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or (image.mode == "P" and "transparency" in image.info)
    if has_alpha and np.ptp(image.convert("RGBA").getchannel("A")) > 0:
        fault = "is transparent in some places, and may hold the map there or in its grey"
        raise InputError(f"{path}: {fault}; save the map as a grey PNG without transparency")


def normalised(values: np.ndarray) -> np.ndarray:
    """`values` as float32, its minimum at 0 and its maximum at 1; all 0 if it is constant."""
    low, high = values.min(), values.max()
    if not high > low:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
