"""Which code made something: the commit, and what was changed since."""

import hashlib
import os

from aepsl.base.files import read_bytes

UNKNOWN = "unknown"  # without git, as in an archive
REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..", "..")


def of_code(repository=REPOSITORY):
    """The commit that HEAD of a git repository is, and which of its files are not as committed; UNKNOWN without git."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # the image has no git program, and none is needed
    import git

    try:
        head = git.Repo(repository, odbt=git.GitDB).head.commit
        blobs = [each for each in head.tree.traverse() if each.type == "blob"]
        changed = [each.path for each in blobs if not is_as_committed(os.path.join(repository, each.path), each.binsha)]
    except Exception:  # there is no repository or no commit, or the library raises whatever damage leads to
        return UNKNOWN
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return head.hexsha + (f", changed: {', '.join(changed[:3])}{more}" if changed else "")


def is_as_committed(path, binsha):
    """Whether a file, or what a link says, is git's object of this SHA-1 (20 bytes)."""
    try:
        content = os.fsencode(os.readlink(path)) if os.path.islink(path) else read_bytes(path)
    except OSError:  # missing, or no file
        return False
    return hashlib.sha1(b"blob %d\0" % len(content) + content).digest() == binsha
