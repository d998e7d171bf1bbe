"""A data set in VOC layout: lists of ids, image labels, images, masks, the palette.

ROOT/JPEGImages/ID.jpg
ROOT/SegmentationClassAug/ID.png      or SegmentationClass/; needed only to evaluate
ROOT/ImageSets/Segmentation/LIST.txt  one id a line
ROOT/image_labels.txt                 ID NAME NAME ..
ROOT/classes.txt                      optional: one name a line, mask values 1, 2, ...; VOC's 20 without it
"""

import os

import joblib
import numpy as np
from PIL import Image

from aepsl import digests
from aepsl.errors import InputError
from aepsl.files import read_words
from aepsl.images import read_image, read_indexed, why_unreadable

VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()
IGNORE = 255
LISTS = os.path.join("ImageSets", "Segmentation")
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
        names = self._class_names()
        self.classes = list(classes) if classes else names
        unknown = [name for name in self.classes if name not in names]
        if unknown:
            raise InputError(
                f"{self._path('classes.txt')}: does not name {', '.join(unknown)}, "
                "which the experiment uses; add it there or change `classes` in experiment.yaml"
            )
        self.values = [0] + [names.index(name) + 1 for name in self.classes]

    def ids(self, name):
        """The ids of the list `name` ('train_aug'), or of a text file if `name` is a path to one."""
        path = name if os.sep in name else self._path(LISTS, name + ".txt")
        ids = read_words(path, "the ids of the images")
        if len(set(ids)) < len(ids):
            twice = next(i for k, i in enumerate(ids) if i in ids[:k])
            raise InputError(f"{path}: names {twice} twice; remove one of the two lines")
        return ids

    def has_list(self, name):
        return os.path.exists(self._path(LISTS, name + ".txt"))

    def labels(self, ids):
        """Image labels O of `ids` as N x C float32, 0 or 1."""
        path = self._path("image_labels.txt")
        try:
            with open(path) as file:
                rows = {words[0]: words[1:] for words in map(str.split, file) if words}
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; it gives each image's labels: ID NAME NAME ...") from None
        labels = np.zeros((len(ids), len(self.classes)), np.float32)
        for row, image_id in enumerate(ids):
            if not rows.get(image_id):
                raise InputError(f"{path}: no label for {image_id}; add a line '{image_id} NAME ...'")
            for name in rows[image_id]:
                if name not in self.classes:
                    raise InputError(
                        f"{path}: {image_id} has the label '{name}', which is none of "
                        f"{' '.join(self.classes)}; correct it, or add it to `classes` in experiment.yaml"
                    )
                labels[row, self.classes.index(name)] = 1
        return labels

    def image_path(self, image_id):
        return self._path("JPEGImages", image_id + ".jpg")

    def image(self, image_id):
        """H x W x 3 uint8, BGR."""
        return read_image(self.image_path(image_id))

    def mask_folder(self):
        """The folder of the ground truth, or None if the data set has none."""
        return next((self._path(name) for name in MASK_FOLDERS if os.path.isdir(self._path(name))), None)

    def contents(self, ids, *parts):
        """{part: SHA-256 of what the data set holds of it for the images `ids`}.

        parts: of 'images', 'labels' (as the classes and mask values that they mean) and 'masks' (the ground truth).
        """
        contents = {}
        for part in parts:
            if part == "labels":
                contents[part] = digests.of_value([ids, self.labels(ids).tolist(), self.classes, self.values])
            elif part == "images":
                contents[part] = digests.together(map(self.image_path, ids), ids)
            else:
                contents[part] = digests.together(in_folder(self.mask_folder() or "", ids), ids)
        return contents

    def check(self, ids, folders=()):
        """Decode every image of `ids`, and its ID.png in each of `folders`, before long work begins.

        Raises InputError for a missing or broken file, and for a PNG whose size is not its image's.
        """
        paths = [(self.image_path(i), [os.path.join(folder, i + ".png") for folder in folders]) for i in ids]
        joblib.Parallel(n_jobs=-1, prefer="threads")(joblib.delayed(_check)(*path) for path in paths)

    def _class_names(self):
        path = self._path("classes.txt")
        return read_words(path, "the class names") if os.path.exists(path) else VOC_CLASSES

    def _path(self, *parts):
        return os.path.join(self.root, *parts)


def _check(image_path, mask_paths):
    try:
        with Image.open(image_path) as image:
            image.load()  # unlike OpenCV, Pillow refuses a file that was cut short
            size = image.size
    except (OSError, SyntaxError):
        raise InputError(f"{image_path}: {why_unreadable(image_path)}") from None
    for path in mask_paths:
        height, width = read_indexed(path).shape
        if (width, height) != size:
            raise InputError(
                f"{path}: is {width} x {height}, its image {size[0]} x {size[1]}; a mask needs its image's size"
            )


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
