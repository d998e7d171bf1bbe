"""What predictions of others say, against the true masks: whether their class values are those of the data set.

A line is an error where the predictions can only be wrong. `as_given` makes it a warning, for a user who knows better.
"""

from collections.abc import Sequence

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data.dataset import IGNORE, in_folder
from aepsl.data.meaning import ENOUGH, STRIPS, resized, strips, warn
from aepsl.evaluation.evaluate import confusions, scores, sums
from aepsl.images.pictures import read_indexed

FEW = 2  # images of a class that tell nothing
CLEARLY = 5  # points of mIoU by which other class values must be better
SAMPLE = 100  # images whose masks are compared with mirrored ones
MIRRORED, MOSTLY = 0.2, 0.75  # share of the objects' pixels by which those must be better, and in how many images
FEWEST = 5  # images; in fewer, noise may look mirrored
COMMON = 0.5  # share of other images' true masks that have the predicted class: above it says nothing
FLIPS = {
    "as they are": np.s_[:],
    "mirrored": np.s_[:, ::-1],
    "put upside down": np.s_[::-1],
    "turned by 180 degrees": np.s_[::-1, ::-1],
}
AS_GIVEN = "--as-given compares them as they are, with a warning"


def check_folder(
    pred: str, gt: str, ids: Sequence[str], values: Sequence[int], classes: Sequence[str], as_given: bool = False
) -> None:
    """`check` of the predictions pred/ID.png against gt/ID.png; values: mask values of the classes."""
    paths, truths = in_folder(pred, ids), in_folder(gt, ids)
    found = np.stack(list(confusions(paths, truths, values)))
    of_images = np.stack([sums(each) for each in found])
    check(pred, dict(zip(ids, paths)), truths, classes, found.sum(axis=0), of_images, as_given)


def check(
    name: str,
    paths: dict[str, str],
    truths: Sequence[str],
    classes: Sequence[str],
    confusion: np.ndarray,
    of_images: np.ndarray,
    as_given: bool = False,
) -> None:
    """InputError for predictions that can only be wrong, and a warning for what may be meant; name: theirs.

    paths: {id: that of the prediction}; truths: paths of the true masks; classes: K names, background first; confusion:
    K x (K + 1) of all images, as evaluate.scores takes it; of_images: N x 3 x K, evaluate.sums of each image; as_given:
    warn in place of the InputError.
    """
    for line in _wrong(paths, truths, classes, confusion, np.count_nonzero(of_images[:, 1], axis=0)):
        if not as_given:
            raise InputError(f"{name}: {line}; {AS_GIVEN}")
        warn(f"{name}: {line}")
    for line in _doubtful(classes, confusion, of_images):
        warn(f"{name}: {line}")


def tell_same(names: Sequence[str], of_images: Sequence[np.ndarray]) -> None:
    """Warn of predictions that are another's; names: of the methods; of_images: N x 3 x K of each, as in `check`."""
    for k, (name, each) in enumerate(zip(names, of_images)):
        if same := next((names[j] for j in range(k) if np.array_equal(of_images[j], each)), None):
            warn(f"{name}: has the figures of {same} in each of {len(each)} images; are these the same predictions?")


def _wrong(paths, truths, classes, confusion, images):
    """A line for each sign that the predictions can only be wrong; images: in how many each class is."""
    borders, thin = np.sum([strips(read_indexed(path)) for path in truths], axis=0)
    is_usual = thin < STRIPS / 3 * borders  # else true masks are such, too
    if is_usual and (line := resized(list(paths), map(read_indexed, paths.values()))):
        yield line
    for places, what in _other_values(classes, confusion, images):
        moved = np.column_stack([confusion[:, places], confusion[:, -1]])
        own, better = (scores(each, classes)["miou"] for each in (confusion, moved))
        if better > own + CLEARLY:
            line = f"its class values seem {what}; mIoU is {own:.2f}, and would be {better:.2f}"
            yield f"{line}; a class's value is its place in classes.txt, from 1 on (VOC's without it)"
    yield from filter(None, [_flipped(list(zip(paths.values(), truths)))])


def _doubtful(classes, confusion, of_images):
    """A line for each sign that the predictions, or the true masks, may not be what they should be."""
    count, (hits, true, predicted) = len(of_images), of_images.sum(axis=0)
    if not true[1:].any():
        yield f"the true masks of the {count} images have no object; mIoU is that of background alone"
        return
    if hits.sum() == true.sum():
        yield f"is the true mask at each pixel of {count} images; are these predictions?"
    if confusion[:, -1].any():
        share = 100 * confusion[:, -1].sum() / confusion.sum()
        yield f"{share:.2g}% of the pixels have {IGNORE}, which is no class and counts as wrong; each needs its class"
    found = np.flatnonzero(predicted[1:])
    if len(found) < 2 < np.count_nonzero(true[1:]) and count > FEW:
        what = f"the class {classes[found[0] + 1]} alone" if len(found) else "no object"
        line = f"has {what} in {count} images, whose true masks have {np.count_nonzero(true[1:])} classes"
        yield f"{line}; each pixel needs its class's value"
    elif len(found) > 1:
        yield from filter(None, [_of_other_images(of_images)])


def _of_other_images(of_images):
    """A line if the class of most pixels is in the image's own true mask no more often than in others'."""
    objects = of_images[:, 1:, 1:][of_images[:, 2, 1:].any(axis=1)]
    if len(objects) < ENOUGH:
        return None
    common = (objects[:, 0] > 0)[:, objects[:, 1].argmax(axis=1)]  # image of the true mask x image of the prediction
    own, count = np.mean(np.diag(common)), len(common)
    others = (common.sum() - np.trace(common)) / (count * (count - 1))
    if others > COMMON or own > others + 2 * np.sqrt(others * (1 - others) / count):
        return None
    line = f"the class of most pixels is in the true mask of {own:.0%} of images, and in {others:.0%} of others' masks"
    return f"{line}; are they predictions of these very images, in this order?"


def _flipped(pairs):
    """A line if the predictions fit the true masks clearly better when they are mirrored; pairs: paths of both."""
    if len(pairs) < FEWEST:
        return None
    counts = []  # by image: pixels of objects, and those with their class for each of FLIPS
    for pair in pairs[:: max(1, len(pairs) // SAMPLE)]:
        predicted, true = map(read_indexed, pair)
        is_object = (true > 0) & (true != IGNORE)
        hits = [np.count_nonzero(predicted[flip][is_object] == true[is_object]) for flip in FLIPS.values()]
        counts.append([np.count_nonzero(is_object), *hits])
    total, *hits = np.sum(counts, axis=0)
    best = int(np.argmax(hits))
    better = [each[1 + best] > each[1] for each in counts if each[0]]
    if hits[best] - hits[0] <= MIRRORED * total or np.mean(better) < MOSTLY:
        return None
    own, turned = hits[0] / total, hits[best] / total
    what = f"{own:.0%} of the objects' pixels have their class, and {turned:.0%} if the masks are {list(FLIPS)[best]}"
    return f"{what}; turn them back"


def _other_values(classes, confusion, images):
    """(the value that each class seems to have, in words) of shifted and of exchanged values; images: see `_wrong`."""
    count = len(classes)
    most = confusion[:, :count].argmax(axis=1)
    is_clear = (images >= FEW) & (2 * confusion[np.arange(count), most] > confusion.sum(axis=1))
    present = [c for c in range(count) if images[c] >= FEW]
    moved = {c: most[c] for c in present if is_clear[c] and most[c] != c}
    for by, what in ((-1, "low"), (1, "high")):
        shifted = [c for c, to in moved.items() if c and to == c + by]
        if len(shifted) >= max(2, (len(present) - 1) / 2):
            places = np.clip(np.arange(count) + by, 0, count - 1)
            yield places, f"one too {what}, of {len(shifted)} of {len(present) - 1} classes"
    while set(moved) != set(moved.values()):  # what is left takes each other's values
        moved = {c: to for c, to in moved.items() if to in moved and c in moved.values()}
    if moved:
        pairs = [f"'{classes[to]}' for '{classes[c]}'" for c, to in moved.items()]
        yield np.array([moved.get(c, c) for c in range(count)]), f"exchanged: {', '.join(pairs)}"
