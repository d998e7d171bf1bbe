"""A forest of regression trees as arrays. Only training it needs scikit-learn, not its files or its use.

Features are given as bins, 0 ... 255, and thresholds are bins too, so that bytes hold a tree without loss. A tree's
nodes are in breadth-first order, one tree after the other. So the k-th inner node's children are nodes 2k + 1, 2k + 2.
"""

from typing import Any, Optional

import numpy as np

from aepsl.saliency.drfi.features import COUNT

BINS = 256
LEAF = 255  # instead of a feature


class Forest:
    """The K nodes of T trees.

    features: the feature that a node compares, or LEAF, K uint8; values: the largest bin for its left child, or a
    leaf's value, 255 for 1, K uint8; sizes: the number of nodes of each tree, T int32. Raises ValueError for invalid
    arrays: a walk down a tree would leave it, or never end.
    """

    def __init__(self, features: np.ndarray, values: np.ndarray, sizes: np.ndarray) -> None:
        self.features, self.values, self.sizes = features, values, sizes
        ends, inner = np.cumsum(sizes), features != LEAF
        self.roots = ends - sizes
        before = np.cumsum(inner) - inner  # inner nodes before each node
        tree = np.repeat(np.arange(len(sizes)), sizes)
        self.below = self.roots[tree] + 2 * (before - before[self.roots][tree]) + 1
        adds_up = len(sizes) and len(values) == len(features) == ends[-1] and (features[inner] < COUNT).all()
        whole = 2 * np.add.reduceat(inner, self.roots, dtype=int) + 1 == sizes
        if not (adds_up and whole.all() and (self.below > np.arange(len(features)))[inner].all()):
            raise ValueError("these arrays are no forest")

    def scores(self, bins: np.ndarray, trees: Optional[np.ndarray] = None) -> np.ndarray:
        """The mean of the trees' values for N regions: N float32 in [0, 1].

        bins: N x COUNT uint8, the regions' features; trees: the indices of the trees that count, all for None.
        """
        roots = self.roots if trees is None else self.roots[trees]
        total = np.zeros(len(bins), np.int64)
        row = np.repeat(np.arange(len(bins)), len(roots))
        node = np.tile(roots, len(bins))
        while len(node):
            feature = self.features[node]
            inner = feature != LEAF
            total += np.bincount(row[~inner], self.values[node[~inner]], len(bins)).astype(np.int64)
            row, node, feature = row[inner], node[inner], feature[inner]
            node = self.below[node] + (bins[row, feature] > self.values[node])
        return (total / (255 * len(roots))).astype(np.float32)


def written_out(tree: Any) -> tuple[np.ndarray, np.ndarray]:
    """(features, values), as Forest has them, of a tree of scikit-learn that was trained on bins."""
    order = [0]
    for node in order:  # the loop appends to it
        if tree.children_left[node] >= 0:
            order += [tree.children_left[node], tree.children_right[node]]
    leaf = tree.children_left[order] < 0
    says = np.rint(255 * tree.value[order, 0, 0].clip(0, 1))
    features = np.where(leaf, LEAF, tree.feature[order])
    return features.astype(np.uint8), np.where(leaf, says, np.floor(tree.threshold[order])).astype(np.uint8)


def edges_of(values: np.ndarray) -> np.ndarray:
    """The edges between the bins of each feature, COUNT x (BINS - 1) float32: quantiles of `values`, N x COUNT."""
    return np.quantile(values, np.arange(1, BINS) / BINS, axis=0).T.astype(np.float32)


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """N x COUNT uint8: how many of a feature's edges are below each value."""
    columns = [np.searchsorted(edge, column) for edge, column in zip(edges, values.T)]
    return np.stack(columns, axis=1).astype(np.uint8)
