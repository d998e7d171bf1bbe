"""What a stage makes, and how it continues an unfinished result.

A stage is given an opaque word, which identifies what its result is made of. It keeps the word beside the result: files
of the same word are kept, files of another word are deleted first. By hand, without a word, a stage begins anew.
"""

import contextlib
import glob
import json
import os
import sys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Optional

from aepsl.base.errors import InputError
from aepsl.base.files import make_folder, opened, read_text, write_json
from aepsl.base.locks import only_one

RECORD = "made_of.json"


class Made(NamedTuple):
    """The paths of the files that a stage has made.

    results: what later stages read, the same bytes in every run; beside: files with paths or times in them; value: what
    the stage's mark holds beside its time and memory, as JSON.
    """

    results: Sequence[str]
    beside: Sequence[str] = ()
    value: Any = None


def begin(
    folder: str,
    word: Optional[str],
    patterns: Sequence[str],
    share: Optional[Collection[str]] = None,
    is_locked: bool = False,
) -> None:
    """Make `folder` ready for files of these patterns that belong to `word`; delete such files of another word.

    word: None where a stage runs by hand. It then deletes the files of the images `share`, ids, or of all if that is
    None. is_locked: whether the caller has locked the folder. Raises InputError, by hand, for a folder that has such
    files and no record: they may be the user's.
    """
    if not (share is None or share or word):
        print(f"{folder}: nothing to make: there are fewer images than shares of them", file=sys.stderr, flush=True)
    make_folder(folder)
    record = os.path.join(folder, RECORD)
    # Shards of one stage begin at the same time.
    with contextlib.nullcontext() if is_locked else only_one(folder, wait=True):
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


def has(*paths: str) -> bool:
    """Whether all of these files exist and are whole; prints a line for each that is damaged."""
    faults = [path for path in paths if not is_whole(path)]
    for path in filter(os.path.exists, faults):
        print(f"{path}: is damaged; made again", file=sys.stderr, flush=True)
    return not faults


def is_whole(path: str) -> bool:
    """Whether a file exists and is not cut short. Only PNG and JSON show that; of other files, whether it is empty."""
    try:
        if path.endswith(".json"):
            return read(path) is not None
        with opened(path, "rb") as file:
            if path.endswith(".png"):
                file.seek(-8, os.SEEK_END)
                return bool(file.read(4) == b"IEND")
            return bool(file.read(1))
    except OSError:
        return False


def read(path: str) -> Any:
    """The JSON value of a file; None if it is missing or not JSON."""
    try:
        return json.loads(read_text(path) or "")
    except (OSError, ValueError, RecursionError):
        return None
