"""A data set in VOC layout: lists of ids, image labels, images, masks, the palette.

ROOT/JPEGImages/ID.jpg                or .jpeg, .png
ROOT/SegmentationClassAug/ID.png      or SegmentationClass/; needed only to evaluate
ROOT/ImageSets/Segmentation/LIST.txt  one id a line
ROOT/image_labels.txt                 ID NAME NAME ..
ROOT/classes.txt                      optional: one name a line, mask values 1, 2, ...; VOC's 20 without it

aepsl.data.lists explains the three text files.
"""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Optional

import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.files import fault_of
from aepsl.base.parallel import in_threads
from aepsl.data import lists
from aepsl.data.mask_files import Shape, check_shape, check_upright, check_values
from aepsl.images import decoding
from aepsl.images.pictures import read_image, read_indexed
from aepsl.paper.published import VOC_CLASSES
from aepsl.store import digests

IGNORE = 255
ALL_IGNORED = f"these masks are {IGNORE} throughout, which is not counted; take masks that have classes"
WITHOUT_OBJECTS = "add a line 'ID NAME ...', or 'ID' alone for an image without an object"
WITHOUT_LABELS = "add a line 'ID NAME ...', or take an image without an object out of the list: it trains nothing"
LISTS = os.path.join("ImageSets", "Segmentation")
OWN_EXPERIMENT = "take a new EXPERIMENT=NAME, which is made with the classes of the data set"
MASK_FOLDERS = ("SegmentationClassAug", "SegmentationClass")


class Dataset:
    """A folder in VOC layout, with those of its classes that a net knows.

    classes: C names, None for all; channel 0 of a segmentation is background, channel k is `classes[k - 1]`.
    values: the C + 1 mask values of these channels, 0 first: positions in classes.txt, or VOC's, also of a subset.
    """

    def __init__(self, root: str, classes: Optional[Sequence[str]] = None) -> None:
        self.root = root
        if not os.path.isdir(root):
            raise InputError(f"{root}: no such folder; DATA= must name a data set in VOC layout")
        path = self._path("classes.txt")
        has_names = os.path.lexists(path)
        names = lists.read_classes(path) if has_names else VOC_CLASSES
        self.classes = list(classes) if classes else names
        if unknown := [name for name in self.classes if name not in names]:
            fault = "does not name" if has_names else "is missing, so the classes are VOC's, without"
            remedy = f"add it, {'' if has_names else 'name another DATA=, '}or {OWN_EXPERIMENT}"
            raise InputError(f"{path}: {fault} {lists.shown(unknown)}, which the experiment uses; {remedy}")
        self._rows: dict[str, list[str]] = {}  # {id: labels}, read at first use
        self.values = [0] + [names.index(name) + 1 for name in self.classes]

    def ids(self, name: str) -> list[str]:
        """The ids of the list `name` ('train_aug'), or of a text file if `name` is a path to one."""
        path = self.list_path(name)
        if os.sep not in name and not self.has_list(name) and (name.endswith(".txt") or os.path.exists(name)):
            fault = "is no list of the data set, whose lists are named without .txt"
            raise InputError(f"{name}: {fault}; a file of your own is named with its folder: ./{name}")
        if not os.path.lexists(path) and os.path.isdir(os.path.dirname(path)):
            others = sorted(each for each in os.listdir(os.path.dirname(path)) if each.endswith(".txt"))
            has = f"has {lists.shown(others)}" if others else "has no list"
            raise InputError(f"{path}: no such list, and its folder {has}; write the ids to it, or name another")
        return lists.read_list(path).ids

    def list_path(self, name: str) -> str:
        """The file of the list `name`, see `ids`."""
        return name if os.sep in name else self._path(LISTS, name + ".txt")

    def has_list(self, name: str) -> bool:
        """Whether the data set has the list `name`."""
        return os.path.exists(self._path(LISTS, name + ".txt"))

    def labels(self, ids: Sequence[str], may_lack: bool = False) -> np.ndarray:
        """Image labels O of `ids` as N x C float32, 0 or 1; may_lack: whether an image may have no label."""
        path = self._path("image_labels.txt")
        rows = self._rows = self._rows or lists.read_labels(path, self.classes)
        if lacking := [each for each in ids if each not in rows or not (rows[each] or may_lack)]:
            line = f"no label for {lists.shown(lacking)}, {len(lacking)} of {len(ids)} images"
            raise InputError(f"{path}: {line}; {WITHOUT_OBJECTS if may_lack else WITHOUT_LABELS}")
        others = ((image_id, name) for image_id in ids for name in rows[image_id] if name not in self.classes)
        for image_id, name in others:
            what = f"{image_id} has the label '{name}', which is no class of {lists.shown(self.classes)}"
            has_names = os.path.lexists(self._path("classes.txt"))
            remedy = OWN_EXPERIMENT if has_names else "write the names of your classes to classes.txt beside it"
            remedy = f"correct it, or {remedy}; names with spaces need tabs or commas between them"
            raise InputError(f"{path}: {what}; {remedy}")
        labels = [[name in rows[image_id] for name in self.classes] for image_id in ids]
        return np.array(labels, np.float32).reshape(len(ids), len(self.classes))

    def image_path(self, image_id: str) -> str:
        """JPEGImages/ID.jpg, .jpeg or .png, in any case; ID.jpg if none of them exists."""
        found = self._images.get(image_id, [image_id + ".jpg"])
        if len(found) > 1:
            raise InputError(f"{self._path('JPEGImages')}: has {' and '.join(sorted(found))}; remove all but one")
        return self._path("JPEGImages", found[0])

    @functools.cached_property
    def _images(self) -> dict[str, list[str]]:
        """{stem: file names} of the images in JPEGImages."""
        found: dict[str, list[str]] = {}
        for file in os.listdir(_listable(self._path("JPEGImages"))):
            stem, extension = os.path.splitext(file)
            if extension.lower() in lists.IMAGE_EXTENSIONS:
                found.setdefault(stem, []).append(file)
        return found

    def image(self, image_id: str) -> np.ndarray:
        """H x W x 3 uint8, BGR, of its mask's size. InputError if its orientation is unknown, see check_upright."""
        return read_image(*self._read(image_id, decoding.header))

    def _read(self, image_id, header_of):
        """(path, header_of(path)) of an image; InputError for one that is stored turned, see check_upright."""
        path = self.image_path(image_id)
        header = header_of(path)
        if header.orientation != 1:
            check_upright(path, header, self._mask(image_id))
        return path, header

    def mask_folder(self) -> Optional[str]:
        """The folder of the true masks; None if the data set has no masks; InputError if it may not be read."""
        found = next(filter(os.path.lexists, map(self._path, MASK_FOLDERS)), None)
        return found and _listable(found)

    def truth(self, image_id: str, shape: Shape, other: str = "") -> Optional[np.ndarray]:
        """The true mask of an image, H x W; None if it has none: training images need none.

        other: the path of a file of `shape`. Raises InputError for the one of the two whose size is not the image's.
        """
        path = self._mask(image_id)
        if not os.path.exists(path):
            return None
        mask = read_indexed(path)
        if mask.shape != shape:
            size = decoding.header(self.image_path(image_id)).size[::-1]
            check_shape(path, mask.shape, size)
            check_shape(other or path, shape, size)
        check_values(path, np.flatnonzero(np.bincount(mask.ravel())), [*self.values, IGNORE])
        return mask

    def contents(self, ids: Sequence[str], *parts: str) -> dict[str, str]:
        """{part: SHA-256 of this part of the data set, for the images `ids`}.

        parts: some of 'images', 'labels' (with the classes and mask values that they mean) and 'masks' (the true ones).
        """
        contents = dict(
            images=lambda: digests.together(map(self.image_path, ids), ids),
            labels=lambda: digests.of_value([ids, self.labels(ids, True).tolist(), self.classes, self.values]),
            masks=lambda: digests.together(map(self._mask, ids), ids),
        )
        return {part: contents[part]() for part in parts}

    def check(self, ids: Sequence[str], folders: Sequence[str] = ()) -> list[list[np.ndarray]]:
        """Decode every image of `ids`, and its ID.png in each of `folders`, before long work begins.

        Returns for each id, and each folder, the values that occur in its PNG. Raises InputError for a missing or
        damaged file, for a PNG whose size is not its image's, and for an image that check_upright refuses.
        """
        return in_threads(self._check, [(image_id, folders) for image_id in ids])

    def _check(self, image_id, folders):
        _, header = self._read(image_id, decoding.check_whole)
        paths = [png(folder, image_id) for folder in folders]
        masks = [read_indexed(path) for path in paths]
        for path, mask in zip(paths, masks):
            check_shape(path, mask.shape, header.size[::-1])
        return [np.flatnonzero(np.bincount(mask.ravel())) for mask in masks]

    def check_masks(self, ids: Sequence[str], folder: str) -> list[np.ndarray]:
        """As `check`, with one folder, of masks: for each id the values that occur in its mask.

        Also raises InputError for a value that is neither a class nor IGNORE, and if all masks have IGNORE everywhere.
        """
        found = [values for (values,) in self.check(ids, [folder])]
        for path, values in zip(in_folder(folder, ids), found):
            check_values(path, values, [*self.values, IGNORE])
        if found and all(np.array_equal(values, [IGNORE]) for values in found):
            raise InputError(f"{folder}: {ALL_IGNORED}")
        return found

    def _mask(self, image_id):
        return png(self.mask_folder() or "", image_id)

    def _path(self, *parts):
        return os.path.join(self.root, *parts)


def _listable(folder):
    """`folder`; InputError if it is none, or may not be read."""
    if not os.path.isdir(folder):
        fault = fault_of(folder) if os.path.islink(folder) else "no such folder"
        raise InputError(f"{folder}: {fault}; a data set in VOC layout has it")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{folder}: may not be read; chmod a+rx gives the right")
    return folder


def png(folder: str, image_id: str) -> str:
    """The path of an image's PNG in a folder of masks, regions or maps."""
    return os.path.join(folder, image_id + ".png")


def in_folder(folder: str, ids: Iterable[str]) -> list[str]:
    """The paths of the PNGs of `ids` in a folder."""
    return [png(folder, image_id) for image_id in ids]
