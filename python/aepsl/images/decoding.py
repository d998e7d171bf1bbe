"""Opens image files of any kind: what the header says, and the pixels with their full range.

Whatever reads an image, mask or map goes through here: a file that is none, that no decoder knows, or that would fill
the memory ends in one line, before anything of it is decoded.
"""

import io
import os
import re
import stat
import warnings
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from aepsl.base.errors import InputError
from aepsl.graph import run_folder
from aepsl.images import jpeg

MOST_PIXELS = 2**27  # 134 million; the largest cameras of telephones have 108
LONGEST = 20000  # pixels of a side: growing a net's maps takes its square
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # no EPS: it is a program
ORIENTATION = 0x0112  # EXIF's tag

Image.MAX_IMAGE_PIXELS = None  # MOST_PIXELS is asked instead, which warns of nothing
warnings.filterwarnings("ignore", module="PIL")


class Header(NamedTuple):
    """What an image file says of itself."""

    width: int  # as stored
    height: int
    orientation: int  # EXIF's: 1 is upright, 2 ... 8 are mirrored and turned
    plain: bool  # 8 bits of grey, colours or palette in JPEG or PNG: OpenCV gives all of it
    bits: int  # of a channel, where the file is JPEG or PNG

    @property
    def size(self):
        """(width, height) when turned as `orientation` says."""
        return (self.height, self.width) if self.orientation > 4 else (self.width, self.height)


def header(path):
    """The Header of an image file; InputError for what is no image, or has more than MOST_PIXELS pixels."""
    refuse_unless_file(path)
    try:
        with open(path, "rb") as file:
            start = file.read(26)
            if start[:2] == b"\xff\xd8":
                found = _jpeg_header(file)
            elif start[:8] == b"\x89PNG\r\n\x1a\n" and len(start) == 26:
                found = _png_header(file, start)
            else:
                found = None
    except OSError:
        raise InputError(f"{path}: {why_unreadable(path)}") from None
    if found is None:
        with opened(path) as image:
            return Header(*image.size, _orientation(image), False, 8)
    width, height, bits, plain, has_exif = found
    _refuse_if_large(path, width, height)
    orientation = 1
    if has_exif:
        with opened(path) as image:
            orientation = _orientation(image)
    return Header(width, height, orientation, plain, bits)


def _jpeg_header(file):
    """(width, height, bits, plain, has_exif) of an open JPEG file; None for one that is not as usual."""
    file.seek(2)
    found, has_exif = None, False
    while True:
        start, marker = file.read(1), file.read(1)
        while marker == b"\xff":  # filling
            marker = file.read(1)
        length = int.from_bytes(file.read(2), "big") - 2
        if start != b"\xff" or not marker or length < 0:
            return None
        body = file.tell()
        if marker == b"\xda":  # here the pixels begin
            return found and (*found, has_exif)
        if b"\xc0" <= marker <= b"\xcf" and marker not in b"\xc4\xc8\xcc":
            frame = file.read(6)
            height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            if len(frame) < 6 or not (width and height):
                return None
            found = width, height, frame[0], frame[0] == 8 and frame[5] in (1, 3)
        elif marker == b"\xe1":
            has_exif |= file.read(4) in (b"Exif", b"http")  # XMP has an orientation too
        file.seek(body + length)


def _png_header(file, start):
    """(width, height, bits, plain, has_exif) of an open PNG file whose first 26 bytes are `start`."""
    width, height = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
    bits, has_exif = start[24], False
    file.seek(8)
    while True:
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        body = file.tell()
        if kind == b"eXIf" or (kind in (b"tEXt", b"zTXt", b"iTXt") and _names_exif(file.read(40))):
            has_exif = True
        if len(kind) < 4 or kind == b"IEND":
            return width, height, bits, bits <= 8, has_exif
        file.seek(body + length + 4)


def _names_exif(text):
    return b"exif" in text or b"adobe.xmp" in text or b"APP1" in text


def _orientation(image):
    """EXIF's orientation of an open Pillow image, 1 ... 8; 1 where there is none or what stands there is none."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF turns nothing
        return 1
    return value if value in range(2, 9) else 1


def turned(image, orientation):
    """An H x W ... array turned as EXIF's orientation says."""
    if orientation == 1:
        return image
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def opened(path, formats=FORMATS):
    """The file as a Pillow image of which only the header is read, for `with`.

    Raises InputError for what cannot be opened as one of `formats`, or has more than MOST_PIXELS pixels.
    """
    refuse_unless_file(path)
    try:
        image = Image.open(path, formats=formats)
    except Exception:  # the decoders raise whatever broken bytes lead them to
        raise InputError(f"{path}: {why_unreadable(path)}") from None
    _refuse_if_large(path, *image.size)
    return image


def load(image, path):
    """Decode an image that is `opened`; unlike OpenCV, Pillow refuses a file that was cut short. Returns it."""
    try:
        image.load()
    except Exception:
        raise InputError(f"{path}: {why_unreadable(path)}") from None
    return image


def load_whole(path):
    """Decode a file; unlike `load`, refuse also a JPEG that ends, with its mark of an end, before its last row or scan.

    Not seen is a file of several scans whose last one ends early.
    """
    with opened(path) as image:
        if image.format not in ("JPEG", "MPO"):  # MPO: a JPEG with others behind it, for example in stereo
            load(image, path)
            return
    with open(path, "rb") as file:
        data = file.read()
    if jpeg.lacks_scans(data):
        raise InputError(f"{path}: {why_unreadable(path)}")
    with Image.open(io.BytesIO(jpeg.without_end(data) or data), formats=["JPEG"]) as image:
        load(image, path)


def pixels(path, bits):
    """A picture of any kind as H x W x 3 uint8, BGR, as stored, with its full range.

    bits: of a channel, by its header. 16 bits are divided by 257; floating point is taken as 0 ... 1, or as 0 ... 255
    where more than 1 occurs; CMYK and palettes become colours; transparency is dropped. Raises InputError for others.
    """
    with opened(path) as image:
        load(image, path)
        _refuse_other_whites(path, image.format)
        if bits == 16:
            return _eight_bits(path, cv2.imread(path, cv2.IMREAD_UNCHANGED))
        if image.mode == "F" or image.mode.startswith("I"):
            return _eight_bits(path, np.array(image))
        try:
            return np.array(image.convert("RGB"))[:, :, ::-1].copy()
        except ValueError:
            raise InputError(f"{path}: has colours of the kind {image.mode}; save it as RGB") from None


def _refuse_other_whites(path, kind):
    """InputError for a file of PPM's family in which white is neither 255 nor 65535; Pillow would not look."""
    with open(path, "rb") as file:
        words = re.sub(rb"#[^\n]*", b"", file.read(1000)).split()[:4]
    if kind == "PPM" and words[0] in (b"P5", b"P6") and words[-1] not in (b"255", b"65535"):
        raise InputError(f"{path}: white is neither 255 nor 65535 in it; save it as PNG")


def _eight_bits(path, array):
    """H x W [x 1, 2, 3 or 4] numbers as H x W x 3 uint8."""
    if array is None:
        raise InputError(f"{path}: {why_unreadable(path)}")
    low, high = (float(array.min()), float(array.max())) if array.size else (0, 0)
    is_float = array.dtype.kind == "f"
    most = 255 if is_float else 65535
    if not (low >= 0 and high <= most):  # NaN too
        raise InputError(
            f"{path}: has values from {low:g} to {high:g}, of which nothing says what is white; "
            "save it with 8 or 16 bits, or as floating point from 0 to 1"
        )
    if array.dtype != np.uint8:
        scale = (255 if high <= 1 else 1) if is_float else 1 / 257
        array = np.rint(array * scale).astype(np.uint8)
    if array.ndim == 2 or array.shape[2] < 3:
        array = np.repeat(array.reshape(*array.shape[:2], -1)[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def refuse_unless_file(path):
    """InputError for what is no file with something in it: opening a pipe would wait for ever."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode) or not status.st_size:
        raise InputError(f"{path}: {why_unreadable(path)}")


def why_unreadable(path):
    """What is wrong with an image file that did not open, and the remedy."""
    if os.path.islink(path) and not os.path.exists(path):
        return (
            f"is a link to {os.readlink(path)}, which is not there, or not below the folder that DATA= names; "
            "copy the file itself"
        )
    is_ours = run_folder.is_in_a_run(path)
    again = "type the same command again, which makes it anew"
    if not os.path.exists(path):
        return f"no such file; {again if is_ours else 'check the list of ids and the data folder'}"
    if not os.path.isfile(path):
        return "is no file, but a folder, a pipe or a device; put an image there"
    if not os.access(path, os.R_OK):
        return "may not be read; chmod a+r gives the right"
    if os.path.getsize(path) == 0:
        return f"is empty; {again if is_ours else 'copy it again from the archive'}"
    remedy = again if is_ours else "copy it again from where it came, or save it anew as JPEG or PNG"
    return f"cannot be decoded; {remedy}"


def _refuse_if_large(path, width, height):
    if width * height > MOST_PIXELS:
        raise InputError(f"{path}: has {width} x {height} pixels, more than {MOST_PIXELS:,}; scale it down")
    if max(width, height) > LONGEST:
        raise InputError(f"{path}: has {width} x {height} pixels, and a side of more than {LONGEST:,}; scale it down")
