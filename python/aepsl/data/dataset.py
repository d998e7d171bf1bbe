"""A data set in VOC layout: lists of ids, image labels, images, masks, the palette.

ROOT/JPEGImages/ID.jpg                or .jpeg, .png
ROOT/SegmentationClassAug/ID.png      or SegmentationClass/; needed only to evaluate
ROOT/ImageSets/Segmentation/LIST.txt  one id a line
ROOT/image_labels.txt                 ID NAME NAME ..
ROOT/classes.txt                      optional: one name a line, mask values 1, 2, ...; VOC's 20 without it

What the three text files may look like, aepsl.data.lists says.
"""

import os

import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads
from aepsl.data import lists
from aepsl.data.mask_files import check_values, of_size, wrong_size
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
    """One folder in VOC layout, seen through the classes that a net knows.

    `classes` are C names; channel 0 of a segmentation is background, channel k is `classes[k - 1]`.
    `values` are the C + 1 mask values of those channels (0 first): VOC's indices, whatever the subset.
    """

    def __init__(self, root, classes=None):
        self.root = root
        if not os.path.isdir(root):
            raise InputError(f"{root}: no such folder; DATA= must name a data set in VOC layout")
        names = self._path("classes.txt")
        names = lists.read_classes(names) if os.path.lexists(names) else VOC_CLASSES
        self.classes = list(classes) if classes else names
        unknown = [name for name in self.classes if name not in names]
        if unknown:
            fault = f"does not name {lists.shown(unknown)}, which the experiment uses"
            raise InputError(f"{self._path('classes.txt')}: {fault}; add it, or {OWN_EXPERIMENT}")
        self._images = self._rows = None  # {id: [files]}, and what image_labels.txt holds, once they are asked for
        self.values = [0] + [names.index(name) + 1 for name in self.classes]

    def ids(self, name):
        """The ids of the list `name` ('train_aug'), or of a text file if `name` is a path to one."""
        if os.sep not in name and not self.has_list(name) and (name.endswith(".txt") or os.path.exists(name)):
            fault = "is no list of the data set, whose lists are named without .txt"
            raise InputError(f"{name}: {fault}; a file of your own is named with its folder: ./{name}")
        return lists.read_list(self.list_path(name)).ids

    def list_path(self, name):
        return name if os.sep in name else self._path(LISTS, name + ".txt")

    def has_list(self, name):
        return os.path.exists(self._path(LISTS, name + ".txt"))

    def labels(self, ids, may_lack=False):
        """Image labels O of `ids` as N x C float32, 0 or 1; may_lack: also of images whose line is the id alone."""
        path = self._path("image_labels.txt")
        if self._rows is None:
            self._rows = lists.read_labels(path, self.classes)
        lacking = [each for each in ids if each not in self._rows or not (self._rows[each] or may_lack)]
        if lacking:
            line = f"no label for {lists.shown(lacking)}, {len(lacking)} of {len(ids)} images"
            raise InputError(f"{path}: {line}; {WITHOUT_OBJECTS if may_lack else WITHOUT_LABELS}")
        labels = np.zeros((len(ids), len(self.classes)), np.float32)
        for row, image_id in enumerate(ids):
            for name in self._rows[image_id]:
                if name not in self.classes:
                    what = f"{image_id} has the label '{name}', which is no class of {lists.shown(self.classes)}"
                    named = os.path.lexists(self._path("classes.txt"))
                    remedy = OWN_EXPERIMENT if named else "write the names of your classes to classes.txt beside it"
                    remedy = f"correct it, or {remedy}"
                    raise InputError(f"{path}: {what}; {remedy}; names with spaces need tabs or commas between them")
                labels[row, self.classes.index(name)] = 1
        return labels

    def image_path(self, image_id):
        """JPEGImages/ID.jpg, .jpeg or .png, whatever their case; ID.jpg where there is none of them."""
        if self._images is None:
            self._images = _by_stem(self._path("JPEGImages"))
        found = self._images.get(image_id, [image_id + ".jpg"])
        if len(found) > 1:
            raise InputError(f"{self._path('JPEGImages')}: has {' and '.join(sorted(found))}; remove all but one")
        return self._path("JPEGImages", found[0])

    def image(self, image_id):
        """H x W x 3 uint8, BGR, of its mask's size. InputError where nothing says which way up it is, see `upright`."""
        path = self.image_path(image_id)
        header = decoding.header(path)
        self.upright(image_id, path, header)
        return read_image(path, header)

    def upright(self, image_id, path, header):
        """InputError for an image that EXIF says is stored turned, unless its mask proves that to be so.

        Masks, regions and maps belong to what labelling tools showed: some turn, some do not. Only a mask that has the
        size of the turned image, and not of the stored one, tells. Then the image is turned wherever it is read.
        """
        if header.orientation == 1:
            return
        mask = self._mask(image_id)
        if not (os.path.isfile(mask) and decoding.header(mask)[:2] == header.size != header[:2]):
            fault = f"EXIF's orientation is {header.orientation}, and no mask tells whether to turn it"
            remedy = "`exiftran -ai` turns it, `exiftool -Orientation=` only removes the tag; take what fits its labels"
            raise InputError(f"{path}: {fault}; {remedy}")

    def mask_folder(self):
        """The folder of the ground truth, or None if the data set has none; InputError for one that may not be read."""
        return next((_listable(self._path(name)) for name in MASK_FOLDERS if os.path.isdir(self._path(name))), None)

    def truth(self, image_id, shape, other=""):
        """The true mask of an image, H x W; None where there is none: training images need none.

        other: a path of what is of `shape`. Raises InputError for the one of the two that has not its image's size.
        """
        path = self._mask(image_id)
        if not os.path.exists(path):
            return None
        mask = read_indexed(path)
        if mask.shape != shape:
            size = decoding.header(self.image_path(image_id)).size[::-1]
            raise wrong_size(other or path, shape, size) if mask.shape == size else wrong_size(path, mask.shape, size)
        return mask

    def contents(self, ids, *parts):
        """{part: SHA-256 of what the data set holds of it for the images `ids`}.

        parts: of 'images', 'labels' (as the classes and mask values that they mean) and 'masks' (the ground truth).
        """
        contents = dict(
            images=lambda: digests.together(map(self.image_path, ids), ids),
            labels=lambda: digests.of_value([ids, self.labels(ids, True).tolist(), self.classes, self.values]),
            masks=lambda: digests.together(map(self._mask, ids), ids),
        )
        return {part: contents[part]() for part in parts}

    def check(self, ids, folders=()):
        """Decode every image of `ids`, and its ID.png in each of `folders`, before long work begins.

        Returns for each id [the values that occur in its PNG] of each folder. Raises InputError for a missing or
        broken file, for a PNG whose size is not its image's, and for what `upright` refuses.
        """
        return in_threads(self._check, [(image_id, folders) for image_id in ids])

    def _check(self, image_id, folders):
        path = self.image_path(image_id)
        header = decoding.check_whole(path)
        self.upright(image_id, path, header)
        masks = [of_size(in_folder(folder, [image_id])[0], header.size[::-1]) for folder in folders]
        return [np.flatnonzero(np.bincount(mask.ravel())) for mask in masks]

    def check_masks(self, ids, folder):
        """As `check`, of one folder of masks: for each id the values that occur in its mask.

        Raises InputError also for a mask with a value that is neither a class nor IGNORE, and for a folder of masks
        that all hold IGNORE alone.
        """
        found = [values for (values,) in self.check(ids, [folder])]
        for path, values in zip(in_folder(folder, ids), found):
            check_values(path, values, [*self.values, IGNORE])
        if found and all(np.array_equal(values, [IGNORE]) for values in found):
            raise InputError(f"{folder}: {ALL_IGNORED}")
        return found

    def _mask(self, image_id):
        return in_folder(self.mask_folder() or "", [image_id])[0]

    def _path(self, *parts):
        return os.path.join(self.root, *parts)


def _by_stem(folder):
    """{stem: [names of images]} of a folder."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; the images go there")
    found = {}
    for file in os.listdir(_listable(folder)):
        stem, extension = os.path.splitext(file)
        if extension.lower() in lists.IMAGE_EXTENSIONS:
            found.setdefault(stem, []).append(file)
    return found


def _listable(folder):
    """`folder`; InputError if it may not be read."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{folder}: may not be read; chmod a+rx gives the right")
    return folder


def in_folder(folder, ids):
    """The paths of the PNGs of `ids` in a folder of masks, regions or maps."""
    return [os.path.join(folder, image_id + ".png") for image_id in ids]


def shard(ids, part):
    """Every n-th id from the k-th on, for the text `part` = 'k/n', k from 1; all for None."""
    if part is None:
        return ids
    k, _, n = part.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise InputError(f"--shard {part}: must be K/N with K from 1 to N, for example 1/4")
    return ids[int(k) - 1 :: int(n)]
