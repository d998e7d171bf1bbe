"""What `aepsl bench` measures of each stage, and the bound of each: what the stage cannot do without, called directly.

Every function here prepares a bench_processes.Case; folder: an empty one to work in.
"""

import os
import re
import subprocess

import cv2
import numpy as np
from caffe import layers as L
from PIL import Image
from pydensecrf import densecrf
from skimage.segmentation import felzenszwalb

from aepsl.base.files import write_text
from aepsl.bench.bench_processes import Case
from aepsl.data.dataset import Dataset, in_folder
from aepsl.evaluation import evaluate
from aepsl.images.pictures import read_indexed
from aepsl.layers.data import PARAMETERS, Sampler
from aepsl.nets import build, crf, device
from aepsl.nets.whole_image import ClassificationNet
from aepsl.saliency.detectors import rbd
from aepsl.saliency.drfi import model as drfi
from aepsl.saliency.drfi import segments
from aepsl.settings import experiments
from aepsl.stages import mine
from aepsl.stages.segment import SegmentationNet
from aepsl.training import stand_ins


def training(folder, name, task, batch, iterations, gpu=None):
    """Iterations of training, images decoded and all, against `caffe time` of the same net on data that is there.

    batch: in place of the experiment's, if given: images/s hardly depend on it.
    """
    device.use(gpu)
    experiment = experiments.load(name)
    batch = batch or experiment["training"][task]["batch"]
    experiment["training"][task] = dict(experiment["training"][task], batch=batch)
    bound = os.path.join(folder, "bound.prototxt")
    write_text(bound, without_data(experiment, task))
    solver = stand_ins.solver(experiment, task, folder)
    took = _CaffeTime(bound, iterations, gpu)
    return Case(batch * iterations, lambda: solver.step(iterations), took)


def without_data(experiment, task):
    """The training net of `task` on batches that are there already."""
    shapes = build.batch_shapes(experiment, task, experiment["training"][task]["batch"])

    def source(experiment, task):
        fillers = [dict(type="gaussian", std=60), dict(type="constant", value=1), dict(type="constant", value=1)]
        shape = [dict(dim=each) for each in shapes]
        return L.DummyData(ntop=len(shapes), dummy_data_param=dict(shape=shape, data_filler=fillers[: len(shapes)]))

    return build.train_net(experiment, task, source)


class _CaffeTime:
    """Runs `caffe time`, and returns what it says of forward and backward, in seconds."""

    def __init__(self, prototxt, iterations, gpu):
        self.arguments = ["caffe", "time", "-model", prototxt, "-iterations", str(iterations)]
        self.arguments += [] if gpu is None else ["-gpu", str(gpu)]
        self.iterations = iterations

    def __call__(self):
        environment = dict(os.environ, GLOG_minloglevel="0", GLOG_logtostderr="1")
        report = subprocess.run(self.arguments, stderr=subprocess.PIPE, text=True, env=environment, check=True).stderr
        return float(re.search(r"Average Forward-Backward: ([\d.e+]+) ms", report).group(1)) * self.iterations / 1000


def mining(folder, name, count, gpu=None):
    """Mining of images as `aepsl mine` does it, against the net's forward pass on the same pixels."""
    experiment, data = stand_ins.data_for(experiments.load(name), folder, count)
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    net = ClassificationNet(experiment, stand_ins.model(experiment, "classification", folder), gpu)
    turns = iter(range(10**6))

    def ours():
        out = os.path.join(folder, f"mined{next(turns)}")
        for _ in mine.mined_shares(experiment, dataset, ids, net, out, keep=()):
            pass

    return Case(len(ids), ours, _forward_of(net, map(dataset.image, ids)))


def segmentation(folder, name, count, gpu=None):
    """What a segmentation net says of images, grown to their size, against its forward pass on the same pixels."""
    experiment, data = stand_ins.data_for(experiments.load(name), folder, count)
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    net = SegmentationNet(experiment, stand_ins.model(experiment, "segmentation", folder), gpu)

    def ours():
        for image_id in ids:
            net.probabilities(dataset.image(image_id)).argmax(axis=0)

    return Case(len(ids), ours, _forward_of(net, map(dataset.image, ids)))


def _forward_of(net, images):
    """A function that runs the net on what it sees of the images."""
    pixels = []
    for image in images:
        net.forward(image)
        pixels.append(net.net.blobs["data"].data.copy())

    def bound():
        for each in pixels:
            net.net.blobs["data"].reshape(*each.shape)
            net.net.blobs["data"].data[...] = each
            net.net.forward()

    return bound


def data_layer(folder, name, with_masks, batch=20):
    """Batches as the data layer fills them, in one process, against decoding of the same files alone.

    The bound of images is cv2.imread, that of masks Pillow, since OpenCV cannot read indices of a palette.
    """
    cv2.setNumThreads(0)
    experiment, data = stand_ins.data_for(experiments.load(name), folder, batch)
    own = dict(root=data, list="train_aug", classes=experiment["classes"], batch=batch, crop=experiment["data"]["crop"])
    own["masks"] = os.path.join(data, "SegmentationClassAug") if with_masks else None
    sampler = Sampler(**{**PARAMETERS, **own, "scale": experiment["data"]["scale"]})
    arrays = [np.empty(shape, np.float32) for shape in sampler.shapes]
    images = [sampler.dataset.image_path(image_id) for image_id in sampler.ids]
    masks = in_folder(own["masks"], sampler.ids) if with_masks else []
    turns = iter(range(10**6))

    def decode():
        for path in images:
            cv2.imread(path)
        for path in masks:
            with Image.open(path) as mask:
                np.asarray(mask)

    return Case(
        5 * batch,
        lambda: [sampler.fill(next(turns), arrays) for _ in range(5)],
        lambda: [decode() for _ in range(5)],
    )


def saliency(folder, detector, count):
    """Maps of a detector for photos, against the segmentation into regions alone, as scikit-image does it."""
    cv2.setNumThreads(1)
    _, data = stand_ins.data_for(experiments.load("rehearsal"), folder, count)
    dataset = Dataset(data)
    images = [dataset.image(image_id) for image_id in dataset.ids("train_aug")]
    if detector == "drfi":
        model = drfi.load(drfi.MODEL)
        regions = lambda image: [  # noqa: E731
            felzenszwalb(image, scale=k, sigma=segments.SIGMA, min_size=least) for k, least in segments.LEVELS
        ]
        small = [segments.reduced(image) for image in images]
        return Case(count, lambda: [model.saliency(i) for i in images], lambda: [regions(i) for i in small])
    lab = [cv2.cvtColor(segments.reduced(image).astype(np.float32) / 255, cv2.COLOR_BGR2Lab) for image in images]
    return Case(count, lambda: [rbd.saliency(i) for i in images], lambda: [rbd.superpixels(i) for i in lab])


def dense_crf(folder, labels, count):
    """The CRF of photos with so many labels and background, against pydensecrf called directly on the same energies."""
    settings = experiments.load("voc12")["crf"]
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
            field.addPairwiseGaussian(sxy=settings["gaussian"]["xy"], compat=settings["gaussian"]["weight"])
            bilateral = settings["bilateral"]
            field.addPairwiseBilateral(
                sxy=bilateral["xy"], srgb=bilateral["rgb"], rgbim=image, compat=bilateral["weight"]
            )
            field.inference(settings["iterations"])

    return Case(count, lambda: [crf.refined(image, own, settings) for _ in range(count)], bound)


def evaluation(folder, count):
    """Confusion matrices of masks of photos, read from their files, against bincount of the pairs of decoded ones."""
    _, data = stand_ins.data_for(experiments.load("rehearsal"), folder, count)
    dataset = Dataset(data)
    paths = in_folder(dataset.mask_folder(), dataset.ids("train_aug"))
    masks = [read_indexed(path) for path in paths]
    pairs = lambda mask: np.bincount((mask.astype(np.uint16) << 8 | mask).ravel(), minlength=1 << 16)  # noqa: E731
    return Case(
        10 * count,
        lambda: [list(evaluate.confusions(paths, paths, dataset.values)) for _ in range(10)],
        lambda: [pairs(mask) for _ in range(10) for mask in masks],
    )
