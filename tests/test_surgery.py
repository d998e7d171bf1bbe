"""LargeFOV's initial weights from VGG-16's."""

import json
import os
import shutil

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

import standins
from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.data import synthetic
from aepsl.nets import build, caffemodel
from aepsl.run.inputs import contents_of
from aepsl.settings import experiments
from aepsl.stages import surgery
from conftest import inputs

NARROW = dict(channels=[8, 16, 32, 64, 64], fc=128)  # an eighth of VGG's
REAL_CONVS = os.environ.get("WEIGHTS", "")
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
    narrow = experiments.changed(experiments.load("voc12"), NARROW)
    net = net_of_text(build.deploy_net(narrow, "psl"), tmp_path / "net.prototxt")
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
    net = caffemodel.net_of(build.deploy_net(experiments.load("voc12"), "classification"))
    assert caffemodel.load_weights(net, out, build.NEW_LAYERS) == ["fc8_cls"]
    assert net.params["fc6"][0].data.std() > 0


# --- A file of the convolutions alone --------------------------------------------------------------------------------


@pytest.fixture
def convs(vgg, tmp_path):
    """Path of the small VGG-16's convolutions alone."""
    net = message(vgg)
    for layer in [layer for layer in net.layers if layer.name.startswith("fc")]:
        net.layers.remove(layer)
    write(tmp_path / "convs.caffemodel", net)
    return str(tmp_path / "convs.caffemodel")


@pytest.fixture
def small():
    """An experiment for that net and the demo's images."""
    changes = {"data": dict(crop=65, scale=0.75), "seed": 3, "fc6_dilation": 2, "classes": list(synthetic.CLASSES)}
    return experiments.changed(experiments.load("voc12"), {**changes, **NARROW})


def net_for(experiment, weights):
    net = caffemodel.net_of(build.deploy_net(experiment, "classification"))
    assert caffemodel.load_weights(net, weights, build.NEW_LAYERS) == ["fc8_cls"]
    return net


def first_crops(experiment, data, tmp_path):
    """The first crops that a training sees, IMAGES x 3 x crop x crop, through its own data layer."""
    experiment = experiments.changed(experiment, {"training.classification.batch": surgery.IMAGES})
    net = text_format.Parse(build.train_net(experiment, "classification"), caffe_pb2.NetParameter())
    parameters = net.layer[0].python_param
    parameters.param_str = json.dumps({**json.loads(parameters.param_str), "root": data})
    del net.layer[1:]
    path = str(tmp_path / "data.prototxt")
    write_text(path, text_format.MessageToString(net))
    net = caffe.Net(path, caffe.TRAIN)
    net.forward()
    return net.blobs["data"].data.copy()


def outputs(experiment, weights, images):
    """{layer: its outputs before the ReLU, filters x everything else}, for images N x 3 x crop x crop."""
    net = net_for(experiment, weights)
    net.blobs["data"].reshape(*images.shape)
    net.blobs["data"].data[...] = images
    found = {}
    for name in surgery.DRAWN:
        net.forward(end=name)
        values = net.blobs[name].data.astype(float)
        found[name] = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    return found


def assert_of_unit_size(experiment, weights, images):
    for values in outputs(experiment, weights, images).values():
        np.testing.assert_allclose(values.mean(1), 0, atol=1e-3)
        np.testing.assert_allclose(values.std(1), 1, atol=1e-3)


def test_drawn_layers_have_outputs_of_unit_size(convs, small, data, tmp_path, capsys):
    """Each filter's, over the first crops that the training sees; the filters are Gaussians but for their size."""
    out = str(tmp_path / "out.caffemodel")
    surgery.run(convs, out, small, data)
    assert_of_unit_size(small, out, first_crops(small, data, tmp_path))
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.startswith(f"{convs}: has no fc6 and fc7; they are drawn from seed 3")

    net, theirs = net_for(small, out), {layer.name: layer.blobs for layer in message(convs).layers}
    for name in CONVS:
        for blob, expected in zip(net.params[name], theirs[name]):
            np.testing.assert_array_equal(blob.data, array(expected, *blob.data.shape))
    for name in surgery.DRAWN:
        weights = net.params[name][0].data
        unit = np.concatenate([row.ravel() / row.std() for row in weights])
        assert abs(unit.mean()) < 0.03 and abs((abs(unit) < 1).mean() - 0.683) < 0.02


def test_drawn_layers_are_the_seeds(convs, small, data, tmp_path):
    bytes_of = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 2)):
        seeded = experiments.changed(small, {"seed.training": seed})
        surgery.run(convs, str(tmp_path / f"{name}.caffemodel"), seeded, data)
        bytes_of[name] = (tmp_path / f"{name}.caffemodel").read_bytes()
    assert bytes_of["a"] == bytes_of["b"]
    first, other = (net_for(small, str(tmp_path / f"{name}.caffemodel")).params["fc7"][0].data for name in "ac")
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1  # another draw, not another scale alone


def test_what_drawn_layers_depend_on(convs, vgg, small, data, tmp_path):
    """Seed, scale, crop, mean, threads, net, and the images that were looked at, no others; nothing for whole files."""
    root = shutil.copytree(data, tmp_path / "data")
    depends = lambda experiment, path=convs: contents_of(experiment, str(root), path, None)["fc6_fc7"]  # noqa: E731
    before = depends(small)
    changes = {"seed.training": 2, "threads": 1, "fc": 64, "data.scale": 0.5, "data.crop": 57, "data.mean": [0, 0, 0]}
    assert all(depends(experiments.changed(small, {key: value})) != before for key, value in changes.items())
    others = {"shards": 3, "seed.data": 2, "seed.report": 2, "mining.merge": 1}
    assert depends(experiments.changed(small, others)) == before

    images = sorted((root / "JPEGImages").glob("train_*"))
    matters = []
    for path in images:
        content = path.read_bytes()
        path.write_bytes(content + b"\0")
        matters.append(depends(small) != before)
        path.write_bytes(content)
    assert sum(matters) == surgery.IMAGES < len(images)
    assert len({depends(experiments.changed(small, {key: value}), vgg) for key, value in changes.items()}) == 1


@pytest.mark.parametrize(
    "change, said",
    [
        ("no conv4_2", "has no layer conv4_2"),
        ("zeros", "its layer conv1_1 has the value 0 throughout: it was never trained"),
        ("nothing", "gives nothing for the first training images"),
    ],
)
def test_faulty_convolutions_are_one_line(convs, small, data, tmp_path, change, said):
    net = message(convs)
    for layer in list(net.layers):
        if change == "zeros":
            for blob in layer.blobs:
                blob.data[:] = [0] * len(blob.data)
        elif change == "nothing" and layer.name == "conv5_3":
            layer.blobs[1].data[:] = [-1e9] * len(layer.blobs[1].data)
        elif change == "no conv4_2" and layer.name == "conv4_2":
            net.layers.remove(layer)
    write(convs, net)
    with pytest.raises(InputError, match=said) as error:
        surgery.run(convs, str(tmp_path / "out.caffemodel"), small, data)
    assert str(error.value).startswith(convs) and "\n" not in str(error.value)
    assert not (tmp_path / "out.caffemodel").exists()


OTHERS = {  # how the layers fc6 and fc7 of a file are called, and fc8 stays
    "of DeepLab v2": ["fc6_1", "fc7_4"],
    "of fully convolutional VGG": ["fc6-conv", "fc7-conv"],
    "of Keras": ["block6_fc1", "block6_fc2"],
    "with numbers": ["classifier.0", "classifier.3"],
    "as convolutions": ["conv6", "conv7"],
    "in capitals": ["FC6", "FC7"],
}


@pytest.mark.parametrize("case", OTHERS)
def test_layers_of_other_names_are_drawn_only_where_that_is_asked(vgg, convs, small, data, tmp_path, case):
    """A run asks by its start already what drawn layers depend on."""
    net = message(vgg)
    for layer in net.layers:
        layer.name = dict(zip(surgery.DRAWN, OTHERS[case])).get(layer.name, layer.name)
    write(vgg, net)
    said = f"has no fc6 and fc7, but 3 layers that this net does not know: {', '.join(OTHERS[case])}, fc8; name its"
    for call in (
        lambda: surgery.run(vgg, str(tmp_path / "out.caffemodel"), small, data),
        lambda: contents_of(small, data, vgg, None),
    ):
        with pytest.raises(InputError, match=said) as error:
            call()
        assert str(error.value).startswith(vgg) and "\n" not in str(error.value)
    assert not (tmp_path / "out.caffemodel").exists()
    drawn, expected = str(tmp_path / "drawn.caffemodel"), str(tmp_path / "expected.caffemodel")
    surgery.run(vgg, drawn, small, data, draw=True)
    surgery.run(convs, expected, small, data)
    for name in surgery.DRAWN:
        ours, theirs = (net_for(small, path).params[name] for path in (drawn, expected))
        for one, other in zip(ours, theirs):
            np.testing.assert_array_equal(one.data, other.data)
    surgery.run(drawn, expected, None, None)  # what was drawn is taken as it is


@pytest.mark.skipif(not REAL_CONVS.endswith("vgg16_conv.caffemodel"), reason="WEIGHTS= names no vgg16_conv.caffemodel")
def test_the_real_convolutions(data, tmp_path):
    """ImageNet's weights in photos' net: at He's size fc6's outputs would be large, here they are of unit size."""
    experiment = experiments.load("photos")
    classes = [*synthetic.CLASSES, *experiment.classes[len(synthetic.CLASSES) :]]
    experiment = experiments.changed(experiment, {"classes": classes})
    (root := tmp_path / "data").mkdir()
    shutil.copytree(data, root, dirs_exist_ok=True)
    (root / "classes.txt").write_text("\n".join(experiment.classes) + "\n")
    out = str(tmp_path / "out.caffemodel")
    surgery.run(REAL_CONVS, out, experiment, str(root))
    crops = first_crops(experiment, str(root), tmp_path)
    assert_of_unit_size(experiment, out, crops)
