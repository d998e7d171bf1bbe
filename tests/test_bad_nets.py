"""Weights, prototxts, sizes and rates with which Caffe would abort, or go on in silence: one line each."""

import contextlib
import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from types import SimpleNamespace

import caffe
import cv2
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

import standins
from aepsl.base.errors import InputError
from aepsl.base.files import write_bytes, write_text
from aepsl.data import synthetic
from aepsl.images.pictures import read_indexed, write_mask
from aepsl.layers.data import PARAMETERS, Sampler
from aepsl.layers.prefetch import Prefetch
from aepsl.nets import build, caffemodel, finite, sizes
from aepsl.nets.whole_image import ClassificationNet
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment, typed
from aepsl.stages import evaluate_regions, masks, mine, saliency, segment, surgery, train
from aepsl.stages.segment import SegmentationNet
from aepsl.tools import infer
from aepsl.training.diagnosis import Saturation, is_stuck
from aepsl.training.observers import Losses
from conftest import inputs, python_layer, tiny_experiment, watched_steps


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 images of the demo's data set."""
    root = str(tmp_path_factory.mktemp("synthetic") / "data")
    synthetic.run(root, train=24, val=4, seed=3)
    return root


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The demo's experiment with a smaller net, batch and schedule; its prototxts have a folder of their own."""
    experiment = tiny_experiment()
    monkeypatch.setattr(experiments, "FOLDER", str(tmp_path / "prototxt"))
    return experiment


def unchecked(experiment, changes):
    """The experiment with settings that no experiment.yaml can have."""
    settings = experiment.settings()
    for key, value in changes.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = experiments.laid_over(settings, value)
    return typed(Experiment, dict(settings, name=experiment.name))


def opened(experiment, task):
    caffe.set_random_seed(3)
    return caffemodel.net_of(build.deploy_net(experiment, task))


def saved(experiment, task, path, scale=1):
    """A caffemodel of the task's net with the fillers' weights times `scale`; returns its path."""
    net = opened(experiment, task)
    for blobs in net.params.values():
        blobs[0].data[...] *= scale
    net.save(str(path))
    return str(path)


def one_line(error, *pieces):
    line = str(error.value)
    assert "\n" not in line
    for piece in pieces:
        assert piece in line, line


# --- Weights ---------------------------------------------------------------------------------------------------------


def layer_of(net, name="fc7"):
    return next(layer for layer in [*net.layer, *net.layers] if layer.name == name)


def blob_of(net, k=0):
    return layer_of(net).blobs[k]


def with_value(k, value):
    def change(net):
        blob_of(net, k).data[3] = value

    return change


def with_shape(*dims):
    def change(net):
        blob_of(net).shape.dim[:] = dims

    return change


def as_doubles(values):
    def change(net):
        blob = blob_of(net)
        doubles = values(list(blob.data))
        blob.ClearField("data")
        blob.double_data.extend(doubles)

    return change


def as_old(change):
    """Apply `change` to the same weights in the format of 2014."""

    def changed(net):
        old = caffe_pb2.NetParameter()
        for layer in net.layer:
            if not layer.blobs:
                continue
            blobs = old.layers.add(name=layer.name).blobs
            for blob in layer.blobs:
                sides = [1] * (4 - len(blob.shape.dim)) + [min(side, 2**31 - 1) for side in blob.shape.dim]
                blobs.add(data=blob.data, **dict(zip(caffemodel.OLD_SIZES, sides)))
        net.CopyFrom(old)
        change(net)

    return changed


def twice(net):
    (net.layer if net.layer else net.layers).add().CopyFrom(layer_of(net))


def in_both_formats(net):
    net.layers.add(name="fc7").blobs.add(data=[1], num=1, channels=1, height=1, width=1)


def without_bias(net):
    del layer_of(net).blobs[1]


def without_blobs(net):
    layer_of(net).ClearField("blobs")


def of_two_shapes(net):
    for side in caffemodel.OLD_SIZES:
        setattr(blob_of(net), side, 2)


def without_shape(net):
    blob_of(net).ClearField("shape")


def of_2013(net):
    old = caffe_pb2.NetParameter()
    for layer in net.layer:
        old.layers.add().layer.name = layer.name
    net.CopyFrom(old)


HOLDS = "fc7 says that it has the shape"
SHAPES = "its layer fc7 has the shapes"
NOT_FINITE = "its layer fc7 has values that are not finite"
WEIGHTS = {  # what is done to a caffemodel: what the line says
    "nan": (with_value(0, np.nan), NOT_FINITE),
    "inf": (with_value(0, np.inf), NOT_FINITE),
    "minus inf": (with_value(0, -np.inf), NOT_FINITE),
    "inf and minus inf": (lambda net: blob_of(net).data.__setitem__(slice(0, 2), [np.inf, -np.inf]), NOT_FINITE),
    "nan in the bias": (with_value(1, np.nan), NOT_FINITE),
    "a value too few": (lambda net: blob_of(net).data.pop(), f"{HOLDS} [8, 8, 1, 1], and holds 63 values"),
    "a value too many": (lambda net: blob_of(net).data.append(0), "and holds 65 values"),
    "no values": (lambda net: blob_of(net).ClearField("data"), "and holds 0 values"),
    "bias too short": (lambda net: blob_of(net, 1).data.pop(), "fc7 says that it has the shape [8], and holds 7"),
    "layer twice": (twice, "has two layers fc7"),
    "layer in both formats": (in_both_formats, "has two layers fc7"),
    "without bias": (without_bias, "its layer fc7 has the shapes [[8, 8, 1, 1]], the net's has"),
    "without blobs": (without_blobs, "has no layer fc7"),
    "negative sides": (with_shape(-8, -8, 1, 1), SHAPES),
    "a side of zero": (with_shape(8, 8, 0, 1), SHAPES),
    "huge sides": (with_shape(2**31, 2**31, 4, 1), SHAPES),
    "sides that wrap round": (with_shape(2**32, 2**32, 1, 64), SHAPES),
    "sides in another order": (with_shape(1, 1, 8, 8, 1), SHAPES),
    "33 sides": (with_shape(*[1] * 31, 64, 1), SHAPES),
    "fewer filters": (with_shape(4, 16, 1, 1), "its layer fc7 has the shapes [[4, 16, 1, 1]"),
    "two shapes": (of_two_shapes, SHAPES),
    "no shape": (without_shape, SHAPES),
    "doubles with nan": (as_doubles(lambda values: [np.nan, *values[1:]]), NOT_FINITE),
    "doubles beyond floats": (as_doubles(lambda values: [1e300, *values[1:]]), NOT_FINITE),
    "doubles too few": (as_doubles(lambda values: values[1:]), "and holds 63 values"),
    "old, nan": (as_old(with_value(0, np.nan)), NOT_FINITE),
    "old, a value too few": (as_old(lambda net: blob_of(net).data.pop()), "and holds 63 values"),
    "old, layer twice": (as_old(twice), "has two layers fc7"),
    "old, without bias": (as_old(without_bias), SHAPES),
    "old, a side of zero": (as_old(lambda net: setattr(blob_of(net), "height", 0)), SHAPES),
    "of 2013": (of_2013, "has no layer conv1_1"),
}


@pytest.mark.parametrize("fault", WEIGHTS)
def test_bad_weights_are_one_line_with_file_and_layer(tiny, tmp_path, fault):
    change, piece = WEIGHTS[fault]
    path = tmp_path / "w.caffemodel"
    saved(tiny, "classification", path)
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    with pytest.raises(InputError) as error:
        caffemodel.load_weights(opened(tiny, "classification"), str(path))
    one_line(error, str(path), piece)


def test_filters_that_are_all_0_are_a_warning(tiny, tmp_path, capfd):
    path = tmp_path / "w.caffemodel"
    saved(tiny, "classification", path)
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    blob_of(message).data[:] = [0] * 64
    path.write_bytes(message.SerializeToString())
    caffemodel.load_weights(opened(tiny, "classification"), str(path))
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1 and f"{path}: its layer fc7 has the value 0 throughout" in lines[0]


FILES = {
    "empty": lambda good: b"",
    "text": lambda good: b"this is text\n",
    "half": lambda good: good[: len(good) // 2],
    "cut by a byte": lambda good: good[:-1],
    "zeros": lambda good: bytes(len(good)),
    "more behind it": lambda good: good + b"\x0c",
    "other bytes": lambda good: bytes(np.random.RandomState(1).randint(0, 256, 5000).astype(np.uint8)),
    "HDF5": lambda good: b"\x89HDF\r\n\x1a\n" + bytes(2000),
    "PNG": lambda good: b"\x89PNG\r\n\x1a\n" + bytes(2000),
}
KINDS = {  # files that are given in place of a caffemodel: their beginning, and what they are called
    "Keras": (b"\x89HDF\r\n\x1a\n", "HDF5, as of Keras"),
    "PyTorch": (b"PK\3\4\0\0archive/data.pkl", "a file of PyTorch"),
    "PyTorch, before 1.6": (b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a file of PyTorch"),
    "safetensors": (b'@\0\0\0\0\0\0\0{"conv1_1.weight":', "a file of safetensors"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0", "a compressed file; unpack it first"),
    "a page": (b"\n<!DOCTYPE html><html>404", "a web page in place of a download"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; `git lfs pull` fetches"),
    "a prototxt": (b'name: "VGG"\nlayer {}', "a prototxt"),
    "a prototxt with a comment": (b"# VGG-16\ninput: 'data'", "a prototxt"),
}


@pytest.mark.parametrize("case", KINDS)
def test_files_of_other_programs_are_called_by_their_names(tmp_path, case):
    content, piece = KINDS[case]
    path = tmp_path / "w.caffemodel"
    path.write_bytes(content + b"\n" * 100)
    with pytest.raises(InputError) as error:
        caffemodel.caffemodel_layers(str(path))
    one_line(error, f"{path}: is no caffemodel or was cut short, it begins as {piece}")


@pytest.mark.parametrize("fault", FILES)
def test_files_that_are_no_caffemodels_are_one_line(tiny, tmp_path, fault):
    path = tmp_path / "w.caffemodel"
    saved(tiny, "classification", path)
    path.write_bytes(FILES[fault](path.read_bytes()))
    with pytest.raises(InputError) as error:
        caffemodel.load_weights(opened(tiny, "classification"), str(path))
    one_line(error, f"{path}: is no caffemodel or was cut short")


def test_what_is_no_file_and_what_is_too_large_is_not_read(tiny, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**31)
    for name, piece in (("pipe", "is no file"), (".", "is no file"), ("large", "larger than 2 GB")):
        with pytest.raises(InputError) as error:
            caffemodel.caffemodel_layers(str(tmp_path / name))
        one_line(error, piece)


@pytest.mark.parametrize("change", [as_doubles(list), as_old(lambda net: None)], ids=["doubles", "old"])
def test_other_forms_of_the_same_weights_load(tiny, tmp_path, change):
    path = tmp_path / "w.caffemodel"
    net = opened(tiny, "classification")
    net.save(str(path))
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    loaded = opened(tiny, "classification")
    caffemodel.load_weights(loaded, str(path))
    for name, blobs in net.params.items():
        for ours, theirs in zip(loaded.params[name], blobs):
            np.testing.assert_array_equal(ours.data, theirs.data)


def vgg_without_bias(net):
    del layer_of(net, "conv3_2").blobs[1]


def vgg_with_other_biases(net):
    blob = layer_of(net, "fc7").blobs[1]
    del blob.data[5:]
    blob.width = 5


def vgg_with(name, value):
    return lambda net: layer_of(net, name).blobs[0].data.__setitem__(7, value)


VGG = {
    "without bias": (vgg_without_bias, "its layer conv3_2 holds 1 arrays in place of weights and biases"),
    "other biases": (vgg_with_other_biases, "its layer fc7 has 5 biases for 512 filters"),
    "nan in fc6": (vgg_with("fc6", np.nan), "its layer fc6 has values that are not finite"),
    "inf in conv1_1": (vgg_with("conv1_1", np.inf), "its layer conv1_1 has values that are not finite"),
    "values missing": (lambda net: layer_of(net, "fc7").blobs[0].data.pop(), HOLDS),
    "layer twice": (twice, "has two layers fc7"),
}


@pytest.mark.parametrize("fault", VGG)
def test_bad_weights_of_vgg_are_one_line(tmp_path, fault):
    change, piece = VGG[fault]
    path, out = tmp_path / "vgg.caffemodel", tmp_path / "out.caffemodel"
    standins.write_vgg(path, [4, 4, 8, 8, 8], fc=512, outputs=10)
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    with pytest.raises(InputError) as error:
        surgery.run(str(path), str(out), None, None)
    one_line(error, str(path), piece)
    assert not out.exists()


# --- Prototxts -------------------------------------------------------------------------------------------------------

OTHER = "is not what experiment.yaml beside it says, which a run follows; remove it, or write it anew: "
PROTOTXTS = {  # what is done to a prototxt
    "empty": lambda text: b"",
    "binary": lambda text: b"\xff\xfe\x00",
    "a brace less": lambda text: text.rstrip()[:-1].encode(),
    "unknown layer type": lambda text: text.replace('"ReLU"', '"Relu"', 1).encode(),
    "unknown field": lambda text: text.replace("num_output", "num_outputs", 1).encode(),
    "wrong bottom": lambda text: text.replace('bottom: "pool1"', 'bottom: "pool9"', 1).encode(),
    "no input": lambda text: (text.partition("layer {")[0] + "layer {" + text.split("layer {", 2)[2]).encode(),
    "another kernel": lambda text: text.replace("kernel_size: 3", "kernel_size: 999", 1).encode(),
}
NETS = ["classification_deploy", "psl_deploy", "segmentation_train"]
SOLVER = [("psl_solver", fault) for fault in ("empty", "binary")]


@pytest.mark.parametrize("kind, fault", [*itertools.product(NETS, PROTOTXTS), *SOLVER])
def test_prototxts_that_say_something_else_are_one_line(tiny, kind, fault):
    """A run would not follow them."""
    path = os.path.join(experiments.FOLDER, tiny.name, f"{kind}.prototxt")
    text = build.files(tiny)[path]
    write_bytes(path, PROTOTXTS[fault](text))
    with pytest.raises(InputError) as error:
        build.check(tiny)
    one_line(error, path, OTHER + "python3 -m aepsl build demo")


def test_without_prototxts_nothing_is_wrong_and_no_stage_opens_them(tiny, tmp_path):
    build.check(tiny)
    model = saved(tiny, "psl", tmp_path / "w.caffemodel")
    for path in build.files(tiny):
        write_text(path, "no prototxt")
    SegmentationNet(tiny, model)
    build.write_prototxts(tiny, "psl", "data", 24, str(tmp_path / "run"), masks="masks")


# --- Sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiments.known())
@pytest.mark.parametrize("task", experiments.TASKS)
@pytest.mark.parametrize("size", [(9, 9), (65, 97), (1, 257)])
def test_sizes_are_those_of_caffe(name, task, size):
    text = build.deploy_net(experiments.load(name), task)
    parameter = text_format.Parse(text, caffe_pb2.NetParameter())
    net = opened(experiments.load(name), task)
    net.blobs["data"].reshape(1, 3, *size)
    net.reshape()
    ours = sizes.counts(parameter, *size)
    theirs = {blob: net.blobs[blob].count for blob in net.blobs if "_split_" not in blob}  # those share memory
    few = {blob for blob in theirs if blob not in ours}  # behind InnerProduct: a score for each class
    assert max((theirs.pop(blob) for blob in few), default=0) <= len(experiments.load(name).classes) + 1
    assert {blob: ours.pop(blob) for blob in theirs} == theirs
    for columns, count in ours.items():
        layer = columns[: -len("'s columns")]
        assert count == np.prod(net.params[layer][0].shape[1:]) * np.prod(net.blobs[net.top_names[layer][0]].shape[2:])


def test_a_photo_that_caffe_cannot_hold_is_too_large():
    """conv1_2 of VGG takes 64 * 9 numbers a pixel through its buffer: 3.7 million pixels are too many."""
    parameter = text_format.Parse(build.deploy_net(experiments.load("voc12"), "psl"), caffe_pb2.NetParameter())
    assert max(sizes.counts(parameter, 2001, 3001).values()) == 576 * 2001 * 3001 > sizes.INT_MAX
    assert sizes.needs(parameter, 2001, 3001) == np.inf
    assert sizes.needs(parameter, 505, 505) < sizes.needs(parameter, 641, 481) < sizes.MOST
    assert sizes.MOST < sizes.needs(parameter, 1025, 769) == sum(sizes.counts(parameter, 1025, 769).values())


@pytest.mark.parametrize("task", experiments.TASKS)
@pytest.mark.parametrize("batch, crop", [(65536, 321), (30, 1401), (1, 8193)])
def test_batches_that_caffe_cannot_hold_are_refused_at_once(task, batch, crop):
    changes = {f"training.{task}.batch": batch, "data.crop": crop}
    experiment = experiments.changed(experiments.load("voc12"), changes)
    with pytest.raises(InputError) as error:
        build.check_size(experiment, task, batch)
    one_line(error, f"training.{task}.batch {batch} and data.crop {crop}", "conv1_")


@pytest.mark.parametrize("task", experiments.TASKS)
@pytest.mark.parametrize("changes, layer", [(dict(channels=[65536] * 5), "conv1_2"), (dict(fc=65536), "fc7")])
def test_weights_that_caffe_cannot_hold_are_refused_at_once(task, changes, layer):
    with pytest.raises(InputError) as error:
        build.check_size(experiments.changed(experiments.load("voc12"), changes), task)
    one_line(error, f"the net's {layer}'s weights would have")


@pytest.mark.parametrize("name", experiments.known())
@pytest.mark.parametrize("task", experiments.TASKS)
def test_weights_are_those_of_caffe(name, task):
    text = build.deploy_net(experiments.load(name), task)
    ours = sizes.weights(text_format.Parse(text, caffe_pb2.NetParameter()))
    params = opened(experiments.load(name), task).params
    theirs = {f"{name}'s weights": blobs[0].count for name, blobs in params.items() if len(blobs[0].shape) == 4}
    assert ours == theirs and len(ours) > 5


def test_too_large_an_image_is_scaled_down_and_that_is_said(tiny, tmp_path, rng, monkeypatch, capsys):
    model = saved(tiny, "psl", tmp_path / "w.caffemodel")
    net = SegmentationNet(tiny, model)
    image = rng.randint(0, 256, (120, 200, 3)).astype(np.uint8)
    before = net.probabilities(image, "none")
    at_size = sum(sizes.counts(net.parameter, 65, 105).values())
    capsys.readouterr()
    monkeypatch.setattr(sizes, "MOST", at_size)
    np.testing.assert_array_equal(net.probabilities(image, "none"), before)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sizes, "MOST", at_size - 1)
    net = SegmentationNet(tiny, model)
    maps = net.probabilities(image, "none", name="image7")
    assert maps.shape == before.shape and net.net.blobs["data"].data.shape[2:] < (65, 105)
    err = capsys.readouterr().err
    assert err == "image7: 200 x 120 pixels are too many for the net at scale 0.5; it is processed at 0.475\n"


def test_an_erased_region_is_scaled_down_with_its_image(tiny, tmp_path, rng, monkeypatch):
    net = ClassificationNet(tiny, saved(tiny, "classification", tmp_path / "w.caffemodel"))
    image = rng.randint(0, 256, (120, 200, 3)).astype(np.uint8)
    monkeypatch.setattr(sizes, "MOST", sum(sizes.counts(net.parameter, 33, 33).values()))
    maps = net.cam(image, np.array([1, 3]), np.ones((120, 200), np.uint16))
    assert maps.shape == (2, 120, 200)
    assert not net.net.blobs["data"].data.any()


@pytest.fixture
def odd_set(data, tmp_path, rng):
    """`data` with images of 1 x 1, 1 x 5000, 5000 x 1 and 2 x 3 pixels in both lists."""
    root = tmp_path / "odd"
    shutil.copytree(data, root)
    for number, shape in enumerate([(1, 1), (1, 5000), (5000, 1), (2, 3)], 1):
        for image_id in (f"train_{number:06d}", f"val_{number:06d}"):
            cv2.imwrite(str(root / f"JPEGImages/{image_id}.jpg"), rng.randint(0, 256, (*shape, 3)).astype(np.uint8))
            (root / f"SegmentationClassAug/{image_id}.png").unlink()
            write_mask(str(root / f"SegmentationClassAug/{image_id}.png"), np.zeros(shape, np.uint8))
    return str(root)


def test_images_of_odd_sizes_go_through_every_stage(tiny, odd_set, tmp_path):
    path = lambda name: str(tmp_path / name)  # noqa: E731
    saliency.run(odd_set, "train_aug", path("maps"))
    train.run(tiny, "classification", odd_set, path("net"))
    mine.run(tiny, odd_set, path("net/final.caffemodel"), path("regions"))
    masks.run(tiny, odd_set, path("regions"), path("maps"), path("masks"))
    train.run(tiny, "psl", odd_set, path("psl"), path("net/final.caffemodel"), masks=path("masks"))
    segment.run(tiny, odd_set, "val", path("psl/final.caffemodel"), path("val"), "predicted")
    shapes = [read_indexed(path(f"val/{kind}/val_{k:06d}.png")).shape for kind in ("plain", "crf") for k in range(1, 5)]
    assert shapes == 2 * [(1, 1), (1, 5000), (5000, 1), (2, 3)]


# --- What nets give --------------------------------------------------------------------------------------------------


def stages(experiment, data, model, task, out):
    ids = os.path.join(data, "ImageSets/Segmentation/val.txt")
    with open(ids) as file:
        first = file.readline().strip()
    photo = os.path.join(data, "JPEGImages", first + ".jpg")
    if task == "classification":
        return {
            "mine": lambda: mine.run(experiment, data, model, out),
            "evaluate-regions": lambda: evaluate_regions.run(experiment, data, out + "/r.json", model=model),
        }
    return {
        "segment": lambda: segment.run(experiment, data, "val", model, out, "predicted"),
        "relabel": lambda: segment.run(experiment, data, "train_aug", model, out, "labels"),
        "infer": lambda: infer.run(experiment, [photo], model, out),
    }


@pytest.mark.parametrize(
    "task, stage",
    [("classification", "mine"), ("classification", "evaluate-regions")]
    + [("psl", stage) for stage in ("segment", "relabel", "infer")],
)
@pytest.mark.parametrize("scale", [1e8, 1e30])
def test_nothing_is_written_from_values_that_are_not_finite(tiny, data, tmp_path, task, stage, scale):
    """Weights that are finite, and too large: one line with image, model and layer."""
    model = saved(tiny, task, tmp_path / "w.caffemodel", scale)
    with pytest.raises(InputError) as error:
        stages(tiny, data, model, task, str(tmp_path / "out"))[stage]()
    one_line(error, "_00000", model, "not finite, from the layer conv")
    assert not [
        name for _, _, names in os.walk(tmp_path / "out") for name in names if name.endswith((".png", "r.json"))
    ]


# --- Training --------------------------------------------------------------------------------------------------------

SCRIPT = """
import json, os, sys
from aepsl import cli
from aepsl.settings.typed import Experiment, typed
from aepsl.stages import train
for path in sys.argv[1:]:
    child = os.fork()  # what is imported above serves all
    if not child:
        os.dup2(os.open(path + ".err", os.O_WRONLY | os.O_CREAT), 2)
        arguments = json.load(open(path))
        arguments["experiment"] = typed(Experiment, arguments["experiment"])
        cli.command(lambda: train.run(**arguments))
        os._exit(0)
    with open(path + ".code", "w") as file:
        file.write(str(os.waitpid(child, 0)[1]))
"""


def with_rate(task, factor):
    lr = experiments.load("demo").training.of(task).lr * factor
    return {f"training.{task}": dict(lr=lr, epochs=12, lr_step_epochs=12)}


def in_the_last_iteration(epochs):
    """Iterations of 24 images, with a rate that makes weights infinite."""
    return {"training.segmentation": dict(batch=24, epochs=epochs, lr_step_epochs=epochs, lr=3e38)}


NUMBERS = {  # changes of the experiment: what the line says
    "decay huge": ({"training.segmentation.decay": 1e30}, "at iteration 1 (rate 0.03)"),
    "mean nan": ({"data.mean": [np.nan, 1, 1]}, "at iteration 0 (rate 0.03), from layer data on"),
    "mean inf": ({"data.mean": [np.inf, 1, 1]}, "the initial weights or `data.mean`"),
    "input scale huge": ({"input_scale": 1e37}, "at iteration 0"),
    "initial weights huge": (None, "the initial weights or `data.mean`"),
    "infinite at the end": (in_the_last_iteration(1), "at iteration 1 (rate 3e+38)"),
    "infinite at a snapshot": (in_the_last_iteration(2), "at iteration 1 (rate 3e+38)"),
}
RATES = {f"{task} x {factor:g}": (task, factor) for task in experiments.TASKS for factor in (1e2, 1e3, 1e4, 1e6)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """{name: (status, what it said on stderr, its folder)} of all of RATES and NUMBERS, each in its own process."""
    root = tmp_path_factory.mktemp("trained")
    changes = {name: (task, with_rate(task, factor)) for name, (task, factor) in RATES.items()}
    changes.update({name: ("segmentation", change) for name, (change, _) in NUMBERS.items()})
    paths = {}
    for name, (task, change) in changes.items():
        experiment = unchecked(tiny_experiment(), change or {})
        (root / name).mkdir()
        weights = None if change else saved(experiment, task, root / name / "w.caffemodel", 1e20)
        masks = None if task == "classification" else train.TRUTH
        out = str(root / name / "run")
        settings = dict(experiment.settings(), name=experiment.name)
        arguments = dict(experiment=settings, task=task, data=data, out=out, weights=weights, masks=masks)
        paths[name] = str(root / name / "arguments.json")
        write_text(paths[name], json.dumps(arguments))
    quiet = {**os.environ, "GLOG_minloglevel": "3"}
    subprocess.run([sys.executable, "-c", SCRIPT, *paths.values()], env=quiet, check=True, timeout=600)
    results = {}
    for name, path in paths.items():
        with open(path + ".err") as err, open(path + ".code") as code:
            results[name] = int(code.read()), err.read(), root / name / "run"
    return results


def is_one_line(err):
    return err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("name", RATES)
def test_a_training_that_diverges_is_one_line(trained, name):
    """Neither an abort, which is a signal, nor a traceback, nor a result; a smaller rate may also go well."""
    status, err, out = trained[name]
    err = "".join(line for line in err.splitlines(keepends=True) if "S_hat loses the objects" not in line)  # it does
    task, factor = RATES[name]
    if factor < 1e6 and (status, err) == (0, ""):
        assert (out / "final.caffemodel").exists()
        return
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1
    assert is_one_line(err) and ("is too large: lower training." + task in err), err
    assert not (out / "final.caffemodel").exists()


@pytest.mark.parametrize("fault", NUMBERS)
def test_numbers_that_are_none_are_one_line(trained, fault):
    status, err, out = trained[fault]
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1
    assert is_one_line(err) and NUMBERS[fault][1] in err, err
    for name in ("final.caffemodel", "log.csv", "train.json", "snapshot.json"):
        assert not (out / name).exists()


@pytest.mark.parametrize("layer, on_cpu", [("conv", True), ("full", True), ("full", False)])
def test_what_is_not_finite_ends_the_step_before_the_backward_pass(net_of, layer, on_cpu):
    """Also where pooling hides it: of windows without a number it makes -FLT_MAX, and that times 0 is 0."""
    net = net_of(
        inputs(x=(2, 1, 4, 4), y=(2, 3)) + 'layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" '
        "convolution_param { num_output: 1 kernel_size: 1 weight_filler { type: 'constant' value: 1 } } }\n"
        'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }\n'
        'layer { name: "full" type: "InnerProduct" bottom: "pool" top: "full" inner_product_param { num_output: 3 } }\n'
        + python_layer(
            "SquaredClassificationLoss", "aepsl.layers.losses", ["full", "y"], ["loss"], loss_weight=1
        ).replace("loss_weight: 1.0", "loss_weight: 1.0 propagate_down: true propagate_down: false")
    )
    net.blobs["x"].data[...] = net.blobs["y"].data[...] = 1

    def fail(layer):
        raise InputError(layer)

    watch = finite.watch(net, fail, on_cpu)
    net.forward()
    net.backward()
    net.params[layer][0].data[...] = np.nan
    net.forward()
    assert np.isfinite(net.blobs["loss"].data) == (layer == "conv")
    with pytest.raises(InputError, match=layer):
        net.backward()
    del watch
    net.backward()


def test_a_net_that_was_watched_goes(net_of):
    """Nets of trainings one after another must not add up: Caffe never frees a callback, and so nothing in it."""
    net = net_of(inputs(x=(1, 3)) + 'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }')
    gone = weakref.ref(net)
    watch = finite.watch(net, None)
    net.forward()
    del net, watch
    gc.collect()
    assert gone() is None


def test_a_training_leaves_no_solver(tiny, data, tmp_path):
    gone = []
    with watched_steps(lambda solver: gone.append(weakref.ref(solver))):
        train.run(tiny, "classification", data, str(tmp_path / "run"))
    assert gone and all(each() is None for each in gone)


# --- Saturation ------------------------------------------------------------------------------------------------------


def test_a_saturated_classification_ends_with_its_remedy(tmp_path, data):
    changes = {"training.classification": dict(lr=30, epochs=20, lr_step_epochs=20)}
    experiment = experiments.changed(tiny_experiment(), changes)
    with pytest.raises(InputError) as error:
        train.run(experiment, "classification", data, str(tmp_path / "run"))
    one_line(error, "stuck at iteration 40", "The squared loss saturates", "lower training.classification.lr")
    assert not (tmp_path / "run/final.caffemodel").exists()


@pytest.mark.parametrize("rate", [1e-7, 0.01])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_slow_or_short_training_is_not_stuck(tmp_path, data, seed, rate):
    """Rates that are too small, too: its losses do not fall, but its scores are not extreme."""
    changes = {"seed": seed, "training.classification": dict(lr=rate, epochs=12, lr_step_epochs=12)}
    experiment = experiments.changed(tiny_experiment(), changes)
    train.run(experiment, "classification", data, str(tmp_path / "run"))
    assert (tmp_path / "run/final.caffemodel").exists()


@pytest.mark.parametrize(
    "before, last, verdict",
    [
        (1.33, 1.33, True),  # the saturated one
        (1.0, 1.33, True),  # and rising
        (1.33, 1.1, False),  # still falling
        (0.7, 0.7, False),  # where scores that know nothing are
        (0.9, 0.3, False),
    ],
)
def test_what_counts_as_stuck(rng, before, last, verdict):
    scatter = rng.uniform(-0.1, 0.1, 40)
    losses = list(np.repeat([before, last], 20) + scatter)
    assert is_stuck(losses, 0.65, 20) is verdict
    assert not is_stuck(losses[1:], 0.65, 20)


@pytest.mark.parametrize("scores, is_sure", [([[20, 0, 0]], True), ([[2, 0, 0]], False)])
def test_a_net_that_is_stuck_but_not_sure_may_go_on(scores, is_sure):
    losses = Losses("run")
    losses.entries = [[k, 1.33] for k in range(40)]
    saturation = Saturation("run", losses, np.eye(3), epoch=4)
    saturation.net = SimpleNamespace(blobs=dict(fc8_cls=SimpleNamespace(data=np.array(scores, np.float32))))
    saturation.after(39)
    with pytest.raises(InputError, match="stuck at iteration 40") if is_sure else contextlib.nullcontext():
        saturation.after(40)


# --- The processes that decode ---------------------------------------------------------------------------------------


def prefetch_of(root, **more):
    settings = dict(PARAMETERS, root=str(root), list="train_aug", classes=["cat", "dog"], batch=4, crop=33)
    sampler = Sampler(**{**settings, **more})
    return Prefetch(sampler, start=0), [np.empty(shape, np.float32) for shape in sampler.shapes]


def test_a_worker_that_dies_after_it_delivered_is_one_line(small_set):
    """Its two batches are there and are served; the third is missed."""
    prefetch, arrays = prefetch_of(small_set)
    process, pipe, slots = prefetch.workers[0]
    until(lambda: slots[1][1].any())
    time.sleep(0.3)  # the message comes after the batch
    process.kill()
    process.join()
    prefetch.next(arrays)
    prefetch.next(arrays)
    with pytest.raises(InputError) as error:
        prefetch.next(arrays)
    one_line(error, "a process that decodes images ended with code -9")


def until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("not within a minute")


def test_no_memory_for_batches_is_one_line(small_set):
    with pytest.raises(InputError) as error:
        prefetch_of(small_set, batch=2**45)
    one_line(error, "no room for batches that are decoded ahead", "a smaller `batch`")


PARENT = (
    "import os, sys, time, numpy as np; from aepsl.layers.data import *; "
    "sampler = Sampler(**dict(PARAMETERS, root=sys.argv[1], list='train_aug', classes=['cat', 'dog'], crop=33, "
    "workers=2)); prefetch = Prefetch(sampler, 0); print(*[p.pid for p, _, _ in prefetch.workers], flush=True); "
    "prefetch.next([np.empty(shape, np.float32) for shape in sampler.shapes]); print('ready', flush=True); "
    "time.sleep(99)"
)


@pytest.mark.parametrize("signal", ["KILL", "INT"])
def test_workers_end_in_silence_with_their_parent(small_set, signal):
    command = [sys.executable, "-c", PARENT, str(small_set)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers = process.stdout.readline().split()
    assert process.stdout.readline() == "ready\n"
    if signal == "INT":  # Ctrl-C goes to all of them
        for pid in workers:
            subprocess.run(["kill", "-INT", pid], check=True)
    process.kill()
    err = process.communicate(timeout=60)[1]  # ends when the last of them has closed it
    assert err == ""
