"""What input files hold, as SHA-256: a file whose size, times and inode have not changed is not read again.

What was read stands in CACHE, as git's index does it, so that asking for the contents of 10,582 images takes a second.
Only `remember` writes it.
"""

import contextlib
import hashlib
import json
import os
import time
from stat import S_ISREG

from aepsl.base.files import read_text, sha256, write_text
from aepsl.base.parallel import in_threads

CACHE = os.path.join("runs", ".digests.json")
SETTLED = 2  # seconds: what changed later than this before it was read may change again under the same times

_known = {}  # absolute path: [size, modified, changed, inode, sha256]


def of(paths):
    """[SHA-256 of each file, None for one that is not there]."""
    paths = [os.path.abspath(path) for path in paths]
    _recall()
    stats = [_stat(path) for path in paths]
    unread = [k for k, (path, stat) in enumerate(zip(paths, stats)) if stat and _known.get(path, [])[:4] != stat]
    read = in_threads(sha256, [(paths[k],) for k in unread])
    found = dict(zip(unread, read))
    for k, value in found.items():
        _known.pop(paths[k], None)
        if time.time() - max(stats[k][1:3]) / 1e9 > SETTLED:
            _known[paths[k]] = [*stats[k], value]
    return [found.get(k) or (_known[path][4] if stat else None) for k, (path, stat) in enumerate(zip(paths, stats))]


def of_file(path):
    """The SHA-256 of one file; None if it is not there, or if `path` is None."""
    return of([path])[0] if path else None


def together(paths, names):
    """One SHA-256 of many files under their names."""
    return of_value(list(zip(names, of(paths))))


def of_value(value):
    """The SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def remember():
    """Keep what was read for the next command."""
    write_text(CACHE, json.dumps(_known))


def _recall():
    """Read CACHE, once; it is a cache: what cannot be read is read anew from the files themselves."""
    if _known:
        return
    with contextlib.suppress(OSError, ValueError, RecursionError):
        cache = json.loads(read_text(CACHE) or "{}")
        entries = cache.items() if isinstance(cache, dict) else ()
        _known.update((path, entry) for path, entry in entries if isinstance(entry, list) and len(entry) == 5)


def _stat(path):
    try:
        stat = os.stat(path)
    except OSError:
        return None
    if not S_ISREG(stat.st_mode):  # a pipe would never end
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
