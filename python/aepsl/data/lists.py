"""Reads files that users write by hand: lists of ids, image labels, class names.

All are UTF-8, with or without a byte order mark, with any line ends. Empty lines, and spaces at a line's ends, do not
count.
"""

import collections
import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from aepsl.base.errors import InputError
from aepsl.base.files import fault_of, read_bytes

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png")
MOST_CLASSES = 254  # 0 is background, 255 is not counted
LONGEST_ID = 200  # bytes: files are first written as ID.partNUMBER.png, and a name has at most 255
PRESENT, ABSENT = ("1", "0"), "-1"  # VOC's Main lists: an object, a difficult one, no object

JOINERS = {0x200C: None, 0x200D: None}  # invisible, and part of words and emoji

_FOLDER = re.compile(r"^/?(JPEGImages|SegmentationClass\w*)/")


class List(NamedTuple):
    """ids: of the images; absent: how many further images the file names, each to say that a class is not in it."""

    ids: list
    absent: int


def read_list(path: str) -> List:
    """A List of a text file with one image a line.

    A line is ID or ID.jpg (.jpeg, .png), with JPEGImages/ before it or not. Several columns must name the same id, as
    in `/JPEGImages/ID.jpg /SegmentationClassAug/ID.png`. `ID 1`, `ID 0` and `ID -1` are the lines of VOC's Main lists,
    which say whether a class is in the image: images with -1 are left out, unless all have it. Raises InputError for
    any other file, for an id that occurs twice, and for one that could lead out of a folder.
    """
    flags: dict[str, Optional[str]] = {}
    for number, line in lines(path, "the ids of the images, one a line"):
        words = re.split("[ \t]+", line)
        flag = words.pop() if len(words) == 2 and words[1] in (*PRESENT, ABSENT) else None
        image_id, *others = map(plain_id, words)
        if fault := _fault(words[0], image_id, others):
            raise InputError(f"{path}: line {number} {fault}")
        if image_id in flags:
            raise InputError(f"{path}: names {image_id} twice; remove one of the two lines")
        flags[image_id] = flag
    ids = [image_id for image_id, flag in flags.items() if flag != ABSENT] or list(flags)  # -1 alone selects nothing
    return List(ids, len(flags) - len(ids))


def shard(ids: list[str], part: Optional[str]) -> list[str]:
    """Every n-th id from the k-th on; part: 'k/n', k from 1, or None for all ids."""
    if part is None:
        return ids
    k, n = map(int, part.split("/")) if re.fullmatch(r"\d+/\d+", part, re.ASCII) else (0, 0)
    if not 1 <= k <= n:
        raise InputError(f"--shard {part}: must be K/N with K from 1 to N, for example 1/4")
    return ids[k - 1 :: n]


def twice(names: Iterable[str]) -> Optional[str]:
    """The first of `names` that occurs more than once, or None."""
    return next((name for name, count in collections.Counter(names).items() if count > 1), None)


def shown(ids: Sequence[str]) -> str:
    """The first of some ids, for a message."""
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")


def read_labels(path: str, classes: Sequence[str]) -> dict[str, list[str]]:
    """{id: [names]} of a file with lines `ID NAME NAME ...`; several lines for one id are united.

    Between tabs or commas a name that is in `classes` may have several words; otherwise each word is a name.
    """
    rows: dict[str, list[str]] = {}
    for _, line in lines(path, "each image's labels: ID NAME NAME ..."):
        first, *fields = re.split("[\t,]", line)
        image_id, _, name = first.strip().partition(" ")
        names = rows.setdefault(plain_id(image_id), [])
        for words in map(str.split, (name, *fields)):
            field = " ".join(words)
            names += [field] if field in classes else words
    return rows


def read_classes(path: str) -> list[str]:
    """The class names of a file, one a line, of one or more words. Raises InputError for an invalid name."""
    rows = lines(path, "the class names, one a line")
    if len(rows) == 1 and " " in rows[0][1]:
        raise InputError(f"{path}: has all on one line; give one name a line")
    names = [re.sub(" +", " ", line) for _, line in rows]
    for (number, _), name in zip(rows, names):
        if name.strip("_").lower() == "background":
            fault = f"names {name!r}, which always has the value 0; remove the line: the first name has the value 1"
            raise InputError(f"{path}: line {number} {fault}")
        if "," in name or name.startswith("# ") or not name.translate(JOINERS).isprintable():
            fault = "a name has no commas, no tabs and no hidden signs, and is no comment"
            raise InputError(f"{path}: line {number} is {name!r}; {fault}")
    if (again := twice(names)) is not None:
        raise InputError(f"{path}: names {again!r} twice; remove one of the two lines")
    if len(names) > MOST_CLASSES:
        raise InputError(f"{path}: names {len(names)} classes; masks have room for {MOST_CLASSES}")
    return names


def plain_id(word: str) -> str:
    """The id that a word of a list names: without a leading JPEGImages/ or the like, and without its extension."""
    word = _FOLDER.sub("", word)
    stem, extension = os.path.splitext(word)
    return stem if extension.lower() in IMAGE_EXTENSIONS else word


def _fault(word, image_id, others):
    """Why a line names no image, or None: `word`, which gives the id, is no file's name, or `others` are other ids."""
    if image_id in ("", ".", "..") or "/" in image_id or "\\" in image_id:
        return f"names {word!r}; an id is the name of an image in JPEGImages, without folders"
    if not image_id.isprintable():
        return f"names {word!r}; an id has no control characters"
    if len(image_id.encode()) > LONGEST_ID:
        return f"names an id of {len(image_id.encode())} bytes; name the image anew, with {LONGEST_ID} at most"
    other = next((each for each in others if each != image_id), None)
    return other and f"names {image_id!r} and {other!r}; give one id a line, without spaces in it"


def lines(path: str, what: str) -> list[tuple[int, str]]:
    """[(number, line)] of the lines of a text file that are not empty; what: the file's content, for messages."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        fault = f"line {number} is not UTF-8, but UTF-16, Latin-1 or the like"
        raise InputError(f"{path}: {fault}; save it as UTF-8") from None
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read: {fault_of(path)}; it gives {what}") from None
    numbered = enumerate(re.split("\r\n|\r|\n", text), 1)
    rows = [(number, line) for number, row in numbered if (line := row.strip(" \t"))]
    if not rows:
        raise InputError(f"{path}: is empty; it gives {what}")
    return rows
