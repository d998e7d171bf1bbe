"""The nets: as text, as committed and for stock Caffe; trunks, shapes, the weights that they load."""

import glob
import json
import os
import shutil
import subprocess
import sys

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base.errors import InputError
from aepsl.data import synthetic
from aepsl.data.dataset import VOC_CLASSES
from aepsl.graph.graph import Graph
from aepsl.nets import build, caffemodel
from aepsl.nets.prototxt import net_text
from aepsl.settings import experiments
from conftest import copy_of_repository, parsed

EXPERIMENTS = experiments.known()
SQUEEZENET = os.environ.get("WEIGHTS", "")


def test_committed_are_voc12s_prototxts_as_its_experiment_writes_them():
    expected = build.files(experiments.load("voc12"))
    assert sorted(expected) == sorted(glob.glob(f"{experiments.FOLDER}/*/*.prototxt"))
    for path, text in expected.items():
        with open(path) as file:
            assert file.read() == text, f"{path} is stale: run `make nets`"


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """A root with voc12's prototxts, and stand-ins for its data, its masks and initial weights."""
    root = tmp_path_factory.mktemp("voc")
    shutil.copytree("prototxt/voc12", root / "prototxt/voc12")
    synthetic.run(str(root / "data/voc12"), train=4, val=1, seed=1)
    for name in ("classes.txt", "image_labels.txt"):
        text = (root / "data/voc12" / name).read_text()
        for drawn, real in zip(synthetic.CLASSES, VOC_CLASSES):
            text = text.replace(drawn, real)
        (root / "data/voc12" / name).write_text(text)
    (root / "data/voc12/classes.txt").write_text("\n".join(VOC_CLASSES) + "\n")
    shutil.copytree(root / "data/voc12/SegmentationClassAug", root / "runs/voc12/masks/ae_step3")
    opened("voc12", "segmentation").save(str(root / "runs/voc12/initial.caffemodel"))
    return root


def stock_caffe(folder, solver):
    """The command in the first lines of `solver`, typed in `folder`."""
    command = next(line[1:].split() for line in solver.read_text().splitlines() if line.startswith("#   caffe train"))
    environment = dict(os.environ, PYTHONPATH=os.path.abspath("python"), GLOG_minloglevel="0", GLOG_logtostderr="1")
    return subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment, timeout=300)


@pytest.mark.parametrize("missing", ["data/voc12", "runs/voc12/masks/ae_step3"])
def test_stock_caffe_names_what_is_missing(voc, tmp_path, missing):
    """It aborts, and tells nothing of the error of a Python layer by itself."""
    shutil.copytree(voc, tmp_path / "voc")
    shutil.rmtree(tmp_path / "voc" / missing)
    done = stock_caffe(tmp_path / "voc", tmp_path / "voc/prototxt/voc12/segmentation_solver.prototxt")
    assert done.returncode != 0 and f"error: {missing}" in done.stderr and done.stderr.count("error: ") == 1


@pytest.mark.parametrize("task", experiments.TASKS)
def test_stock_caffe_trains_the_committed_solvers(voc, task):
    """As they are, except for one iteration of two small crops."""
    solver, net = voc / f"prototxt/voc12/{task}_solver.prototxt", voc / f"prototxt/voc12/{task}_train.prototxt"
    solver.write_text(solver.read_text().replace("max_iter: 5291", "max_iter: 1"))
    net.write_text(net.read_text().replace('"batch": 30', '"batch": 2').replace('"crop": 321', '"crop": 65'))
    done = stock_caffe(voc, solver)
    assert done.returncode == 0 and "Optimization Done." in done.stderr, done.stderr[-2000:]
    assert (voc / f"runs/voc12_{task}_iter_1.caffemodel").exists()


@pytest.mark.parametrize("task", ["segmentation", "psl"])
def test_committed_nets_learn_from_the_masks_of_the_run(task):
    net = parsed(f"prototxt/voc12/{task}_train.prototxt", caffe_pb2.NetParameter())
    masks = json.loads(net.layer[0].python_param.param_str)["masks"]
    row = dict(segmentation="ae_step3", psl="psl")[task]
    assert masks == os.path.relpath(Graph(experiments.load("voc12")).stages[f"segmentation.{row}"].paths["masks"])


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("task", experiments.TASKS)
def test_every_net_is_built_by_caffe_as_its_text_says(name, task):
    net = opened(name, task)
    layers = text_format.Parse(build.deploy_net(experiments.load(name), task), caffe_pb2.NetParameter()).layer
    assert [layer.name for layer in layers] == [each for each in net._layer_names if "_split" not in each]


ODD = [
    'say "a"',
    "it's",
    "back\\slash \\\" both '",
    "tab\tbreak\n",
    "\u00e9 \U0001f600",
    "long " * 60,
    "x" * 300,
    "  two  ",
    "",
]
ODD += [json.dumps({"root": "it's", "classes": ['a "b"', "\u00e9"] * 20})]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("number", [0.01, 1.0, 1e37, 1e-9, 123456.789, 0.1, -3])
def test_a_net_as_text_is_that_net(text, number):
    net = caffe_pb2.NetParameter(name="net")
    layer = net.layer.add(
        name="a", type="Python", top=["a", "b"], loss_weight=[number, 1], propagate_down=[True, False]
    )
    layer.python_param.param_str = text
    layer.convolution_param.weight_filler.std = number
    layer.pooling_param.pool = caffe_pb2.PoolingParameter.AVE
    layer.param.add(lr_mult=number)
    assert text_format.Parse(net_text("net", net, {"a": "a comment"}), caffe_pb2.NetParameter()) == net


TRUNK = """
from aepsl.nets.parts import conv_relu


def trunk(n, x, experiment):
    n.conv, n.relu = conv_relu(x, 16, size=9, stride=8)
    return n.relu
"""


def test_a_trunk_is_a_file_and_its_name(tmp_path):
    tree = copy_of_repository(tmp_path / "tree")
    (tree / "python/aepsl/nets/trunks/plain.py").write_text(TRUNK)
    text = (tree / "prototxt/rehearsal/experiment.yaml").read_text()
    (tree / "prototxt/rehearsal/experiment.yaml").write_text(text.replace("net: squeezenet", "net: plain"))
    command = [sys.executable, "-m", "aepsl", "build", "rehearsal"]
    environment = dict(os.environ, PYTHONPATH=str(tree / "python"))
    subprocess.run(command, cwd=tree, env=environment, check=True)
    net = caffe.Net(str(tree / "prototxt/rehearsal/psl_deploy.prototxt"), caffe.TEST)
    assert net.blobs["fc8_seg"].data.shape == (1, 7, 21, 21)
    (tree / "python/aepsl/nets/trunks/plain.py").unlink()
    done = subprocess.run(command, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True)
    assert done.stderr == (
        "error: prototxt/rehearsal/experiment.yaml: `net` is 'plain'; it must be largefov or squeezenet\n"
    )


def opened(name, task, shape=None):
    net = caffemodel.net_of(build.deploy_net(experiments.load(name), task))
    if shape:
        net.blobs["data"].reshape(1, 3, *shape)
        net.reshape()
    return net


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("task, head", [("classification", "fc8_cls"), ("segmentation", "fc8_seg")])
def test_inputs_of_8k_1_give_maps_of_k_1(name, task, head):
    experiment = experiments.load(name)
    net = opened(name, task, (97, 121))
    trunk = net.bottom_names["gap"][0] if task == "classification" else net.bottom_names[head][0]
    assert net.blobs[trunk].data.shape[2:] == (13, 16)
    classes = len(experiment.classes)
    expected = (1, classes) if task == "classification" else (1, classes + 1, 13, 16)
    assert net.blobs[head].data.shape == expected


def test_voc12_is_deeplab_crf_largefov():
    """Its release, layer by layer: output channels, kernel, dilation, pad, and the shapes that its caffemodels have."""
    net = parsed("prototxt/voc12/segmentation_train.prototxt", caffe_pb2.NetParameter())
    layers = {layer.name: layer for layer in net.layer}
    vgg = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    names = [f"conv{block}_{k}" for block, count in enumerate([2, 2, 3, 3, 3], 1) for k in range(1, count + 1)]
    for name, channels in zip(names, vgg):
        conv = layers[name].convolution_param
        dilation = 2 if name.startswith("conv5") else 1
        assert (conv.num_output, list(conv.kernel_size)) == (channels, [3])
        assert (conv.dilation[0], conv.pad[0]) == (dilation, dilation)
        assert [(p.lr_mult, p.decay_mult) for p in layers[name].param] == [(1, 1), (2, 0)]
    for block, stride in enumerate([2, 2, 2, 1, 1], 1):
        pool = layers[f"pool{block}"].pooling_param
        assert (pool.pool, pool.kernel_size, pool.stride, pool.pad) == (pool.MAX, 3, stride, 1)
    pool = layers["pool5a"].pooling_param
    assert (pool.pool, pool.kernel_size, pool.stride, pool.pad) == (pool.AVE, 3, 1, 1)
    fc6, fc7, fc8 = (layers[name].convolution_param for name in ("fc6", "fc7", "fc8_seg"))
    assert (fc6.num_output, fc6.kernel_size[0], fc6.dilation[0], fc6.pad[0]) == (1024, 3, 12, 12)
    assert (fc7.num_output, fc7.kernel_size[0]) == (1024, 1)
    assert (fc8.num_output, fc8.weight_filler.type, round(fc8.weight_filler.std, 6)) == (21, "gaussian", 0.01)
    assert [(p.lr_mult, p.decay_mult) for p in layers["fc8_seg"].param] == [(10, 1), (20, 0)]
    assert layers["drop6"].dropout_param.dropout_ratio == layers["drop7"].dropout_param.dropout_ratio == 0.5


def test_voc12_solver_is_the_papers_schedule():
    """Batch 30, 15 epochs of 10,582 images, a tenth of the rate after 6."""
    path = "prototxt/voc12/classification_solver.prototxt"
    solver = parsed(path, caffe_pb2.SolverParameter())
    assert (solver.max_iter, solver.stepsize) == (5291, 2116)
    assert solver.lr_policy == "step" and solver.gamma == pytest.approx(0.1)
    assert solver.base_lr == pytest.approx(0.001)
    assert (solver.momentum, solver.weight_decay) == (pytest.approx(0.9), pytest.approx(0.0005))


def test_weights_of_another_net_are_refused(tmp_path):
    demo, rehearsal = opened("demo", "classification"), opened("rehearsal", "classification")
    path = str(tmp_path / "demo.caffemodel")
    demo.save(path)
    with pytest.raises(InputError, match=r"demo.caffemodel: has no layer conv1, which the net needs"):
        caffemodel.load_weights(rehearsal, path, build.NEW_LAYERS)


def test_weights_of_other_shapes_are_refused_and_not_fatal(tmp_path):
    path = str(tmp_path / "other.caffemodel")
    opened("demo", "classification").save(path)
    model = caffe_pb2.NetParameter()
    with open(path, "rb") as file:
        model.ParseFromString(file.read())
    next(layer for layer in model.layer if layer.name == "fc6").blobs[0].shape.dim[2] = 1
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    with pytest.raises(InputError, match=r"its layer fc6 has the shapes"):
        caffemodel.load_weights(opened("demo", "classification"), path, build.NEW_LAYERS)


def test_a_new_head_may_be_missing_and_the_trunk_is_loaded(tmp_path):
    classification, segmentation = opened("demo", "classification"), opened("demo", "segmentation")
    path = str(tmp_path / "trunk.caffemodel")
    classification.save(path)
    assert caffemodel.load_weights(segmentation, path, build.NEW_LAYERS) == ["fc8_seg"]
    np.testing.assert_array_equal(segmentation.params["fc6"][0].data, classification.params["fc6"][0].data)


@pytest.mark.parametrize("content", [b"", b"not a caffemodel", None])
def test_a_file_that_is_no_caffemodel_is_refused(tmp_path, content):
    path = tmp_path / "weights.caffemodel"
    if content is None:
        opened("demo", "classification").save(str(path))
        content = path.read_bytes()[:-1000]
    path.write_bytes(content)
    with pytest.raises(InputError, match="weights.caffemodel"):
        caffemodel.load_weights(opened("demo", "classification"), str(path), build.NEW_LAYERS)


@pytest.mark.skipif(not os.path.exists(SQUEEZENET), reason="WEIGHTS names no squeezenet_v1.0.caffemodel")
def test_the_official_squeezenet_loads():
    net = opened("rehearsal", "classification")
    assert caffemodel.load_weights(net, SQUEEZENET, build.NEW_LAYERS) == ["fc8_cls"]
    assert net.params["conv1"][0].data.std() > 0
