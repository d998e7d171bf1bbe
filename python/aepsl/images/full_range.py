"""Pictures of any depth and kind, with their full range."""

import re

import cv2
import numpy as np

from aepsl.base.errors import InputError
from aepsl.images import decoding


def pixels(path, bits):
    """A picture of any kind as H x W x 3 uint8, BGR, as stored, with its full range.

    bits: of a channel, by its header. 16 bits are divided by 257; floating point is taken as 0 ... 1, or as 0 ... 255
    where more than 1 occurs; CMYK and palettes become colours; transparency is dropped. Raises InputError for others.
    """
    with decoding.opened(path) as image:
        decoding.load(image, path)
        if image.format == "PPM":
            _refuse_other_whites(path)
        if bits == 16:
            return _eight_bits(path, cv2.imread(path, cv2.IMREAD_UNCHANGED))
        if image.mode == "F" or image.mode.startswith("I"):
            return _eight_bits(path, np.array(image))
        try:
            return np.array(image.convert("RGB"))[:, :, ::-1].copy()
        except ValueError:
            raise InputError(f"{path}: has colours of the kind {image.mode}; save it as RGB") from None


def _refuse_other_whites(path):
    """InputError for a file of PPM's family in which white is neither 255 nor 65535; Pillow would not look."""
    with open(path, "rb") as file:
        words = re.sub(rb"#[^\n]*", b"", file.read(1000)).split()[:4]
    if words[0] in (b"P5", b"P6") and words[-1] not in (b"255", b"65535"):
        raise InputError(f"{path}: white is neither 255 nor 65535 in it; save it as PNG")


def _eight_bits(path, array):
    """H x W [x 1, 2, 3 or 4] numbers as H x W x 3 uint8."""
    if array is None:
        raise decoding.unreadable(path)
    low, high = (float(array.min()), float(array.max())) if array.size else (0, 0)
    is_float = array.dtype.kind == "f"
    if not (low >= 0 and high <= (255 if is_float else 65535)):  # NaN too
        fault = f"has values from {low:g} to {high:g}, of which nothing says what is white"
        raise InputError(f"{path}: {fault}; save it with 8 or 16 bits, or as floating point from 0 to 1")
    if array.dtype != np.uint8:
        scale = (255 if high <= 1 else 1) if is_float else 1 / 257
        array = np.rint(array * scale).astype(np.uint8)
    if array.ndim == 2 or array.shape[2] < 3:
        array = np.repeat(array.reshape(*array.shape[:2], -1)[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])
