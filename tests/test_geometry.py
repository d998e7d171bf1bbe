"""The positions and numbers of cells, against Caffe's own: a ramp through its layers, and its shapes."""

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.nets import build, caffemodel, geometry, sizes
from aepsl.nets.geometry import Cells, Unfit
from aepsl.settings import experiments
from legacy_nets import conv, linear, pool, text

HEAD = "".join(f'input: "{name}" input_shape {{ dim: 1 dim: 3 dim: 200 dim: 200 }} ' for name in ("data", "other"))


def parsed(layout):
    return text_format.Parse(text(layout, 2, HEAD), caffe_pb2.NetParameter())


def chain(rng):
    """Random layers, two of which are pairs for y and x, a Deconvolution and a Crop."""
    for k, bottom in enumerate(["data", "layer0", "layer1"]):
        kernel, stride, dilation = rng.randint(2, 6, 2), rng.randint(1, 3, 2), rng.randint(1, 3)
        pad = [rng.randint(0, side) for side in kernel]
        names = "kernel_h kernel_w stride_h stride_w pad_h pad_w".split()
        words = " ".join(f"{name}: {value}" for name, value in zip(names, [*kernel, *stride, *pad]))
        if k == 1:
            yield "Pooling", "layer1", bottom, "layer1", f"pooling_param {{ pool: AVE {words} }}"
        else:
            yield conv(
                f"layer{k}", bottom, kernel[0], f"dilation: {dilation} stride: {stride[0]} pad: {pad[0]}", channels=1
            )
    stride = rng.randint(2, 5)
    yield conv(
        "up", "layer2", 2 * stride, f"stride: {stride} pad: {rng.randint(0, stride)}", "Deconvolution", channels=1
    )
    yield conv("other1", "other", 1, "stride: 10", channels=1)
    yield (
        "Crop",
        "cut",
        "up other1",
        "cut",
        f"crop_param {{ axis: 2 offset: {rng.randint(3)} offset: {rng.randint(3)} }}",
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_ramp_has_at_each_cell_the_pixel_that_it_is_at(seed):
    layout = list(chain(np.random.RandomState(seed)))
    net, parameter = caffemodel.net_of(text(layout, 2, HEAD)), parsed(layout)
    for layer in parameter.layer:
        if layer.type == "Deconvolution":
            net.params[layer.name][0].data[...] = np.outer(*[linear(layer.convolution_param.kernel_size[0])] * 2)
        elif layer.type == "Convolution":
            net.params[layer.name][0].data[...] = 1 / net.params[layer.name][0].data[0].size
    ramps = np.mgrid[:200, :200].astype(np.float32)
    for blob in ("layer0", "layer1", "layer2", "up"):
        place = geometry.cells(parameter, blob)
        for axis, ramp in enumerate(ramps):
            net.blobs["data"].data[...] = ramp
            net.forward()
            seen = np.moveaxis(net.blobs[blob].data[0, 0], axis, 0)
            k = int((100 - place.start[axis]) / place.stride[axis])  # in the middle, far from the rims
            middle = seen[k, seen.shape[1] // 2]
            assert abs(place.start[axis] + k * place.stride[axis] - middle) < 1e-3
    assert {name: tuple(blob.data.shape[1:]) for name, blob in net.blobs.items()} == geometry.shapes(
        parameter, 200, 200
    )


def shapes_of(net):
    return {name: tuple(blob.data.shape[1:]) for name, blob in net.blobs.items()}


def test_a_crop_begins_at_its_offset():
    layout = [conv("up", "data", 4, "stride: 2", "Deconvolution"), conv("small", "other", 1, "stride: 10")]
    net = parsed([*layout, ("Crop", "cut", "up small", "cut", "crop_param { axis: 2 offset: 3 offset: 5 }")])
    assert geometry.cells(net, "up") == Cells((-0.75, -0.75), (0.5, 0.5))
    assert geometry.cells(net, "cut") == Cells((0.75, 1.75), (0.5, 0.5))


@pytest.mark.parametrize("seed", range(12))
def test_shapes_are_caffes_at_any_size(seed):
    rng = np.random.RandomState(seed)
    layout = list(chain(rng))
    net, parameter = caffemodel.net_of(text(layout, 2, HEAD)), parsed(layout)
    for height, width in rng.randint(60, 200, (20, 2)).tolist():
        try:
            expected = geometry.shapes(parameter, height, width)
        except Unfit:
            continue  # Caffe would end this process
        for name in ("data", "other"):
            net.blobs[name].reshape(1, 3, height, width)
        net.reshape()
        assert shapes_of(net) == expected


UNFIT = {
    "branches": ([conv("a", "data", 3), conv("b", "data", 5), ("Eltwise", "sum", "a b", "sum", "")], "joins blobs of"),
    "no cell": ([conv("a", "data", 203)], "has no cell left"),
    "beyond": ([("Crop", "a", "data other", "a", "crop_param { offset: 1 }")], "cuts 200 cells from 1 on out of 200"),
    "not the last": ([pool("a", "data", 1, "stride: 2")], "takes every 2th of 200 cells"),
}


@pytest.mark.parametrize("fault", UNFIT)
def test_a_size_that_does_not_fit_has_its_reason(fault):
    layout, reason = UNFIT[fault]
    with pytest.raises(Unfit, match=reason):
        geometry.shapes(parsed(layout), 200, 200)


@pytest.mark.parametrize("name", ["voc12", "rehearsal", "demo"])
def test_our_own_nets_have_their_cells_where_masks_have_them(name):
    """Labels are [::8, ::8] of the image's."""
    experiment = experiments.load(name)
    net = text_format.Parse(build.deploy_net(experiment, "segmentation"), caffe_pb2.NetParameter())
    assert geometry.cells(net, "fc8_seg") == Cells((0, 0), (8, 8))
    assert [geometry.padding(net, "fc8_seg", side, 0) for side in (89, 90, 96, 97)] == [(0, 0), (0, 7), (0, 1), (0, 0)]


def test_the_column_buffer_of_a_deconvolution_has_its_bottoms_area():
    net = parsed([conv("up", "data", 64, "stride: 32 bias_term: false", "Deconvolution", 21)])
    counts = sizes.counts(net, 12, 16)
    assert counts["up's columns"] == 21 * 64 * 64 * 12 * 16
    assert counts["up"] == 21 * (11 * 32 + 64) * (15 * 32 + 64)
