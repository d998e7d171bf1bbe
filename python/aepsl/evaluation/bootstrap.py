"""Paired bootstrap over images: how far a difference of IoU depends on which images a validation set has.

Each draw takes N of the N images, with replacement, and the same ones for all methods. It adds up their counts and
computes IoU from the sums, as `evaluate` does. The interval is that of the percentiles (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13). mIoU is always the mean over all classes that the N images have: if a
draw lacks a class, the IoU of another draw is taken for it. A mean over fewer classes would be another quantity, whose
interval can exclude the difference itself.
"""

import warnings

import numpy as np

from aepsl.evaluation.evaluate import iou

DRAWS = 10_000
CHUNK = 500  # draws whose counts are in memory at a time
LEVEL = 95  # percent of the draws that an interval holds


def intervals(methods: np.ndarray, reference: np.ndarray, draws: int = DRAWS, seed: int = 1) -> np.ndarray:
    """Intervals of the differences of `methods` from `reference`.

    methods: M x N x 3 x K, the `evaluate.sums` of N images; reference: N x 3 x K, of the same images. Returns the
    bounds (low, high), 2 x M x (K + 1), in points of IoU; the last is that of mIoU. NaN for a class that no draw's
    truth has. A class's interval is that of the draws that have it.
    """
    stacks = np.stack([reference, *methods]).astype(np.float64)  # exact to 2 ** 53 pixels
    count, images = len(stacks), stacks.shape[1]
    flat = stacks.transpose(1, 0, 2, 3).reshape(images, -1)
    random = np.random.RandomState(seed)
    found = []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start), images
        drawn = random.randint(images, size=size) + images * np.arange(size[0])[:, None]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(size).astype(np.float64)  # of each image
        sums = (times @ flat).reshape(-1, count, 3, stacks.shape[-1])
        found.append(iou(np.moveaxis(sums, 2, 0)))
    values = np.concatenate(found)
    of_classes = _percentiles(values)
    _complete(values)
    return np.concatenate([of_classes, _percentiles(with_mean(values)[..., -1:])], axis=-1)


def _complete(values):
    """Replace the NaN of a draw that lacks a class by the IoU of a draw that has it, in turn; values: D x M x K."""
    for of_class in np.moveaxis(values, 2, 0):
        has = ~np.isnan(of_class[:, 0])  # the truth is the same for all methods
        if has.any():
            of_class[~has] = np.resize(of_class[has], of_class[~has].shape)


def with_mean(values: np.ndarray) -> np.ndarray:
    """IoU, ... x K, followed by its mean over the classes that are not NaN: ... x (K + 1)."""
    mean = np.nansum(values, axis=-1) / np.maximum(np.count_nonzero(~np.isnan(values), axis=-1), 1)
    return np.concatenate([values, mean[..., None]], axis=-1)


def _percentiles(values):
    """The bounds of the middle LEVEL percent of the differences of all methods from the first; NaN are left out.

    values: D x M x ...; returns 2 x (M - 1) x ....
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # for a class that all draws lack
        bounds = [(100 - LEVEL) / 2, (100 + LEVEL) / 2]
        return np.nanpercentile(values[:, 1:] - values[:, :1], bounds, axis=0)
