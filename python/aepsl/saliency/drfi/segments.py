"""Regions of an image at several levels: Felzenszwalb and Huttenlocher's graph segmentation, as DRFI has it."""

import cv2

from aepsl.images.pictures import within

LONGEST_SIDE = 300  # larger images are reduced
SIGMA = 0.8  # of the smoothing before
LEVELS = ((35, 50), (70, 70), (130, 100), (250, 150), (450, 250), (800, 400))  # k, and a region's least pixels


def reduced(image):
    """`image` (H x W x 3 uint8), its longest side LONGEST_SIDE where it is longer."""
    return within(image, LONGEST_SIDE)


def levels(image):
    """Labels 0 ... N - 1 of the regions of `image` (H x W x 3 uint8) at each level, the finest first: H x W int32."""
    return [
        cv2.ximgproc.segmentation.createGraphSegmentation(SIGMA, k, least).processImage(image) for k, least in LEVELS
    ]
