"""Which code made something: the commit, and what was changed since."""

import hashlib
import os

from aepsl.base.files import read_bytes

UNKNOWN = "unknown"  # without git, as in an archive
REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..", "..")


def of_code(repository: str = REPOSITORY) -> str:
    """The commit of a git repository's HEAD, and which of its files differ from it; UNKNOWN without git."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # the image has no git program, and none is needed
    import git

    try:
        head = git.Repo(repository, odbt=git.GitDB).head.commit
        blobs = [each for each in head.tree.traverse() if each.type == "blob"]
        changed = [each.path for each in blobs if not is_as_committed(os.path.join(repository, each.path), each.binsha)]
    except Exception:  # no repository, no commit, or a damaged one: the library raises errors of many kinds
        return UNKNOWN
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return head.hexsha + (f", changed: {', '.join(changed[:3])}{more}" if changed else "")


def is_as_committed(path: str, binsha: bytes) -> bool:
    """Whether git's object of a file, or of a link's target, has this SHA-1 (20 bytes)."""
    try:
        content = os.fsencode(os.readlink(path)) if os.path.islink(path) else read_bytes(path)
    except OSError:  # missing, or no file
        return False
    return hashlib.sha1(b"blob %d\0" % len(content) + content).digest() == binsha
