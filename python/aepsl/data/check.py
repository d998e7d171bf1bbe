"""Checks a data set before anything long begins: lists, labels, images, masks."""

import argparse
import os

import numpy as np

from aepsl import experiments
from aepsl.data.dataset import IGNORE, MASK_FOLDERS, Dataset
from aepsl.errors import InputError
from aepsl.files import write_json
from aepsl.images import read_indexed


def run(experiment, data, json=None):
    """Check all that the experiment will read of the data set `data`; raises InputError for the first fault.

    json: file to write then, {"train": how many images, "val": how many}.
    """
    dataset = Dataset(data, experiment["classes"])
    train, val = (dataset.ids(experiment["data"][key]) for key in ("train", "val"))
    dataset.labels(train + val)
    truths = dataset.mask_folder()
    dataset.check(train)
    if truths is None:
        raise InputError(f"{data}/{MASK_FOLDERS[0]}: no such folder; the masks of {experiment['data']['val']} go there")
    dataset.check(val, [truths])
    for image_id in val:
        path = os.path.join(truths, image_id + ".png")
        unknown = np.setdiff1d(read_indexed(path), [*dataset.values, IGNORE])
        if unknown.size:
            raise InputError(f"{path}: has the value {unknown[0]}, which is no class of {experiment['name']}; mend it")
    if json:
        write_json(json, dict(train=len(train), val=len(val)))


def main(argv=None):
    parser = argparse.ArgumentParser(description="Checks a data set: lists, labels, images, masks.")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--json", help="file to write then: the numbers of images")
    arguments = parser.parse_args(argv)
    run(experiments.load(arguments.experiment), arguments.data, arguments.json)
