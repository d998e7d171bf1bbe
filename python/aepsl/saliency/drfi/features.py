"""Regions of an image, and the 93 features of each: Jiang et al., Salient Object Detection: A Discriminative Regional
Feature Integration Approach, CVPR 2013, sections 3 and 4.

    29  contrast: differences between the region and its neighbours, weighted by their areas
    29  backgroundness: differences between the region and the image's rim, 15 pixels wide at a side of 400
    35  property: 10 of geometry and 25 variances

A contrast is 24 differences of means (RGB, HSV, Lab, 15 filter responses) and 5 chi-squared distances of histograms
(RGB, HSV, Lab, the strongest filter, local binary patterns).
"""

import functools

import cv2
import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from aepsl.saliency.detectors.rbd import neighbours

LONGEST_SIDE = 300  # larger images are reduced
SIGMA = 0.8  # of the smoothing before the segmentation
LEVELS = ((35, 50), (70, 70), (130, 100), (250, 150), (450, 250), (800, 400))  # k, the smallest region in pixels
RIM = 15 / 400  # of the longest side
BINS = 8  # of each colour channel: a histogram has 512
SUPPORT = 19  # pixels of a filter
ORIENTATIONS = 6
SPREAD = 2**0.5  # s.d. of edge and bar filters across, in pixels; along them three times that
SPOTS = (2**0.5, 2, 2 * 2**0.5)  # spreads of the Laplacians
COUNT = 93


class Pixels:
    """The values that features are computed from, of the P pixels of an H x W x 3 uint8 BGR image, row by row.

    means: P x 24 float32, averaged over a region; values: P x 25, `means` and the binary pattern, whose variance in a
    region is taken; bins: for each of five histograms (the bin of each pixel, P ints; the number of bins).
    """

    def __init__(self, image: np.ndarray) -> None:
        self.shape = image.shape[:2]
        bgr = image.astype(np.float32) / 255
        hsv = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV) / np.float32([360, 1, 1])
        lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2Lab) / np.float32([100, 128, 128])
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        texture = responses(grey)
        patterns = binary_patterns(grey)
        self.means = np.concatenate([each.reshape(-1, each.shape[2]) for each in (bgr, hsv, lab, texture)], axis=1)
        self.values = np.concatenate([self.means, patterns.reshape(-1, 1) / np.float32(255)], axis=1)
        colours = [colour_bins(bgr), colour_bins(hsv), colour_bins(lab * np.float32([1, 0.5, 0.5]) + [0, 0.5, 0.5])]
        self.bins = [(each.ravel(), BINS**3) for each in colours]
        self.bins += [(texture.argmax(axis=2).ravel(), texture.shape[2]), (patterns.ravel().astype(int), 256)]


def responses(grey: np.ndarray) -> np.ndarray:
    """Absolute responses to the 15 filters: H x W x 15 float32."""
    filtered = [cv2.filter2D(grey, cv2.CV_32F, each, borderType=cv2.BORDER_REFLECT_101) for each in filters()]
    return np.abs(np.stack(filtered, axis=2))


@functools.lru_cache(maxsize=1)
def filters() -> list[np.ndarray]:
    """Filters like Leung and Malik's: edges and bars of six orientations, and three spots.

    A filter's values have the sum 0; their absolute values have the sum 1.
    """
    half = SUPPORT // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    found = []
    for turn in np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS:
        across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        bell = np.exp(-(across**2) / (2 * SPREAD**2) - along**2 / (2 * (3 * SPREAD) ** 2))
        found += [across * bell, (across**2 / SPREAD**2 - 1) * bell]
    found += [((x**2 + y**2) / s**2 - 2) * np.exp(-(x**2 + y**2) / (2 * s**2)) for s in SPOTS]
    found = [each - each.mean() for each in found]
    return [(each / np.abs(each).sum()).astype(np.float32) for each in found]


def binary_patterns(grey: np.ndarray) -> np.ndarray:
    """The local binary pattern of each pixel, 0 ... 255: a bit for each neighbour that is not darker; H x W uint8."""
    height, width = grey.shape
    padded = cv2.copyMakeBorder(grey, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    steps = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    bits = [padded[y : y + height, x : x + width] >= grey for y, x in steps]
    return np.packbits(bits, axis=0, bitorder="little")[0]


def colour_bins(channels: np.ndarray) -> np.ndarray:
    """The bin of each pixel of H x W x 3 in [0, 1]."""
    bins = np.clip(channels * BINS, 0, BINS - 1).astype(int)
    return (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]


def of_image(image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """(the segmentations of an H x W x 3 uint8 image, see levels; the features of all their N regions, N x 93)."""
    pixels, found = Pixels(image), levels(image)
    return found, np.concatenate([of_regions(pixels, labels) for labels in found])


def levels(image: np.ndarray) -> list[np.ndarray]:
    """Labels 0 ... N - 1 of the regions of `image` (H x W x 3 uint8) at each level, the finest first: H x W int32.

    As in DRFI, by Felzenszwalb and Huttenlocher's graph segmentation.
    """
    create = cv2.ximgproc.segmentation.createGraphSegmentation
    return [create(SIGMA, k, least).processImage(image) for k, least in LEVELS]


def of_regions(pixels: Pixels, labels: np.ndarray) -> np.ndarray:
    """The features of the N regions of `labels` (H x W, 0 ... N - 1): N x 93 float32."""
    flat = labels.ravel()
    areas = np.bincount(flat).astype(np.float32)
    of_pixel = np.ones(flat.size, np.float32), flat, np.arange(flat.size + 1)
    sums = csc_matrix(of_pixel, (len(areas), flat.size))  # times values of pixels: sums of regions
    means = sums @ pixels.means / areas[:, None]
    centre = pixels.values.mean(axis=0)  # nearer to 0, squares lose fewer digits
    values = pixels.values - centre
    variances = sums @ values**2 / areas[:, None] - (sums @ values / areas[:, None]) ** 2
    counts = [np.bincount(flat * n + bins, minlength=len(areas) * n).reshape(-1, n) for bins, n in pixels.bins]
    histograms = [np.float32(each) / areas[:, None] for each in counts]

    i, j = neighbours(labels).T
    between = _distances(means[i], means[j], [h[i] for h in histograms], [h[j] for h in histograms])
    regions, edges = np.concatenate([i, j]), np.tile(np.arange(len(i)), 2)
    weights = csr_matrix((areas[np.concatenate([j, i])], (regions, edges)), (len(areas), len(i)))
    around = np.asarray(weights.sum(axis=1)).ravel()
    contrast = (weights @ between) / np.maximum(around, 1)[:, None]

    wide = max(1, round(RIM * max(labels.shape)))
    rim = np.ones(labels.shape, bool)
    rim[wide:-wide, wide:-wide] = False
    rim = rim.ravel()
    rim_means = pixels.means[rim].mean(axis=0)
    rim_histograms = [np.bincount(bins[rim], minlength=count) / np.float32(rim.sum()) for bins, count in pixels.bins]
    backgroundness = _distances(means, rim_means, histograms, rim_histograms)
    shape = geometry(labels, areas)
    parts = [contrast, backgroundness, shape, around[:, None] / flat.size, np.maximum(variances, 0)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def geometry(labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """N x 9: centre, 10th and 90th percentile (y and x), perimeter, aspect ratio, area, as shares of the image's."""
    height, width = labels.shape
    spans = [_span(labels, areas, axis) for axis in (0, 1)]
    padded = np.pad(labels, 1, constant_values=-1)
    beside = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    at_border = np.logical_or.reduce([each != labels for each in beside])
    rim = np.bincount(labels[at_border], minlength=len(areas)) / (2 * (height + width))
    aspect = (spans[1][3] * width + 1) / (spans[0][3] * height + 1)
    places = [span[k] for k in range(3) for span in spans]
    return np.stack([*places, rim, aspect, areas / labels.size], axis=1)


def _span(labels, areas, axis):
    """Each region's mean, 10th and 90th percentile, and length along an axis, as shares of the image's side."""
    size = labels.shape[axis]
    place = np.arange(size)[:, None] if axis == 0 else np.arange(size)[None]
    counts = np.bincount((labels * size + place).ravel(), minlength=len(areas) * size).reshape(-1, size)
    until = counts.cumsum(axis=1) / areas[:, None]
    low, high = ((until >= share).argmax(axis=1) for share in (0.1, 0.9))
    first, last = (counts > 0).argmax(axis=1), size - 1 - (counts[:, ::-1] > 0).argmax(axis=1)
    mean = counts @ (np.arange(size) + 0.5) / areas
    return mean / size, low / size, high / size, (last - first) / size


def _distances(a, b, a_histograms, b_histograms):
    """K x 29: |a - b| of the means, then of each histogram sum 2 (p - q)^2 / (p + q); two empty bins count 0."""
    pairs = zip(a_histograms, b_histograms)
    chi_squared = [(2 * (p - q) ** 2 / np.maximum(p + q, 1e-12)).sum(axis=-1) for p, q in pairs]
    return np.concatenate([np.abs(a - b), np.stack(chi_squared, axis=-1)], axis=-1)
