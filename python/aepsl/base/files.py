"""Reading and writing files: a file appears complete or not at all, also after a power cut."""

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
from collections.abc import Iterator, Sequence
from typing import IO, Any, Optional

from aepsl.base.errors import FullDisk, InputError, NoRight

FULL = (errno.ENOSPC, errno.EDQUOT)
DEVICES = ("/dev", "/dev/fd", "/proc/self/fd")  # /dev/stdout is a link there, which a result would replace
LEFTOVER = re.compile(r"\.part\d+(\.\w+)?$")  # of a file that written_whole was writing when its process was killed


@contextlib.contextmanager
def written_whole(path: str, flushed: bool = True) -> Iterator[str]:
    """Yield a name beside `path` to write to; that file becomes `path` when the block ends without an error.

    flushed: bring it to the disk, where a power cut cannot shorten it. That is slow for thousands of small files: they
    are written without, and `flush_all` follows before a record names them. Raises FullDisk.
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


def make_folder(path: str) -> None:
    """Make the folder `path`, and those above it. InputError if a file is in the way, OSError for an invalid name."""
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)  # os.makedirs recurses too deep for a very long path
    except (FileExistsError, NotADirectoryError):
        what = "cannot be a folder: a file, a pipe or a link to nowhere has that name, or that of a folder above it"
        raise InputError(f"{path}: {what}; name another place") from None


def check_place(path: str) -> None:
    """InputError unless a file can be written, or replaced, at `path`; OSError for an invalid file name."""
    place = pathlib.Path(path)
    is_file = os.path.basename(path) and (place.is_file() or not place.exists())
    is_file = is_file and str(place.absolute().parent) not in DEVICES
    above = next(filter(pathlib.Path.exists, place.absolute().parents))
    if not is_file or not above.is_dir():
        raise InputError(f"{path}: cannot be a file; name a file in a folder, not a folder, a pipe or a device")
    if not os.access(above, os.W_OK | os.X_OK):
        raise NoRight(f"{path}: cannot be written")


def flush(path: str) -> None:
    """Bring a file, or the names in a folder, from memory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of some network file systems, for folders
            raise
    finally:
        os.close(handle)


def flush_all(folder: str) -> None:
    """`flush` for the whole file system of `folder`: for thousands of files far faster than one by one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            code = ctypes.get_errno()
            raise no_room(folder) if code in FULL else OSError(code, os.strerror(code), folder)
    finally:
        os.close(handle)


def no_room(folder: str, needed: Optional[int] = None) -> FullDisk:
    """A FullDisk; needed: bytes that are about to be written, where that is known."""
    wanted = f"{needed / 1e6:.0f} MB are needed next and " if needed else ""
    free = shutil.disk_usage(folder).free / 1e6
    return FullDisk(f"{folder}: the disk is full: {wanted}{free:.0f} MB are free; make room")


def check_room(folder: str, needed: int) -> None:
    """FullDisk or InputError unless `needed` bytes can be written in `folder`: Caffe would abort, or write half."""
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if resource.RLIM_INFINITY != largest < needed:
        raise InputError(f"{folder}: {needed / 1e6:.1f} MB are needed next, and `ulimit -f` allows {largest / 1e6:.1f}")
    if shutil.disk_usage(folder).free < needed:
        raise no_room(folder, needed)


@contextlib.contextmanager
def folder_whole(path: str) -> Iterator[str]:
    """written_whole for a folder. InputError if there is anything but an empty folder.

    A killed process leaves its unfinished folder behind; the next call removes that. Nobody else uses its name.
    """
    path = os.path.abspath(path)
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path) or os.listdir(path)):
        raise InputError(f"{path}: is there already; remove it, or give another name")
    beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    make_folder(beside)
    try:
        yield beside
        flush_all(beside)
        os.rename(beside, path)  # replaces an empty folder of that name
        flush(os.path.dirname(path))
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def fault_of(path: str) -> str:
    """Why a path cannot be read as a file."""
    if os.path.islink(path) and not os.path.exists(path):
        return f"is a link to {os.readlink(path)}, which is not there, or not below the folder that DATA= names"
    if not os.path.exists(path):
        return "no such file"
    if not os.path.isfile(path):
        return "is no file, but a folder, a pipe or a device"
    return "may not be read; chmod a+r gives the right"


def opened(path: str, mode: str = "r", **options: Any) -> IO[Any]:
    """`open` for reading. Raises OSError for a pipe or a device, which would never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, fault_of(path), path)
    return open(path, mode, **options)


def read_bytes(path: str) -> bytes:
    """The content of a file; OSError as from `opened`."""
    with opened(path, "rb") as file:
        return file.read()


def read_text(path: str) -> Optional[str]:
    """The content of a file; None if it is missing."""
    return read_bytes(path).decode("utf-8", "surrogateescape") if os.path.exists(path) else None


def write_text(path: str, text: str) -> None:
    """Write a file whole: the inverse of read_text."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: str, content: bytes, flushed: bool = True) -> None:
    """Write a file whole; flushed: see written_whole."""
    with written_whole(path, flushed) as beside, open(beside, "wb") as file:
        file.write(content)


def write_json(path: str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1) + "\n")


@contextlib.contextmanager
def _of_a_stage(path: str, what: str) -> Iterator[IO[str]]:
    """Open a file that a stage has written. InputError where it is missing, or invalid; what: the message then."""
    try:
        with opened(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it first") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{path}: {what} ({error}); delete it and run its stage again") from None


def read_json(path: str) -> Any:
    """The value of a JSON file that a stage has written. InputError where the file is missing or invalid."""
    with _of_a_stage(path, "not JSON") as file:
        return json.load(file)


def read_table(path: str, columns: Sequence[str]) -> dict[str, list[float]]:
    """{name: its numbers} of all columns of a CSV file. InputError for a file without one of `columns`."""
    with _of_a_stage(path, "is no table of numbers under names") as file:
        names, *rows = csv.reader(file)
        numbers = [[float(cell) for cell in row] for row in rows]
        if set(columns) - set(names) or len(names) < 2 or any(len(row) != len(names) for row in rows):
            raise ValueError("cells are missing")
        return {name: [row[k] for row in numbers] for k, name in enumerate(names)}


def digest(path: str, kind: str = "sha256") -> str:
    """A checksum of a file, in hexadecimal; kind: a name that hashlib knows."""
    checksum = hashlib.new(kind)
    with opened(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            checksum.update(block)
    return checksum.hexdigest()


sha256 = digest  # the usual kind
