"""What predictions of others say, against the true masks: whether their class values are those of the data set."""

from collections.abc import Sequence

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data.dataset import in_folder
from aepsl.data.meaning import STRIPS, check_resized, strips, warn
from aepsl.evaluation.evaluate import confusions, scores, sums
from aepsl.images.pictures import read_indexed

FEW = 2  # images of a class that tell nothing
CLEARLY = 5  # points of mIoU by which other class values must be better


def check_folder(pred: str, gt: str, ids: Sequence[str], values: Sequence[int], classes: Sequence[str]) -> None:
    """`check` of the predictions pred/ID.png against gt/ID.png; values: mask values of the classes."""
    paths, truths = in_folder(pred, ids), in_folder(gt, ids)
    found = np.stack(list(confusions(paths, truths, values)))
    check(pred, dict(zip(ids, paths)), truths, classes, found.sum(axis=0), np.stack([sums(each) for each in found]))


def check(
    name: str,
    paths: dict[str, str],
    truths: Sequence[str],
    classes: Sequence[str],
    confusion: np.ndarray,
    of_images: np.ndarray,
) -> None:
    """InputError for predictions that can only be wrong, and a warning for what may be meant; name: theirs.

    paths: {id: that of the prediction}; truths: paths of the true masks; classes: K names, background first; confusion:
    K x (K + 1) of all images, as evaluate.scores takes it; of_images: N x 3 x K, evaluate.sums of each image.
    """
    ids = list(paths)
    borders, thin = np.sum([strips(read_indexed(path)) for path in truths], axis=0)
    if thin < STRIPS / 3 * borders:  # else true masks are such, too
        check_resized(name, ids, map(read_indexed, paths.values()))
    hits, true, predicted = of_images.sum(axis=0)
    if hits.sum() == true.sum():
        warn(f"{name}: is the true mask at each pixel of {len(of_images)} images; are these predictions?")
    found = np.flatnonzero(predicted[1:])
    if len(found) < 2 < np.count_nonzero(true[1:]) and len(of_images) > FEW:
        what = f"the class {classes[found[0] + 1]} alone" if len(found) else "no object"
        line = f"has {what} in {len(of_images)} images, whose true masks have {np.count_nonzero(true[1:])} classes"
        warn(f"{name}: {line}; each pixel needs its class's value")
    _check_values(name, classes, confusion, np.count_nonzero(of_images[:, 1], axis=0))


def _check_values(name: str, classes: Sequence[str], confusion: np.ndarray, images: np.ndarray) -> None:
    """InputError for class values that are shifted or exchanged; images: in how many each class is."""
    count, own = len(classes), scores(confusion, classes)["miou"]
    most = confusion[:, :count].argmax(axis=1)
    is_clear = (images >= FEW) & (2 * confusion[np.arange(count), most] > confusion.sum(axis=1))
    present = [c for c in range(1, count) if images[c] >= FEW]
    moved = {c: most[c] for c in present if is_clear[c] and most[c] != c}
    for by, what in ((-1, "low"), (1, "high")):
        shifted = [c for c, to in moved.items() if to == c + by]
        if len(shifted) >= max(2, len(present) / 2):
            places = np.clip(np.arange(count) + by, 0, count - 1)
            what = f"one too {what}, of {len(shifted)} of {len(present)} classes"
            _refuse(name, classes, confusion, own, places, what)
    places = np.arange(count)
    for c in moved:
        circle = [c]
        while moved.get(circle[-1], c) != c and len(circle) <= count:
            circle.append(moved[circle[-1]])
        if moved.get(circle[-1]) == c and len(set(circle)) == len(circle):
            places[c] = moved[c]
    if (places != np.arange(count)).any():
        exchanged = ", ".join(f"'{classes[to]}' for '{classes[c]}'" for c, to in enumerate(places) if to != c)
        _refuse(name, classes, confusion, own, places, f"exchanged: {exchanged}")


def _refuse(
    name: str, classes: Sequence[str], confusion: np.ndarray, own: float, places: np.ndarray, what: str
) -> None:
    """InputError, where class c at the value `places[c]` is clearly better than at its own."""
    better = scores(np.column_stack([confusion[:, places], confusion[:, -1]]), classes)["miou"]
    if better > own + CLEARLY:
        line = f"its class values seem {what}; mIoU is {own:.2f}, and would be {better:.2f}"
        raise InputError(f"{name}: {line}; a class's value is its place in classes.txt, from 1 on (VOC's without it)")
