"""The input of a net: an image's pixels less the mean, channel by channel."""

from typing import Optional

import cv2
import numpy as np


def less_mean(pixels: np.ndarray, mean: np.ndarray, out: np.ndarray, erased: Optional[np.ndarray] = None) -> None:
    """Write `pixels`, H x W x 3 uint8, less `mean` into `out`, 3 x H x W float32; 0 where `erased`, H x W, is not 0.

    mean: three float32. A plane at a time: NumPy is several times as fast along rows as along three channels.
    """
    for channel, plane, value in zip(out, cv2.split(pixels), mean):
        np.subtract(plane, value, out=channel)
    if erased is not None:
        out[:, erased > 0] = 0
