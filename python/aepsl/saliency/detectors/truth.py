"""The true masks' background, of which a real cue has a part: to see how much there is to win."""

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data.dataset import IGNORE, in_folder
from aepsl.images.pictures import read_indexed

SECONDS = 0.01  # of one core, for a photo of 500 x 375
INPUTS = {"train.masks": None}


def settings():
    return {}


def ready():
    """It has no model; whether there are masks is for the data set to say."""


class Detector:
    """Background 0, objects 1, what is ignored between."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.folder = dataset.mask_folder()
        if self.folder is None:
            raise InputError(f"{dataset.root}: has no masks for `background.detector: truth`; take drfi or rbd")

    def check(self, ids):
        self.dataset.check(ids, [self.folder])

    def saliency(self, image_id):
        truth = read_indexed(in_folder(self.folder, [image_id])[0])
        return np.where(truth == IGNORE, 0.5, truth > 0).astype(np.float32)
