"""IoU of segmentations, against true masks."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, write_json
from aepsl.base.table import Table, number
from aepsl.data.dataset import ALL_IGNORED, IGNORE, VOC_CLASSES, in_folder
from aepsl.data.lists import ABSENT, read_classes, read_list, twice
from aepsl.data.mask_files import TRUTH, check_shape, check_values
from aepsl.images import decoding
from aepsl.images.pictures import read_indexed, refuse_colours

AS_GIVEN: dict[str, Any] = dict(action="store_true", help="take predictions that look wrong, with a warning")
WRONG_KINDS = ("missed", "confused", "false")  # of wrong pixels: see errors


def run(pred: str, gt: str, ids: Sequence[str], values: Sequence[int], names: Sequence[str]) -> dict:
    """Compare pred/ID.png with gt/ID.png over all `ids`; IoU in percent.

    pred, gt: folders; values: the mask values of the classes, background (0) first; names: of the classes.
    Returns {'miou': ..., 'iou': {name: ...}, 'absent': [classes that the ground truth lacks], 'errors': ...}, see
    `errors`. A pixel that is predicted as IGNORE is wrong. Raises InputError
    - before any file is decoded: for a missing file, and for one whose size is not its counterpart's;
    - for a value that is neither a class nor IGNORE;
    - for a prediction that is IGNORE everywhere, or if all true masks are.
    """
    check_ids(gt, ids)
    total = np.zeros((len(values), len(values) + 1), np.int64)
    for counts in confusions(in_folder(pred, ids), in_folder(gt, ids), values):
        total += counts
    check_counts(gt, total)
    return scores(total, names)


def check_counts(gt: str, confusion: np.ndarray) -> None:
    """InputError if no pixel of the true masks in the folder `gt` counts."""
    if not confusion.any():
        raise InputError(f"{gt}: {ALL_IGNORED}")


def confusions(predictions: Sequence[str], truths: Sequence[str], values: Sequence[int]) -> Iterator[np.ndarray]:
    """An iterator over the images' confusion matrices, each K x (K + 1) int64, see `scores`.

    predictions, truths: paths of masks, in the same order; values: the K mask values. All headers are checked before
    this returns.
    """
    for pair in zip(predictions, truths):
        _check(*pair)
    return (_confusion(*pair, values) for pair in zip(predictions, truths))


def _confusion(prediction, truth, values):
    predicted = read_indexed(prediction)
    occurring = np.flatnonzero(np.bincount(predicted.ravel()))
    check_values(prediction, occurring, [*values, IGNORE])
    if np.array_equal(occurring, [IGNORE]):
        raise InputError(f"{prediction}: is {IGNORE} throughout, which is no class; segment the image anew")
    return confusion(predicted, read_indexed(truth), values, truth)


def confusion(predicted: np.ndarray, true: np.ndarray, values: Sequence[int], name: str) -> np.ndarray:
    """The confusion matrix of two masks, see `scores`; pixels of 255 in the truth do not count.

    predicted: H x W uint8; true: H x W uint8 or uint16; name: of the truth, for messages. Raises InputError for a value
    in the truth that is not in `values`.
    """
    check_values(name, np.flatnonzero(np.bincount(true.ravel())), [*values, IGNORE])
    pairs = np.bincount((256 * true.astype(np.int64) + predicted).ravel(), minlength=256 * 256).reshape(256, 256)
    others = np.setdiff1d(np.arange(256), values)
    return np.column_stack([pairs[np.ix_(values, values)], pairs[np.ix_(values, others)].sum(axis=1)])


def scores(confusion: np.ndarray, names: Sequence[str]) -> dict:
    """IoU in percent of K classes; confusion: K x (K + 1) counts, truth in rows, predictions in columns, 'other' last.

    A class that the ground truth lacks is left out of the mean. A class that is in the truth, and is never predicted,
    has an IoU of 0.
    """
    values = iou(sums(confusion))
    present = ~np.isnan(values)
    return dict(
        miou=float(values[present].mean()) if present.any() else float("nan"),
        iou={name: value for name, value, here in zip(names, values, present) if here},
        absent=[name for name, here in zip(names, present) if not here],
        errors=errors(confusion),
    )


def sums(confusion: np.ndarray) -> np.ndarray:
    """The counts that IoU needs, 3 x K, from a confusion matrix: each class's hits, true pixels, predicted pixels."""
    hits = np.diag(confusion)
    return np.stack([hits, confusion.sum(axis=1), confusion[:, : len(hits)].sum(axis=0)])


def iou(sums: np.ndarray) -> np.ndarray:
    """IoU in percent, ... x K, from `sums`, 3 x ... x K; NaN for a class that the truth lacks."""
    hits, truth, predicted = sums
    union = truth + predicted - hits
    return np.where(truth > 0, 100 * hits / np.maximum(union, 1), np.nan)


def errors(confusion: np.ndarray) -> dict[str, float]:
    """Three kinds of wrong pixels, in percent of the pixels of objects; confusion as in `scores`.

    'missed': an object predicted as background; 'confused': as another class; 'false': background predicted as an
    object.
    """
    objects = max(1, confusion[1:].sum())
    missed, right = confusion[1:, 0].sum(), np.diag(confusion)[1:].sum()
    counts = missed, confusion[1:].sum() - missed - right, confusion[0, 1:].sum()
    return {kind: float(100 * count / objects) for kind, count in zip(WRONG_KINDS, counts)}


def check_ids(gt: Optional[str], ids: Sequence[str]) -> str:
    """The folder of true masks `gt`; InputError if it is None, if `ids` is empty, or if it has an id twice."""
    if gt is None:
        raise InputError("no true masks to compare with; put them into SegmentationClassAug of the data set")
    if (again := twice(ids)) or not ids:
        raise InputError(f"the ids of the images: {f'{again} is there twice' if again else 'the list is empty'}")
    return gt


def _check(prediction, truth):
    """InputError if the headers of two masks say that they cannot be compared."""
    shapes = []
    for path in (prediction, truth):
        with decoding.opened(path, ["PNG"]) as image:
            refuse_colours(path, image)
            shapes.append(image.size[::-1])
    if decoding.header(prediction).bits > 8:
        raise InputError(f"{prediction}: has 16 bits; a mask has 8, for values up to {IGNORE}")
    check_shape(prediction, *shapes, *TRUTH)


def _classes(asked: Any) -> Optional[str]:
    """The file of class names; None for VOC's."""
    beside = os.path.join(os.path.dirname(os.path.abspath(asked.gt)), "classes.txt")
    return asked.classes or (beside if os.path.lexists(beside) else None)


def main(argv: Optional[list[str]] = None) -> None:
    from aepsl.evaluation import meaning  # it imports this file

    parser = cli.parser(__doc__, places=lambda asked: dict(classes=_classes(asked)))
    parser.add_argument("--pred", required=True, help="folder of predicted masks")
    parser.add_argument("--gt", required=True, help="folder of true masks")
    parser.add_argument("--ids", required=True, help="file of ids, one a line")
    parser.add_argument("--json", required=True, help="file to write")
    parser.add_argument("--classes", help="names, values 1, 2, ... (classes.txt beside GT, or VOC's 20)")
    parser.add_argument("--as-given", **AS_GIVEN)
    arguments = parser.parse_args(argv)
    check_place(arguments.json)
    (ids, left_out), path = read_list(arguments.ids), _classes(arguments)
    names = ["background", *(read_classes(path) if path else VOC_CLASSES)]
    compared = arguments.pred, arguments.gt, ids, list(range(len(names))), names
    result = run(*compared)
    meaning.check_folder(*compared, as_given=arguments.as_given)
    write_json(arguments.json, result)
    rows = [[name, number(value, 2)] for name, value in [*result["iou"].items(), ("mIoU", result["miou"])]]
    absent = ", ".join(result["absent"])
    note = f"Left out of the mean, not in the ground truth: {absent}." if absent else ""
    caption = f"{len(ids)} images" + f", without {left_out} with {ABSENT}, VOC's absent" * bool(left_out)
    print(Table(caption, ["class", "IoU"], rows, note).text())
