"""LargeFOV's initial weights from VGG-16's."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2

from aepsl import caffe_io, nets, surgery
from aepsl import experiment as experiments
from aepsl.errors import InputError
from conftest import inputs

CONVS = [f"conv{block}_{k}" for block, count in enumerate([2, 2, 3, 3, 3], 1) for k in range(1, count + 1)]
NARROW = dict(channels=[8, 16, 32, 64, 64], fc=128)  # an eighth of VGG


def random_vgg(random):
    """{layer: (weights, bias)} of a VGG-16 with an eighth of its channels and filters."""
    shapes, below = {}, 3
    for name in CONVS:
        width = NARROW["channels"][int(name[4]) - 1]
        shapes[name], below = (width, below, 3, 3), width
    shapes.update(fc6=(512, below * 49), fc7=(512, 512), fc8=(10, 512))
    return {name: [random.randn(*size).astype(np.float32) for size in (s, s[:1])] for name, s in shapes.items()}


def write(path, arrays, old=True):
    """Write a caffemodel; `old`: as VGG's was released, `layers` with blobs of four sizes."""
    net = caffe_pb2.NetParameter()
    for name, pair in arrays.items():
        layer = (net.layers if old else net.layer).add(name=name)
        for array in pair:
            blob = layer.blobs.add(data=array.ravel().tolist())
            if old:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            else:
                blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


def net_of_text(text, path):
    path.write_text(text)
    return caffe.Net(str(path), caffe.TEST)


@pytest.mark.parametrize("old", [True, False])
def test_every_weight_is_where_it_should_be(tmp_path, rng, old):
    """Read back through Caffe: position (u, v) of filter i is position (3u, 3v) of VGG's filter 4i, and so on."""
    arrays = random_vgg(rng)
    write(tmp_path / "vgg.caffemodel", arrays, old)
    out = str(tmp_path / "out.caffemodel")
    surgery.run(str(tmp_path / "vgg.caffemodel"), out)
    net = net_of_text(nets.deploy_net(dict(experiments.load("voc12"), **NARROW), "psl"), tmp_path / "net.prototxt")
    assert caffe_io.load_weights(net, out, nets.NEW_LAYERS) == ["fc8_cls", "fc8_seg"]
    for name in CONVS:
        for blob, array in zip(net.params[name], arrays[name]):
            np.testing.assert_array_equal(blob.data, array)
    fc6, fc7 = ([blob.data for blob in net.params[name]] for name in ("fc6", "fc7"))
    for i in range(0, 128, 9):
        assert (fc6[1][i], fc7[1][i]) == (arrays["fc6"][1][4 * i], arrays["fc7"][1][4 * i])
        for channel in range(64):
            for u in range(3):
                for v in range(3):
                    assert fc6[0][i, channel, u, v] == arrays["fc6"][0][4 * i, 49 * channel + 7 * 3 * u + 3 * v]
        for j in range(128):
            assert fc7[0][i, j, 0, 0] == arrays["fc7"][0][4 * i, 4 * j]


def test_it_computes_what_vgg_computes_of_what_is_left(tmp_path, rng):
    """Where VGG's other positions and filters are zero nothing is lost: the same fc7 from the same pool5."""
    arrays = random_vgg(rng)
    fc6 = arrays["fc6"][0].reshape(512, 64, 7, 7)
    for gone in (1, 2, 4, 5):
        fc6[:, :, gone] = fc6[:, :, :, gone] = 0
    arrays["fc7"][0][:, np.arange(512) % 4 > 0] = 0
    write(tmp_path / "vgg.caffemodel", arrays)
    surgery.run(str(tmp_path / "vgg.caffemodel"), str(tmp_path / "out.caffemodel"))

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

    theirs.copy_from(str(tmp_path / "vgg.caffemodel"))
    ours.copy_from(str(tmp_path / "out.caffemodel"))
    for net in (theirs, ours):
        net.blobs["data"].data[...] = np.random.RandomState(1).randn(2, 64, 7, 7)
        net.forward()
    expected = theirs.blobs["fc7"].data[:, ::4]
    assert expected.std() > 1
    np.testing.assert_allclose(ours.blobs["fc7"].data[:, :, 0, 0], expected, rtol=1e-3, atol=1e-3 * expected.std())


def test_largefov_stays_as_it_is_and_the_result_is_the_same_bytes_each_time(tmp_path, rng):
    write(tmp_path / "vgg.caffemodel", random_vgg(rng))
    once, twice = tmp_path / "once.caffemodel", tmp_path / "twice.caffemodel"
    surgery.run(str(tmp_path / "vgg.caffemodel"), str(once))
    surgery.run(str(once), str(twice))
    assert once.read_bytes() == twice.read_bytes()


@pytest.mark.parametrize("change", ["fc6", "fc7", "no fc7"])
def test_other_nets_are_refused(tmp_path, rng, change):
    arrays = random_vgg(rng)
    if change == "no fc7":
        del arrays["fc7"]
    else:
        arrays[change][0] = arrays[change][0][:, 1:]
    write(tmp_path / "other.caffemodel", arrays)
    with pytest.raises(InputError, match="other.caffemodel: holds neither VGG-16 nor LargeFOV.*fc6"):
        surgery.run(str(tmp_path / "other.caffemodel"), str(tmp_path / "out.caffemodel"))
    assert not (tmp_path / "out.caffemodel").exists()
