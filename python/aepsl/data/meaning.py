"""Checks the images, labels, masks and saliency maps of a data set together; each file alone is valid.

Each function compares shares of values, or labels and true masks, with plausible ones. It raises an InputError for
input that can only be wrong, and warns of input that may be intended: in one line, with figures and the remedy.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Optional

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data.dataset import IGNORE
from aepsl.data.lists import shown
from aepsl.images.looks import Look

FEW = 2  # fewer images, maps or masks are never reported: one may have its own reasons
SOME, MOST = 0.05, 0.5  # shares of images above which there is a warning, and an error
DARK, DIM = 16, 63  # of 255: the brightest values of 12 bits in a file of 16, or of 0 ... 1 in 8 bits; of 14 bits in 16
ALIKE = 3  # grey levels: largest root mean square difference of two copies; of different photos it is 13 at least
FLAT = 4  # grey levels: a small picture with a smaller standard deviation is not compared
COPIES = 0.01  # share of val
TURNED, BLIND = -0.1, 0.03  # mean of the object less that of the rest, in 0 ... 1; DRFI's and RBD's maps have 0.4
ENOUGH = 20  # maps whose mean shows whether they have to do with objects
THIN, STRIPS = 8, 0.15  # pixels; share of borders that are thin strips: up to 0.02 in masks, 0.3 in resized ones
# What libjpeg says where pixels are lost.
DAMAGE = "premature end", "Premature end", "bad Huffman", "found marker", "Invalid SOS", "Inconsistent progression"


def warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def of_labels(path: str, classes: Sequence[str], train: np.ndarray, val: np.ndarray) -> None:
    """The image labels of training and of validation images, each N x C booleans; path: of their file."""
    names = np.array(classes)
    if len(train) > 1 and (train == train[0]).all():
        line = f"all {len(train)} training images have the same labels ({shown(list(names[train[0]]))})"
        raise InputError(f"{path}: {line}, so a net has nothing to tell apart; add images without these")
    if train.all(axis=0).any() and len(train) > FEW:
        line = f"all {len(train)} training images have the label {shown(list(names[train.all(axis=0)]))}"
        warn(f"{path}: {line}; without an image that lacks it, a net cannot learn where it is")
    if not val.any():
        line = f"none of {len(val)} validation images has an object, so mIoU is that of background alone"
        warn(f"{path}: {line}; add images with objects to the list of validation images")
    if (lacking := ~train.any(axis=0)).any():
        line = f"no training image has {shown(list(names[lacking]))}, {lacking.sum()} of {len(classes)} classes"
        count = val[:, lacking].any(axis=1).sum()
        also = f"{count} of {len(val)} validation images do, and all of it will be wrong" if count else "nor has val"
        warn(f"{path}: {line}; {also}: add such images, or take the class out of `classes` in experiment.yaml")


def of_pictures(place: str, ids: Sequence[str], looks: Sequence[Look], most: float = MOST) -> None:
    """Check the images for damage, and for too dark and empty ones; place: the images, for messages.

    most: the share of dark or empty images above which that is an error, not a warning; 1 for pictures that only give
    their own masks.
    """
    for is_loss in (True, False):
        if damaged := [
            k for k, each in enumerate(looks) if each.said and is_loss == any(w in each.said for w in DAMAGE)
        ]:
            line = f"{place}: {_counted(ids, damaged)} damaged JPEGs, of which the decoder says "
            line += f"'{looks[damaged[0]].said.splitlines()[0]}'; copy them from where they came, or save them anew"
            if is_loss:
                raise InputError(line)
            warn(line)
    if not looks:
        return
    highest, lowest = np.array([(each.highest, each.lowest) for each in looks]).T
    dark = np.flatnonzero(highest <= DARK)
    remedy = "multiply what was stored with 12 bits in files of 16, or as 0 ... 1, and save it with its full range"
    _judge(place, ids, dark, f"images without a pixel brighter than {DARK} of 255; {remedy}", most)
    flat = np.flatnonzero((highest > DARK) & (highest - lowest <= DARK))
    _judge(place, ids, flat, f"images of one brightness, within {DARK} of 255; copy them from where they came", most)
    if len(looks) >= FEW and len(dark) < FEW and highest.max() <= DIM:
        warn(f"{place}: no pixel of {len(ids)} images is brighter than {DIM} of 255; {remedy}")


def of_copies(place: str, train: Sequence[str], val: Sequence[str], looks: Sequence[Look]) -> None:
    """Warn of validation images that are copies of a training image of another id; looks: of both, train's first."""
    small, others = np.split(np.stack([each.small.ravel() for each in looks]), [len(train)])
    found, squares = [], np.square(small).sum(axis=1)
    for image_id, each in zip(val, others):
        distance = squares - 2 * small @ each + each @ each
        nearest = distance.argmin()
        if distance[nearest] < ALIKE**2 * each.size and each.std() > FLAT and image_id not in train:
            found.append(f"{image_id} is {train[nearest]}")
    if len(found) > COPIES * len(val):
        line = f"{len(found)} of {len(val)} validation images are copies of training images ({shown(found)})"
        warn(f"{place}: {line}; the figures will be too good: take them out of one of the lists")


def of_maps(folder: str, ids: Sequence[str], maps: Sequence[tuple[int, float, float]]) -> None:
    """Check saliency maps; maps: (levels, border less middle, object less rest) of each, see `map_says`."""
    levels, border, objects = np.array(maps, float).T
    what = "saliency maps of one value throughout, in which nothing is salient; compute them anew"
    _judge(folder, ids, np.flatnonzero(levels == 1), what)
    two = np.flatnonzero(levels == 2)
    if len(two) > MOST * len(ids):
        what = "saliency maps of two values alone: background.threshold says nothing of them; give the maps before"
        warn(f"{folder}: {_counted(ids, two)} {what} they were thresholded, or rounded to 0 and 1")
    known = objects[~np.isnan(objects)]
    if len(known) > FEW:
        more = 100 * known.mean()
        how = "darker" if more < 0 else "brighter"
        line = f"objects are {abs(more):.0f}% {how} than the rest, in {len(known)} maps"
        if known.mean() < TURNED:
            raise InputError(f"{folder}: {line}: they are inverted; give maps in which objects are bright")
        if len(known) >= ENOUGH and known.mean() < BLIND:
            warn(f"{folder}: {line}: they tell little of the objects; are they maps of these very images?")
    elif are_turned(border):
        line = f"{_counted(ids, np.flatnonzero(border > 0))} saliency maps with a border brighter than their middle"
        warn(f"{folder}: {line}: are they inverted? objects must be bright")


def are_turned(border: np.ndarray) -> bool:
    """Whether maps look inverted; border: border less middle of each, see `map_says`."""
    return len(border) > FEW and np.mean(border > 0) > 0.9 and border.mean() > -TURNED


def map_says(values: np.ndarray, truth: Optional[np.ndarray]) -> tuple[int, float, float]:
    """(levels, border less middle, object less rest) of a map, H x W float32 in 0 ... 1.

    levels: its distinct values, 3 for more; truth: H x W mask, or None: then the last is NaN.
    """
    levels = min(3, len(np.unique(values)))
    inside = tuple(slice(side // 8, side - side // 8) for side in values.shape)
    middle, whole = values[inside].mean(), values.mean()
    border = (whole * values.size - middle * values[inside].size) / max(1, values.size - values[inside].size)
    if truth is None or not (is_object := (truth > 0) & (truth != IGNORE)).any() or not (truth == 0).any():
        return levels, border - middle, np.nan
    return levels, border - middle, values[is_object].mean() - values[truth == 0].mean()


def check_resized(place: str, ids: Sequence[str], masks: Iterable[np.ndarray]) -> None:
    """InputError for masks that were `resized`; place: for messages."""
    if line := resized(ids, masks):
        raise InputError(f"{place}: {line}")


def resized(ids: Sequence[str], masks: Iterable[np.ndarray]) -> Optional[str]:
    """A line for masks, H x W class values of `ids`, that were resized with interpolation; None for others."""
    borders, thin = np.sum([(0, 0), *map(strips, masks)], axis=0)
    if thin <= STRIPS * borders:
        return None
    line = f"{100 * thin / borders:.0f}% of the borders between classes are thin strips of a class between the two"
    line = f"{line}, in {len(ids)} masks ({shown(ids)}): they were resized with interpolation, or saved with loss"
    return f"{line}; resize class indices with the nearest pixel (cv2.INTER_NEAREST)"


def strips(mask: np.ndarray) -> tuple[int, int]:
    """(borders between two classes, thin strips between two classes whose value is between theirs) in a mask.

    Both are counted along rows and along columns. Interpolation between class indices a and b makes such strips, of
    a + 1 ... b - 1.
    """
    borders = thin = 0
    for array in (mask, mask.T):
        flat = np.pad(array, ((0, 0), (0, 1)), constant_values=IGNORE).ravel().astype(int)  # IGNORE ends each row
        starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
        values, lengths = flat[starts], np.diff(np.r_[starts, len(flat)])
        joined = (values[1:] != IGNORE) & (values[:-1] != IGNORE)
        left, own, right = values[:-2], values[1:-1], values[2:]
        between = (np.minimum(left, right) < own) & (own < np.maximum(left, right))
        borders += np.count_nonzero(joined)
        thin += np.count_nonzero(between & joined[1:] & joined[:-1] & (lengths[1:-1] <= THIN))
    return borders, thin


def _judge(place: str, ids: Sequence[str], which: np.ndarray, what: str, most: float = MOST) -> None:
    """Raise an InputError, warn, or do nothing, by how many of `ids` are in `which`, positions."""
    if len(which) >= min(FEW, len(ids)) and len(which) > SOME * len(ids):
        line = f"{place}: {_counted(ids, which)} {what}"
        if len(which) > most * len(ids):
            raise InputError(line)
        warn(line)


def _counted(ids: Sequence[str], which: Sequence[int]) -> str:
    return f"{len(which)} of {len(ids)} ({shown([ids[k] for k in which])}) are"
