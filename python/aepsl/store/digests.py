"""The SHA-256 of input files: a file whose size, times and inode have not changed is not read again.

CACHE keeps them, like git's index, so that the digests of 10,582 images take a second. Only `remember` writes it.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from stat import S_ISREG
from typing import Any, Optional

from aepsl.base.files import read_text, sha256, write_text
from aepsl.base.parallel import in_threads

CACHE = os.path.join("runs", ".digests.json")
SETTLED = 2  # seconds: a file that changed less than this before it was read may change again without a new time

_known: dict[str, list[Any]] = {}  # absolute path: [size, modified, changed, inode, sha256]


def of(paths: Iterable[str]) -> list[Optional[str]]:
    """[SHA-256 of each file, None for a missing one]."""
    paths = [os.path.abspath(path) for path in paths]
    _recall()
    stats = [_stat(path) for path in paths]
    unread = {path: stat for path, stat in zip(paths, stats) if stat and _known.get(path, [])[:4] != stat}
    found = dict(zip(unread, in_threads(sha256, [(path,) for path in unread])))
    for path, value in found.items():
        _known.pop(path, None)
        if time.time() - max(unread[path][1:3]) / 1e9 > SETTLED:
            _known[path] = [*unread[path], value]
    return [found.get(path) or (_known[path][4] if stat else None) for path, stat in zip(paths, stats)]


def together(paths: Iterable[str], names: Sequence[str]) -> str:
    """One SHA-256 of many files under their names."""
    return of_value(list(zip(names, of(paths))))


def of_value(value: Any) -> str:
    """The SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def remember() -> None:
    """Write CACHE for the next command."""
    write_text(CACHE, json.dumps(_known))


def _recall() -> None:
    """Read CACHE, once. Entries that cannot be read are left out: their files are read again."""
    if _known:
        return
    with contextlib.suppress(OSError, ValueError, RecursionError):
        cache = json.loads(read_text(CACHE) or "{}")
        entries = cache.items() if isinstance(cache, dict) else ()
        _known.update((path, entry) for path, entry in entries if isinstance(entry, list) and len(entry) == 5)


def _stat(path: str) -> Optional[list[int]]:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    if not S_ISREG(stat.st_mode):  # a pipe would never end
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
