"""Writes the regions and masks of a run in the formats that other projects train from.

irn     OUT/cam/ID.npy, what irn's step/make_cam.py writes: heat maps of the image's classes, each divided by its
        maximum; of the net of one step, computed anew, as runs keep regions only
mmseg   OUT/SegmentationClass/ID.png and OUT/ImageSets/Segmentation/train.txt, and mmsegmentation's setting for them
sec     OUT/localization_cues.pickle, the masks S as SEC's and DSRG's AnnotationLayer read them, and OUT/input_list.txt,
        the images and their numbers there, for Caffe's ImageData
png     OUT/ID.png, the training masks S with VOC's palette, 255 for ignored pixels
"""

import itertools
import os
import pickle
import shutil
from collections.abc import Sequence
from typing import Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import folder_whole, write_text
from aepsl.data.dataset import IGNORE, LISTS, Dataset, in_folder
from aepsl.data.regions import read
from aepsl.graph.graph import of_run
from aepsl.graph.run_folder import RunFolder
from aepsl.images.pictures import read_indexed
from aepsl.nets.whole_image import ClassificationNet
from aepsl.run import today
from aepsl.run.inputs import data_of
from aepsl.settings.typed import Experiment

KINDS = ("irn", "mmseg", "png", "sec")
MASKS = "SegmentationClass"
CELL = 4  # pixels of a cell of irn's `cam`
GRID = 41  # cells a side of SEC's cues: a net of stride 8 on images warped to 321 x 321
EPSILON = 1e-5  # that irn adds to a maximum


def run(
    experiment: Experiment,
    kind: str,
    out: str,
    step: Optional[int] = None,
    data: Optional[str] = None,
    gpu: Optional[list[int]] = None,
) -> str:
    """Write the folder `out`, which must not exist, or be empty.

    kind: of KINDS; step: of erasing: for irn the step of the net (1), for the others the last step whose regions are
    merged (the experiment's `merge`). Returns a line to print. Raises InputError for a step that the run has not done.
    """
    folder = RunFolder(experiment.name)
    step = step or (1 if kind == "irn" else experiment.mining.merge)
    if step > experiment.mining.steps:
        raise InputError(f"--step {step}: the run has the steps 1 to {experiment.mining.steps}")
    today.tell(experiment, data)
    dataset = Dataset(data_of(experiment, data), experiment.classes)
    ids = dataset.ids(experiment.data.train)
    if kind == "irn":
        before = in_folder(folder.regions(step - 1), ids) if step > 1 else []
        model = folder.model(folder.classification(step))
        today.check_unchanged(folder.path, [model, *before])
        _irn(ClassificationNet(experiment, model, gpu), dataset, ids, before, out)
        return f"{out}/cam: {len(ids)} files of heat maps of the net of step {step}"
    masks = in_folder(folder.masks(step), ids)
    missing = [path for path in masks if not os.path.exists(path)]
    if missing:
        raise InputError(f"{missing[0]}: no such mask; `aepsl run {experiment.name} --row ae_step{step}` makes it")
    today.check_unchanged(folder.path, masks)
    dataset.check_masks(ids, folder.masks(step))
    return dict(mmseg=_mmseg, png=_png, sec=_sec)[kind](dataset, ids, masks, out)


def _png(dataset: Dataset, ids: Sequence[str], masks: Sequence[str], out: str) -> str:
    with folder_whole(out) as beside:
        for path in masks:
            shutil.copy(path, beside)
    return f"{out}: {len(ids)} masks, those of {os.path.dirname(masks[0])}"


def _mmseg(dataset: Dataset, ids: Sequence[str], masks: Sequence[str], out: str) -> str:
    """Returns the dataset of an mmsegmentation config (1.x). It refers to the images, which are not copied."""
    endings = sorted({os.path.splitext(dataset.image_path(image_id))[1] for image_id in ids})
    if len(endings) > 1:
        raise InputError(f"{dataset.root}: has images that end in {' and '.join(endings)}; mmsegmentation takes one")
    with folder_whole(out) as beside:
        os.makedirs(os.path.join(beside, MASKS))
        for path in masks:
            shutil.copy(path, os.path.join(beside, MASKS))
        write_text(os.path.join(beside, LISTS, "train.txt"), "".join(image_id + "\n" for image_id in ids))
    names = ("background", *Dataset(dataset.root).classes)  # a mask's value is a place in this list
    images = os.path.join(os.path.abspath(dataset.root), "JPEGImages")
    return (
        f"dataset=dict(type='BaseSegDataset', metainfo=dict(classes={names!r}), data_root={os.path.abspath(out)!r}, "
        f"data_prefix=dict(img_path={images!r}, seg_map_path={MASKS!r}), ann_file='{LISTS}/train.txt', "
        f"img_suffix={endings[0]!r}, seg_map_suffix='.png', pipeline=train_pipeline)"
    )


def _sec(dataset: Dataset, ids: Sequence[str], masks: Sequence[str], out: str) -> str:
    found: dict[str, np.ndarray] = {}
    for number, (path, row) in enumerate(zip(tqdm(masks, unit="image", desc=out, disable=None), dataset.labels(ids))):
        found[f"{number}_labels"] = np.array(dataset.values)[np.flatnonzero(row) + 1]
        found[f"{number}_cues"] = cues(read_indexed(path))
    names = [os.path.basename(dataset.image_path(image_id)) for image_id in ids]
    with folder_whole(out) as beside:
        with open(os.path.join(beside, "localization_cues.pickle"), "wb") as file:
            pickle.dump(found, file, protocol=2)  # they run in Python 2
        text = "".join(f"{name} {number}\n" for number, name in enumerate(names))
        write_text(os.path.join(beside, "input_list.txt"), text)
    return f"{out}: cues of {len(ids)} images"


def cues(mask: np.ndarray) -> np.ndarray:
    """A mask S as SEC's cues: 3 x N int16, channel (the mask's value, 0 is background), y and x of the GRID's cells.

    Cells are spaced as in the net's maps: the outer ones are on the image's border. Ignored pixels of S give no cue.
    """
    small = mask[np.ix_(*(np.round(np.linspace(0, side - 1, GRID)).astype(int) for side in mask.shape))]
    y, x = np.nonzero(small != IGNORE)
    return np.stack([small[y, x], y, x]).astype(np.int16)


def _irn(net: ClassificationNet, dataset: Dataset, ids: Sequence[str], before: Sequence[str], out: str) -> None:
    """before: the files of the regions that are erased, or none."""
    with folder_whole(out) as beside:
        os.makedirs(os.path.join(beside, "cam"))
        of_images = zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids))
        for (image_id, row), path in itertools.zip_longest(of_images, before):
            classes = np.flatnonzero(row)
            maps = net.cam(dataset.image(image_id), classes, path and read(path), image_id)
            keys = np.array(dataset.values)[classes + 1] - 1
            np.save(os.path.join(beside, "cam", image_id + ".npy"), as_irn(maps, keys), allow_pickle=True)


def as_irn(maps: np.ndarray, keys: np.ndarray) -> dict[str, np.ndarray]:
    """The dict that irn reads. maps: N x H x W float32; keys: N, the mask values of their classes, minus 1.

    'keys': N int64; 'high_res': N x H x W float32 in 0 ... 1; 'cam': the same with a cell for each 4 x 4 pixels.
    """
    maps = np.maximum(maps, 0)
    height, width = ((side - 1) // CELL + 1 for side in maps.shape[1:])
    small = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_LINEAR) for each in maps])
    return dict(keys=keys.astype(np.int64), cam=_normalised(small), high_res=_normalised(maps))


def _normalised(maps: np.ndarray) -> np.ndarray:
    return maps / (maps.max(axis=(1, 2), keepdims=True) + EPSILON)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "gpu", places=lambda asked: places.of_run(asked.experiment.name))
    parser.add_argument("--run", dest="experiment", required=True, type=of_run, metavar="NAME")
    parser.add_argument("--to", dest="kind", required=True, choices=KINDS, help="the format")
    parser.add_argument("--out", required=True, help="folder to write, in runs/ or one that WRITABLE= names")
    step = "step of erasing; irn: of the net (1), else the last one that is merged"
    parser.add_argument("--step", type=cli.number(1), help=step)
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="root of the data set, in VOC layout")
    print(run(**vars(parser.parse_args(argv))))
