"""How much of the objects the mined regions cover, and how much else: `python3 -m aepsl.measure --help`."""

import argparse
import os

import numpy as np
from tqdm import tqdm

from aepsl import experiment as experiments
from aepsl.dataset import IGNORE, Dataset
from aepsl.errors import command
from aepsl.files import read_indexed, write_json
from aepsl.mine import unpacked


def run(experiment, data, regions, json):
    """Compare the regions of every training image with its true mask, and write `json`.

    'recall': the share of the objects' pixels that were mined for their class; 'precision': the share of the mined
    pixels that are of their class; 'erased': the share of all pixels mined so far. Each is one ratio over all images,
    in 0 ... 1. Only 'erased' where the data set has no masks: nothing but this report looks at them.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    truths = dataset.mask_folder()
    mined, found, objects, erased, pixels = 0, 0, 0, 0, 0
    for image_id, row in zip(tqdm(ids, unit="image", desc=regions, disable=None), dataset.labels(ids)):
        bits = read_indexed(os.path.join(regions, image_id + ".png"))
        erased += np.count_nonzero(bits)
        pixels += bits.size
        if truths is None:
            continue
        truth = read_indexed(os.path.join(truths, image_id + ".png"))
        classes = np.flatnonzero(row)
        for F, c in zip(unpacked(bits, len(classes)), classes):
            is_object = truth == dataset.values[c + 1]
            mined += np.count_nonzero(F & (truth != IGNORE))
            found += np.count_nonzero(F & is_object)
            objects += np.count_nonzero(is_object)
    result = dict(erased=erased / pixels)
    if truths is not None:
        result.update(recall=found / max(1, objects), precision=found / max(1, mined))
    write_json(json, result)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--regions", required=True, help="folder of mined regions")
    parser.add_argument("--json", required=True, help="file to write")
    arguments = vars(parser.parse_args())
    run(experiments.load(arguments.pop("experiment")), **arguments)


if __name__ == "__main__":
    command(main)
