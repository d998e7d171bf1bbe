"""Reading and writing files: a file appears complete or not at all, also where the power goes."""

import contextlib
import csv
import ctypes
import errno
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import stat

from aepsl.base.errors import FullDisk, InputError, NoRight

FULL = (errno.ENOSPC, errno.EDQUOT)
LEFTOVER = re.compile(r"\.part\d+(\.\w+)?$")  # what written_whole was writing when its process was killed


@contextlib.contextmanager
def written_whole(path, flushed=True):
    """Give a name beside `path` to write to; it becomes `path` when the block ends without an error.

    flushed: then it is on the disk, and no loss of power makes it shorter. For thousands of small files that takes
    long: they are written without, and `flush_all` follows before anything says that they are there. Raises FullDisk.
    """
    folder = os.path.dirname(os.path.abspath(path))
    check_place(path)
    make_folder(folder)
    stem, extension = os.path.splitext(path)
    beside = f"{stem}.part{os.getpid()}{extension}"
    try:
        yield beside
        if flushed:
            flush(beside)
        os.replace(beside, path)
        if flushed:
            flush(folder)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(folder) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def make_folder(path):
    """Make the folder `path`, and those above it; OSError for what cannot be one."""
    pathlib.Path(path).mkdir(parents=True, exist_ok=True)  # os.makedirs recurses, for too long a name too deep


def check_place(path):
    """InputError unless a file can be written as `path`, replacing one that is there; OSError for what is no name."""
    place = pathlib.Path(path)
    is_file = os.path.basename(path) and (place.is_file() or not place.exists())
    above = next(filter(pathlib.Path.exists, place.absolute().parents))
    if not is_file or not above.is_dir():
        raise InputError(f"{path}: is no place for a file; name a file in a folder, not a folder, a pipe or a device")
    if not os.access(above, os.W_OK | os.X_OK):
        raise NoRight(f"{path}: cannot be written")


def flush(path):
    """Bring a file, or the names in a folder, from memory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of some network file systems, for folders
            raise
    finally:
        os.close(handle)


def flush_all(folder):
    """`flush` for everything on the file system of `folder`: for thousands of files far faster than one by one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            code = ctypes.get_errno()
            raise no_room(folder) if code in FULL else OSError(code, os.strerror(code), folder)
    finally:
        os.close(handle)


def no_room(folder, needed=None):
    """A FullDisk; needed: bytes that are about to be written, where that is known."""
    wanted = f"{needed / 1e6:.0f} MB are needed next and " if needed else ""
    free = shutil.disk_usage(folder).free / 1e6
    return FullDisk(f"{folder}: the disk is full: {wanted}{free:.0f} MB are free; make room")


def check_room(folder, needed):
    """FullDisk or InputError unless `needed` bytes can be written in `folder`: Caffe would abort, or write half."""
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if resource.RLIM_INFINITY != largest < needed:
        raise InputError(f"{folder}: {needed / 1e6:.1f} MB are needed next, and `ulimit -f` allows {largest / 1e6:.1f}")
    if shutil.disk_usage(folder).free < needed:
        raise no_room(folder, needed)


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
    make_folder(beside)
    try:
        yield beside
        flush_all(beside)
        os.rename(beside, path)  # an empty folder of that name gives way
        flush(os.path.dirname(path))
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def opened(path, mode="r", **options):
    """`open` for reading; OSError for a pipe or a device, which would never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is no file, but a folder, a pipe or a device", path)
    return open(path, mode, **options)


def read_bytes(path):
    """What the file holds; OSError as from `opened`."""
    with opened(path, "rb") as file:
        return file.read()


def read_text(path):
    """What the file holds; None if there is none."""
    return read_bytes(path).decode("utf-8", "surrogateescape") if os.path.exists(path) else None


def write_text(path, text):
    """Write a file whole: the inverse of read_text."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path, content, flushed=True):
    """Write a file whole; flushed: see written_whole."""
    with written_whole(path, flushed) as beside, open(beside, "wb") as file:
        file.write(content)


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1) + "\n")


@contextlib.contextmanager
def _of_a_stage(path, what):
    """A file that a stage has written, open; InputError where it is missing, or is not `what`."""
    try:
        with opened(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it first") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{path}: {what} ({error}); delete it and run its stage again") from None


def read_json(path):
    with _of_a_stage(path, "not JSON") as file:
        return json.load(file)


def read_table(path, columns):
    """{name: its numbers} of all columns of a CSV file, which has those of `columns`; InputError for any other."""
    with _of_a_stage(path, "is no table of numbers under names") as file:
        names, *rows = csv.reader(file)
        numbers = [[float(cell) for cell in row] for row in rows]
        if set(columns) - set(names) or len(names) < 2 or any(len(row) != len(names) for row in rows):
            raise ValueError("cells are missing")
        return {name: [row[k] for row in numbers] for k, name in enumerate(names)}


def digest(path, kind="sha256"):
    """A checksum of a file, in hexadecimal; kind: a name that hashlib knows."""
    checksum = hashlib.new(kind)
    with opened(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            checksum.update(block)
    return checksum.hexdigest()


sha256 = digest  # the usual kind
