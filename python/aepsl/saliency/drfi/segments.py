"""Regions of an image at several levels: Felzenszwalb and Huttenlocher's graph segmentation, as DRFI has it."""

import cv2
import numpy as np

LONGEST_SIDE = 300  # larger images are reduced
SIGMA = 0.8  # of the smoothing before
LEVELS = ((35, 50), (70, 70), (130, 100), (250, 150), (450, 250), (800, 400))  # k, and a region's least pixels


def reduced(image):
    """`image` (H x W x 3 uint8), its longest side LONGEST_SIDE where it is longer."""
    height, width = image.shape[:2]
    shrink = min(1, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def levels(image):
    """Labels 0 ... N - 1 of the regions of `image` (H x W x 3 uint8) at each level, the finest first: H x W int32."""
    return [
        cv2.ximgproc.segmentation.createGraphSegmentation(SIGMA, k, least).processImage(image) for k, least in LEVELS
    ]


def neighbours(labels):
    """E x 2, i < j: the pairs of regions that share a border."""
    pairs = [(labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])]
    first, second = (np.concatenate([pair[k].ravel() for pair in pairs]).astype(np.int64) for k in (0, 1))
    differ = first != second
    first, second = first[differ], second[differ]
    count = labels.max() + 1
    codes = np.unique(np.minimum(first, second) * count + np.maximum(first, second))
    return np.stack(np.divmod(codes, count), axis=1)
