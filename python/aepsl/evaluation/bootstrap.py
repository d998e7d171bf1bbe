"""Paired bootstrap over images: how far a difference of IoU depends on which images a validation set has.

Each draw takes as many images as there are, with replacement, the same ones for all methods, adds up their counts and
computes IoU of the sums, as `evaluate` does of all. The interval is that of the percentiles (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13).
"""

import warnings

import numpy as np

from aepsl.evaluation.evaluate import iou

DRAWS = 10_000
CHUNK = 500  # draws whose counts lie in memory at a time
LEVEL = 95  # percent of the draws that an interval holds


def intervals(methods, reference, draws=DRAWS, seed=1):
    """Intervals of the differences of `methods` from `reference`.

    methods: M x N x 3 x K, what `evaluate.sums` gives of N images; reference: N x 3 x K, of the same images. Returns
    (low, high), each M x (K + 1) in points of IoU, the last that of mIoU; NaN for a class in no draw's truth.
    """
    stacks = np.stack([reference, *methods]).astype(np.float64)  # exact to 2 ** 53 pixels
    count, images = len(stacks), stacks.shape[1]
    flat = stacks.transpose(1, 0, 2, 3).reshape(images, -1)
    random = np.random.RandomState(seed)
    differences = []
    for start in range(0, draws, CHUNK):
        times = _draw(random, min(CHUNK, draws - start), images)
        sums = (times @ flat).reshape(-1, count, 3, stacks.shape[-1])
        values = with_mean(iou(np.moveaxis(sums, 2, 0)))
        differences.append(values[:, 1:] - values[:, :1])
    return _percentiles(np.concatenate(differences))


def _draw(random, draws, images):
    """How often each image is drawn: draws x images float64, each row with the sum `images`."""
    drawn = random.randint(images, size=(draws, images)) + images * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * images).reshape(draws, images).astype(np.float64)


def with_mean(values):
    """IoU ... x K with its mean over the classes that are there (not NaN) behind it: ... x (K + 1)."""
    there = ~np.isnan(values)
    mean = np.where(there, values, 0).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return np.concatenate([values, mean[..., None]], axis=-1)


def _percentiles(differences):
    """The bounds of the middle LEVEL percent over the first axis, without the draws that lack a class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a class that all of them lack
        return np.nanpercentile(differences, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)
