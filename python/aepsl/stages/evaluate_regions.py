"""How much of the objects the mined regions cover, and how much else."""

import argparse
import os

import numpy as np
from tqdm import tqdm

from aepsl import experiments
from aepsl.caffe_nets import device
from aepsl.caffe_nets.whole_image import ClassificationNet
from aepsl.data.dataset import IGNORE, Dataset
from aepsl.data.regions import unpacked
from aepsl.errors import InputError
from aepsl.files import write_json
from aepsl.images import read_indexed
from aepsl.stages.mine import mined


class Tally:
    """Counts over all images.

    'recall': the share of the objects' pixels that were mined for their class; 'precision': the share of the mined
    pixels that are of their class; 'erased': the share of all pixels that were mined. Each in 0 ... 1.
    """

    def __init__(self):
        self.mined = self.found = self.objects = self.erased = self.pixels = 0

    def add(self, F, values, truth):
        """F: N x H x W booleans, regions of the classes of mask value `values`; truth: H x W mask, or None."""
        self.erased += np.count_nonzero(F.any(axis=0))
        self.pixels += F[0].size
        if truth is not None:
            is_object = truth == np.array(values)[:, None, None]
            self.mined += np.count_nonzero(F & (truth != IGNORE))
            self.found += np.count_nonzero(F & is_object)
            self.objects += np.count_nonzero(is_object)

    def shares(self):
        """Only 'erased' where no image had a mask."""
        shares = dict(erased=self.erased / self.pixels)
        if self.objects:
            shares.update(recall=self.found / self.objects, precision=self.found / max(1, self.mined))
        return shares


def true_mask(folder, image_id, shape):
    """The mask ID.png of `folder`, or None where there is none: training images need none.

    Raises InputError for one that is not of `shape`, its image's.
    """
    path = os.path.join(folder or "", image_id + ".png")
    if folder is None or not os.path.exists(path):
        return None
    truth = read_indexed(path)
    if truth.shape != shape:
        raise InputError(f"{path}: does not have its image's size; mend it, or remove it: training needs no mask")
    return truth


def run(experiment, data, json, regions=None, model=None, gpu=None):
    """Compare regions of every training image with its true mask and write `json`; nothing else looks at these masks.

    regions: folder of mined regions; `json` then holds their shares (see Tally). Or model: caffemodel of a
    classification net of step 1; `json` then holds a list of [threshold, shares], what the net would have mined with
    each of the experiment's `mining.sensitivity`.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    truths = dataset.mask_folder()
    thresholds = [None] if regions else experiment["mining"]["sensitivity"]
    tallies = [Tally() for _ in thresholds]
    net = None if regions else ClassificationNet(experiment, model, gpu)
    for image_id, row in zip(tqdm(ids, unit="image", desc=json, disable=None), dataset.labels(ids)):
        classes = np.flatnonzero(row)
        values = [dataset.values[c + 1] for c in classes]
        if regions:
            all_F = [unpacked(read_indexed(os.path.join(regions, image_id + ".png")), len(classes))]
        else:
            maps = net.cam(dataset.image(image_id), classes)
            all_F = [mined(maps, threshold) for threshold in thresholds]
        truth = true_mask(truths, image_id, all_F[0].shape[1:])
        for tally, F in zip(tallies, all_F):
            tally.add(F, values, truth)
    shares = [tally.shares() for tally in tallies]
    write_json(json, shares[0] if regions else list(zip(thresholds, shares)))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--json", required=True, help="file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--regions", help="folder of mined regions")
    source.add_argument("--model", help="classification net of step 1, to try the thresholds of mining.sensitivity")
    device.add_gpu_argument(parser)
    arguments = vars(parser.parse_args(argv))
    run(experiments.load(arguments.pop("experiment")), **arguments)
