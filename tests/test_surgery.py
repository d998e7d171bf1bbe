"""LargeFOV's initial weights from VGG-16's."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2

import standins
from aepsl import experiments
from aepsl.caffe_nets import build, caffemodel, surgery
from aepsl.errors import InputError
from conftest import inputs

NARROW = dict(channels=[8, 16, 32, 64, 64], fc=128)  # an eighth of VGG's
CONVS = [f"conv{block}_{k}" for block, count in enumerate([2, 2, 3, 3, 3], 1) for k in range(1, count + 1)]


@pytest.fixture
def vgg(tmp_path):
    """Path of a VGG-16 caffemodel with an eighth of its channels and filters, in the released file's format."""
    path = tmp_path / "vgg.caffemodel"
    standins.write_vgg(path, NARROW["channels"], fc=512, outputs=10)
    return str(path)


def message(path):
    net = caffe_pb2.NetParameter()
    with open(path, "rb") as file:
        net.ParseFromString(file.read())
    return net


def write(path, net):
    with open(path, "wb") as file:
        file.write(net.SerializeToString())


def array(blob, *shape):
    return np.array(blob.data, np.float32).reshape(shape)


def net_of_text(text, path):
    path.write_text(text)
    return caffe.Net(str(path), caffe.TEST)


def upgraded(vgg, path):
    """The same weights in Caffe's present format."""
    net = caffe_pb2.NetParameter()
    for old in message(vgg).layers:
        layer = net.layer.add(name=old.name)
        for blob in old.blobs:
            shape = [size for size in (blob.num, blob.channels, blob.height, blob.width) if size > 1]
            layer.blobs.add(data=blob.data).shape.dim.extend(shape)
    write(path, net)
    return str(path)


@pytest.mark.parametrize("old", [True, False])
def test_every_weight_is_where_it_should_be(vgg, tmp_path, old):
    """Read back through Caffe: position (u, v) of filter i is position (3u, 3v) of VGG's filter 4i, and so on."""
    out = str(tmp_path / "out.caffemodel")
    surgery.run(vgg if old else upgraded(vgg, tmp_path / "new.caffemodel"), out, None, None)
    net = net_of_text(build.deploy_net(dict(experiments.load("voc12"), **NARROW), "psl"), tmp_path / "net.prototxt")
    assert caffemodel.load_weights(net, out, build.NEW_LAYERS) == ["fc8_cls", "fc8_seg"]
    theirs = {layer.name: layer.blobs for layer in message(vgg).layers}
    for name in CONVS:
        for blob, expected in zip(net.params[name], theirs[name]):
            np.testing.assert_array_equal(blob.data, array(expected, *blob.data.shape))
    fc6, fc7 = (net.params[name][0].data for name in ("fc6", "fc7"))
    vgg_fc6, vgg_fc7 = array(theirs["fc6"][0], 512, 64 * 49), array(theirs["fc7"][0], 512, 512)
    for i in range(0, 128, 9):
        for channel in range(64):
            for u in range(3):
                for v in range(3):
                    assert fc6[i, channel, u, v] == vgg_fc6[4 * i, 49 * channel + 7 * 3 * u + 3 * v]
        for j in range(128):
            assert fc7[i, j, 0, 0] == vgg_fc7[4 * i, 4 * j]


def test_it_computes_what_vgg_computes_of_what_is_left(vgg, tmp_path, rng):
    """Where VGG's other positions and filters are zero nothing is lost: the same fc7 from the same pool5."""
    net = message(vgg)
    fc6, fc7 = ({layer.name: layer for layer in net.layers}[name].blobs for name in ("fc6", "fc7"))
    weights = array(fc6[0], 512, 64, 7, 7)
    for gone in (1, 2, 4, 5):
        weights[:, :, gone] = weights[:, :, :, gone] = 0
    fc6[0].data[:] = weights.ravel().tolist()
    fc7[0].data[:] = (array(fc7[0], 512, 512) * (np.arange(512) % 4 == 0)).ravel().tolist()
    for blob in (fc6[1], fc7[1]):
        blob.data[:] = rng.randn(512).tolist()
    write(vgg, net)
    surgery.run(vgg, str(tmp_path / "out.caffemodel"), None, None)

    layers = (
        'layer {{ name: "{0}" type: "{2}" bottom: "{1}" top: "{0}" {3} }}\n'
        'layer {{ name: "relu{0}" type: "ReLU" bottom: "{0}" top: "{0}" }}\n'
    ).format
    full = "inner_product_param { num_output: 512 }"
    theirs = inputs(data=(2, 64, 7, 7)) + layers("fc6", "data", "InnerProduct", full)
    theirs = net_of_text(theirs + layers("fc7", "fc6", "InnerProduct", full), tmp_path / "theirs.prototxt")
    conv = "convolution_param {{ num_output: 128 kernel_size: {} dilation: {} }}".format
    ours = inputs(data=(2, 64, 7, 7)) + layers("fc6", "data", "Convolution", conv(3, 3))
    ours = net_of_text(ours + layers("fc7", "fc6", "Convolution", conv(1, 1)), tmp_path / "ours.prototxt")

    theirs.copy_from(vgg)
    ours.copy_from(str(tmp_path / "out.caffemodel"))
    pool5 = rng.randn(2, 64, 7, 7)
    for net in (theirs, ours):
        net.blobs["data"].data[...] = pool5
        net.forward()
    expected = theirs.blobs["fc7"].data[:, ::4]
    assert expected.std() > 0.1
    np.testing.assert_allclose(ours.blobs["fc7"].data[:, :, 0, 0], expected, rtol=1e-3, atol=1e-4)


def test_largefov_stays_as_it_is(vgg, tmp_path):
    once, twice = tmp_path / "once.caffemodel", tmp_path / "twice.caffemodel"
    surgery.run(vgg, str(once), None, None)
    surgery.run(str(once), str(twice), None, None)
    assert once.read_bytes() == twice.read_bytes()


@pytest.mark.parametrize("change", ["fc6", "fc7", "no fc7"])
def test_other_nets_are_refused(vgg, tmp_path, change):
    net = message(vgg)
    layer = next(layer for layer in net.layers if layer.name == change.split()[-1])
    if change == "no fc7":
        layer.name = "fc7_other"
    else:
        layer.blobs[0].width -= 1
    write(vgg, net)
    with pytest.raises(InputError, match="vgg.caffemodel: holds neither VGG-16 nor LargeFOV.*fc6"):
        surgery.run(vgg, str(tmp_path / "out.caffemodel"), None, None)
    assert not (tmp_path / "out.caffemodel").exists()


def test_the_released_files_shapes_load_into_voc12(tmp_path):
    """At full size: what 553 MB of VGG become is what the paper's nets want."""
    vgg, out = str(tmp_path / "vgg.caffemodel"), str(tmp_path / "out.caffemodel")
    standins.write_vgg(vgg)
    surgery.run(vgg, out, None, None)
    net = caffe.Net(experiments.prototxt(experiments.load("voc12"), "classification", "deploy"), caffe.TEST)
    assert caffemodel.load_weights(net, out, build.NEW_LAYERS) == ["fc8_cls"]
    assert net.params["fc6"][0].data.std() > 0
