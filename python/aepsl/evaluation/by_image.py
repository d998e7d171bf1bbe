"""Results by image: wrong pixels by size of object, the best and the worst images, over-erased ones."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from skimage import measure

from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.evaluation import bootstrap, evaluate
from aepsl.images.pictures import read_indexed

OBJECT_SIZES = (0.01, 0.04, 0.16, 1)  # bounds of the sizes of objects, as shares of their image
EXAMPLES = 2  # images of each kind that are named
MOST_DIFFERENT = 20  # images that a comparison names
SEARCHED = 1000  # training images that are searched for over-erased ones


def of_row(folder: str, dataset: Dataset, ids: Sequence[str]) -> tuple[list[dict], dict[str, float]]:
    """(errors by size of object, {id: mIoU}) of the segmentations `folder`/ID.png of `ids`; all must exist.

    The first: [{'most': ..., 'objects': ..., 'missed': ..., 'confused': ...}], one for each of OBJECT_SIZES. An object
    is a connected piece (8 neighbours) of one class in the true mask. 'missed' and 'confused' are in percent of the
    pixels of the objects of that size; None if there are no such objects. mIoU: in percent, the mean over the classes,
    with background, that the image's truth or prediction has.
    """
    counts, ious = np.zeros((len(OBJECT_SIZES), 4), np.int64), {}  # objects, their pixels, missed, confused
    truths = evaluate.check_ids(dataset.mask_folder(), ids)
    for image_id in ids:
        truth, predicted = (read_indexed(png(place, image_id)) for place in (truths, folder))
        ious[image_id] = miou(evaluate.confusion(predicted, truth, dataset.values, image_id))
        pieces, number = measure.label(np.where(truth == IGNORE, 0, truth), connectivity=2, return_num=True)
        which = pieces > 0, predicted == truth, predicted == 0
        area, right, missed = (np.bincount(pieces[each], minlength=number + 1)[1:] for each in which)
        rows = np.stack([np.ones_like(area), area, missed, area - right - missed], axis=1)
        np.add.at(counts, np.searchsorted(OBJECT_SIZES, area / truth.size), rows)
    by_size = []
    for most, (objects, total, *wrong) in zip(OBJECT_SIZES, counts):
        shares = [float(100 * count / total) if total else None for count in wrong]
        by_size.append(dict(most=most, objects=int(objects), **dict(zip(evaluate.WRONG_KINDS, shares))))
    return by_size, ious


def miou(confusion: np.ndarray) -> float:
    """Mean IoU of one image, in percent, over the classes that either mask has; confusion: evaluate.confusion's."""
    sums = evaluate.sums(confusion)
    has = sums[1:].any(axis=0)
    return float(np.nan_to_num(evaluate.iou(sums))[has].mean()) if has.any() else 0.0


def examples(ious: Mapping[str, float]) -> dict[str, list[dict]]:
    """{'best': [{'id': ..., 'miou': ...}, ...], 'median': ..., 'worst': ...}: EXAMPLES of each, ordered by mIoU.

    ious: {id: mIoU}.
    """
    ranked = sorted(ious, key=lambda image_id: (-ious[image_id], image_id))
    middle = max(0, (len(ranked) - EXAMPLES) // 2)
    chosen = dict(best=ranked[:EXAMPLES], median=ranked[middle : middle + EXAMPLES], worst=ranked[-EXAMPLES:])
    return {kind: [dict(id=each, miou=ious[each]) for each in found] for kind, found in chosen.items()}


def over_erased(before: str, after: str, dataset: Dataset, ids: Iterable[str], seed: int) -> list[dict]:
    """The 2 * EXAMPLES images that lose most precision from the regions `before` to those of the next step, `after`.

    before, after: folders. Returns [{'id': ..., 'before': ..., 'after': ...}], with the precision, 0 ... 1, of all
    labels' regions together. SEARCHED of `ids` are drawn with `seed`; of these, images without a true mask, or without
    mined pixels in one of the steps, are left out.
    """
    ids = list(ids)
    if len(ids) > SEARCHED:
        ids = [ids[k] for k in sorted(np.random.RandomState(seed).choice(len(ids), SEARCHED, replace=False))]
    found: list[dict] = []
    for image_id, row in zip(ids, dataset.labels(ids)):
        values = [dataset.values[c + 1] for c in np.flatnonzero(row)]
        regions = [read_indexed(png(folder, image_id)) > 0 for folder in (before, after)]
        truth = dataset.truth(image_id, regions[0].shape)
        if truth is None:
            continue
        mined = [truth[region & (truth != IGNORE)] for region in regions]
        if all(each.size for each in mined):
            precisions = [float(np.isin(each, values).mean()) for each in mined]
            found.append(dict(id=image_id, before=precisions[0], after=precisions[1]))
    return sorted(found, key=lambda each: (each["after"] - each["before"], each["id"]))[: 2 * EXAMPLES]


def most_different(ids: Sequence[str], ours: np.ndarray, theirs: np.ndarray) -> list[dict]:
    """MOST_DIFFERENT images whose own mIoU, over the classes in the image's truth, differs most; N x 3 x K of each."""
    means = [bootstrap.with_mean(evaluate.iou(np.moveaxis(sums, 1, 0)))[:, -1] for sums in (ours, theirs)]
    order = np.argsort(-np.abs(means[1] - means[0]), kind="stable")[:MOST_DIFFERENT]
    rows = np.stack([means[1] - means[0], *means], axis=1)[order].tolist()
    return [dict(id=ids[k], **dict(zip(("difference", "ours", "theirs"), row))) for k, row in zip(order, rows)]
