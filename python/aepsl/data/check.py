"""Checks a data set before anything long begins: lists, labels, images, masks."""

import numpy as np

from aepsl import cli
from aepsl.data.dataset import IGNORE, MASK_FOLDERS, Dataset, in_folder
from aepsl.errors import InputError
from aepsl.files import write_json
from aepsl.images import read_indexed
from aepsl.made import Result


def run(experiment, data, mark=None):
    """Check all that the experiment will read of the data set `data`; raises InputError for the first fault.

    mark: file for how many images there are, {"train": ..., "val": ...}; if it is there, and nothing has changed since,
    nothing is done. Returns what it holds.
    """
    dataset = Dataset(data, experiment["classes"])
    train, val = (dataset.ids(experiment["data"][key]) for key in ("train", "val"))
    images = dict(train=len(train), val=len(val))
    dataset.labels(train + val)
    if mark:
        contents = [dataset.contents(ids, "images", "labels", "masks") for ids in (train, val)]
        if Result(mark, dict(stage="check", train=contents[0], val=contents[1])).has():
            return images
    truths = dataset.mask_folder()
    dataset.check(train)
    if truths is None:
        raise InputError(f"{data}/{MASK_FOLDERS[0]}: no such folder; the masks of {experiment['data']['val']} go there")
    dataset.check(val, [truths])
    for path in in_folder(truths, val):
        unknown = np.setdiff1d(read_indexed(path), [*dataset.values, IGNORE])
        if unknown.size:
            raise InputError(f"{path}: has the value {unknown[0]}, which is no class of {experiment['name']}; mend it")
    if mark:
        write_json(mark, images)
    return images


def main(argv=None):
    images = run(**vars(cli.parser(__doc__, "experiment data").parse_args(argv)))
    print(f"{images['train']} training and {images['val']} validation images: nothing is wrong with them")
