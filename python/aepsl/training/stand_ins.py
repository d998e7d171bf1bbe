"""Generated data of the size of photos, and nets on them, for what is measured without data: bench, plan, check-gpu."""

import os

import caffe
import cv2
import numpy as np

from aepsl.base.files import write_text
from aepsl.data import synthetic
from aepsl.images.pictures import read_image, read_indexed, write_mask
from aepsl.nets import build, caffemodel
from aepsl.settings import experiments
from aepsl.training.prototxts import write_prototxts

PHOTO = (500, 375)  # width and height of most of VOC's images
RATE = 1e-9  # of trainings: from fillers' weights a real one may diverge, and Caffe's max pooling crashes on NaN


def data_for(experiment, folder, count=32):
    """The experiment on `count` generated training images in `folder`/data, photos where its own images are photos."""
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
    for name in os.listdir(os.path.join(data, "JPEGImages")):
        path = os.path.join(data, "JPEGImages", name)
        cv2.imwrite(path, cv2.resize(read_image(path), PHOTO))
    for name in os.listdir(os.path.join(data, "SegmentationClassAug")):
        path = os.path.join(data, "SegmentationClassAug", name)
        write_mask(path, cv2.resize(read_indexed(path), PHOTO, interpolation=cv2.INTER_NEAREST))


def solver(experiment, task, folder, batch=None):
    """A solver of `task` that goes through generated images in `folder`, with steps too small to learn by.

    batch: in place of the experiment's.
    """
    batch = batch or experiment.training.of(task).batch
    experiment = experiments.changed(experiment, {f"training.{task}": dict(lr=RATE, batch=batch)})
    experiment, data = data_for(experiment, folder)
    masks = None if task == "classification" else os.path.join(data, "SegmentationClassAug")
    write_prototxts(experiment, task, data, 32, os.path.join(folder, "run"), masks=masks)
    return caffe.get_solver(os.path.join(folder, "run", "solver.prototxt"))


def model(experiment, task, folder):
    """A caffemodel of the deploy net of `task` in `folder`, with the fillers' weights; heads without a sign."""
    caffe.set_random_seed(1)
    net = caffemodel.net_of(build.deploy_net(experiment, task))
    for head in set(build.NEW_LAYERS).intersection(net.params):
        weights = net.params[head][0].data
        weights[...] = np.abs(weights)  # every class' map has a positive maximum, so that something is mined
    path = os.path.join(folder, task + ".caffemodel")
    net.save(path)
    return path
