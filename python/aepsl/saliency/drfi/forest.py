"""A forest of regression trees as arrays, and what it says of regions; neither its files nor its use need scikit-learn.

Features come as bins, 0 ... 255, and thresholds are bins too: nothing is lost where trees are written in bytes. Trees
stand breadth first, one behind the other, so that a tree's k-th inner node has the nodes 2k + 1 and 2k + 2 below it.
"""

import numpy as np

from aepsl.saliency.drfi.features import COUNT

BINS = 256
LEAF = 255  # in place of a feature


class Forest:
    """features: of each of K nodes the feature that it looks at, or LEAF; values: the last bin that goes to the left,
    or what a leaf says, 255 for 1; both K uint8. sizes: nodes of each of T trees, int32.

    Raises ValueError for arrays that are no forest: a walk down a tree would leave it, or never end.
    """

    def __init__(self, features, values, sizes):
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

    def scores(self, bins, trees=None):
        """The mean of what the trees say of N regions, `bins` being N x COUNT uint8: N float32 in [0, 1].

        trees: the numbers of those that are asked; all without it.
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


def written_out(tree):
    """(features, values) of a tree of scikit-learn that was grown on bins, as Forest has them."""
    order = [0]
    for node in order:  # grows while it is gone through
        if tree.children_left[node] >= 0:
            order += [tree.children_left[node], tree.children_right[node]]
    leaf = tree.children_left[order] < 0
    says = np.rint(255 * tree.value[order, 0, 0].clip(0, 1))
    features = np.where(leaf, LEAF, tree.feature[order])
    return features.astype(np.uint8), np.where(leaf, says, np.floor(tree.threshold[order])).astype(np.uint8)


def edges_of(values):
    """Where the bins of each feature begin: COUNT x (BINS - 1) float32, that part the regions `values` (N x COUNT)."""
    shares = np.arange(1, BINS) / BINS
    return np.quantile(values, shares, axis=0).T.astype(np.float32)


def binned(values, edges):
    """N x COUNT uint8: how many of a feature's edges are below each value."""
    columns = [np.searchsorted(edge, column) for edge, column in zip(edges, values.T)]
    return np.stack(columns, axis=1).astype(np.uint8)
