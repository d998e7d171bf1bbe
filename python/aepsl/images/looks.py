"""What image files look like: a small picture, the brightest value, and the decoder's messages about damage."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from aepsl.images import decoding
from aepsl.images.pictures import by_opencv, read_image

SIDE = 16  # pixels of a small picture
REDUCED = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
ENOUGH = 8 * SIDE  # pixels: a JPEG whose shorter side has as many is decoded at an eighth of its size


class Look(NamedTuple):
    """small: SIDE x SIDE float32, grey in 0 ... 255; highest, lowest: the brightest and darkest grey; said: libjpeg's
    messages, or ''."""

    small: np.ndarray
    highest: int
    lowest: int
    said: str


def look(paths: Iterable[str]) -> list[Look]:
    """The Look of each image file; aepsl.images.decoding.check_whole must have decoded it before.

    libjpeg writes its messages to this process's stderr: no other thread may write there meanwhile.
    """
    looks = []
    with _listened() as said:
        for path in paths:
            header = decoding.header(path)
            image = by_opencv(path, REDUCED) if header.plain and min(header.size) >= ENOUGH else None
            if image is None:
                image = cv2.cvtColor(read_image(path, header), cv2.COLOR_BGR2GRAY)
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
            looks.append(Look(small, int(image.max()), int(image.min()), said()))
    return looks


@contextlib.contextmanager
def _listened() -> Iterator[Callable[[], str]]:
    """A function that returns what was written to this process's stderr since its last call."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        own = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            content = os.pread(2, 1 << 16, 0)
            os.lseek(2, 0, os.SEEK_SET)
            os.ftruncate(2, 0)
            return content.decode(errors="replace").strip()

        try:
            yield said
        finally:
            os.dup2(own, 2)
            os.close(own)
