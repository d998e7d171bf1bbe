"""A trained DRFI: a file of arrays, without pickle, and the maps that it draws."""

import json
import os

import cv2
import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.files import opened, written_whole
from aepsl.saliency.drfi import features, forest, segments
from aepsl.saliency.drfi.measures import THRESHOLDS
from aepsl.saliency.maps import normalised

MODEL = os.path.join("weights", "drfi.npz")  # what `background.detector: drfi` takes
# Of the thresholds that the paper has for DRFI's maps: the share of pixels reported to be below them in the maps of
# DRFI's authors (ECSSD, images 701 to 1000). Maps are scaled so that as many are below them in the photos of training.
SHARES = dict(zip(THRESHOLDS, (0.399, 0.539)))
ARRAYS = ("edges", "features", "values", "sizes", "scale", "settings")  # of a file
REMEDY = "train one: aepsl drfi train --help; or take `background.detector: rbd`"


class Model:
    """edges: see forest.edges_of; forest: a Forest; scale: where the thresholds of SHARES lie in maps as they come.

    Raises ValueError for arrays of other shapes, with values that are not finite, or in no order.
    """

    def __init__(self, edges, trees, scale):
        self.edges, self.forest, self.scale = edges, trees, scale
        is_ordered = np.isfinite(edges).all() and (np.diff(edges) >= 0).all() and (np.diff([0, *scale, 1]) > 0).all()
        if edges.shape != (features.COUNT, forest.BINS - 1) or scale.shape != (len(SHARES),) or not is_ordered:
            raise ValueError("these arrays are no model")

    def saliency(self, image):
        """The saliency map of `image` (H x W x 3 uint8, BGR) as H x W float32 in [0, 1].

        Every map spans 0 to 1, but that of an image without any contrast, which is 0 throughout.
        """
        small = segments.reduced(image)
        pixels = features.Pixels(small)
        levels = segments.levels(small)
        bins = [forest.binned(features.of_regions(pixels, labels), self.edges) for labels in levels]
        return self.scaled(unscaled(levels, self.forest.scores(np.concatenate(bins)), image.shape))

    def scaled(self, saliency):
        """A map in [0, 1] with SHARES' thresholds where `scale` says; straight between."""
        return np.interp(saliency, [0, *self.scale, 1], [0, *SHARES, 1]).astype(np.float32)

    def save(self, path):
        trees = self.forest
        arrays = self.edges, trees.features, trees.values, trees.sizes, self.scale, np.array(settings())
        with written_whole(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, **dict(zip(ARRAYS, arrays)))


def unscaled(levels, scores, shape):
    """The map of regions' scores, level by level one behind the other: their mean, grown to `shape`, normalised."""
    total, first = np.zeros(levels[0].shape, np.float32), 0
    for labels in levels:
        count = labels.max() + 1
        total += scores[first : first + count][labels]
        first += count
    return normalised(cv2.resize(total, shape[1::-1], interpolation=cv2.INTER_LINEAR))


def load(path):
    """The Model of a file; InputError, one line, for what is none, is damaged, or was trained with other features."""
    fault = "is no model of DRFI, or damaged"
    try:
        with opened(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            edges, *trees, scale, known = (archive[name] for name in ARRAYS)
        if str(known) == settings():
            return Model(edges, forest.Forest(*trees), scale)
        fault = "was trained with other regions or features"
    except FileNotFoundError:
        fault = "no such file"
    except Exception:  # numpy and zipfile raise whatever broken bytes lead them to
        pass
    raise InputError(f"{path}: {fault}; {REMEDY}")


def settings():
    """What a model's trees know regions by, as JSON: the constants of regions and features."""
    of = {segments: "LONGEST_SIDE SIGMA LEVELS", features: "RIM BINS SUPPORT ORIENTATIONS SPREAD SPOTS"}
    values = {name.lower(): getattr(module, name) for module, names in of.items() for name in names.split()}
    return json.dumps(values, sort_keys=True)
