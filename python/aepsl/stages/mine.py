"""One step of adversarial erasing: CAM, threshold, merge with the regions erased before (algorithm 1).

Regions are 16-bit PNGs of the image's size, one for an image: bit k of a pixel says
that it was mined for the image's k-th label, in this step or an earlier one; 0 is not erased.
"""

import argparse
import os
import sys

import numpy as np
from tqdm import tqdm

from aepsl import experiments
from aepsl.caffe_nets import device
from aepsl.caffe_nets.whole_image import ClassificationNet
from aepsl.data.dataset import Dataset, shard
from aepsl.data.regions import packed
from aepsl.files import finished, sha256
from aepsl.images import read_indexed, write_grey

MOST_ERASED_FIRST, MOST_ERASED = 0.4, 0.7  # beyond these shares of an image little object is left to find


def run(experiment, data, model, out, before=None, part=None, gpu=None):
    """Write the regions mined from every training image, merged with those of the folder `before`, to `out`.

    experiment: settings; data: root of the data set; model: caffemodel of this step's classification net;
    part: 'k/n' mines only that share of the images.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = shard(dataset.ids(experiment["data"]["train"]), part)
    labels = dataset.labels(ids)
    net = ClassificationNet(experiment, model, gpu)
    threshold = experiment["mining"]["threshold"]
    is_finished = finished(out, dict(model=sha256(model), threshold=threshold, data=experiment["data"], before=before))
    shares = []
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), labels):
        path = os.path.join(out, image_id + ".png")
        if not is_finished(path):
            erased = read_indexed(os.path.join(before, image_id + ".png")) if before else None
            maps = net.cam(dataset.image(image_id), np.flatnonzero(row), erased)
            regions = packed(mined(maps, threshold))
            write_grey(path, regions if erased is None else regions | erased)
        shares.append(np.mean(read_indexed(path) > 0))
    _warn_if_over_erased(out, np.mean(shares), MOST_ERASED if before else MOST_ERASED_FIRST)


def mined(maps, threshold):
    """The mined region of each map: N x H x W booleans.

    threshold: {'of_max': d}, pixels above d times the map's maximum; or {'top_pixels': d}, the share d of the pixels
    that have the largest values. Nothing where the maximum is not positive.
    """
    ((kind, value),) = threshold.items()
    highest = maps.max(axis=(1, 2), keepdims=True)
    bound = value * highest if kind == "of_max" else np.quantile(maps, 1 - value, axis=(1, 2), keepdims=True)
    return (maps > bound) & (highest > 0)


def _warn_if_over_erased(out, share, most):
    print(f"{out}: {share:.0%} of the images is erased so far")
    if share > most:
        print(
            f"warning: {out}: more than {most:.0%} is erased, so the later steps find little but background; "
            "make mining.threshold in experiment.yaml stricter",
            file=sys.stderr,
        )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--model", required=True, help="caffemodel of this step's classification net")
    parser.add_argument("--out", required=True, help="folder for the regions")
    parser.add_argument("--before", help="folder of the regions of the step before")
    parser.add_argument("--shard", dest="part", help="K/N: only that share of the images")
    device.add_gpu_argument(parser)
    arguments = vars(parser.parse_args(argv))
    run(experiments.load(arguments.pop("experiment")), **arguments)
