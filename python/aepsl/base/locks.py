"""Locks of folders: one command at a time fills one."""

import contextlib
import fcntl
import os

from aepsl.base.errors import InputError


def hold(folder):
    """Keep other processes that ask the same out of `folder` until this one ends; InputError if one is in it.

    Whatever program this process becomes goes on keeping them out. Returns the handle that holds the lock.
    """
    handle = os.open(folder, os.O_RDONLY)
    os.set_inheritable(handle, True)  # what this process becomes, and what it starts, keep others out too
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        why = "another command is filling it; wait until it has ended, or end it (SECURITY.md)"
        raise InputError(f"{folder}: {why}") from None
    except OSError:
        pass  # some network file systems lock no folders
    return handle


@contextlib.contextmanager
def only_one(folder):
    """`hold` for the block alone."""
    handle = hold(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # a worker that was started meanwhile has the handle too
        os.close(handle)
