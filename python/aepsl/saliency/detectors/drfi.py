"""The paper's detector, trained by us: Jiang et al., CVPR 2013; its parts are in aepsl.saliency.drfi."""

from collections.abc import Callable, Sequence

import numpy as np

from aepsl.data.dataset import Dataset
from aepsl.saliency.drfi import model

SECONDS = 0.55  # of one core, for a photo of 500 x 375
INPUTS = {"drfi": model.MODEL}


def settings() -> dict:
    return dict(shares=list(model.SHARES.items()))


def ready() -> None:
    """Raise InputError, one line, for a model that is missing or damaged."""
    model.load(model.MODEL)


def maps(dataset: Dataset, ids: Sequence[str]) -> Callable[[str], np.ndarray]:
    """The function of an id that computes its map with the project's model; it takes every image."""
    trained = model.load(model.MODEL)
    return lambda image_id: trained.saliency(dataset.image(image_id))
