"""The paper's detector, trained by us: Jiang et al., CVPR 2013; its parts are in aepsl.saliency.drfi."""

from collections.abc import Sequence

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


class Detector:
    """Maps of the project's model."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.model = model.load(model.MODEL)

    def check(self, ids: Sequence[str]) -> None:
        """It takes every image."""

    def saliency(self, image_id: str) -> np.ndarray:
        return self.model.saliency(self.dataset.image(image_id))
