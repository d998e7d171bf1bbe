"""Reading and writing files: a file appears complete or not at all."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil

from aepsl.errors import InputError


@contextlib.contextmanager
def written_whole(path):
    """Give a name beside `path` to write to; it becomes `path` when the block ends without an error."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    stem, extension = os.path.splitext(path)
    beside = f"{stem}.part{os.getpid()}{extension}"
    try:
        yield beside
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.unlink(beside)


@contextlib.contextmanager
def folder_whole(path):
    """written_whole for a folder; one that is there already, and not empty, is refused.

    What an end without warning left beside is removed by the next start.
    """
    path = os.path.abspath(path)
    if os.path.isfile(path) or (os.path.isdir(path) and os.listdir(path)):
        raise InputError(f"{path}: is there already; remove it, or give another name")
    beside = path + ".part"
    shutil.rmtree(beside, ignore_errors=True)
    os.makedirs(beside)
    try:
        yield beside
        os.rename(beside, path)  # an empty folder of that name gives way
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def only_one(folder):
    """Keep other processes that ask the same out of `folder` for the block; InputError if one is in it."""
    handle = os.open(folder, os.O_RDONLY)
    os.set_inheritable(handle, True)  # what this process becomes, and what it starts, keep others out too
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(
            f"{folder}: another command is filling it; wait until it has ended, or end it (SECURITY.md)"
        ) from None
    except OSError:
        pass  # some network file systems lock no folders
    try:
        yield
    finally:
        os.close(handle)


def read_text(path):
    """What the file holds; None if there is none."""
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return file.read()


def write_text(path, text):
    with written_whole(path) as beside, open(beside, "w") as file:
        file.write(text)


def write_if_changed(path, text):
    """Write `text` unless the file holds it already; returns whether it did not."""
    if read_text(path) == text:
        return False
    write_text(path, text)
    return True


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it first") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); delete it and run its stage again") from None


def finished(folder, settings):
    """A test whether a per-image stage that was interrupted wrote a file already, with these very settings.

    settings: any JSON value on which the files of `folder` depend; it is kept in the folder, and a change of it makes
    every file in there old.
    """
    record = os.path.join(folder, "settings.json")
    write_if_changed(record, json.dumps(settings, indent=1, sort_keys=True) + "\n")
    since = os.stat(record).st_mtime_ns
    return lambda path: os.path.exists(path) and os.stat(path).st_mtime_ns >= since


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    return digest(path, "sha256")


def digest(path, kind):
    """A checksum of a file, in hexadecimal; kind: a name that hashlib knows."""
    checksum = hashlib.new(kind)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            checksum.update(block)
    return checksum.hexdigest()
