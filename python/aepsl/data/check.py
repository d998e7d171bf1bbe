"""Checks a data set before anything long begins: lists, labels, images, masks."""

import os
import sys
from typing import NamedTuple

import numpy as np

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.data import lists
from aepsl.data.dataset import MASK_FOLDERS, Dataset, in_folder
from aepsl.data.regions import MOST_LABELS

# Of the images of a list. Of VOC's train_aug at most 8% lack a label in the mask: XML names difficult objects, masks do
# not. A mask that has what no label names, or nothing of what they name, is another thing.
MOST_CONTRADICTIONS, MOST_GAPS = 0.05, 0.15
FEWEST_CONTRADICTIONS, FEWEST_GAPS = 2, 5  # images that make an error, however few there are


def run(experiment, data):
    """Check all that the experiment will read of the data set `data`; raises InputError for the first fault.

    Masks of training images are checked where they are; of test images there are none. Returns how many images there
    are, {"train": ..., "val": ...}.
    """
    dataset = Dataset(data, experiment.classes)
    train, val = (_listed(dataset, experiment.data.list_of(key)) for key in ("train", "val"))
    test = experiment.data.test
    test = _listed(dataset, test) if test and dataset.has_list(test) else []
    images = dict(train=len(train), val=len(val))
    labels = dataset.labels(train + val) > 0
    _refuse_many_labels(data, train, labels)
    truths = dataset.mask_folder()
    if truths is None:
        raise InputError(f"{data}/{MASK_FOLDERS[0]}: no such folder; the masks of {experiment.data.val} go there")
    both = sorted(set(train) & set(val))
    if both:
        _warn(f"{len(both)} images of val are training images too ({lists.shown(both)}): its figures will be too good")
    has_mask = np.array([os.path.lexists(path) for path in in_folder(truths, train)])
    dataset.check([image_id for image_id, has in zip(train, has_mask) if not has] + test)
    masked = [image_id for image_id, has in zip(train, has_mask) if has]
    for name, ids, rows in (("train", masked, labels[: len(train)][has_mask]), ("val", val, labels[len(train) :])):
        masks = _Masks(dataset, truths, experiment.data.list_of(name), ids, rows)
        masks.compare(_occurring(dataset, truths, ids))
    return images


def _listed(dataset, name):
    """The ids of a list; what it leaves out is said."""
    path = dataset.list_path(name)
    found = lists.read_list(path)
    if found.absent:
        _warn(f"{path}: {len(found.ids)} images are used; {found.absent} with {lists.ABSENT}, VOC's absent, are not")
    return found.ids


def _refuse_many_labels(data, ids, labels):
    for image_id, count in zip(ids, labels.sum(axis=1)):
        if count > MOST_LABELS:
            found = f"{image_id} has {count} labels; mining has room for {MOST_LABELS}"
            raise InputError(f"{data}/image_labels.txt: {found}, take the image out of the list")


def _occurring(dataset, folder, ids):
    """Which of the classes' mask values occur in the mask of each image: N x (C + 1) booleans, background first.

    Decodes images and masks. Raises InputError for a value that is no class.
    """
    occur = np.zeros((len(ids), len(dataset.values)), bool)
    for row, (path, (values,)) in enumerate(zip(in_folder(folder, ids), dataset.check(ids, [folder]))):
        dataset.check_values(path, values)
        occur[row] = np.isin(dataset.values, values)
    return occur


class _Masks(NamedTuple):
    """The masks of a list's images, to be compared with their labels, N x C booleans."""

    dataset: Dataset
    folder: str
    list_name: str
    ids: list
    labels: np.ndarray

    def compare(self, occur):
        """Warn of images whose mask and labels differ; InputError where it is too many. occur: see `_occurring`."""
        drawn = occur[:, 1:]
        extra = (drawn & ~self.labels).any(axis=1)
        wrong = extra | ~(drawn & self.labels).any(axis=1)
        gaps = (self.labels & ~drawn).any(axis=1) & ~wrong
        swapped = self._swapped(drawn)
        for bad, most, fewest, what in (
            (wrong, MOST_CONTRADICTIONS, FEWEST_CONTRADICTIONS, "do not have the classes of the labels"),
            (gaps, MOST_GAPS, FEWEST_GAPS, "lack a class of the labels"),
        ):
            count = np.count_nonzero(bad)
            shown = lists.shown([self.ids[k] for k in np.flatnonzero(bad)])
            told = f"{self.folder}: {count} of {len(self.ids)} masks of {self.list_name} {what} ({shown})"
            too_many = count > most * len(self.ids) or (bad is wrong and swapped)
            if too_many and count >= min(fewest, len(self.ids)):
                raise InputError(f"{told}; {self._remedy(swapped, drawn[bad])}")
            if count:
                _warn(f"{told}; look at them, and at their lines in image_labels.txt")

    def _swapped(self, drawn):
        """(a class, what the masks have in its place) where that is so for most of the images of the class, or None."""
        extra = drawn & ~self.labels
        for c, name in enumerate(self.dataset.classes):
            has_label = self.labels[:, c]
            instead = extra[has_label & ~drawn[:, c]].sum(axis=0)
            if instead.max(initial=0) >= FEWEST_CONTRADICTIONS and 2 * instead.max() > np.count_nonzero(has_label):
                return name, self.dataset.classes[int(instead.argmax())]
        return None

    def _remedy(self, swapped, drawn):
        """What it looks like, and what to do; drawn: the classes in those masks that are wrong."""
        if 2 * np.count_nonzero(~drawn.any(axis=1)) > len(drawn):
            return "most of them have no class at all: masks hold 0, class 1, 2, ... and 255 for what is not counted"
        if swapped:
            what = f"where labels say '{swapped[0]}' they have the value of '{swapped[1]}'"
            return f"{what}: write classes.txt in the order of the masks' values"
        return "compare classes.txt with the masks' values, and image_labels.txt with the images"


def _warn(line):
    print(f"warning: {line}", file=sys.stderr)


def main(argv=None):
    images = run(**vars(cli.parser(__doc__, "experiment data").parse_args(argv)))
    print(f"{images['train']} training and {images['val']} validation images: nothing is wrong with them")
