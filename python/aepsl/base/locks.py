"""Locks of folders: one command at a time fills one."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from aepsl.base.errors import InputError


def hold(folder: str, wait: bool = False) -> int:
    """Lock `folder` until this process ends. wait: for another process that has locked it, in place of an InputError.

    The lock outlives os.exec: the new program holds it. Returns the handle that holds the lock.
    """
    handle = os.open(folder, os.O_RDONLY)
    os.set_inheritable(handle, True)  # the program after os.exec, and child processes, hold the lock too
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        why = "another command is filling it; wait until it has ended, or end it (SECURITY.md)"
        raise InputError(f"{folder}: {why}") from None
    except OSError:
        pass  # some network file systems lock no folders
    return handle


@contextlib.contextmanager
def only_one(folder: str, wait: bool = False) -> Iterator[None]:
    """`hold` for the block alone."""
    handle = hold(folder, wait)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # a worker that was started in the block has the handle too
        os.close(handle)
