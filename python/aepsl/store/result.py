"""What a stage makes, and how it goes on with what an earlier start has left of it.

A stage is given an opaque word, which says what its result is made of. It keeps the word beside the result: what is
there of the same word stays, and what was made of another goes first. By hand, without a word, a stage begins anew.
"""

import contextlib
import fcntl
import glob
import json
import os
import sys
from typing import Any, NamedTuple

from aepsl.base.errors import InputError
from aepsl.base.files import make_folder, opened, read_text, write_json

RECORD = "made_of.json"


class Made(NamedTuple):
    """The files that a stage has made. What stands on the stage is made of `results`; in those `beside` paths and times
    may stand. value: JSON, what the stage's mark holds; without it, what the results hold."""

    results: list
    beside: list = ()
    value: Any = None


def begin(folder, word, patterns, share=None, is_locked=False):
    """Make `folder` ready for files of these patterns, made of `word`; those made of anything else go.

    word: None where a stage runs by hand; share: the ids of the images that it then makes, of which alone the files go;
    None for all; is_locked: whether the caller keeps others out of the folder. Raises InputError, by hand, for a folder
    with such files and without a record of them: they are not ours to remove.
    """
    if not (share is None or share or word):
        print(f"{folder}: nothing to make: there are fewer images than shares of them", file=sys.stderr, flush=True)
    make_folder(folder)
    record = os.path.join(folder, RECORD)
    with contextlib.nullcontext() if is_locked else _locked(folder):  # shards of one stage begin at the same time
        known = read(record)
        if word and known == dict(word=word):
            return
        old = [path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(folder), pattern))]
        old = [path for path in old if path != record]
        if old and known is None:
            if not word:
                raise InputError(
                    f"{old[0]}: nothing says what it was made of ({record} is missing); remove it, or name another "
                    "folder"
                )
            print(f"{folder}: nothing says what it was made of; made again", file=sys.stderr, flush=True)
        for path in old:
            if word or share is None or os.path.splitext(os.path.basename(path))[0] in share:
                os.unlink(path)
        write_json(record, dict(word=word))


def has(*paths):
    """Whether all of these files are there, whole; of one that is damaged a line says so."""
    faults = [path for path in paths if not is_whole(path)]
    for path in filter(os.path.exists, faults):
        print(f"{path}: is damaged; made again", file=sys.stderr, flush=True)
    return not faults


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


def read(path):
    """The JSON value of a file; None for one that is missing or holds none."""
    try:
        return json.loads(read_text(path) or "")
    except (OSError, ValueError, RecursionError):
        return None


@contextlib.contextmanager
def _locked(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
