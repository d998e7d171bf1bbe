"""Generated data of the size of photos, and nets on them, for measuring without data: bench, plan, check-gpu."""

import glob
import os
import tempfile
import time
from typing import Optional

import caffe
import cv2
import numpy as np
from caffe import layers as L

from aepsl.base.files import write_text
from aepsl.data import synthetic
from aepsl.images.pictures import read_image, read_indexed, write_mask
from aepsl.nets import build, caffemodel, cuda, device
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment

PHOTO = (500, 375)  # width and height of most of VOC's images
RATE = 1e-9  # learning rate: with a real one the fillers' weights may diverge, and Caffe's max pooling crashes on NaN
WARM_UP = 3  # iterations: the first allocates memory, and may compile kernels; the others fill the queue of batches
EPOCH = 10**5  # iterations: so many that no snapshot is written during a measurement


def data_for(experiment: Experiment, folder: str, count: int = 32) -> tuple[Experiment, str]:
    """(the experiment, its data set `folder`/data) with `count` generated training images.

    They have the size of photos unless the experiment's own images are generated.
    """
    data = os.path.join(folder, "data")
    synthetic.run(data, train=count, val=1, seed=1)
    if not experiment.synthetic:
        _enlarge(data)
        classes = [*synthetic.CLASSES, *experiment.classes[len(synthetic.CLASSES) :]]
        experiment = experiments.changed(experiment, {"classes": classes, "background.indoor_classes": []})
        write_text(os.path.join(data, "classes.txt"), "\n".join(classes) + "\n")
    return experiment, data


def _enlarge(data):
    """Give every image and mask of a synthetic data set the size of a photo."""
    for path in glob.glob(os.path.join(glob.escape(data), "JPEGImages", "*")):
        cv2.imwrite(path, cv2.resize(read_image(path), PHOTO))
    for path in glob.glob(os.path.join(glob.escape(data), "SegmentationClassAug", "*")):
        write_mask(path, cv2.resize(read_indexed(path), PHOTO, interpolation=cv2.INTER_NEAREST))


def solver(experiment: Experiment, task: str, folder: str, batch: Optional[int] = None) -> caffe.SGDSolver:
    """A solver of `task` on generated images in `folder`, with a learning rate near 0.

    batch: replaces the experiment's.
    """
    batch = batch or experiment.training.of(task).batch
    experiment = experiments.changed(experiment, {f"training.{task}": dict(lr=RATE, batch=batch)})
    experiment, data = data_for(experiment, folder)
    masks = None if task == "classification" else os.path.join(data, "SegmentationClassAug")
    build.write_prototxts(experiment, task, data, EPOCH * batch, os.path.join(folder, "run"), masks=masks)
    return caffe.get_solver(os.path.join(folder, "run", "solver.prototxt"))


def trained(gpu: int, name: str, task: str, batch: int, iterations: int) -> tuple[float, int]:
    """(seconds, bytes of the GPU's memory in use) of `iterations` of training, after WARM_UP."""
    device.use(gpu)
    with tempfile.TemporaryDirectory() as folder:
        training = solver(experiments.load(name), task, folder, batch)
        training.step(WARM_UP)
        begun = time.perf_counter()
        training.step(iterations)
        seconds = time.perf_counter() - begun
        free, total = cuda.memory(gpu)
    return seconds, total - free


def net(experiment: Experiment, task: str, batch: int) -> caffe.Net:
    """The training net of `task`, in phase TEST, with inputs instead of its data layer."""
    shapes = build.batch_shapes(experiment, task, batch)
    layer = dict(ntop=len(shapes), input_param=dict(shape=[dict(dim=shape) for shape in shapes]))
    return caffemodel.net_of(build.train_net(experiment, task, lambda *_: L.Input(**layer)))


def model(experiment: Experiment, task: str, folder: str) -> str:
    """The path of a new caffemodel of the deploy net of `task`, in `folder`, with weights from the fillers.

    The heads' weights are made positive.
    """
    caffe.set_random_seed(1)
    net = caffemodel.net_of(build.deploy_net(experiment, task))
    for head in set(build.NEW_LAYERS).intersection(net.params):
        weights = net.params[head][0].data
        weights[...] = np.abs(weights)  # every class' map has a positive maximum, so that something is mined
    path = os.path.join(folder, task + ".caffemodel")
    net.save(path)
    return path
