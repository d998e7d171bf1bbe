"""Prototxts of other Caffes, unedited: what is made of them, and where a white square lands."""

import functools

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

import legacy_nets
from aepsl.base.errors import InputError
from aepsl.legacy import reader, text
from aepsl.legacy.front import Front
from aepsl.legacy.net import LegacyNet
from aepsl.nets import geometry, sizes
from aepsl.nets.whole_image import fitting_scale
from aepsl.settings.typed import Bilateral, Crf, Gaussian
from legacy_nets import PASCAL, conv, pool
from test_names import child_gives

# layout, version, size of the image, side of the square, shifts, the blob of scores, start and stride of its cells
LANDINGS = {
    "FCN-32s": (legacy_nets.fcn(32), 2, (270, 301), 96, 32, "score", 0, 1),
    "FCN-16s": (legacy_nets.fcn(16), 2, (270, 301), 96, 32, "score", 0, 1),
    "FCN-8s": (legacy_nets.fcn(8), 2, (270, 301), 96, 32, "score", 0, 1),
    "FCN-32s of 2014": (legacy_nets.fcn(32, crops=False), 1, (270, 301), 96, 32, "score", 0, 1),
    "CRF-RNN": (legacy_nets.fcn(8, crops=False), 1, (270, 301), 96, 32, "score", 0, 1),
    "CCNN-8s": (legacy_nets.ccnn8s(), 2, (100, 121), 48, 8, "cut", 0, 1),
    "vgg128_noup": (legacy_nets.noup(), 1, (190, 211), 48, 8, "fc8_voc12", -7.5, 8),
    "LargeFOV": (legacy_nets.largefov(), 1, (100, 121), 48, 8, "fc8_voc12", 0, 8),
    "v2 of three scales": (legacy_nets.multiscale(), 2, (150, 171), 48, 32, "fusion", 0, 8),
    "DilatedNet": (legacy_nets.dilated(), 2, (100, 121), 48, 8, "ct7", 186 + 3.5, 8),
    "PSPNet": (legacy_nets.pyramid(), 2, (97, 113), 48, 8, "conv6", 0, 8),
}


def written(tmp_path, layout, version):
    path = tmp_path / "deploy.prototxt"
    data = any("data" in tops.split() for _, _, _, tops, _ in layout)
    side = 113 if any(kind == "BN" for kind, *_ in layout) else 65
    head = f'input: "data" input_dim: 1 input_dim: 3 input_dim: {side} input_dim: {side}'
    path.write_text(legacy_nets.text(layout, version, "" if data else head))
    return path


@pytest.fixture(scope="module")
def layouts():
    return {name: list(layout) for name, (layout, *_) in LANDINGS.items()}


@pytest.mark.parametrize("name", LANDINGS)
def test_a_square_lands_where_it_is(tmp_path, layouts, name):
    _, version, size, square, shifts, scores, start, stride = LANDINGS[name]
    path = written(tmp_path, layouts[name], version)
    net = legacy_nets.opened(path, reader.read(str(path), channels=2))
    assert np.abs(legacy_nets.landing(net, size, square, shifts)).max() <= 0.5
    assert net.legacy.scores == scores
    assert net.cells == geometry.Cells((start, start), (stride, stride))


@pytest.mark.parametrize("stride", legacy_nets.FCN_CROPS)
@pytest.mark.parametrize("version", [1, 2])
def test_offsets_of_crops_are_those_that_fcns_authors_published(tmp_path, stride, version):
    path = written(tmp_path, list(legacy_nets.fcn(stride, crops=False)), version)
    net = reader.read(str(path)).net
    crops = [layer for layer in net.layer if layer.type == "Crop"]
    assert [list(layer.crop_param.offset) for layer in crops] == [[k, k] for k in legacy_nets.FCN_CROPS[stride]]
    assert len({layer.name for layer in net.layer}) == len(net.layer)


def test_deeplabs_file_is_read_out(tmp_path):
    path = written(tmp_path, list(legacy_nets.largefov()), 1)
    legacy = reader.read(str(path), channels=21)
    assert legacy.input == Front("data", mean=(104, 117, 123), crop=(65, 65))
    assert legacy.crf == Crf(10, Bilateral(5, 50, 10), Gaussian(3, 3))
    assert geometry.channels(legacy.net)[legacy.scores] == 21
    kinds = {layer.type for layer in legacy.net.layer}
    assert kinds == {"Input", "Convolution", "Pooling", "Dropout"}
    assert [list(layer.convolution_param.dilation) for layer in legacy.net.layer if layer.name == "fc6"] == [[12]]
    lines = "\n".join(legacy.changes)
    for part in (
        "data layer",
        "mean (104.0, 117.0, 123.0)",
        "size (65, 65)",
        "fc8_interp",
        "MatWrite: left out, as no scores come of it: crf_mat",
    ):
        assert part in lines
    for part in ("it: accuracy", "Silence: left", "`hole` is dilation: conv5, fc6", "'xy': 50.0"):
        assert part in lines
    assert "loss" not in lines  # of phase TRAIN


CRFS = {
    "dense_crf_param { max_iter: 5 pos_w: 1 pos_xy_std: 2 bi_w: 3 bi_xy_std: 4 bi_rgb_std: 6 }": (5, 3, 4, 6, 1, 2),
    "densecrf_param { x_gauss: 1 y_gauss: 1 wt_gauss: 2 x_bilateral: 3 r_bilateral: 4 wt_bilateral: 5 }": (
        *(10, 5, 3, 4, 2, 1),
    ),
    "multi_stage_meanfield_param { num_iterations: 7 theta_alpha: 160 theta_beta: 3 theta_gamma: 2 "
    "spatial_filter_weight: 4 bilateral_filter_weight: 5 }": (7, 5, 160, 3, 4, 2),
}


@pytest.mark.parametrize("words", CRFS)
def test_a_crfs_values_are_read(tmp_path, words):
    kind = "MultiStageMeanfield" if "meanfield" in words else "DenseCRF"
    layout = [
        conv("fc8", "data", 1),
        ("Split", "two", "fc8", "unary Q0", ""),
        (kind, "crf", "unary Q0 data", "pred", words),
    ]
    legacy = reader.read(str(written(tmp_path, layout, 2)))
    iterations, weight, xy, rgb, gaussian, gaussian_xy = CRFS[words]
    assert legacy.crf == Crf(iterations, Bilateral(weight, xy, rgb), Gaussian(gaussian, gaussian_xy))
    assert legacy.scores == "fc8"


INTERPS = [
    *("zoom_factor: 2", "zoom_factor: 8", "zoom_factor: 1", "shrink_factor: 2", "shrink_factor: 4 zoom_factor: 3"),
    *("zoom_factor: 4 shrink_factor: 3", "height: 37 width: 61", "height: 7 width: 25"),
]


@pytest.mark.parametrize("words", INTERPS)
def test_interp_lays_corners_on_corners(tmp_path, rng, words):
    height, width = 13, 25
    head = f'input: "data" input_dim: 1 input_dim: 3 input_dim: {height} input_dim: {width}'
    layout = [("Interp", "grown", "data", "grown", f"interp_param {{ {words} }}"), conv("fc8", "grown", 1)]
    path = tmp_path / "deploy.prototxt"
    path.write_text(legacy_nets.text(layout, 2, head))
    net = legacy_nets.opened(path, reader.read(str(path)))
    pixels = rng.rand(height, width, 3).astype(np.float32)
    found = net.scores(pixels.transpose(2, 0, 1))[0]
    for axis in (0, 1):  # of the first channel, an axis at a time
        places = np.linspace(0, pixels.shape[axis] - 1, found.shape[axis])
        cells = np.arange(pixels.shape[axis])
        pixels = np.apply_along_axis(lambda row: np.interp(places, cells, row), axis, pixels)  # noqa: B023
    assert found.shape[0] in (13, 25, 97, 7, 10, 17, 37, 5)
    np.testing.assert_allclose(found, pixels[:, :, 0], atol=1e-6)


def test_cells_of_a_pyramid_of_one_cell_become_all(tmp_path, rng):
    head = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 9'
    words = "pooling_param { pool: AVE kernel_h: 6 kernel_w: 9 }"
    layout = [("Pooling", "mean", "data", "mean", words)]
    layout += [("Interp", "grown", "mean", "grown", "interp_param { height: 6 width: 9 }"), conv("fc8", "grown", 1)]
    path = tmp_path / "deploy.prototxt"
    path.write_text(legacy_nets.text(layout, 2, head))
    net = legacy_nets.opened(path, reader.read(str(path)))
    pixels = rng.rand(6, 9, 3).astype(np.float32)
    np.testing.assert_allclose(
        net.scores(pixels.transpose(2, 0, 1))[0], np.full((6, 9), pixels[:, :, 0].mean()), rtol=1e-5
    )
    with pytest.raises(InputError, match="takes 9 x 6 pixels alone, and the image has 9 x 7"):
        net.probabilities(np.zeros((7, 9, 3), np.uint8))


@pytest.mark.parametrize("blobs", [4, 2])
def test_bn_is_a_scale_of_its_statistics(tmp_path, rng, blobs):
    words = "bn_param { eps: 0.01 }" if blobs == 4 else "bn_param { scale_filler { value: 1 } bn_mode: INFERENCE }"
    layout = [("BN", "bn", "data", "bn", words), conv("fc8", "bn", 1, channels=3)]
    path = written(tmp_path, layout, 1)
    legacy = reader.read(str(path))
    model = caffe_pb2.NetParameter()
    values = rng.rand(blobs, 3) + 0.5
    for name, arrays in (
        ("bn", values.reshape(blobs, 1, 3, 1, 1)),
        ("fc8", [np.eye(3).reshape(3, 3, 1, 1), np.zeros(3)]),
    ):
        layer = model.layer.add(name=name)
        for array in arrays:
            layer.blobs.add(shape=dict(dim=array.shape), data=array.ravel())
    (tmp_path / "w.caffemodel").write_bytes(model.SerializeToString())
    net = LegacyNet(legacy_nets.experiment(), str(path), "fc8", str(tmp_path / "w.caffemodel"), 3)
    pixels = rng.rand(9, 9, 3).astype(np.float32)
    slope, bias, mean, variance = values if blobs == 4 else (*values, np.zeros(3), np.full(3, 0.99))
    expected = slope * (pixels - mean) / np.sqrt(variance + 0.01) + bias
    np.testing.assert_allclose(net.scores(pixels.transpose(2, 0, 1)), expected.transpose(2, 0, 1), rtol=1e-5)
    assert legacy.net.layer[1].type == "Scale"


@pytest.mark.parametrize("sizes", [[], [3, 3, 3], [3, 3, 2, 3]])
def test_a_bn_without_its_four_blobs_is_one_line(tmp_path, sizes):
    layout = [("BN", "bn", "data", "bn", "bn_param { eps: 0.01 }"), conv("fc8", "bn", 1, channels=3)]
    path, model = written(tmp_path, layout, 1), caffe_pb2.NetParameter()
    for name, shapes in (("bn", [[size] for size in sizes]), ("fc8", [[3, 3, 1, 1], [3]])):
        layer = model.layer.add(name=name)
        for shape in shapes:
            layer.blobs.add(shape=dict(dim=shape), data=np.ones(np.prod(shape)))
    weights = tmp_path / "w.caffemodel"
    weights.write_bytes(model.SerializeToString())
    line = f"its layer bn has the shapes {[[size] for size in sizes]}, which are not the net's"
    with pytest.raises(InputError) as error:
        LegacyNet(legacy_nets.experiment(), str(path), "fc8", str(weights), 3)
    assert str(error.value).startswith(f"{weights}: {line if sizes else 'has no layer bn'}. Give the weights")


def test_an_image_does_not_depend_on_the_one_before(tmp_path, rng):
    path = written(tmp_path, list(legacy_nets.fcn(16, crops=False)), 1)
    net = legacy_nets.opened(path, reader.read(str(path)))
    images = [rng.randint(0, 256, (*size, 3)).astype(np.uint8) for size in ((60, 90), (90, 61), (40, 44))]
    forth = [net.probabilities(image).tobytes() for image in images]
    back = [net.probabilities(image).tobytes() for image in reversed(images)]
    assert forth == back[::-1]


def test_fcn_takes_vocs_photos_whole(tmp_path, capsys):
    """At the authors' channels: 64 to 4096, and 21 classes; nothing of it is computed."""
    layout = list(legacy_nets.fcn(32))
    channels = dict(conv1=64, conv2=128, conv3=256, conv4=512, conv5=512, fc6=4096, score_fr=21, big=21)
    layout = [
        (kind, name, bottoms, tops, words.replace("num_output: 2", f"num_output: {channels.get(name)}"))
        for kind, name, bottoms, tops, words in layout
    ]
    net = object.__new__(LegacyNet)
    net.deploy = "deploy.prototxt"
    net.legacy = reader.read(str(written(tmp_path, layout, 2)))
    net.padding_of = functools.partial(geometry.padding, net.legacy.net, net.legacy.scores)
    net.needs, net.most = functools.partial(sizes.needs, net.legacy.net), sizes.MOST
    scale = functools.partial(fitting_scale, 1, takes=net.takes, name="photo")
    assert scale((375, 500)) == scale((500, 500)) == 1
    assert capsys.readouterr().err == ""
    assert scale((1500, 2000)) < 0.7
    net.most = 0
    with pytest.raises(InputError, match="photo: the net needs more memory than it may use for an image of any size"):
        scale((375, 500))


def test_a_name_with_a_variable_is_found_in_the_weights(tmp_path):
    path = written(tmp_path, [conv("fc7", "data", 1), conv("fc8_${EXP}", "fc7", 1)], 2)
    legacy = reader.read(str(path))
    model = legacy_nets.brightness(
        legacy, tmp_path / "w.caffemodel", lambda name: name.replace("${EXP}", "exper/voc12")
    )
    assert reader.read(str(path), model=model).net.layer[-1].name == "fc8_exper/voc12"
    both = legacy_nets.brightness(legacy, tmp_path / "b.caffemodel", lambda name: name.replace("${EXP}", "a"))
    (tmp_path / "b.caffemodel").write_bytes(
        (tmp_path / "b.caffemodel").read_bytes() + (tmp_path / "w.caffemodel").read_bytes().replace(b"fc7", b"fc6")
    )
    with pytest.raises(InputError, match="EXP.* may be a or exper/voc12 in .*--define EXP="):
        reader.read(str(path), model=both)
    assert reader.read(str(path), model=both, variables={"EXP": "a"}).net.layer[-1].name == "fc8_a"


def test_a_caffemodel_with_another_caffes_fields_is_read(tmp_path):
    """DeepLab's MatWrite has a field whose number BVLC gave to a message of other fields."""
    path = written(tmp_path, [conv("fc8", "data", 1)], 2)
    model = legacy_nets.brightness(reader.read(str(path)), tmp_path / "w.caffemodel")
    of_matwrite = bytes([10, 13]) + b"features/val/"  # its field 1, a string
    layer = bytes([10, 3]) + b"mat" + bytes([0x8A, 0x09, len(of_matwrite)]) + of_matwrite  # field 145 of a layer
    content = (tmp_path / "w.caffemodel").read_bytes() + bytes([0xA2, 0x06, len(layer)]) + layer  # field 100 of a net
    (tmp_path / "w.caffemodel").write_bytes(content)
    with pytest.raises(DecodeError):
        caffe_pb2.NetParameter().ParseFromString(content)
    net = LegacyNet(legacy_nets.experiment(), str(path), "fc8", model, 2)
    assert net.scores(np.ones((3, 5, 5), np.float32))[0].max() == 1


def test_all_that_is_impossible_is_in_one_line(tmp_path):
    layout = [
        conv("conv1", "data", 3, "holes: 2"),
        ("Unpooling", "unpool1", "conv1", "unpool1", "unpooling_param { unpool: MAX }"),
        ("Unpooling", "unpool2", "unpool1", "unpool2", "unpooling_param { unpool: MAX }"),
        ("BN", "bn", "unpool2", "bn", "bn_param { scale_filler { value: 1 } }"),
        ("Python", "mine", "bn", "mine", "python_param { module: 'os' layer: 'x' }"),
        ("InnerProduct", "fc7", "mine", "fc7", "inner_product_param { num_output: 2 }"),
        ("Whatever", "more", "fc7", "more", ""),
        ("Pooling", "pool", "more", "pool", "pooling_param { pool: SOMETIMES }"),
        conv("fc8", "pool", 1),
        ("Python", "loss", "fc8", "loss", ""),
    ]
    with pytest.raises(InputError) as error:
        reader.read(str(written(tmp_path, layout, 2)))
    line = str(error.value)
    assert "\n" not in line
    for part in (
        "Convolution (conv1, line 2) has fields of another Caffe: convolution_param.holes",
        "Unpooling (unpool1, line 3, unpool2, line 4) puts values back",
        "BN (bn, line 5) normalises by the image's own statistics",
        "Python (mine, line 6) is code",
        "InnerProduct (fc7, line 7) takes images of one size",
        "Whatever (more, line 8) is no layer that this reader knows",
        "Pooling (pool, line 9)",
        "SOMETIMES",
    ):
        assert part in line, line
    assert "loss" not in line


def test_a_layer_behind_an_impossible_one_does_not_hide_it(tmp_path):
    """The Slice's blobs have no known channels; the Interp beside it asks for those of conv1."""
    layout = [
        conv("conv1", "data", 4),
        ("Unpooling", "unpool", "conv1", "unpool", ""),
        ("Slice", "slice", "unpool", "half", "top: 'rest'"),
        ("Interp", "grown", "conv1", "grown", "interp_param { zoom_factor: 2 }"),
        ("Concat", "joined", "grown", "joined", "bottom: 'half' bottom: 'rest'"),
        conv("fc8", "joined", 2),
    ]
    with pytest.raises(InputError, match=r"Unpooling \(unpool, line 3\) puts values back"):
        reader.read(str(written(tmp_path, layout, 2)))


def test_a_data_layer_for_training_alone_is_the_input_too(tmp_path):
    words = PASCAL % 65 + " include: { phase: TRAIN }"
    layout = [("ImageSegData", "data", "", "data label", words), conv("fc8", "data", 3, "pad: 1")]
    legacy = reader.read(str(written(tmp_path, layout, 2)))
    assert legacy.input.mean == (104, 117, 123)
    assert legacy.changes == ("data layer: is the input data, mean (104.0, 117.0, 123.0), size (65, 65): data",)


def test_the_mean_of_a_python_layers_param_str_is_read_not_run(tmp_path):
    words = "python_param { module: 'voc' layer: 'X' param_str: \"{'mean': (1, 2.5, 3), 'seed': %s}\" }"
    for value, mean in (("7", (1, 2.5, 3)), ("print(7)", None)):
        layout = [("Python", "data", "", "data label", words % value), conv("fc8", "data", 3)]
        assert reader.read(str(written(tmp_path, layout, 2))).input.mean == mean


WRONG = {  # a value in the place of another: what the line says
    "a word for a message": (
        ("interp_param { zoom_factor: 2 }", "interp_param: 2"),
        "line 4: `interp_param` must be a mess",
    ),
    "a message for a word": (('name: "fc8"', "name { x: 1 }"), "line 5: `name` must be one word"),
    "no number": (("zoom_factor: 2", "zoom_factor: two"), "Interp (grown, line 4) `zoom_factor` is two; it must"),
    "half a number": (("zoom_factor: 2", "zoom_factor: 1.5"), "`zoom_factor` is 1.5; it must be a whole, finite"),
    "no kernel": (("kernel_size: 3 stride: 2", "kernel_size: 3 stride: 0"), "a kernel, stride or dilation of 0"),
    "no such size": (("input_dim: 65", "input_dim: x"), "`input_dim` is 1, 3, x, 65; it must be"),
    "from behind": (('bottom: "pool1"', 'bottom: "fc8"'), "its scores depend on no input"),
    "of itself": (('bottom: "grown" top: "fc8"', 'bottom: "fc8" top: "fc8"'), "its scores depend on no input"),
    "brackets": (("layer {", "layer {" * 3000), "too many brackets within brackets"),
    "one layer as a word": (("layer {", "layer: x layer {"), "line 2: `layer` must be a message in brackets"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_value_is_one_line(tmp_path, fault):
    (old, new), message = WRONG[fault]
    layout = [
        conv("conv1", "data", 3),
        pool("pool1", "conv1", 3, "stride: 2"),
        ("Interp", "grown", "pool1", "grown", "interp_param { zoom_factor: 2 }"),
        conv("fc8", "grown", 1),
    ]
    path = written(tmp_path, layout, 2)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        reader.read(str(path))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_deconvolution_without_weights_has_its_fillers(tmp_path):
    """Those of BVLC's filler, of which the caffemodel knows nothing; others are missed."""
    filler = 'group: 2 bias_term: false weight_filler { type: "bilinear" }'
    layout = [
        conv("fc8", "data", 1),
        conv("up", "fc8", 4, f"stride: 2 {filler}", "Deconvolution"),
        conv("score", "up", 1),
    ]
    path = written(tmp_path, layout, 2)
    net = legacy_nets.opened(path, reader.read(str(path)))
    np.testing.assert_allclose(net.net.params["up"][0].data[1, 0], np.outer(*[legacy_nets.linear(4)] * 2))
    path.write_text(path.read_text().replace('"bilinear"', '"gaussian"'))
    with pytest.raises(InputError, match="has no layer up, which the net needs"):
        LegacyNet(legacy_nets.experiment(), str(path), None, str(path.with_suffix(".caffemodel")), 2)


def down(name, bottom):
    return pool(name, bottom, 2, "stride: 2")


UP = "num_output: 2 kernel_size: 4 stride: 2 pad: 1"
AGAIN = [conv("a", "data", 1), down("p", "a"), ("Deconvolution", "up", "p", "up", f"convolution_param {{ {UP} }}")]
HALF = [conv("a", "data", 1), conv("b", "a", 1)]
# A layout that Caffe takes at 64 x 64, and what a line says of it; None: images of all sizes are padded until it fits.
SIZED = {
    "a sum after pooling": ([*AGAIN, ("Eltwise", "s", "a up", "s", "")], None),
    "a sum of three scales": (
        [
            *AGAIN,
            down("p2", "p"),
            down("p3", "p2"),
            ("Deconvolution", "up3", "p3", "up3", "convolution_param { num_output: 2 kernel_size: 8 stride: 8 }"),
            ("Eltwise", "s", "a up up3", "s", ""),
        ],
        None,
    ),
    "Concat after pooling": ([*AGAIN, ("Concat", "s", "a up", "s", "")], None),
    "Scale by another blob": ([*AGAIN, ("Scale", "s", "a up", "s", "scale_param { axis: 0 }")], None),
    "Bias by another blob": ([*AGAIN, ("Bias", "s", "a up", "s", "bias_param { axis: 0 }")], None),
    "Scale by the same": ([*HALF, ("Scale", "s", "a b", "s", "scale_param { axis: 0 }")], None),
    "Scale of channels": ([conv("a", "data", 1), ("Scale", "s", "a", "s", "scale_param { bias_term: true }")], None),
    "Scale of each pixel": (
        [conv("a", "data", 1), ("Scale", "s", "a", "s", "scale_param { num_axes: -1 }")],
        "each row",
    ),
    "Scale of rows": ([conv("a", "data", 1), ("Scale", "s", "a", "s", "scale_param { axis: 2 }")], "each row"),
    "Bias of each pixel": ([conv("a", "data", 1), ("Bias", "s", "a", "s", "bias_param { num_axes: 3 }")], "each row"),
    "Concat of rows": ([*HALF, ("Concat", "s", "a b", "s", "concat_param { axis: 2 }")], "works along axis 2"),
    "Concat of columns": ([*HALF, ("Concat", "s", "a b", "s", "concat_param { axis: -1 }")], "works along axis -1"),
    "Slice of rows": (
        [conv("a", "data", 1), ("Slice", "s", "a", "s t", "slice_param { axis: 2 }")],
        "works along axis 2",
    ),
    "Slice of columns": ([conv("a", "data", 1), ("Slice", "s", "a", "s t", "slice_param { slice_dim: 3 }")], "axis 3"),
    "pooling at random": ([conv("a", "data", 1), pool("s", "a", 2, "", of="STOCHASTIC")], "is STOCHASTIC"),
}


@pytest.mark.parametrize("case", SIZED)
def test_an_image_that_a_net_does_not_take_is_padded_or_one_line(tmp_path, case):
    """In a process of its own: Caffe ends it where blobs do not fit each other."""
    layout, complaint = SIZED[case]
    path = tmp_path / "deploy.prototxt"
    head = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 64 input_dim: 64'
    path.write_text(legacy_nets.text([*layout, conv("score", "s", 1, "")], 2, head))
    caffe.Net(str(path), caffe.TEST).save(str(tmp_path / "w.caffemodel"))

    def shapes():
        try:
            net = LegacyNet(legacy_nets.experiment(), str(path), None, str(tmp_path / "w.caffemodel"), 2)
        except InputError as error:
            return str(error)
        images = [np.zeros((*size, 3), np.uint8) for size in ((64, 64), (16, 16), (33, 65), (1, 1), (1, 500), (5, 3))]
        return [list(net.probabilities(image).shape[1:]) for image in images]

    found = child_gives(shapes)
    if complaint:
        assert complaint in found and "impossible in plain Caffe" in found
    else:
        assert len(found) == 6 and found[0] == [64, 64] and found[-1] == [5, 3]


NO_TEXT = {
    "utf-16": 'name: "net"'.encode("utf-16"),
    "utf-16, big": b"\xfe\xff" + 'name: "net"'.encode("utf-16-be"),
    "utf-32": 'name: "net"'.encode("utf-32"),
    "a caffemodel": b"\n\x03net\xa2\x06\x09\n\x04conv\x12\0",
    "a compressed file": b"\x1f\x8b\x08\0\0\0\0\0",
}


@pytest.mark.parametrize("case", NO_TEXT)
def test_a_prototxt_that_is_no_text_is_one_line(tmp_path, case):
    path = tmp_path / "deploy.prototxt"
    path.write_bytes(NO_TEXT[case])
    with pytest.raises(InputError, match="is UTF-16, or no text; give the net's deploy prototxt"):
        text.read(str(path), {})


def test_a_prototxt_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_bytes(b"\xef\xbb\xbfname: 'net'\r\ninput: 'data'\r\n")
    assert text.read(str(path), {}).words("input") == ["data"]
