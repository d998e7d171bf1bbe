"""A trained DRFI: its file of arrays, without pickle, and its maps."""

import json
import os
import zipfile

import cv2
import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.files import opened, written_whole
from aepsl.images.pictures import within
from aepsl.saliency.drfi import features, forest
from aepsl.saliency.drfi.measures import THRESHOLDS
from aepsl.saliency.maps import normalised

MODEL = os.path.join("weights", "drfi.npz")  # what `background.detector: drfi` takes
# {the paper's threshold for DRFI's maps: the share of pixels below it}, as reported for the maps of DRFI's authors
# (ECSSD, images 701 to 1000). Our maps are scaled to have the same shares in the photos of training.
SHARES = dict(zip(THRESHOLDS, (0.399, 0.539)))
ARRAYS = ("edges", "features", "values", "sizes", "scale", "settings")  # in a file
REMEDY = "train one: aepsl drfi train --help; or take `background.detector: rbd`"


class Model:
    """edges: see forest.edges_of; trees: a Forest; scale: the values in unscaled maps that become SHARES' thresholds.

    Raises ValueError for arrays of other shapes, with values that are not finite, or that are not sorted.
    """

    def __init__(self, edges: np.ndarray, trees: forest.Forest, scale: np.ndarray) -> None:
        self.edges, self.forest, self.scale = edges, trees, scale
        is_ordered = np.isfinite(edges).all() and (np.diff(edges) >= 0).all() and (np.diff([0, *scale, 1]) > 0).all()
        if edges.shape != (features.COUNT, forest.BINS - 1) or scale.shape != (len(SHARES),) or not is_ordered:
            raise ValueError("these arrays are no model")

    def saliency(self, image: np.ndarray) -> np.ndarray:
        """The saliency map of `image` (H x W x 3 uint8, BGR) as H x W float32 in [0, 1].

        Every map has the minimum 0 and the maximum 1; that of an image without any contrast is 0 everywhere.
        """
        levels, values = features.of_image(within(image, features.LONGEST_SIDE))
        return self.scaled(unscaled(levels, self.forest.scores(forest.binned(values, self.edges)), image.shape))

    def scaled(self, saliency: np.ndarray) -> np.ndarray:
        """A map in [0, 1] in which the values `scale` become SHARES' thresholds; piecewise linear."""
        return np.interp(saliency, [0, *self.scale, 1], [0, *SHARES, 1]).astype(np.float32)

    def save(self, path: str) -> None:
        """Write the model to a file, whole or not at all."""
        trees = self.forest
        arrays = self.edges, trees.features, trees.values, trees.sizes, self.scale, np.array(settings())
        with written_whole(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, **dict(zip(ARRAYS, arrays)))


def unscaled(levels: list[np.ndarray], scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The map of regions: the mean of their scores over the levels, resized to `shape` and normalised.

    scores: of all regions, level after level.
    """
    of_levels = np.split(scores, np.cumsum([labels.max() + 1 for labels in levels]))
    total = np.sum([each[labels] for each, labels in zip(of_levels, levels)], axis=0)
    return normalised(cv2.resize(total, shape[1::-1], interpolation=cv2.INTER_LINEAR))


def load(path: str) -> Model:
    """The Model of a file; InputError if the file is missing, damaged, or was trained with other features."""
    fault = "is no model of DRFI, or damaged"
    try:
        with opened(path, "rb") as file:
            if not zipfile.is_zipfile(file):  # numpy would print a traceback of its own
                raise ValueError
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            edges, *trees, scale, known = (archive[name] for name in ARRAYS)
        if str(known) == settings():
            return Model(edges, forest.Forest(*trees), scale)
        fault = "was trained with other regions or features"
    except FileNotFoundError:
        fault = "no such file"
    except Exception:  # numpy and zipfile raise errors of any kind for damaged bytes
        pass
    raise InputError(f"{path}: {fault}; {REMEDY}")


def settings() -> str:
    """The constants of regions and features that a model depends on, as JSON."""
    names = "LONGEST_SIDE SIGMA LEVELS RIM BINS SUPPORT ORIENTATIONS SPREAD SPOTS".split()
    return json.dumps({name.lower(): getattr(features, name) for name in names}, sort_keys=True)
