"""Images, masks and their palette: reading and writing."""

import os
import re

import cv2
import numpy as np
from PIL import Image

from aepsl.base.errors import InputError
from aepsl.base.files import read_bytes, write_bytes, written_whole
from aepsl.images import decoding


def read_image(path, header=None):
    """The image as H x W x 3 uint8, BGR, upright: turned as its EXIF orientation says, as viewers show it.

    header: decoding.header(path), if the caller has it. What a data set's masks belong to, Dataset.image finds out.
    Pictures of any depth and kind, with their full range. Raises InputError for a file that is no image.
    """
    header = header or decoding.header(path)
    image = _by_opencv(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if header.plain else None
    if image is None:
        image = _of_any_kind(path, header.bits)
    return decoding.turned(image, header.orientation)


def _by_opencv(path, flags):
    """The picture as OpenCV decodes it, or None. cv2.imread would end the process at a name that is not UTF-8."""
    return cv2.imdecode(np.frombuffer(read_bytes(path), np.uint8), flags)


def _of_any_kind(path, bits):
    """A picture of any kind as H x W x 3 uint8, BGR, as stored, with its full range.

    bits: of a channel, by its header. 16 bits are divided by 257; floating point is taken as 0 ... 1, or as 0 ... 255
    where more than 1 occurs; CMYK and palettes become colours; transparency is dropped. Raises InputError for others.
    """
    with decoding.opened(path) as image:
        decoding.load(image, path)
        if image.format == "PPM":
            _refuse_other_whites(path)
        if bits == 16:
            array = _by_opencv(path, cv2.IMREAD_UNCHANGED)
            if array is None:
                raise decoding.unreadable(path)
            return _eight_bits(path, array)
        if image.mode == "F" or image.mode.startswith("I"):
            return _eight_bits(path, np.array(image))
        try:
            return np.array(image.convert("RGB"))[:, :, ::-1].copy()
        except ValueError:
            raise InputError(f"{path}: has colours of the kind {image.mode}; save it as RGB") from None


def _refuse_other_whites(path):
    """InputError for a file of PPM's family in which white is neither 255 nor 65535; Pillow would not look."""
    words = re.sub(rb"#[^\n]*", b"", read_bytes(path)[:1000]).split()[:4]
    if words[0] in (b"P5", b"P6") and words[-1] not in (b"255", b"65535"):
        raise InputError(f"{path}: white is neither 255 nor 65535 in it; save it as PNG")


def _eight_bits(path, array):
    """H x W or H x W x 3 or 4 numbers, integers or floating point, as H x W x 3 uint8."""
    low, high = float(array.min()), float(array.max())
    is_float = array.dtype.kind == "f"
    if not (low >= 0 and high <= (255 if is_float else 65535)):  # NaN too
        fault = f"has values from {low:g} to {high:g}, of which nothing says what is white"
        raise InputError(f"{path}: {fault}; save it with 8 or 16 bits, or as floating point from 0 to 1")
    scale = (255 if high <= 1 else 1) if is_float else 1 / 257
    array = np.rint(array * scale).astype(np.uint8)
    return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR) if array.ndim == 2 else np.ascontiguousarray(array[:, :, :3])


def read_picture(path):
    """read_image for a picture of the user's own, which nobody has checked; InputError if it was cut short."""
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such picture; name one in this folder, or below the one that DATA= names")
    return read_image(path, decoding.check_whole(path))  # OpenCV would fill in what a file cut short lacks


def read_indexed(path):
    """An indexed or grey PNG as H x W uint8 or uint16: palette indices, or grey values as stored; not colours.

    Raises InputError also for indices that are no class values, see `_refuse_reordered`.
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
    """InputError if what occurs has VOC's colours, but at other indices: a program has reordered the palette.

    array: H x W indices; colours: 768 bytes, RGB of each index. Other palettes say nothing of classes.
    """
    places = {k: VOC_INDEX.get(colours[3 * k : 3 * k + 3]) for k in np.flatnonzero(np.bincount(array.ravel()))}
    if None not in places.values() and any(place and place != k for k, place in places.items()):
        fault = "has VOC's colours at other indices than VOC: some program has reordered its palette"
        raise InputError(f"{path}: {fault}; save it with VOC's palette as it is, or as grey")


def read_grey(path):
    """An 8-bit grey PNG as H x W uint8; InputError for any other, whose values would not be shares of 255."""
    with decoding.opened(path, ["PNG"]) as image:
        if image.mode != "L" or decoding.header(path).bits != 8:
            raise InputError(f"{path}: is no PNG of 8 bits of grey; `aepsl saliency --maps` makes such maps of others")
        return np.array(decoding.load(image, path))


def refuse_colours(path, image):
    """InputError for an open Pillow image that does not hold class indices."""
    if image.mode not in ("P", "L", "I", "I;16", "1"):
        raise InputError(f"{path}: has colours ({image.mode}), no class indices; save it as an indexed or grey PNG")


def write_grey(path, array):
    """A grey PNG of H x W values, 8 or 16 bits by dtype; of H x W x 3 uint8, BGR, one in colours."""
    write_bytes(path, cv2.imencode(".png", array)[1], flushed=False)  # cv2.imwrite overlooks a full disk


write_colour = write_grey


def palette():
    """VOC's colour map, 256 x 3 uint8 RGB: the bits of the index spread over the channels."""
    index = np.arange(256)[:, None, None] >> (3 * np.arange(8))[None, None, :]
    bits = (index >> np.arange(3)[None, :, None]) & 1
    return (bits << (7 - np.arange(8))).sum(-1).astype(np.uint8)


VOC_PALETTE = palette().tobytes()
VOC_INDEX = {palette()[k].tobytes(): k for k in (*range(21), 255)}  # of the classes and what is not counted


def write_mask(path, mask):
    """Write H x W uint8 class values as a PNG with VOC's palette."""
    image = Image.fromarray(mask, "P")
    image.putpalette(VOC_PALETTE)
    with written_whole(path, flushed=False) as beside:
        image.save(beside)


def within(image, longest):
    """The image itself, or shrunk so that its longer side is `longest` pixels: H x W x 3 uint8."""
    return scaled(image, min(1, longest / max(image.shape[:2])))


def scaled(array, scale):
    """`array` (H x W or H x W x 3) at `scale`: averaged if an image, nearest pixel if indices."""
    if scale == 1:
        return array
    height, width = (max(1, int(round(side * scale))) for side in array.shape[:2])
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(array, (width, height), interpolation=shrink if array.ndim == 3 else cv2.INTER_NEAREST)
