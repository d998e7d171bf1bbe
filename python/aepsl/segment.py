"""Segments images with a trained net, without and with CRF: `python3 -m aepsl.segment --help`."""

import argparse
import collections
import concurrent.futures
import multiprocessing
import os

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import caffe_io, crf
from aepsl import experiment as experiments
from aepsl.dataset import Dataset, palette, scaled, shard, write_mask
from aepsl.errors import InputError, command
from aepsl.files import finished, read_picture, sha256, write_colour
from aepsl.geometry import grown
from aepsl.layers.losses import softmax

POLICIES = ("scores", "labels", "none")
LONGEST = 500  # pixels of a picture's longer side: no photo of VOC, whose objects the nets know, has more


def run(experiment, data, list_name, model, out, policy="none", part=None, workers=1, gpu=None):
    """Segment the images of a list into `out`/plain and `out`/crf, PNGs with VOC's palette.

    experiment: settings; data: root of the data set; list_name: 'val', or the path of a list; model: caffemodel;
    policy: see `weights_of_classes`; part: 'k/n' segments only that share of the images; workers: more than 1 are that
    many processes for the CRF, so that a net on a GPU need not wait for it. The result is the same.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = shard(dataset.ids(list_name), part)
    labels = dataset.labels(ids) if policy == "labels" else [None] * len(ids)
    net = SegmentationNet(experiment, model, gpu)
    values = np.array(dataset.values, np.uint8)
    is_finished = finished(out, dict(model=sha256(model), policy=policy, **_settings(experiment)))
    with Processes(workers) as processes:
        for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), labels):
            paths = [os.path.join(out, kind, image_id + ".png") for kind in ("plain", "crf")]
            if not is_finished(paths[1]):
                image = dataset.image(image_id)
                f = net.probabilities(image, policy, row)
                processes.run(_write_masks, paths, image, f, experiment["crf"], values)


def _write_masks(paths, image, f, crf_settings, values):
    """Write the masks of the probabilities `f` without and with CRF; values: the mask value of each channel."""
    write_mask(paths[0], values[f.argmax(axis=0)])
    write_mask(paths[1], values[crf.refined(image, f, crf_settings).argmax(axis=0)])


class Processes:
    """Runs calls in `count` processes, or at once in this one if `count` is 1; a context manager that waits for all.

    The processes come from a server that has never seen CUDA. No more calls wait than keep them busy, so that memory
    does not grow.
    """

    def __init__(self, count):
        self.waiting, self.most = collections.deque(), 2 * count
        context = multiprocessing.get_context("forkserver")
        self.executor = concurrent.futures.ProcessPoolExecutor(count, context) if count > 1 else None

    def run(self, function, *arguments):
        if self.executor is None:
            function(*arguments)
            return
        self.waiting.append(self.executor.submit(function, *arguments))
        if len(self.waiting) > self.most:
            self.waiting.popleft().result()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        while self.waiting and not error:
            self.waiting.popleft().result()
        if self.executor:
            self.executor.shutdown()


def segment_files(experiment, paths, model, out, policy="scores", overlay=False, gpu=None):
    """Segment pictures into `out`/NAME.png, with CRF and VOC's palette; with `overlay` also `out`/NAME_overlay.png.

    paths: of the pictures; model: caffemodel; policy: scores or none. Mask values are 0 for background and k for the
    experiment's k-th class. Raises InputError, before the first is segmented, for a picture that cannot be read and
    for a result that would overwrite a picture or another result.
    """
    names = [os.path.join(out, os.path.splitext(os.path.basename(path))[0]) for path in paths]
    pictures = {os.path.realpath(path) for path in paths}
    written = {}
    for path, name in zip(paths, names):
        for result in [name + ".png"] + [name + "_overlay.png"] * overlay:
            if result in written:
                raise InputError(
                    f"{path}: would overwrite the result of {written[result]}; segment them into two folders"
                )
            if os.path.realpath(result) in pictures:
                raise InputError(f"{path}: its result would overwrite {result}; give --out another folder")
            written[result] = path
        read_picture(path)
    os.makedirs(out, exist_ok=True)
    net = SegmentationNet(experiment, model, gpu)
    for path, name in zip(tqdm(paths, unit="image", disable=None), names):
        image = read_picture(path)
        mask = net.segmented(within(image, LONGEST), policy)[1].astype(np.uint8)
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        write_mask(name + ".png", mask)
        if overlay:
            drawn = cv2.addWeighted(image, 0.5, palette()[mask][:, :, ::-1], 0.5, 0)
            write_colour(name + "_overlay.png", np.where(mask[:, :, None] > 0, drawn, image))


def within(image, longest):
    """The image itself, or shrunk so that its longer side is `longest` pixels: H x W x 3 uint8."""
    return scaled(image, min(1, longest / max(image.shape[:2])))


class SegmentationNet:
    """A trained segmentation net, with or without a classification head, for whole images."""

    def __init__(self, experiment, model, gpu=None):
        caffe_io.use(gpu)
        self.experiment = experiment
        self.model = model
        self.classifies = "fc8_cls" in caffe_io.caffemodel_shapes(model)
        task = "psl" if self.classifies else "segmentation"
        self.net = caffe_io.open_net(experiments.prototxt(experiment, task, "deploy"), model)

    def segmented(self, image, policy="none", labels=None):
        """Channel indices of an H x W x 3 uint8 BGR image, without and with CRF: two arrays H x W.

        labels: C values, 0 or 1, for the policy 'labels'.
        """
        f = self.probabilities(image, policy, labels)
        return f.argmax(axis=0), crf.refined(image, f, self.experiment["crf"]).argmax(axis=0)

    def probabilities(self, image, policy="none", labels=None):
        """[1, v] * softmax(scores), grown to the image: (C + 1) x H x W float32, background first."""
        if policy == "scores" and not self.classifies:
            raise InputError(f"{self.model}: has no classification head, which the policy 'scores' needs; use 'none'")
        size = caffe_io.forward(self.net, image, self.experiment["data"])
        f = softmax(self.net.blobs["fc8_seg"].data)[0]
        v = softmax(self.net.blobs["fc8_cls"].data)[0] if self.classifies else None
        maps = weights_of_classes(policy, v, labels, len(f), self.experiment["psl"]["prohibited"]) * f
        return np.stack([cv2.resize(map, image.shape[1::-1]) for map in grown(maps, size)])


def weights_of_classes(policy, v, labels, channels, prohibited):
    """[1, v] of the test phase (section 3.2) as channels x 1 x 1 float32.

    policy 'scores': class probabilities `v` (C), those below `prohibited` made 0; 'labels': the image labels
    (the paper's '+GT', and for training images); 'none': ones.
    """
    if policy == "none":
        return np.ones((channels, 1, 1), np.float32)
    chosen = np.where(v < prohibited, 0, v) if policy == "scores" else labels
    return np.concatenate([[1], chosen]).astype(np.float32)[:, None, None]


def _settings(experiment):
    return {key: experiment[key] for key in ("data", "psl", "crf")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help=f"pictures to segment, at {LONGEST} pixels at most; or --data and --list",
    )
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--model", required=True, help="caffemodel of the trained net")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--overlay", action="store_true", help="also draw each picture with its segmentation")
    parser.add_argument("--data", help="root of a data set in VOC layout")
    parser.add_argument("--list", dest="list_name", help="val, or the path of a list of ids")
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        help="what weights the classes' maps; default: scores for pictures, none for a list",
    )
    parser.add_argument("--shard", dest="part", help="K/N: only that share of the list")
    parser.add_argument("--workers", type=int, default=1, help="processes for the CRF of a list; default: this one")
    caffe_io.add_gpu_argument(parser)
    a = parser.parse_args()
    experiment = experiments.load(a.experiment)
    if bool(a.images) == bool(a.data and a.list_name):
        parser.error("give pictures, or --data and --list")
    if a.images and a.policy == "labels":
        parser.error("--policy labels is for a list, whose labels are known; for pictures: scores or none")
    if a.images:
        segment_files(experiment, a.images, a.model, a.out, a.policy or "scores", a.overlay, a.gpu)
    else:
        run(experiment, a.data, a.list_name, a.model, a.out, a.policy or "none", a.part, a.workers, a.gpu)


if __name__ == "__main__":
    command(main)
