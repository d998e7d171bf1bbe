"""Reads and writes images, masks and their palette; what a net sees of an image."""

import os
import re
from typing import Optional

import cv2
import numpy as np
from PIL import Image

from aepsl.base.errors import InputError
from aepsl.base.files import read_bytes, write_bytes, written_whole
from aepsl.images import decoding


def read_image(path: str, header: Optional[decoding.Header] = None) -> np.ndarray:
    """The image as H x W x 3 uint8, BGR, turned as its EXIF orientation says, as viewers show it.

    header: decoding.header(path), if the caller has it. Images of any depth and kind are read with their full range.
    Dataset.image checks that a data set's masks fit the turned image. Raises InputError for any other file.
    """
    header = header or decoding.header(path)
    image = by_opencv(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if header.plain else None
    if image is None:
        image = _of_any_kind(path, header.bits)
    return decoding.turned(image, header.orientation)


def by_opencv(path: str, flags: int) -> Optional[np.ndarray]:
    """The picture as OpenCV decodes it, or None. cv2.imread would end the process at a name that is not UTF-8."""
    return cv2.imdecode(np.frombuffer(read_bytes(path), np.uint8), flags)


def _of_any_kind(path, bits):
    """A picture of any kind as H x W x 3 uint8, BGR, not turned, with its full range.

    bits: of a channel, by its header. 16 bits are divided by 257. Floating point has the range 0 ... 1, or 0 ... 255 if
    a value is above 1. CMYK and palettes become RGB; transparency is dropped. Raises InputError for any other kind.
    """
    with decoding.opened(path) as image:
        decoding.load(image, path)
        if image.format == "PPM":
            words = re.sub(rb"#[^\n]*", b"", read_bytes(path)[:1000]).split()[:4]
            if words[0] in (b"P5", b"P6") and words[-1] not in (b"255", b"65535"):  # Pillow ignores that value
                raise InputError(f"{path}: white is neither 255 nor 65535 in it; save it as PNG")
        if bits == 16:
            array = by_opencv(path, cv2.IMREAD_UNCHANGED)
            if array is None:
                raise decoding.unreadable(path)
            return _eight_bits(path, array)
        if image.mode == "F" or image.mode.startswith("I"):
            return _eight_bits(path, np.array(image))
        try:
            return np.array(image.convert("RGB"))[:, :, ::-1].copy()
        except ValueError:
            raise InputError(f"{path}: has colours of the kind {image.mode}; save it as RGB") from None


def _eight_bits(path, array):
    """H x W or H x W x 3 or 4 numbers, integers or floating point, as H x W x 3 uint8."""
    low, high = float(array.min()), float(array.max())
    is_float = array.dtype.kind == "f"
    if not (low >= 0 and high <= (255 if is_float else 65535)):  # NaN too
        fault = f"has values from {low:g} to {high:g}, and nothing says which one is white"
        raise InputError(f"{path}: {fault}; save it with 8 or 16 bits, or as floating point from 0 to 1")
    scale = (255 if high <= 1 else 1) if is_float else 1 / 257
    array = np.rint(array * scale).astype(np.uint8)
    return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR) if array.ndim == 2 else np.ascontiguousarray(array[:, :, :3])


def read_picture(path: str) -> np.ndarray:
    """read_image for a user's picture that was not checked before; InputError if it is missing or was cut short."""
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such picture; name one in this folder, or below the one that DATA= names")
    return read_image(path, decoding.check_whole(path))  # OpenCV would fill the missing rows


def read_indexed(path: str) -> np.ndarray:
    """An indexed or grey PNG as H x W uint8 or uint16: palette indices, or grey values as stored.

    Raises InputError for colours, and for a reordered palette, see `_refuse_reordered`.
    """
    with decoding.opened(path, ["PNG"]) as image:  # OpenCV would turn a palette PNG into colours
        refuse_colours(path, image)
        array = np.array(decoding.load(image, path))
        if image.mode == "P":
            _refuse_reordered(path, array, image.im.getpalette())
    if image.mode == "L" and (bits := decoding.header(path).bits) < 8:
        array //= 255 // (2**bits - 1)  # Pillow brightens grey of 2 and 4 bits
    return array.astype(np.uint8 if array.dtype.itemsize == 1 else np.uint16)


def _refuse_reordered(path, array, colours):
    """InputError if all indices in `array` have VOC's colours, but some have another index's: a reordered palette.

    array: H x W indices; colours: 768 bytes, RGB of each index. A palette of other colours is not checked.
    """
    places = {k: VOC_INDEX.get(colours[3 * k : 3 * k + 3]) for k in np.flatnonzero(np.bincount(array.ravel()))}
    if None not in places.values() and any(place and place != k for k, place in places.items()):
        fault = "has VOC's colours at other indices than VOC: some program has reordered its palette"
        raise InputError(f"{path}: {fault}; save it with VOC's palette as it is, or as grey")


def read_grey(path: str) -> np.ndarray:
    """An 8-bit grey PNG as H x W uint8; InputError for any other file: its values would not be shares of 255."""
    with decoding.opened(path, ["PNG"]) as image:
        if image.mode != "L" or decoding.header(path).bits != 8:
            raise InputError(f"{path}: is not an 8-bit grey PNG; `aepsl saliency --maps` converts other maps")
        return np.array(decoding.load(image, path))


def refuse_colours(path: str, image: Image.Image) -> None:
    """InputError for an open Pillow image in colours: it has no class indices."""
    if image.mode not in ("P", "L", "I", "I;16", "1"):
        raise InputError(f"{path}: has colours ({image.mode}), not class indices; save it as an indexed or grey PNG")


def write_grey(path: str, array: np.ndarray) -> None:
    """Write H x W values as a grey PNG, with 8 or 16 bits by their dtype; H x W x 3 uint8, BGR, as one in colours."""
    write_bytes(path, cv2.imencode(".png", array)[1], flushed=False)  # cv2.imwrite overlooks a full disk


write_colour = write_grey


def palette() -> np.ndarray:
    """VOC's colour map, 256 x 3 uint8 RGB: the bits of an index are distributed over the channels."""
    index = np.arange(256)[:, None, None] >> (3 * np.arange(8))[None, None, :]
    bits = (index >> np.arange(3)[None, :, None]) & 1
    return (bits << (7 - np.arange(8))).sum(-1).astype(np.uint8)


VOC_PALETTE = palette().tobytes()
VOC_INDEX = {palette()[k].tobytes(): k for k in (*range(21), 255)}  # {RGB: index} of background, classes, and 255


def write_mask(path: str, mask: np.ndarray) -> None:
    """Write H x W uint8 class values as a PNG with VOC's palette."""
    image = Image.fromarray(mask, "P")
    image.putpalette(VOC_PALETTE)
    with written_whole(path, flushed=False) as beside:
        image.save(beside)


def within(image: np.ndarray, longest: int) -> np.ndarray:
    """The image, H x W x 3 uint8, or the mask, H x W, reduced if its longer side has more than `longest` pixels."""
    return scaled(image, min(1, longest / max(image.shape[:2])))


def scaled(array: np.ndarray, scale: float) -> np.ndarray:
    """`array` resized by `scale`: an image, H x W x 3, by averages; indices, H x W, by the nearest pixel."""
    if scale == 1:
        return array
    height, width = (max(1, int(round(side * scale))) for side in array.shape[:2])
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(array, (width, height), interpolation=shrink if array.ndim == 3 else cv2.INTER_NEAREST)


def less_mean(pixels: np.ndarray, mean: np.ndarray, out: np.ndarray, erased: Optional[np.ndarray] = None) -> None:
    """Write `pixels`, H x W x 3 uint8, less `mean` into `out`, 3 x H x W float32; 0 where `erased`, H x W, is not 0.

    mean: three float32. A plane at a time: NumPy is several times as fast along rows as along three channels.
    """
    for channel, plane, value in zip(out, cv2.split(pixels), mean):
        np.subtract(plane, value, out=channel)
    if erased is not None:
        out[:, erased > 0] = 0
