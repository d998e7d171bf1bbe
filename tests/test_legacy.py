"""Nets of plain Caffe in the formats of 2014, against Caffe's own loading and forward pass."""

import shutil
import subprocess
import sys

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.images.pictures import read_indexed, write_mask
from aepsl.legacy.net import LegacyNet
from aepsl.nets import crf
from aepsl.settings import experiments
from aepsl.stages import segment
from conftest import copy_of_repository

DEPLOY = """
name: "old"
input: "data"
input_dim: 1
input_dim: 3
input_dim: 33
input_dim: 33
layers {
  name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.02 } }
}
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers {
  name: "pool1" type: POOLING bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 4 pad: 1 }
}
layers {
  name: "fc8_cat" type: CONVOLUTION bottom: "pool1" top: "fc8_cat"
  convolution_param { num_output: 3 kernel_size: 3 pad: 2 hole: 2 weight_filler { type: "gaussian" std: 0.4 } }
}
"""
MEAN = [104.008, 116.669, 122.675]


@pytest.fixture
def old(tmp_path):
    """A deploy prototxt and a caffemodel of 2014, and the same net as Caffe itself opens them."""
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    (tmp_path / "plain.prototxt").write_text(DEPLOY.replace("hole", "dilation"))
    parameter = text_format.Parse((tmp_path / "plain.prototxt").read_text(), caffe_pb2.NetParameter())
    rng = np.random.RandomState(4)
    net = caffe.Net(str(tmp_path / "plain.prototxt"), caffe.TEST)
    for layer in parameter.layers:
        for blob in net.params.get(layer.name, ()):
            shape = [1] * (4 - blob.data.ndim) + list(blob.data.shape)
            values = rng.randn(blob.count) * (0.02 if layer.name == "conv1" else 0.4)
            layer.blobs.add(data=values, **dict(zip(("num", "channels", "height", "width"), shape)))
    (tmp_path / "old.caffemodel").write_bytes(parameter.SerializeToString())
    return tmp_path, caffe.Net(str(tmp_path / "plain.prototxt"), str(tmp_path / "old.caffemodel"), caffe.TEST)


def experiment():
    changes = {"classes": ["cat", "dog"], "data": dict(scale=1, mean=MEAN)}
    return experiments.changed(experiments.load("demo"), changes)


def stated(net, image):
    """Probabilities by Caffe's forward pass and linear interpolation between its cells, 4 pixels apart."""
    height, width = image.shape[:2]
    sides = [4 * -(-(side - 1) // 4) + 1 for side in (height, width)]
    blob = np.zeros((1, 3, *sides), np.float32)
    blob[0, :, :height, :width] = (image - np.array(MEAN)).transpose(2, 0, 1)
    net.blobs["data"].reshape(*blob.shape)
    scores = net.forward(data=blob)["fc8_cat"][0].astype(np.float64)
    for axis, (side, pixels) in enumerate(zip(sides, (height, width)), start=1):
        assert scores.shape[axis] == (side + 3) // 4
        cells = 4 * np.arange(scores.shape[axis])
        scores = np.apply_along_axis(lambda row: np.interp(np.arange(pixels), cells, row), axis, scores)  # noqa: B023
    exponential = np.exp(scores - scores.max(axis=0))
    return exponential / exponential.sum(axis=0)


def test_an_old_net_gives_what_caffe_gives(old, small_set, tmp_path):
    """Masks without and with CRF, of images of odd sizes; the scores have a quarter of the input's cells."""
    folder, net = old
    settings, out = experiment(), str(tmp_path / "out")
    legacy = (str(folder / "deploy.prototxt"), "fc8_cat")
    model = str(folder / "old.caffemodel")
    segment.run(settings, str(small_set), "val", model, out, legacy=legacy)
    dataset = Dataset(str(small_set))
    seen = set()
    for image_id in dataset.ids("val"):
        image = dataset.image(image_id)
        expected = stated(net, image)
        ours = LegacyNet(settings, *legacy, model, 3).probabilities(image)
        np.testing.assert_allclose(ours, expected, atol=2e-5)
        refined = crf.refined(image, expected.astype(np.float32), settings.crf)
        for kind, maps in (("plain", expected), ("crf", refined)):
            mask = read_indexed(f"{out}/{kind}/{image_id}.png")
            assert np.mean(mask == maps.argmax(axis=0)) > 0.998
            seen |= set(mask.ravel())
    assert seen == {0, 1, 2}


FAULTS = {
    "no such blob": (lambda text: text, "fc9", "has no blob fc9; --scores takes one of conv1, pool1, fc8_cat"),
    "other channels": (lambda text: text, "conv1", "3 channels are needed"),
    "another word": (
        lambda text: text.replace("hole", "holes"),
        "fc8_cat",
        "Convolution (fc8_cat, line 17) has fields of another Caffe: convolution_param.holes",
    ),
    "a word that is none": (
        lambda text: text.replace("hole: 2", "hole: ;"),
        "fc8_cat",
        "Expected a value; mend that line",
    ),
    "an open bracket": (lambda text: text[: text.rindex("}")], "fc8_cat", "Expected '}'"),
    "a variable": (
        lambda text: text.replace("num_output: 3", "num_output: ${CLASSES}"),
        "fc8_cat",
        "say what ${CLASSES} is: --define CLASSES=...",
    ),
    "one size": (
        lambda text: text + 'layers { name: "fc" type: INNER_PRODUCT bottom: "fc8_cat" top: "fc" }',
        "fc",
        "InnerProduct (fc, line 21) takes images of one size; make it a convolution",
    ),
    "a softmax": (
        lambda text: text + 'layers { name: "prob" type: SOFTMAX bottom: "fc8_cat" top: "prob" }',
        "prob",
        "prob comes out of a softmax, which is added here; name the blob before it",
    ),
    "a softmax in place": (
        lambda text: text + 'layers { name: "prob" type: SOFTMAX bottom: "fc8_cat" top: "fc8_cat" }',
        "fc8_cat",
        "fc8_cat comes out of a softmax",
    ),
    "two inputs": (
        lambda text: text.replace('"old"', '"old" input: "depth"').replace(
            'bottom: "data"', 'bottom: "data" bottom: "depth"'
        ),
        "fc8_cat",
        "must read one, of an image's 3",
    ),
    "an image of depth": (lambda text: text.replace("input_dim: 3\n", "input_dim: 4\n"), "fc8_cat", "{'data': 4}"),
    "a layer that runs": (
        lambda text: text + 'layer { name: "p" type: "Python" bottom: "fc8_cat" top: "p" }',
        "p",
        "Python (p, line 21) is code of the net's authors, which is not run",
    ),
    "of 2013, one size": (lambda text: V0, "fc", "InnerProduct (fc, line "),
    "of 2013, another word": (lambda text: V0.replace("kernelsize", "size"), "fc", 'no field named "size"'),
    "a blob from nowhere": (
        lambda text: text.replace('bottom: "pool1"', 'bottom: "pool2"'),
        "fc8_cat",
        "no layer gives pool2, which the scores need",
    ),
    "no channels": (lambda text: text.replace("num_output: 6", ""), "fc8_cat", "Check failed: num_output_ > 0"),
    "beyond the image": (
        lambda text: text.replace("hole: 2", "hole: 9999"),
        "fc8_cat",
        "takes no image, of whatever size: fc8_cat begins 39987 pixels within",
    ),
    "no convolution": (lambda text: text.split("layers")[0], None, "has no convolution"),
}
V0 = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 33 input_dim: 33
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 } bottom: "data" top: "conv" }
layers { layer { name: "fc" type: "innerproduct" num_output: 3 } bottom: "conv" top: "fc" }
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(old, small_set, fault):
    change, scores, message = FAULTS[fault]
    folder, _ = old
    (folder / "deploy.prototxt").write_text(change(DEPLOY))
    with pytest.raises(InputError) as error:
        arguments = (experiment(), str(small_set), "val", str(folder / "old.caffemodel"), str(folder / "out"))
        segment.run(*arguments, legacy=(str(folder / "deploy.prototxt"), scores))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_blob_of_scores_alone_is_one_line(old, small_set):
    arguments = f"--experiment demo --data {small_set} --list val --model {old[0]}/old.caffemodel --out {old[0]}/out"
    for more in ("--scores fc8_cat", f"--deploy {old[0]}/deploy.prototxt --confidence labels"):
        with pytest.raises(InputError, match="give --deploy too, .*, and no --confidence"):
            segment.main(f"{arguments} {more}".split())


def test_what_the_reading_changed_is_said(old, capsys):
    folder, _ = old
    LegacyNet(experiment(), str(folder / "deploy.prototxt"), None, str(folder / "old.caffemodel"), 3)
    assert capsys.readouterr().err == f"{folder}/deploy.prototxt: Convolution: `hole` is dilation: fc8_cat\n"


def test_too_large_an_image_is_scaled_down_and_that_is_said(old, rng, capsys):
    folder, _ = old
    net = LegacyNet(experiment(), str(folder / "deploy.prototxt"), "fc8_cat", str(folder / "old.caffemodel"), 3)
    capsys.readouterr()
    image = rng.randint(0, 256, (60, 80, 3)).astype(np.uint8)
    plain = net.probabilities(image)
    assert capsys.readouterr().err == ""
    net.most = 50 * 40 * 60  # data, conv1, pool1 and the columns have some 40 values a pixel
    found = net.probabilities(image, name="large")
    assert "large: 80 x 60 pixels are too many" in capsys.readouterr().err and found.shape == plain.shape
    net.most = 10
    with pytest.raises(InputError, match="the net needs more memory than it may use for an image of any size"):
        net.probabilities(image)
    net.most = 50 * 40 * 60
    net.probabilities(image)
    blobs = net.net.blobs.values()
    columns = 27 * np.prod(net.net.blobs["conv1"].data.shape[2:]) + 54 * np.prod(
        net.net.blobs["fc8_cat"].data.shape[2:]
    )
    assert 40 * 40 * 60 < sum(blob.count for blob in blobs) + columns < 50 * 40 * 60


def test_commands(old, small_set):
    """Segmented, and compared with a row that is the truth."""
    tree = copy_of_repository(old[0] / "tree")
    shutil.copytree(small_set, tree / "runs/demo/data")
    (tree / "runs/demo/data/classes.txt").write_text("quillow\nmarbit\nfennak\ndorrel\n")
    shutil.copytree(tree / "runs/demo/data/SegmentationClassAug", tree / "runs/demo/val/psl++/crf")
    for path in (tree / "runs/demo/val/psl++/crf").iterdir():
        write_mask(str(path), read_indexed(str(path)) % 255)
    (tree / "runs/old").mkdir()
    text = DEPLOY.replace("fc8_cat", "fc8").replace("num_output: 3", "num_output: 5")
    (tree / "runs/old/deploy.prototxt").write_text(text)
    (tree / "plain.prototxt").write_text(text.replace("hole", "dilation"))
    caffe.set_random_seed(1)
    net = caffe.Net(str(tree / "plain.prototxt"), caffe.TEST)
    net.save(str(tree / "runs/old/old.caffemodel"))
    for command, prints in [
        (
            "segment --experiment demo --data runs/demo/data --list val --deploy runs/old/deploy.prototxt"
            " --model runs/old/old.caffemodel --scores fc8 --out runs/old/val",
            "",
        ),
        ("compare --as-given --run runs/demo:psl++ --pred runs/old/val/crf", "runs/old/val/crf"),  # noise
    ]:
        command = [sys.executable, "-m", "aepsl", *command.split()]
        assert prints in subprocess.check_output(command, cwd=tree, text=True)


def test_a_variable_may_be_said(old):
    folder, _ = old
    path, model = str(folder / "deploy.prototxt"), str(folder / "old.caffemodel")
    image = np.arange(40 * 50 * 3).reshape(40, 50, 3).astype(np.uint8)
    plain = LegacyNet(experiment(), path, "fc8_cat", model, 3).probabilities(image)
    (folder / "deploy.prototxt").write_text(DEPLOY.replace("num_output: 3", "num_output: ${CLASSES}"))
    net = LegacyNet(experiment(), path, None, model, 3, variables={"CLASSES": "3"})
    assert net.legacy.scores == "fc8_cat" and (net.probabilities(image) == plain).all()
