"""Segments images with a trained net, without and with CRF: `python3 -m aepsl.segment --help`."""

import argparse
import os

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import caffe_io, crf
from aepsl import experiment as experiments
from aepsl.dataset import Dataset, scaled, shard, write_mask
from aepsl.errors import command
from aepsl.geometry import grown
from aepsl.layers.losses import softmax


def run(experiment, data, list_name, model, out, part=None, gpu=None):
    """Segment the images of a list into `out`/plain and `out`/crf, PNGs with VOC's palette.

    experiment: settings; data: root of the data set; list_name: 'val', or the path of a list; model: caffemodel of
    the segmentation net; part: 'k/n' segments only that share of the images.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = shard(dataset.ids(list_name), part)
    net = SegmentationNet(experiment, model, gpu)
    values = np.array(dataset.values, np.uint8)
    for image_id in tqdm(ids, unit="image", desc=out, disable=None):
        plain, with_crf = (os.path.join(out, kind, image_id + ".png") for kind in ("plain", "crf"))
        if os.path.exists(with_crf):
            continue
        image = dataset.image(image_id)
        probabilities = net.probabilities(image)
        write_mask(plain, values[probabilities.argmax(axis=0)])
        write_mask(with_crf, values[crf.refined(image, probabilities, experiment["crf"]).argmax(axis=0)])


class SegmentationNet:
    """A trained segmentation net, for whole images."""

    def __init__(self, experiment, model, gpu=None):
        caffe_io.use(gpu)
        self.settings = experiment["data"]
        self.net = caffe_io.open_net(experiments.prototxt(experiment, "segmentation", "deploy"), model)

    def probabilities(self, image):
        """f: (C + 1) x H x W float32, background first, of an H x W x 3 uint8 BGR image."""
        caffe_io.forward(self.net, image, self.settings)
        f = softmax(self.net.blobs["fc8_seg"].data)[0]
        maps = grown(f, scaled(image, self.settings["scale"]).shape[:2])
        return np.stack([cv2.resize(map, image.shape[1::-1]) for map in maps])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--list", dest="list_name", required=True, help="val, or the path of a list of ids")
    parser.add_argument("--model", required=True, help="caffemodel of the segmentation net")
    parser.add_argument("--out", required=True, help="folder for plain/ID.png and crf/ID.png")
    parser.add_argument("--shard", dest="part", help="K/N: only that share of the images")
    parser.add_argument("--gpu", type=int, help="number of the GPU; the CPU without it")
    arguments = vars(parser.parse_args())
    run(experiments.load(arguments.pop("experiment")), **arguments)


if __name__ == "__main__":
    command(main)
