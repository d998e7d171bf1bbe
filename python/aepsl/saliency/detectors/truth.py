"""The background of the true masks, in place of a detector's: shows how much a better detector could gain."""

from collections.abc import Callable, Sequence

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.images.pictures import read_indexed

SECONDS = 0.01  # of one core, for a photo of 500 x 375
INPUTS = {"train.masks": None}


def settings() -> dict:
    return {}


def ready() -> None:
    """It needs no model. `maps` checks that the data set has masks."""


def maps(dataset: Dataset, ids: Sequence[str]) -> Callable[[str], np.ndarray]:
    """The function of an id that reads its map: background 0, objects 1, ignored pixels 0.5."""
    folder = dataset.mask_folder()
    if folder is None:
        raise InputError(f"{dataset.root}: has no masks for `background.detector: truth`; take drfi or rbd")
    dataset.check(ids, [folder])

    def read(image_id: str) -> np.ndarray:
        truth = read_indexed(png(folder, image_id))
        return np.where(truth == IGNORE, 0.5, truth > 0).astype(np.float32)

    return read
