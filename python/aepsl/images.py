"""Images, masks and their palette: reading and writing."""

import os

import cv2
import numpy as np
from PIL import Image, ImageOps

from aepsl.errors import InputError
from aepsl.files import written_whole


def read_image(path):
    """The image as H x W x 3 uint8, BGR, as stored.

    EXIF orientation is ignored: VOC's masks belong to the pixels as they are stored.
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise InputError(f"{path}: {why_unreadable(path)}")
    return image


def read_picture(path):
    """A picture of the user's own as H x W x 3 uint8, BGR, turned as its EXIF orientation says.

    Raises InputError for a file that is no picture, or was cut short.
    """
    try:
        with Image.open(path) as image:  # OpenCV would fill in what a file cut short lacks
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))[:, :, ::-1].copy()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{path}: cannot be decoded; give a picture, whole, in JPEG, PNG or the like") from None


def read_indexed(path):
    """An indexed or grey PNG as H x W uint8 or uint16: palette indices, not colours."""
    try:
        with Image.open(path) as image:  # OpenCV would turn a palette PNG into colours
            if image.mode not in ("P", "L", "I", "I;16", "1"):
                raise InputError(
                    f"{path}: has colours ({image.mode}) where class indices are needed; "
                    "save it as an indexed or grey PNG"
                )
            array = np.array(image)
    except (OSError, SyntaxError):
        raise InputError(f"{path}: {why_unreadable(path)}") from None
    return array.astype(np.uint16 if array.dtype.itemsize > 1 else np.uint8)


def write_grey(path, array):
    """A grey PNG, 8 or 16 bits by dtype."""
    _write_image(path, array)


def write_colour(path, image):
    """A PNG of an H x W x 3 uint8 BGR image."""
    _write_image(path, image)


def _write_image(path, array):
    with written_whole(path) as beside:
        if not cv2.imwrite(beside, array):
            raise InputError(f"{path}: could not be written; is the disk full?")


def why_unreadable(path):
    """What is wrong with an image file that did not open, and the remedy."""
    if not os.path.exists(path):
        return "no such file; check the list of ids and the data folder"
    if os.path.getsize(path) == 0:
        return "is empty; copy it again from the archive"
    return "cannot be decoded; copy it again from the archive"


def palette(count=256):
    """VOC's colour map, `count` x 3 uint8 RGB: the bits of the index spread over the channels."""
    index = np.arange(count)[:, None, None] >> (3 * np.arange(8))[None, None, :]
    bits = (index >> np.arange(3)[None, :, None]) & 1
    return (bits << (7 - np.arange(8))).sum(-1).astype(np.uint8)


def write_mask(path, mask):
    """Write H x W uint8 class values as a PNG with VOC's palette."""
    image = Image.fromarray(mask, "P")
    image.putpalette(palette().tobytes())
    with written_whole(path) as beside:
        image.save(beside)


def scaled(array, scale):
    """`array` (H x W or H x W x 3) at `scale`: averaged if an image, nearest pixel if indices."""
    if scale == 1:
        return array
    height, width = (max(1, int(round(side * scale))) for side in array.shape[:2])
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(array, (width, height), interpolation=shrink if array.ndim == 3 else cv2.INTER_NEAREST)
