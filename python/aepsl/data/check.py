"""Checks a data set before any long work: lists, labels, images, masks."""

import os
from collections.abc import Sequence
from typing import Optional

import numpy as np

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.data import lists, meaning
from aepsl.data.dataset import MASK_FOLDERS, Dataset, in_folder
from aepsl.data.meaning import warn
from aepsl.data.regions import MOST_LABELS
from aepsl.images import decoding, looks
from aepsl.images.pictures import read_indexed
from aepsl.settings.typed import Experiment

# Shares of a list's images above which they are an error. A gap: the mask lacks a class of the labels. VOC's train_aug
# has up to 8% of them, since its XML names difficult objects, which its masks leave out. A contradiction: the mask has
# a class that is not among the labels, or none of theirs.
MOST_CONTRADICTIONS, MOST_GAPS = 0.05, 0.15
FEWEST_CONTRADICTIONS, FEWEST_GAPS = 2, 5  # fewer images are never an error
CELL = 8  # pixels, the stride of a net
SAMPLE = 100  # masks that are searched for traces of resizing
EMPTY = "most of them have no class at all: masks hold 0, class 1, 2, ... and 255 for what is not counted"
OTHERS = "compare classes.txt with the masks' values, and image_labels.txt with the images"


def run(experiment: Experiment, data: str) -> dict[str, int]:
    """Check the parts of the data set `data` that the experiment reads; raises InputError for the first fault.

    Masks of training images may be missing; test images have none. Returns the numbers of images,
    {"train": ..., "val": ...}.
    """
    dataset = Dataset(data, experiment.classes)
    train, val = (_listed(dataset, experiment.data.list_of(key)) for key in ("train", "val"))
    name = experiment.data.test
    test = _listed(dataset, name) if name and dataset.has_list(name) else []
    labels = dict(zip(train + val, [*(dataset.labels(train) > 0), *(dataset.labels(val, may_lack=True) > 0)]))
    if many := [image_id for image_id in train if labels[image_id].sum() > MOST_LABELS]:
        found = f"{many[0]} has {labels[many[0]].sum()} labels; mining has room for {MOST_LABELS}"
        raise InputError(f"{data}/image_labels.txt: {found}, take the image out of the list")
    truths = dataset.mask_folder()
    if truths is None:
        raise InputError(f"{data}/{MASK_FOLDERS[0]}: no such folder; the masks of {experiment.data.val} go there")
    if both := sorted(set(train) & set(val)):
        warn(f"{len(both)} images of val are training images too ({lists.shown(both)}): its figures will be too good")
    masked = [image_id for image_id, path in zip(train, in_folder(truths, train)) if os.path.lexists(path)]
    if capital := sorted(name for name in os.listdir(truths) if name.endswith(".PNG") and name[:-4] in labels):
        line = f"masks that end in .PNG are not used, {len(capital)} of these images ({capital[0]})"
        warn(f"{truths}: {line}; rename them to .png")
    _check_scale(dataset, train + val, experiment.data.scale)
    dataset.check(sorted(set(train) - set(masked)) + test)
    for name, ids in ((experiment.data.train, masked), (experiment.data.val, val)):
        drawn = _occurring(dataset, truths, ids)
        known = np.array([labels[image_id] for image_id in ids], bool).reshape(drawn.shape)
        compare(f"{truths}, {name}", ids, dataset.classes, known, drawn)
        sample = ids[:: max(1, len(ids) // SAMPLE)]
        meaning.check_resized(f"{truths}, {name}", sample, map(read_indexed, in_folder(truths, sample)))
    both_labels = (np.array([labels[image_id] for image_id in ids]) for ids in (train, val))
    meaning.of_labels(f"{data}/image_labels.txt", dataset.classes, *both_labels)
    seen = pictures(dataset, train + val)
    meaning.of_copies(dataset.root, train, val, seen)
    return dict(train=len(train), val=len(val))


def pictures(dataset: Dataset, ids: Sequence[str]) -> list[looks.Look]:
    """The looks of the images, which have been decoded before; see meaning.of_pictures."""
    seen = looks.look([dataset.image_path(image_id) for image_id in ids])
    meaning.of_pictures(f"{dataset.root}/JPEGImages", ids, seen)
    return seen


def by_hand(dataset: Dataset, ids: Sequence[str], word: Optional[str]) -> None:
    """Check the images of a stage that no run has started: `word` (aepsl.store.result) is None. A start checks all."""
    if word is None:
        dataset.check(ids)
        pictures(dataset, ids)


def _listed(dataset, name):
    """The ids of a list; warns of those that it leaves out."""
    path, ids = dataset.list_path(name), dataset.ids(name)
    if absent := lists.read_list(path).absent:
        warn(f"{path}: {len(ids)} images are used; {absent} with {lists.ABSENT}, VOC's absent, are not")
    return ids


def _check_scale(dataset, ids, scale):
    """InputError if no image has a side of more than one cell of the net at this scale."""
    longest = max(max(decoding.header(dataset.image_path(image_id)).size) for image_id in ids)
    if longest * scale <= CELL:
        fault = f"no image has a side of more than {CELL} pixels at `data.scale` {scale}: nothing is left to see"
        raise InputError(f"{dataset.root}: {fault}; raise it in experiment.yaml")


def _occurring(dataset, folder, ids):
    """The classes that occur in the mask of each image: N x C booleans.

    Decodes images and masks. Raises InputError for a value that is not a class.
    """
    found = dataset.check_masks(ids, folder)
    if len(ids) >= meaning.FEW and not any(0 in values for values in found):
        warn(f"{folder}: none of {len(ids)} masks has a pixel of background; is it 255, which is not counted? it has 0")
    drawn = [np.isin(dataset.values[1:], values) for values in found]
    return np.array(drawn, bool).reshape(len(ids), len(dataset.classes))


def compare(place: str, ids: Sequence[str], classes: Sequence[str], labels: np.ndarray, drawn: np.ndarray) -> None:
    """Warn of images whose mask and labels differ; InputError if there are too many, see MOST_CONTRADICTIONS.

    place: the masks, for messages; labels, drawn: the C `classes` that each image has in its labels, and in its mask:
    N x C booleans.
    """
    extra, lacking = drawn & ~labels, labels & ~drawn
    wrong = extra.any(axis=1) | (labels.any(axis=1) & ~(drawn & labels).any(axis=1))  # neither: no object is there
    gaps = lacking.any(axis=1) & ~wrong
    swapped = _swapped(classes, labels, extra, lacking)
    too_many = swapped or wrong.sum() > MOST_CONTRADICTIONS * len(ids), gaps.sum() > MOST_GAPS * len(ids)
    for bad, is_much, fewest, what in (
        (wrong, too_many[0], FEWEST_CONTRADICTIONS, "do not have the classes"),
        (gaps, too_many[1], FEWEST_GAPS, "lack a class"),
    ):
        count, shown = bad.sum(), lists.shown([ids[k] for k in np.flatnonzero(bad)])
        told = f"{place}: {count} of {len(ids)} masks {what} of the labels ({shown})"
        if is_much and count >= min(fewest, len(ids)):
            remedy = EMPTY if 2 * drawn[bad].any(axis=1).sum() < count else swapped or OTHERS
            raise InputError(f"{told}; {remedy}")
        if count:
            warn(f"{told}; look at them, and at their lines in image_labels.txt")


def compare_labels(dataset: Dataset, place: str, ids: Sequence[str], drawn: np.ndarray) -> None:
    """Warn of masks that `compare` would refuse, of those of `ids` that image_labels.txt names, if that file exists.

    place: the masks, for messages; drawn: the classes that occur in the images' masks, N x C booleans.
    """
    path = os.path.join(dataset.root, "image_labels.txt")
    rows = lists.read_labels(path, dataset.classes) if os.path.lexists(path) else {}
    if known := [k for k, image_id in enumerate(ids) if image_id in rows]:
        own = [ids[k] for k in known]
        try:
            compare(place, own, dataset.classes, dataset.labels(own, may_lack=True) > 0, drawn[known])
        except InputError as error:
            warn(str(error))


def _swapped(classes, labels, extra, lacking):
    """A line with a class that most masks of its images have under another's value, and the remedy; or None."""
    for c, name in enumerate(classes):
        instead = extra[lacking[:, c]].sum(axis=0)
        if instead.max(initial=0) >= FEWEST_CONTRADICTIONS and 2 * instead.max() > labels[:, c].sum():
            what = f"where labels say '{name}' they have the value of '{classes[instead.argmax()]}'"
            return f"{what}: write classes.txt in the order of the masks' values"
    return None


def main(argv=None):
    images = run(**vars(cli.parser(__doc__, "experiment data").parse_args(argv)))
    print(f"{images['train']} training and {images['val']} validation images: nothing is wrong with them")
