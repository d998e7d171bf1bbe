"""Salient objects without training: robust background detection (RBD).

W. Zhu, S. Liang, Y. Wei, J. Sun: Saliency Optimization from Robust Background Detection, CVPR 2014.
Symbols and equation numbers are that paper's. A superpixel is background if the region it belongs to
touches the image's boundary along much of its length; contrast to such background is foreground's cue;
least squares turn both cues into a smooth map.

Where the paper leaves a choice open:
- 300 superpixels whatever the image's size: 600 pixels each at VOC's 500 x 375, the authors' setting.
- wCtr is scaled to [0, 1] before it becomes w_fg: w_bg is in [0, 1] too, and equation 9 weighs one against the other.
"""

import itertools
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve
from scipy.spatial.distance import cdist
from skimage.segmentation import slic

from aepsl.data.dataset import Dataset
from aepsl.images.pictures import within
from aepsl.saliency.maps import normalised

SECONDS = 0.15  # of one core, for a photo of 500 x 375
INPUTS: dict = {}

SIGMA_CLR = 10.0  # CIELAB units
SIGMA_SPA = 0.25  # of the image's height and width
SIGMA_BNDCON = 1.0
MU = 0.1
SUPERPIXELS = 300
COMPACTNESS = 10  # SLIC's m
LONGEST_SIDE = 300  # larger images are reduced: superpixels of 600 pixels need no more detail


def settings() -> dict:
    """The constants above, by name: with the image, they determine the map."""
    names = "SIGMA_CLR SIGMA_SPA SIGMA_BNDCON MU SUPERPIXELS COMPACTNESS LONGEST_SIDE".split()
    return {name.lower(): globals()[name] for name in names}


def ready() -> None:
    """It needs no model."""


def maps(dataset: Dataset, ids: Sequence[str]) -> Callable[[str], np.ndarray]:
    """The function of an id that computes its map; it takes every image."""
    return lambda image_id: saliency(dataset.image(image_id))


def saliency(image: np.ndarray) -> np.ndarray:
    """The saliency map of `image` (H x W x 3 uint8, BGR) as H x W float32 in [0, 1].

    Every map has the minimum 0 and the maximum 1; that of an image without any contrast is 0 everywhere.
    """
    lab = cv2.cvtColor(within(image, LONGEST_SIDE).astype(np.float32) / 255, cv2.COLOR_BGR2Lab)

    labels = superpixels(lab)
    colours, centres = means(labels, lab)
    bnd = on_boundary(labels)
    edges = adjacency(labels, bnd)
    d_app = cdist(colours, colours)

    w_bg = background_probability(boundary_connectivity(geodesic(d_app, edges), bnd))
    w_fg = normalised(background_weighted_contrast(d_app, cdist(centres, centres), w_bg))
    s = optimised(d_app, edges, w_bg, w_fg)

    grown = cv2.resize(s[labels].astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return normalised(grown)


def superpixels(lab: np.ndarray) -> np.ndarray:
    """SLIC superpixels of `lab` (H x W x 3 float32): H x W labels 0 ... N - 1, each one connected."""
    wanted = max(1, min(SUPERPIXELS, lab.shape[0] * lab.shape[1] // 16))
    labels = slic(lab, wanted, compactness=COMPACTNESS, convert2lab=False, start_label=0)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def means(labels: np.ndarray, lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour (N x 3) and mean position (N x 2, of height and width, in [0, 1]) of each superpixel."""
    height, width = labels.shape
    y, x = np.mgrid[:height, :width]
    values = [*np.moveaxis(lab.astype(float), -1, 0), (y + 0.5) / height, (x + 0.5) / width]
    count = np.bincount(labels.ravel())
    mean = np.stack([np.bincount(labels.ravel(), value.ravel()) / count for value in values], axis=1)
    return mean[:, :3], mean[:, 3:]


def on_boundary(labels: np.ndarray) -> np.ndarray:
    """N bool: does the superpixel touch the image's boundary (Bnd in the paper)?"""
    bnd = np.zeros(labels.max() + 1, bool)
    bnd[np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]]] = True
    return bnd


def adjacency(labels: np.ndarray, bnd: np.ndarray) -> np.ndarray:
    """E x 2, i < j: pairs of superpixels that share a border, and all pairs on the image's boundary.

    The latter connect the parts of a background that the object divides.
    """
    rim = list(itertools.combinations(np.flatnonzero(bnd), 2))
    return np.unique(np.concatenate([neighbours(labels), np.reshape(rim, (-1, 2)).astype(int)]), axis=0)


def neighbours(labels: np.ndarray) -> np.ndarray:
    """E x 2, i < j: the pairs of regions that share a border."""
    sides = [(labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])]
    pairs = np.concatenate([np.stack(side, axis=-1).reshape(-1, 2) for side in sides])
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def geodesic(d_app: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Equation 2: the smallest sum of d_app over the edges of a path, for each pair of superpixels (N x N)."""
    i, j = edges.T
    # Sparse, so that an edge between equal colours stays an edge: in a dense matrix 0 would mean no edge.
    return dijkstra(csr_matrix((d_app[i, j], (i, j)), d_app.shape), directed=False)


def boundary_connectivity(d_geo: np.ndarray, bnd: np.ndarray) -> np.ndarray:
    """Equations 3 to 5: BndCon = Len_bnd / sqrt(Area), N values, from about 0 (object) to 4 (all background)."""
    S = np.exp(-(d_geo**2) / (2 * SIGMA_CLR**2))
    return S[:, bnd].sum(axis=1) / np.sqrt(S.sum(axis=1))


def background_probability(bndcon: np.ndarray) -> np.ndarray:
    """Equation 8: w_bg in [0, 1)."""
    return 1 - np.exp(-(bndcon**2) / (2 * SIGMA_BNDCON**2))


def background_weighted_contrast(d_app: np.ndarray, d_spa: np.ndarray, w_bg: np.ndarray) -> np.ndarray:
    """Equation 7: wCtr, the colour distance to near and probably background superpixels."""
    w_spa = np.exp(-(d_spa**2) / (2 * SIGMA_SPA**2))
    return (d_app * w_spa * w_bg).sum(axis=1)


def optimised(d_app: np.ndarray, edges: np.ndarray, w_bg: np.ndarray, w_fg: np.ndarray) -> np.ndarray:
    """The s (N values) that minimises equation 9,

    sum_i w_bg_i s_i^2 + sum_i w_fg_i (s_i - 1)^2 + sum_ij w_ij (s_i - s_j)^2, w_ij of the edges by equation 10.
    """
    i, j = edges.T
    w = np.exp(-(d_app[i, j] ** 2) / (2 * SIGMA_CLR**2)) + MU
    W = coo_matrix((w, (i, j)), d_app.shape)
    W = W + W.T
    # Setting the gradient to zero gives (D - W + diag(w_bg + w_fg)) s = w_fg, D the diagonal of W's row sums.
    A = diags(np.asarray(W.sum(axis=1)).ravel() + w_bg + w_fg) - W
    return spsolve(A.tocsc(), w_fg)
