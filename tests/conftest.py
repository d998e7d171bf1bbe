"""Fixtures: small data sets in VOC layout, and one Caffe layer in a net of its own."""

import contextlib
import json
import os
import shutil
from unittest import mock

import caffe
import cv2
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.data import synthetic
from aepsl.images.pictures import write_mask
from aepsl.settings import experiments

os.environ.setdefault("GLOG_minloglevel", "2")
caffe.set_mode_cpu()
caffe.set_random_seed(1)


@pytest.fixture
def rng():
    return np.random.RandomState(7)


@pytest.fixture
def small_set(tmp_path, rng):
    """Root of six images of random size with the classes cat (1) and dog (2), masks, and lists train_aug and val."""
    root = tmp_path / "data"
    for folder in ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("cat\ndog\n")
    labels = ["cat", "dog", "cat dog", "cat", "dog", "dog"]
    ids = [f"image{k}" for k in range(len(labels))]
    for image_id, names in zip(ids, labels):
        height, width = rng.randint(30, 70, 2)
        image = cv2.resize(rng.randint(0, 256, (8, 8, 3)).astype(np.uint8), (width, height))
        cv2.imwrite(str(root / "JPEGImages" / f"{image_id}.jpg"), image)
        mask = np.zeros((height, width), np.uint8)
        mask[5:15, 5:15] = 1 if "cat" in names else 2
        mask[16:20, 5:15] = 2 if "dog" in names else 1
        mask[0] = 255
        write_mask(str(root / "SegmentationClassAug" / f"{image_id}.png"), mask)
    (root / "image_labels.txt").write_text("".join(f"{i} {names}\n" for i, names in zip(ids, labels)))
    (root / "ImageSets/Segmentation/train_aug.txt").write_text("".join(i + "\n" for i in ids))
    (root / "ImageSets/Segmentation/val.txt").write_text("".join(i + "\n" for i in ids[:3]))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Root of 24 images of the demo's data set; a test file may have a `data` of its own."""
    root = str(tmp_path_factory.mktemp("synthetic") / "data")
    synthetic.run(root, train=24, val=4, seed=3)
    return root


@contextlib.contextmanager
def watched_steps(watch):
    """watch(solver) is called after each step of a Caffe solver, before anything of it is noted."""
    step = caffe._caffe.Solver.step

    def watched(solver, count):
        step(solver, count)
        watch(solver)

    with mock.patch.object(caffe._caffe.Solver, "step", watched):
        yield


class Killed(Exception):
    """Ends a training as a kill would."""


@contextlib.contextmanager
def killed_after(iterations):
    """The training in the block is killed after so many steps."""

    def watch(solver):
        if solver.iter == iterations:
            raise Killed

    with watched_steps(watch), pytest.raises(Killed):
        yield


def tiny_experiment(epochs=3, **changes):
    """The demo's experiment with a smaller net, batches of 6 and few epochs; changes: of settings, by their keys."""
    tiny = {"channels": [4, 4, 4, 4, 4], "fc": 8, "data.scale": 0.5, "data.crop": 57}
    tiny.update({f"training.{task}": dict(batch=6, epochs=epochs, lr_step_epochs=2) for task in experiments.TASKS})
    return experiments.changed(experiments.load("demo"), {**tiny, **changes})


@pytest.fixture
def net_of(tmp_path):
    """net_of(text): a Caffe net of a prototxt given as text."""

    def build(text, phase=caffe.TRAIN):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), phase)

    return build


def parsed(path, message):
    """The prototxt `path`, read into `message`."""
    with open(path) as file:
        return text_format.Parse(file.read(), message)


def inputs(**shapes):
    """Input layers as prototxt text."""
    layer = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ {1} }} }} }}\n'
    return "".join(layer.format(name, " ".join(f"dim: {d}" for d in shape)) for name, shape in shapes.items())


def python_layer(name, module, bottoms=(), tops=(), loss_weight=None, **parameters):
    """A Python layer as prototxt text."""
    layer = caffe_pb2.LayerParameter(name=name, type="Python", bottom=bottoms, top=tops)
    layer.python_param.module, layer.python_param.layer = module, name
    layer.python_param.param_str = json.dumps(parameters)
    if loss_weight is not None:
        layer.loss_weight.append(loss_weight)
    return f"layer {{\n{text_format.MessageToString(layer)}}}\n"


def copy_of_repository(tree):
    """What running an experiment needs of this repository, copied to `tree`, a new folder; returns it."""
    root = os.path.join(os.path.dirname(__file__), "..")
    for name in ("python", "prototxt", "scripts", "docker", "profiles"):
        shutil.copytree(os.path.join(root, name), tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "Snakefile", "pyproject.toml"):
        shutil.copy(os.path.join(root, name), tree)
    (tree / "weights").mkdir()
    if os.path.exists(os.path.join(root, "weights/drfi.npz")):
        shutil.copy(os.path.join(root, "weights/drfi.npz"), tree / "weights")
    return tree
