"""Opens image files of any kind: the header, and the decoded picture, whole or not at all.

All images, masks and maps are read through this module. A file that is not an image, that no decoder knows, or that
would fill the memory is refused in one line, before anything of it is decoded.
"""

import contextlib
import io
import os
import unicodedata
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from aepsl.base.errors import BrokenFile, InputError
from aepsl.base.files import fault_of, read_bytes
from aepsl.images import jpeg

MOST_PIXELS = 2**27  # 134 million; the largest cameras of telephones have 108
LARGEST_SIDE = 20000  # pixels: resizing a net's maps takes memory by the square of it
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # no EPS: it is a program
JPEGS = ("JPEG", "MPO")  # MPO: a JPEG followed by others, for example in stereo
ORIENTATION = 0x0112  # EXIF's tag
NAMES_OF_EXIF = (b"eXIf", b"exif", b"adobe.xmp", b"APP1")  # in PNGs: of chunks and texts

Image.MAX_IMAGE_PIXELS = None  # MOST_PIXELS is used instead, without Pillow's warnings
warnings.filterwarnings("ignore", module="PIL")


class Header(NamedTuple):
    """The facts in an image file's header."""

    width: int  # as stored
    height: int
    orientation: int  # EXIF's: 1 is upright, 2 ... 8 are mirrored and turned
    plain: bool  # 8 bits of grey, colours or palette in JPEG or PNG: OpenCV reads it without loss
    bits: int  # of a channel, if the file is JPEG or PNG

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) when turned as `orientation` says."""
        return (self.height, self.width) if self.orientation > 4 else (self.width, self.height)


def header(path: str) -> Header:
    """The Header of an image file; InputError for a file that is not an image, or is too large, see `opened`."""
    with opened(path) as image:
        width, height = image.size
        if image.format != "PNG":
            plain = image.format in JPEGS and image.mode in ("L", "RGB")
            return Header(width, height, _orientation(image), plain, 8)
        # Some programs write EXIF after the pixels. Pillow would decode these to find it, too slow for every mask.
        data = read_bytes(path)
        orientation = _orientation(image) if any(name in data for name in NAMES_OF_EXIF) else 1
        return Header(width, height, orientation, data[24] <= 8, data[24])


def _orientation(image):
    """EXIF's orientation of an open Pillow image, 1 ... 8; 1 if it is missing or invalid."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF
        return 1
    return value if value in range(2, 9) else 1


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """An H x W ... array turned as EXIF's orientation says."""
    if orientation > 4:
        image = image.swapaxes(0, 1)
    down, right = -1 if orientation in (3, 4, 7, 8) else 1, -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(image[::down, ::right])


def opened(path: str, formats: Sequence[str] = FORMATS) -> Image.Image:
    """The file as a Pillow image, for `with`; only its header is read.

    Raises InputError for a file that is not in one of `formats`, or is larger than MOST_PIXELS or LARGEST_SIDE.
    """
    try:
        if not os.path.isfile(path):  # opening a pipe would wait for ever
            raise ValueError
        image = Image.open(path, formats=formats)
    except Exception:  # decoders raise errors of any kind for damaged bytes
        raise unreadable(path, formats) from None
    if image.width * image.height > MOST_PIXELS or max(image.size) > LARGEST_SIDE:
        most = f"more than {MOST_PIXELS:,}, or a side of more than {LARGEST_SIDE:,}"
        raise InputError(f"{path}: has {image.width} x {image.height} pixels: {most}; scale it down")
    return image


def load(image: Image.Image, path: str) -> Image.Image:
    """Decode an `opened` image, and return it. Unlike OpenCV, Pillow refuses a file that was cut short."""
    try:
        image.load()
    except Exception:
        raise unreadable(path) from None
    return image


def check_whole(path: str) -> Header:
    """Decode an image and return its Header; InputError for one that was cut short.

    Unlike `load`, also refuse a JPEG whose end marker comes before its last row or scan. A file of several scans whose
    last scan ends early is not recognized.
    """
    with opened(path) as image:
        if image.format in JPEGS:
            data = read_bytes(path)
            if jpeg.lacks_scans(data):
                raise unreadable(path)
            image = Image.open(io.BytesIO(jpeg.without_end(data) or data), formats=["JPEG"])
        load(image, path)
    return header(path)


def unreadable(path: str, formats: Sequence[str] = FORMATS) -> InputError:
    """The InputError for an image file that did not open as one of `formats`: the fault, and the remedy."""
    if not os.path.lexists(path):
        return BrokenFile(path, fault_of(path), _remedy_of_missing(path))
    if not os.path.isfile(path):
        remedy = "put an image there" if os.path.exists(path) else "copy the file itself"
        return InputError(f"{path}: {fault_of(path)}; {remedy}")
    if not os.access(path, os.R_OK):
        return InputError(f"{path}: {fault_of(path)}")
    if os.path.getsize(path) == 0:
        return BrokenFile(path, "is empty", "copy it again from the archive")
    if formats != FORMATS:
        with contextlib.suppress(Exception), Image.open(path, formats=FORMATS) as image:
            return BrokenFile(path, f"is {image.format}, no PNG", "make it anew as PNG: renamed it stays what it is")
    return BrokenFile(path, "cannot be decoded", "copy it again from where it came, or save it anew as JPEG or PNG")


def _remedy_of_missing(path: str) -> str:
    """What to do about a file that does not exist: its name may be written otherwise, or have another ending."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return f"there is no folder {folder} either; name another"
    plain = lambda each: unicodedata.normalize("NFC", os.path.splitext(each)[0]).casefold()  # noqa: E731
    if near := next((each for each in sorted(os.listdir(folder or ".")) if plain(each) == plain(name)), None):
        near = near if near.isascii() else ascii(near)  # an accent can be a character of its own
        return f"{near} is there; rename it, or save it anew under this name"
    return "check the list of ids and the data folder"
