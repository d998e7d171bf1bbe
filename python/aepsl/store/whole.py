"""Is a file there to its end, as far as its kind tells?"""

import json
import os

from aepsl.base.files import opened, read_text


def read(path):
    """The JSON value of a file; None for one that is missing or holds none."""
    try:
        return json.loads(read_text(path) or "")
    except (OSError, ValueError, RecursionError):
        return None


def is_whole(path):
    """Whether a file is there to its end, if PNG, JSON, caffemodel or solverstate; of others, whether it holds data."""
    try:
        if path.endswith(".json"):
            return read(path) is not None
        with opened(path, "rb") as file:
            if path.endswith(".png"):
                file.seek(-8, os.SEEK_END)
                return file.read(4) == b"IEND"
            if path.endswith((".caffemodel", ".solverstate")):
                return is_message(file)
            return bool(file.read(1))
    except OSError:
        return False


def is_message(file):
    """Whether the file holds a message of protobuf, to its last field, and not nothing."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < size:
        kind = _varint(file) & 7
        if kind == 0:
            _varint(file)
        elif kind == 2:
            file.seek(_varint(file), os.SEEK_CUR)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, os.SEEK_CUR)
        else:
            return False
    return 0 < size == file.tell()


def _varint(file):
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise OSError("cut short")
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
