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
    """Whether a file is there to its end, if PNG or JSON; of others, which are written whole, whether it holds data."""
    try:
        if path.endswith(".json"):
            return read(path) is not None
        with opened(path, "rb") as file:
            if path.endswith(".png"):
                file.seek(-8, os.SEEK_END)
                return file.read(4) == b"IEND"
            return bool(file.read(1))
    except OSError:
        return False
