"""One step of adversarial erasing: CAM, threshold, merge with the regions erased before (algorithm 1).

`python3 -m aepsl.mine --help`. Regions are 16-bit PNGs of the image's size, one for an image: bit k of a pixel says
that it was mined for the image's k-th label, in this step or an earlier one; 0 is not erased.
"""

import argparse
import os
import sys

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import caffe_io
from aepsl import experiment as experiments
from aepsl.dataset import Dataset, shard
from aepsl.errors import InputError, command
from aepsl.files import finished, read_indexed, sha256, write_grey
from aepsl.geometry import grown

MOST_LABELS = 16
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


class ClassificationNet:
    """The trained classification net of one step, for whole images."""

    def __init__(self, experiment, model, gpu=None):
        caffe_io.use(gpu)
        self.settings = experiment["data"]
        self.net = caffe_io.open_net(experiments.prototxt(experiment, "classification", "deploy"), model)
        self.features = self.net.bottom_names["gap"][0]

    def cam(self, image, classes, erased=None):
        """Class activation maps H_c(u) = sum_k w_ck x_k(u) of reference [34], grown to the image's size.

        image: H x W x 3 uint8 BGR; classes: indices from 0; erased: H x W, not 0 where erased, or None.
        Returns len(classes) x H x W float32.
        """
        small = caffe_io.forward(self.net, image, self.settings, erased)
        weights = self.net.params["fc8_cls"][0].data[classes]
        maps = np.tensordot(weights, self.net.blobs[self.features].data[0], axes=1)
        size = image.shape[:2]
        return np.stack([cv2.resize(map, size[::-1]) for map in grown(maps, small)])


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


def packed(regions):
    """N x H x W booleans as H x W uint16 bit sets; N at most 16."""
    if len(regions) > MOST_LABELS:
        raise InputError(f"an image has {len(regions)} labels; regions have room for {MOST_LABELS}")
    bits = np.uint16(1) << np.arange(len(regions), dtype=np.uint16)
    return (regions * bits[:, None, None]).sum(axis=0).astype(np.uint16)


def unpacked(bits, count):
    """The inverse of `packed` for `count` regions."""
    return (bits[None] >> np.arange(count, dtype=np.uint16)[:, None, None] & 1).astype(bool)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--model", required=True, help="caffemodel of this step's classification net")
    parser.add_argument("--out", required=True, help="folder for the regions")
    parser.add_argument("--before", help="folder of the regions of the step before")
    parser.add_argument("--shard", dest="part", help="K/N: only that share of the images")
    caffe_io.add_gpu_argument(parser)
    arguments = vars(parser.parse_args())
    run(experiments.load(arguments.pop("experiment")), **arguments)


if __name__ == "__main__":
    command(main)
