"""Trains DRFI: regions of photos with known objects, a forest, and the scale of its maps.

Each tree learns from all regions of some of the photos, so that each photo has trees that did not see it. Their map of
it is like that of a new photo. So the scale of the maps is computed from these maps, and no photo is held back.
"""

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads
from aepsl.images.pictures import within
from aepsl.saliency.drfi import features, forest
from aepsl.saliency.drfi.measures import Measures, grey
from aepsl.saliency.drfi.model import SHARES, Model, unscaled
from aepsl.saliency.drfi.photos import Photos

PURITY = 0.75  # a region is trained on if at least this share of its pixels is of one kind
PART = 0.6  # share of the photos that a tree learns from
TREES = 60
LEAST = 12  # the fewest regions of a leaf
TRIED = 15  # features that are tried at each node
SAMPLES = 100_000  # regions from which the bins are computed
LEAST_STEP = 1e-3  # smallest step of the scale, for photos so easy that most values of their maps are 0 or 1


def trained(photos: Photos, seed: int, workers: int = 1) -> tuple[Model, dict]:
    """(a Model, figures of Measures on the same photos, each with the trees that did not see it).

    seed: the same seed gives the same model, with any number of `workers`. Raises InputError for too few photos: if all
    trees saw a photo, nothing shows how good they are on a new one.
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
        raise InputError("a tree has no region to learn from; give more or larger photos, or masks of these photos")
    calls = [(bins, share > 0.5, pure & own[photo], seed + k) for k, own in enumerate(sees)]
    of_nodes, of_values = zip(*in_threads(grown, calls, workers, "trees"))
    sizes = np.array([len(each) for each in of_nodes], np.int32)
    trees = forest.Forest(np.concatenate(of_nodes), np.concatenate(of_values), sizes)

    parts = np.split(bins, np.cumsum(counts)[:-1])
    jobs = [(photos, k, trees, parts[k], np.flatnonzero(~sees[:, k])) for k in range(len(photos))]
    return scaled(edges, trees, in_threads(unseen, jobs, workers, "scale"))


def reduced(photos: Photos, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(photo k, H x W x 3 uint8; its object, H x W booleans), both at the reduced size."""
    photo, mask = photos.image(k), photos.is_object(k).astype(np.uint8)
    return within(photo, features.LONGEST_SIDE), within(mask, features.LONGEST_SIDE) > 0


def described(photos: Photos, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(features, N x 93 float32; the object's share, N) of the regions of all levels of photo k."""
    small, is_object = reduced(photos, k)
    levels, values = features.of_image(small)
    weights = is_object.astype(np.float32).ravel()
    share = [np.bincount(labels.ravel(), weights) / np.bincount(labels.ravel()) for labels in levels]
    return values, np.concatenate(share)


def drawn_photos(count: int, seed: int) -> np.ndarray:
    """TREES x count booleans: the photos that each tree learns from."""
    part = max(1, round(PART * count))
    ranks = np.random.RandomState(seed).rand(TREES, count).argsort(axis=1).argsort(axis=1)
    return ranks < part


def grown(bins: np.ndarray, is_object: np.ndarray, own: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A tree trained on the regions `own`: (features, values) as Forest has them."""
    tree = DecisionTreeRegressor(min_samples_leaf=LEAST, max_features=TRIED, random_state=seed)
    tree.fit(bins[own].astype(np.float32), is_object[own])
    return forest.written_out(tree.tree_)


def unseen(
    photos: Photos, k: int, trees: forest.Forest, bins: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(map, mask) of photo k at its reduced size, with the trees `asked`; the map is float16 and not scaled yet."""
    small, is_object = reduced(photos, k)
    saliency = unscaled(features.levels(small), trees.scores(bins, asked), small.shape)
    return saliency.astype(np.float16), is_object


def scaled(edges: np.ndarray, trees: forest.Forest, maps: list) -> tuple[Model, dict]:
    """(a Model whose scale is computed from `maps`, [(map, mask)]; the figures of their Measures)."""
    values = np.concatenate([saliency.ravel() for saliency, _ in maps])
    low, high = np.quantile(values.astype(np.float32), list(SHARES.values()))
    low = np.clip(low, LEAST_STEP, 1 - 3 * LEAST_STEP)
    high = np.clip(high, low + LEAST_STEP, 1 - LEAST_STEP)
    model = Model(edges, trees, np.array([low, high], np.float32))
    measures = Measures()
    for saliency, is_object in maps:
        measures.add(grey(model.scaled(saliency)), is_object)
    return model, measures.figures()
