"""Regions of an image at several levels, by Felzenszwalb and Huttenlocher's graph segmentation, as in DRFI."""

import cv2
import numpy as np

from aepsl.images.pictures import within

LONGEST_SIDE = 300  # larger images are reduced
SIGMA = 0.8  # of the smoothing before the segmentation
LEVELS = ((35, 50), (70, 70), (130, 100), (250, 150), (450, 250), (800, 400))  # k, the smallest region in pixels


def reduced(image: np.ndarray) -> np.ndarray:
    """`image` (H x W x 3 uint8), reduced so that no side is longer than LONGEST_SIDE."""
    return within(image, LONGEST_SIDE)


def levels(image: np.ndarray) -> list[np.ndarray]:
    """Labels 0 ... N - 1 of the regions of `image` (H x W x 3 uint8) at each level, the finest first: H x W int32."""
    return [
        cv2.ximgproc.segmentation.createGraphSegmentation(SIGMA, k, least).processImage(image) for k, least in LEVELS
    ]
