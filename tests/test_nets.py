"""The nets: committed as written, sizes, shapes, the weights that they load, gradients at full size."""

import glob
import os

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2

from aepsl.base.errors import InputError
from aepsl.nets import build, caffemodel
from aepsl.settings import experiments

EXPERIMENTS = experiments.known()
SQUEEZENET = os.environ.get("WEIGHTS", "")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_committed_prototxts_are_what_the_experiment_writes(name):
    expected = build.committed(experiments.load(name))
    assert sorted(expected) == sorted(glob.glob(f"{experiments.FOLDER}/{name}/*.prototxt"))
    for path, text in expected.items():
        with open(path) as file:
            assert file.read() == text, f"{path} is stale: run `make nets`"


def opened(name, task, shape=None):
    net = caffe.Net(experiments.prototxt(experiments.load(name), task, "deploy"), caffe.TEST)
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
    classes = len(experiment["classes"])
    expected = (1, classes) if task == "classification" else (1, classes + 1, 13, 16)
    assert net.blobs[head].data.shape == expected


def test_voc12_is_deeplab_crf_largefov():
    """Its release, layer by layer: output channels, kernel, dilation, pad, and the shapes that its caffemodels have."""
    net = caffemodel.read_prototxt("prototxt/voc12/segmentation_train.prototxt", caffe_pb2.NetParameter())
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
    solver = caffemodel.read_prototxt(path, caffe_pb2.SolverParameter())
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
