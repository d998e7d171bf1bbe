"""The work of each stage that `aepsl bench` measures, and its bound: the necessary part of the work, called directly.

Every function prepares a processes.Case; folder: an empty one to work in.
"""

import itertools
import os
import re
import subprocess
from typing import Optional

import cv2
import numpy as np
from caffe import layers as L
from PIL import Image
from pydensecrf import densecrf
from skimage.segmentation import felzenszwalb

from aepsl.base.files import write_text
from aepsl.bench.processes import Case, in_a_process
from aepsl.data.dataset import Dataset, in_folder
from aepsl.evaluation import evaluate
from aepsl.images.pictures import read_indexed, within
from aepsl.layers.data import PARAMETERS, Sampler
from aepsl.nets import build, crf, device
from aepsl.nets.whole_image import ClassificationNet
from aepsl.saliency.detectors import rbd
from aepsl.saliency.drfi import features
from aepsl.saliency.drfi import model as drfi
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.stages import mine
from aepsl.stages.segment import SegmentationNet
from aepsl.training import stand_ins


def training(
    folder: str, name: str, task: str, batch: Optional[int], iterations: int, gpu: Optional[int] = None
) -> Case:
    """Iterations of training, with decoding of the images, against `caffe time` of the same net on data in memory.

    batch: None for the experiment's; images/s hardly depend on it. On a GPU both have their own processes, so that
    their memory does not add up.
    """
    experiment = experiments.load(name)
    batch = batch or experiment.training.of(task).batch
    bound = os.path.join(folder, "bound.prototxt")
    write_text(bound, without_data(experiment, task, batch))
    if gpu is None:
        device.use(None)
        solver = stand_ins.solver(experiment, task, folder, batch)
        ours = lambda: solver.step(iterations)  # noqa: E731
    else:
        ours = lambda: in_a_process(stand_ins.trained, gpu, name, task, batch, iterations)[0]  # noqa: E731
    return Case(batch * iterations, ours, lambda: caffe_time(bound, iterations, gpu))


def without_data(experiment: Experiment, task: str, batch: int) -> str:
    """The training net of `task` on constant batches, as text."""
    shapes = [dict(dim=shape) for shape in build.batch_shapes(experiment, task, batch)]
    fillers = [dict(type="gaussian", std=60), dict(type="constant", value=1), dict(type="constant", value=1)]
    filled = dict(shape=shapes, data_filler=fillers[: len(shapes)])
    return build.train_net(experiment, task, lambda *_: L.DummyData(ntop=len(shapes), dummy_data_param=filled))


def caffe_time(prototxt: str, iterations: int, gpu: Optional[int]) -> float:
    """Seconds of `iterations` forward and backward passes of a net, as `caffe time` measures them."""
    command = ["caffe", "time", "-model", prototxt, "-iterations", str(iterations)]
    command += [] if gpu is None else ["-gpu", str(gpu)]
    environment = dict(os.environ, GLOG_minloglevel="0", GLOG_logtostderr="1")
    report = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=True).stderr
    (milliseconds,) = re.findall(r"Average Forward-Backward: ([\d.e+]+) ms", report)
    return float(milliseconds) * iterations / 1000


def mining(folder: str, name: str, count: int, gpu: Optional[int] = None) -> Case:
    """Mining of images as `aepsl mine` does it, against the net's forward pass on the same pixels."""
    experiment, dataset, ids = _images(folder, name, count)
    net = ClassificationNet(experiment, stand_ins.model(experiment, "classification", folder), gpu)
    outs = (os.path.join(folder, f"mined{turn}") for turn in itertools.count())
    ours = lambda: list(mine.mined_shares(experiment, dataset, ids, net, next(outs), keep=()))  # noqa: E731
    return Case(count, ours, _forward_of(net, map(dataset.image, ids)))


def segmentation(folder: str, name: str, count: int, gpu: Optional[int] = None) -> Case:
    """The probabilities of a segmentation net, at the images' size, against its forward pass on the same pixels."""
    experiment, dataset, ids = _images(folder, name, count)
    net = SegmentationNet(experiment, stand_ins.model(experiment, "segmentation", folder), gpu)

    def ours():
        for image_id in ids:
            net.probabilities(dataset.image(image_id)).argmax(axis=0)

    return Case(count, ours, _forward_of(net, map(dataset.image, ids)))


def _images(folder, name, count):
    """(the experiment `name` for `count` generated images, their Dataset, their ids)."""
    experiment, data = stand_ins.data_for(experiments.load(name), folder, count)
    dataset = Dataset(data, experiment.classes)
    return experiment, dataset, dataset.ids("train_aug")


def _forward_of(net, images):
    """A function that runs the net on the images' input blobs, which are prepared here."""
    pixels = []
    for image in images:
        net.forward(image)
        pixels.append(net.net.blobs["data"].data.copy())

    def bound():
        for each in pixels:
            net.net.blobs["data"].reshape(*each.shape)
            net.net.forward(data=each)

    return bound


def data_layer(folder: str, name: str, with_masks: bool, batch: int = 20, batches: int = 5) -> Case:
    """Batches as the data layer fills them, in one process, against only decoding the same files.

    The bound is cv2.imread for images, and Pillow for masks, since OpenCV cannot read the indices of a palette.
    """
    cv2.setNumThreads(0)
    experiment, dataset, ids = _images(folder, name, batch)
    own = dict(root=dataset.root, list="train_aug", classes=experiment.classes, batch=batch)
    own["masks"] = dataset.mask_folder() if with_masks else None
    own.update(crop=experiment.data.crop, scale=experiment.data.scale)
    sampler = Sampler(**{**PARAMETERS, **own})
    arrays = [np.empty(shape, np.float32) for shape in sampler.shapes]
    images = batches * [dataset.image_path(image_id) for image_id in ids]
    masks = batches * in_folder(own["masks"], ids) if with_masks else []
    turns = itertools.count()

    def ours():
        for _ in range(batches):
            sampler.fill(next(turns), arrays)

    def bound():
        for path in images:
            cv2.imread(path)
        for path in masks:
            with Image.open(path) as mask:
                np.asarray(mask)

    return Case(len(images), ours, bound)


def saliency(folder: str, detector: str, count: int) -> Case:
    """Maps of a detector for photos, against the segmentation into regions alone, as scikit-image does it."""
    cv2.setNumThreads(1)
    _, dataset, ids = _images(folder, "rehearsal", count)
    images = [dataset.image(image_id) for image_id in ids]
    small = [within(image, features.LONGEST_SIDE) for image in images]
    if detector == "rbd":
        seen = [cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2Lab) for image in small]
        maps, regions = rbd.saliency, lambda: list(map(rbd.superpixels, seen))
    else:  # drfi
        levels = [dict(scale=k, sigma=features.SIGMA, min_size=least) for k, least in features.LEVELS]
        maps = drfi.load(drfi.MODEL).saliency
        regions = lambda: [felzenszwalb(image, **level) for image in small for level in levels]  # noqa: E731
    return Case(count, lambda: list(map(maps, images)), regions)


def dense_crf(folder: str, labels: int, count: int) -> Case:
    """The CRF of photos with `labels` and background, against pydensecrf called directly on the same energies."""
    settings = experiments.load("voc12").crf
    bilateral, gaussian = settings.bilateral, settings.gaussian
    width, height = stand_ins.PHOTO
    random = np.random.RandomState(1)
    image = cv2.resize(random.randint(0, 256, (12, 16, 3)).astype(np.uint8), stand_ins.PHOTO)
    maps = np.stack([cv2.resize(random.rand(12, 16).astype(np.float32), stand_ins.PHOTO) for _ in range(labels + 1)])
    own = np.zeros((21, height, width), np.float32)
    own[: labels + 1] = maps / maps.sum(axis=0)
    energy = np.ascontiguousarray(-np.log(own[: labels + 1]).reshape(labels + 1, -1))

    def bound():
        for _ in range(count):
            field = densecrf.DenseCRF2D(width, height, labels + 1)
            field.setUnaryEnergy(energy)
            field.addPairwiseGaussian(gaussian.xy, gaussian.weight)
            field.addPairwiseBilateral(bilateral.xy, bilateral.rgb, image, bilateral.weight)
            field.inference(settings.iterations)

    return Case(count, lambda: [crf.refined(image, own, settings) for _ in range(count)], bound)


def evaluation(folder: str, count: int) -> Case:
    """Confusion matrices of masks of photos, read from their files, against bincount of the pairs of decoded ones."""
    _, dataset, ids = _images(folder, "rehearsal", count)
    paths = in_folder(dataset.mask_folder(), ids)
    masks = 10 * [read_indexed(path) for path in paths]
    paths = 10 * paths

    def bound():
        for mask in masks:
            np.bincount((mask.astype(np.uint16) << 8 | mask).ravel(), minlength=1 << 16)

    return Case(len(paths), lambda: list(evaluate.confusions(paths, paths, dataset.values)), bound)
