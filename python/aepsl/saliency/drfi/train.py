"""Training DRFI: regions of photos with known objects, a forest, and the scale of its maps.

Each tree learns from a part of the photos, from all regions of them, so that each photo has trees that never saw it.
What those say of it is what all say of a new photo: the scale of the maps comes from there, and no photo is held back.
"""

import cv2
import numpy as np
from sklearn.tree import DecisionTreeRegressor

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads
from aepsl.saliency.drfi import features, forest, segments
from aepsl.saliency.drfi.measures import Measures, grey
from aepsl.saliency.drfi.model import SHARES, Model, unscaled

PURITY = 0.75  # of a region's pixels are of one kind, or it does not train
PART = 0.6  # of the photos that a tree learns from
TREES = 60
LEAST = 12  # regions of a leaf
TRIED = 15  # features at each node
SAMPLES = 100_000  # regions that the bins are taken from
LEAST_STEP = 1e-3  # of the scale, where photos are so easy that more than the shares are at the maps' ends


def trained(photos, seed, workers=1):
    """(a Model, figures of Measures on the photos that it learnt from, each by the trees that did not see it).

    photos: Photos; seed: the same gives the same model, with any number of `workers`. Raises InputError for photos
    that are too few: where all trees saw a photo, nothing tells how good they are on new ones.
    """
    sees = drawn_photos(len(photos), seed)
    if sees.all(axis=0).any():
        raise InputError(f"too few photos ({len(photos)}): every tree learns from all of them; give two or more")
    regions = in_threads(described, [(photos, k) for k in range(len(photos))], workers, "regions")
    counts = [len(share) for _, share in regions]
    values, share = (np.concatenate(each) for each in zip(*regions))
    edges = forest.edges_of(values[:: 1 + len(values) // SAMPLES])
    bins = forest.binned(values, edges)

    photo = np.repeat(np.arange(len(photos)), counts)
    pure = np.maximum(share, 1 - share) >= PURITY
    if not all((pure & own[photo]).any() for own in sees):
        raise InputError("these photos are too few or too small: a tree has no region to learn from; give more")
    jobs = [(bins, share > 0.5, pure & own[photo], seed + k) for k, own in enumerate(sees)]
    trees = in_threads(grown, jobs, workers, "trees")
    sizes = np.array([len(tree[0]) for tree in trees], np.int32)
    trees = forest.Forest(*map(np.concatenate, zip(*trees)), sizes)

    parts = np.split(bins, np.cumsum(counts)[:-1])
    jobs = [(photos, k, trees, parts[k], np.flatnonzero(~sees[:, k])) for k in range(len(photos))]
    return scaled(edges, trees, in_threads(unseen, jobs, workers, "scale"))


def reduced(photos, k):
    """(photo k, its object as H x W booleans), both at the reduced size."""
    small = segments.reduced(photos.image(k))
    mask = photos.is_object(k).astype(np.uint8)
    return small, cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0


def described(photos, k):
    """Of the regions of all levels of photo k: features (N x 93 float32), and the object's share of each (N)."""
    small, is_object = reduced(photos, k)
    pixels, levels = features.Pixels(small), segments.levels(small)
    values = np.concatenate([features.of_regions(pixels, labels) for labels in levels])
    weights = is_object.astype(np.float32).ravel()
    share = [np.bincount(labels.ravel(), weights) / np.bincount(labels.ravel()) for labels in levels]
    return values, np.concatenate(share)


def drawn_photos(count, seed):
    """TREES x count booleans: the photos that each tree learns from."""
    part = max(1, round(PART * count))
    ranks = np.random.RandomState(seed).rand(TREES, count).argsort(axis=1).argsort(axis=1)
    return ranks < part


def grown(bins, is_object, own, seed):
    """A tree that learns from the regions `own`, as Forest has it."""
    tree = DecisionTreeRegressor(min_samples_leaf=LEAST, max_features=TRIED, random_state=seed)
    tree.fit(bins[own].astype(np.float32), is_object[own])
    return forest.written_out(tree.tree_)


def unseen(photos, k, trees, bins, asked):
    """(map, mask) of photo k at its reduced size, by the trees `asked`; the map float16, not scaled yet."""
    small, is_object = reduced(photos, k)
    saliency = unscaled(segments.levels(small), trees.scores(bins, asked), small.shape)
    return saliency.astype(np.float16), is_object


def scaled(edges, trees, maps):
    """A Model whose scale is that of `maps`, [(map, mask)], and the figures of their Measures."""
    values = np.concatenate([saliency.ravel() for saliency, _ in maps])
    low, high = np.quantile(values.astype(np.float32), list(SHARES.values()))
    low = np.clip(low, LEAST_STEP, 1 - 3 * LEAST_STEP)
    high = np.clip(high, low + LEAST_STEP, 1 - LEAST_STEP)
    model = Model(edges, trees, np.array([low, high], np.float32))
    measures = Measures()
    for saliency, is_object in maps:
        measures.add(grey(model.scaled(saliency)), is_object)
    return model, measures.figures()
