"""IoU of segmentations, against true masks."""

import os

import numpy as np
from tqdm import tqdm

from aepsl import cli, decoding
from aepsl.data.dataset import IGNORE, VOC_CLASSES
from aepsl.data.lists import read_classes, read_list
from aepsl.errors import InputError
from aepsl.files import write_json
from aepsl.images import read_indexed, refuse_colours


def run(pred, gt, ids, values, names):
    """Compare pred/ID.png with gt/ID.png over all `ids`; IoU in percent.

    values: the mask values of the classes, background (0) first; names: theirs.
    Returns {'miou': ..., 'iou': {name: ...}, 'absent': [names that the ground truth does not have], 'errors': ...},
    see `errors`. Raises InputError for a file that is missing, or not of its counterpart's size, before the first is
    decoded.
    """
    _check(pred, gt, ids)
    confusion = np.zeros((len(values), len(values) + 1), np.int64)
    index = np.full(256, len(values))
    index[values] = np.arange(len(values))
    for image_id in tqdm(ids, unit="image", desc=pred, disable=None):
        predicted, truth = (read_indexed(os.path.join(folder, image_id + ".png")) for folder in (pred, gt))
        unknown = np.setdiff1d(truth[truth != IGNORE], values)
        if unknown.size:
            raise InputError(f"{gt}/{image_id}.png: has the value {unknown[0]}, which is no class of this evaluation")
        counted = truth != IGNORE
        confusion += np.histogram2d(
            index[truth[counted]], index[predicted[counted]], [np.arange(len(values) + 1), np.arange(len(values) + 2)]
        )[0].astype(np.int64)
    return scores(confusion, names)


def scores(confusion, names):
    """IoU in percent of K classes from K x (K + 1) counts: truth in rows, predictions in columns, 'other' last.

    A class that the ground truth does not have is left out of the mean; one that is only never predicted counts 0.
    """
    hits = np.diag(confusion)
    truth = confusion.sum(axis=1)
    union = truth + confusion[:, : len(hits)].sum(axis=0) - hits
    present = truth > 0
    iou = {name: 100 * hit / u for name, hit, u, here in zip(names, hits, union, present) if here}
    absent = [name for name, here in zip(names, present) if not here]
    miou = float(np.mean(list(iou.values()))) if iou else float("nan")
    return dict(miou=miou, iou=iou, absent=absent, errors=errors(confusion))


def errors(confusion):
    """Three kinds of wrong pixels, in percent of the pixels of objects; confusion as in `scores`.

    'missed': objects taken for background; 'confused': for another class; 'false': background taken for an object.
    """
    objects = max(1, confusion[1:].sum())
    missed, right = confusion[1:, 0].sum(), np.diag(confusion)[1:].sum()
    counts = dict(missed=missed, confused=confusion[1:].sum() - missed - right, false=confusion[0, 1:].sum())
    return {kind: float(100 * count / objects) for kind, count in counts.items()}


def _check(pred, gt, ids):
    """InputError for the first file of `ids` whose header says that it cannot be compared."""
    if gt is None:
        raise InputError("no true masks to compare with; they go to SegmentationClassAug of the data set")
    if not ids or len(set(ids)) < len(ids):
        twice = next((image_id for image_id in ids if ids.count(image_id) > 1), None)
        raise InputError(f"the ids of the images: {f'{twice} is there twice' if twice else 'there are none'}")
    for image_id in ids:
        sizes = []
        for folder in (pred, gt):
            path = os.path.join(folder, image_id + ".png")
            with decoding.opened(path, ["PNG"]) as image:
                refuse_colours(path, image)
                sizes.append(image.size)
        path = os.path.join(pred, image_id + ".png")
        if decoding.header(path).bits > 8:
            raise InputError(f"{path}: has 16 bits; a mask has 8, for values up to {IGNORE}")
        if sizes[0] != sizes[1]:
            ours, truth = (f"{width} x {height}" for width, height in sizes)
            raise InputError(
                f"{pred}/{image_id}.png: is {ours}, the ground truth {truth}; segment the image at its own size"
            )


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--pred", required=True, help="folder of predicted masks")
    parser.add_argument("--gt", required=True, help="folder of true masks")
    parser.add_argument("--ids", required=True, help="file of ids, one a line")
    parser.add_argument("--json", required=True, help="file to write")
    parser.add_argument("--classes", help="file of class names, values 1, 2, ...; VOC's 20 without it")
    arguments = parser.parse_args(argv)
    ids = read_list(arguments.ids, "the ids to evaluate").ids
    names = ["background", *(read_classes(arguments.classes) if arguments.classes else VOC_CLASSES)]
    result = run(arguments.pred, arguments.gt, ids, list(range(len(names))), names)
    write_json(arguments.json, result)
    for name, value in result["iou"].items():
        print(f"{name:>14} {value:6.2f}")
    print(f"{'mIoU':>14} {result['miou']:6.2f}")
    if result["absent"]:
        print(f"left out of the mean, not in the ground truth: {', '.join(result['absent'])}")
