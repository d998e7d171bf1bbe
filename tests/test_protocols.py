"""Each profile's protocol against its authors' test code, written out here, around pycaffe's own forward pass.

The nets are thin, with their authors' kernels, strides, pads, dilations and crops. Ours are given as their authors
write them (Caffe of 2014, Interp, Crop without offsets, data layers); those of the tests in plain Caffe.
"""

import caffe
import cv2
import numpy as np
import pytest
import scipy.ndimage

from aepsl.baselines import profile, protocol
from aepsl.legacy.net import LegacyNet
from aepsl.settings import experiments

K = 3  # classes
V1 = dict(
    Convolution="CONVOLUTION", Deconvolution="DECONVOLUTION", Pooling="POOLING", ReLU="RELU", Eltwise="ELTWISE",
    Crop="CROP", Interp="INTERP", Softmax="SOFTMAX", MatWrite="MAT_WRITE",
)  # fmt: skip

# Layouts: (type, name, bottoms, parameters), each layer's top has its name.


def conv(name, bottom, out=4, k=3, s=1, p=0, d=1):
    parameters = f"num_output: {out} kernel_size: {k} stride: {s} pad: {p}" + f" dilation: {d}" * (d > 1)
    return ("Convolution", name, [bottom], f"convolution_param {{ {parameters} }}")


def up(name, bottom, k, s):
    parameters = f"num_output: {K} kernel_size: {k} stride: {s} bias_term: false"
    return ("Deconvolution", name, [bottom], f"convolution_param {{ {parameters} }}")


def pool(name, bottom, k, s, p=0, kind="MAX"):
    return ("Pooling", name, [bottom], f"pooling_param {{ pool: {kind} kernel_size: {k} stride: {s} pad: {p} }}")


def crop(name, bottom, like, offset=None):
    return ("Crop", name, [bottom, like], "" if offset is None else f"crop_param {{ axis: 2 offset: {offset} }}")


def total(name, *bottoms, kind="SUM"):
    return ("Eltwise", name, list(bottoms), f"eltwise_param {{ operation: {kind} }}")


def interp(name, bottom, **parameters):
    words = " ".join(f"{key}: {value}" for key, value in parameters.items())
    return ("Interp", name, [bottom], f"interp_param {{ {words} }}")


SOFTMAX, MAT_WRITE = ("Softmax", "prob", ["up"], ""), ("MatWrite", "mat", ["up"], 'mat_write_param { prefix: "x" }')


def trunk(start="data", kernel=3):
    """VGG-16 as DeepLab has it, to pool5a: stride 8."""
    layers, below = [], start
    for k in range(1, 6):
        layers.append(conv(f"conv{k}", below, k=3, p=2 if k == 5 else 1, d=2 if k == 5 else 1))
        layers.append(pool(f"pool{k}", f"conv{k}", kernel, 2 if k < 4 else 1, 1))
        below = f"pool{k}"
    return [*layers, pool("pool5a", "pool5", 3, 1, 1, "AVE")]


LARGEFOV = [*trunk(), conv("fc6", "pool5a", p=12, d=12), conv("fc8", "fc6", K, 1)]
ASPP = [
    *trunk(),
    *(conv(f"fc6_{d}", "pool5a", p=d, d=d) for d in (6, 12)),
    *(conv(f"fc8_{d}", f"fc6_{d}", K, 1) for d in (6, 12)),
    total("fc8", "fc8_6", "fc8_12"),
]
UP = interp("up", "fc8", zoom_factor=8)


def fcn(*offsets):
    """FCN-32s of one offset, 16s of two, 8s of three (of pool4's, pool3's, the image's); None: to be computed."""
    layers, below = [], "data"
    for k in range(1, 6):
        layers += [conv(f"conv{k}", below, k=3, p=100 if k == 1 else 1), pool(f"pool{k}", f"conv{k}", 2, 2)]
        below = f"pool{k}"
    layers += [conv("fc6", "pool5", k=7), conv("score", "fc6", K, 1)]
    below, strides = "score", 32
    for k, offset in zip((4, 3), offsets[:-1]):
        layers += [up(f"up{k}", below, 4, 2), conv(f"score{k}", f"pool{k}", K, 1)]
        layers += [crop(f"crop{k}", f"score{k}", f"up{k}", offset), total(f"fuse{k}", f"up{k}", f"crop{k}")]
        below, strides = f"fuse{k}", strides // 2
    return [*layers, up("bigscore", below, 2 * strides, strides), crop("upscore", "bigscore", "data", offsets[-1])]


def dilation8():
    """Convolutions without padding, but for 33 cells before the context."""
    layers, below = [], "data"
    for block, (count, dilation) in enumerate([(2, 1), (2, 1), (3, 1), (3, 1), (3, 2)], 1):
        for k in range(1, count + 1):
            layers.append(conv(f"conv{block}_{k}", below, d=dilation))
            below = f"conv{block}_{k}"
        if block < 4:
            layers.append(pool(f"pool{block}", below, 2, 2))
            below = f"pool{block}"
    layers.append(conv("fc6", below, k=7, d=4))
    below = "fc6"
    for k, dilation in enumerate((1, 1, 2, 4, 8, 16, 1)):
        layers.append(conv(f"ct{k}", below, p=0 if k else 33, d=dilation))
        below = f"ct{k}"
    return [*layers, conv("ct_final", below, K, 1)]


DILATED = dilation8()
STRIDED = [
    conv("conv1", "data", k=3, s=2, p=1), pool("pool1", "conv1", 3, 2, 1), conv("conv2", "pool1", k=3, s=2, p=1),
    conv("conv3", "conv2", p=2, d=2), conv("fc8", "conv3", K, 1),
]  # fmt: skip
QUARTERS = [conv("conv1", "data", k=3, s=2, p=1), conv("conv2", "conv1", k=3, s=2, p=1), conv("fc8", "conv2", K, 1)]


def branches():
    """Three sizes of the input, of which the net itself takes the maximum; their layers share weights."""
    layers = [
        interp("small", "data", shrink_factor=2),
        interp("middle", "data", zoom_factor=3, shrink_factor=4),
    ]
    ends = ["fc8"]
    layers += STRIDED
    for size, grow in (("middle", dict(zoom_factor=4, shrink_factor=3)), ("small", dict(zoom_factor=2))):
        for kind, name, bottoms, parameters in STRIDED:
            below = [size if each == "data" else f"{each}_{size}" for each in bottoms]
            layers.append((kind, f"{name}_{size}", below, parameters))
        layers.append(interp(f"grown_{size}", f"fc8_{size}", **grow))
        ends.append(f"grown_{size}")
    return [*layers, total("fusion", *ends, kind="MAX"), interp("up", "fusion", zoom_factor=8)]


NETS = {  # profile: (as the authors write it, in plain Caffe, the version of Caffe's format)
    "deeplab_crf": ([*LARGEFOV, UP, MAT_WRITE], LARGEFOV, 1),
    "deeplab_largefov": ([*LARGEFOV, UP, MAT_WRITE], LARGEFOV, 1),
    "wssl_em_fixed": ([*LARGEFOV, UP, MAT_WRITE], LARGEFOV, 1),
    "deeplab_v2_vgg16": ([*ASPP, UP, MAT_WRITE], ASPP, 2),
    "deeplab_v2_resnet101": (branches(), STRIDED, 2),
    "fcn32s": (fcn(19), fcn(19), 2),
    "fcn16s": (fcn(5, 27), fcn(5, 27), 2),
    "fcn8s": (fcn(5, 9, 31), fcn(5, 9, 31), 2),
    "fcn8s_atonce": (fcn(5, 9, 31), fcn(5, 9, 31), 2),
    "crf_rnn": (fcn(None, None, None), fcn(5, 9, 31), 2),
    "ccnn": (fcn(None), fcn(19), 2),
    "whats_the_point": (fcn(None), fcn(19), 1),
    "sec": (LARGEFOV, LARGEFOV, 2),
    "dsrg": (ASPP, ASPP, 2),
    "dsrg_seeded": (ASPP, ASPP, 2),
    "oaa_vgg16": ([*LARGEFOV, UP, SOFTMAX], LARGEFOV, 2),
    "oaa_resnet101": ([*STRIDED, UP, SOFTMAX], STRIDED, 2),
    "dilated_net": ([*DILATED, ("Softmax", "prob", ["ct_final"], "")], DILATED, 2),
    "pspnet": ([*STRIDED, UP], STRIDED, 2),
    "icnet": ([*QUARTERS, interp("up", "fc8", zoom_factor=4)], QUARTERS, 2),
}


def prototxt(layers, version):
    lines = ['input: "data" input_dim: 1 input_dim: 3 input_dim: 513 input_dim: 513']
    for kind, name, bottoms, parameters in layers:
        below = " ".join(f'bottom: "{each}"' for each in bottoms)
        words, kind = ("layers", V1[kind]) if version == 1 else ("layer", f'"{kind}"')
        parameters = parameters.replace("dilation", "hole") if version == 1 else parameters
        lines.append(f'{words} {{ name: "{name}" type: {kind} {below} top: "{name}" {parameters} }}')
    return "\n".join(lines)


class Plain:
    """The plain net, its weights drawn; `scores` of 3 x H x W data by pycaffe's forward pass."""

    def __init__(self, folder, layers):
        (folder / "plain.prototxt").write_text(prototxt(layers, 2))
        self.net, self.last = caffe.Net(str(folder / "plain.prototxt"), caffe.TEST), layers[-1][1]
        rng = np.random.RandomState(5)
        for name, blobs in self.net.params.items():
            for blob in blobs:
                fan_in = np.prod(blob.data.shape[1:]) if blob.data.ndim > 1 else 25
                blob.data[...] = (
                    rng.randn(*blob.data.shape) * (2 / fan_in) ** 0.5 / (40 if name.startswith("conv1") else 0.5)
                )

    def save(self, path, layers):
        """The weights for a net that may have layers thrice, with the ends _middle and _small."""
        (path.parent / "named.prototxt").write_text(prototxt([each for each in layers if each[0] in WITH_WEIGHTS], 2))
        message = caffe.proto.caffe_pb2.NetParameter()
        for kind, name, *_ in layers:
            if kind in WITH_WEIGHTS:
                layer = message.layer.add(name=name, type=kind)
                for blob in self.net.params[name.split("_middle")[0].split("_small")[0]]:
                    added = layer.blobs.add(data=blob.data.ravel().tolist())
                    added.shape.dim.extend(blob.data.shape)
        path.write_bytes(message.SerializeToString())

    def scores(self, data):
        self.net.blobs["data"].reshape(1, *data.shape)
        self.net.blobs["data"].data[0] = data
        self.net.forward()
        return self.net.blobs[self.last].data[0].astype(np.float64)


WITH_WEIGHTS = ("Convolution", "Deconvolution")


def softmax(maps):
    maps = np.exp(maps - maps.max(axis=0))
    return maps / maps.sum(axis=0)


def at(maps, rows, columns):
    """K x h x w at positions in cells, linearly; the outermost beyond."""
    for axis, places in ((1, rows), (2, columns)):
        cells = np.arange(maps.shape[axis])
        maps = np.apply_along_axis(lambda row: np.interp(places, cells, row), axis, maps)  # noqa: B023
    return maps


def times(maps, zoom):
    """DeepLab's Interp by zoom_factor, which is PSPNet's too."""
    rows, columns = (np.arange((side - 1) * zoom + 1) / zoom for side in maps.shape[1:])
    return at(maps, rows, columns)


def zoom(array, size):
    """scipy's, of H x W x C, as SEC and DSRG call it."""
    factors = [to / side for to, side in zip(size, array.shape)]
    return scipy.ndimage.zoom(array, (*factors, 1), order=1)


def resize(maps, size, kind):
    """OpenCV's, of K x H x W."""
    return np.stack([cv2.resize(each, size[::-1], interpolation=kind) for each in np.float32(maps)])


# The authors' test code. Each takes the plain net, the image H x W x 3, the mean, and gives K x H x W.


def data_of(image, mean):
    return (image.astype(np.float64) - mean).transpose(2, 0, 1)


def padded(data, side):
    return np.pad(data, [(0, 0)] + [(0, side - each) for each in data.shape[1:]], mode="constant")


def deeplab(net, image, mean):
    """EvalSegResults.m: a crop of 513, what is larger padded with the mean; cropped back."""
    maps = times(net.scores(padded(data_of(image, mean), 513)), 8)
    return softmax(maps[:, : image.shape[0], : image.shape[1]])


def deeplab_of_three_sizes(net, image, mean):
    """v2's ResNet-101: its Interp shrinks data and grows scores, corners on corners; the maximum."""
    data, found = padded(data_of(image, mean), 513), None
    for side in (513, 385, 257):
        place = np.linspace(0, 512, side)
        maps = net.scores(at(data, place, place))
        place = np.linspace(0, maps.shape[1] - 1, 65)
        found = at(maps, place, place) if found is None else np.maximum(found, at(maps, place, place))
    return softmax(times(found, 8)[:, : image.shape[0], : image.shape[1]])


def as_it_is(net, image, mean):
    """FCN's infer.py, CCNN's test_argmax.py, What's the Point's eval.py."""
    return softmax(net.scores(data_of(image, mean)))


def crf_rnn(net, image, mean):
    """crfasrnn_demo.py, without the layer."""
    return softmax(net.scores(padded(data_of(image, mean), 500))[:, : image.shape[0], : image.shape[1]])


def sec(net, image, mean):
    """demo.py."""
    warped = zoom(image.astype(np.float32), (321, 321))
    probabilities = softmax(net.scores(data_of(warped, mean)))
    return zoom(probabilities.transpose(1, 2, 0), image.shape[:2]).transpose(2, 0, 1)


def dsrg_seeded(net, image, mean):
    """test-ms.py."""
    found = 0
    for side in (241, 321, 401):
        scores = net.scores(data_of(zoom(image.astype(np.float32), (side, side)), mean))
        found = found + zoom(scores.transpose(1, 2, 0), image.shape[:2])
    return softmax(found.transpose(2, 0, 1))


def dsrg(net, image, mean):
    """test-ms-f.py, for which the image here has sides of 8k + 1 at each factor: corners are corners."""
    found = 0
    for factor in (0.75, 1, 1.25):
        size = [round(side * factor) for side in image.shape[:2]]
        scores = net.scores(data_of(zoom(image.astype(np.float32), size), mean))
        found = found + zoom(scores.transpose(1, 2, 0), image.shape[:2])
    return softmax(found.transpose(2, 0, 1))


def oaa(net, image, mean):
    """eval.py, single_scale_test."""
    height, width = image.shape[:2]
    scale = 401 / max(height, width)
    scaled = cv2.resize(np.float32(image), None, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    maps = softmax(times(net.scores(padded(data_of(scaled, mean), 401)), 8))
    maps = maps[:, : scaled.shape[0], : scaled.shape[1]]
    return shares(resize(maps, (height, width), cv2.INTER_CUBIC))


def shares(maps):
    maps = np.maximum(maps, 0)
    return maps / maps.sum(axis=0)


def starts(side, crop_side, step):
    """Where tiles begin, the last so that it ends with the image."""
    count = int(np.ceil(max(side - crop_side, 0) / step)) + 1
    return [min(k * step, side - crop_side) for k in range(count)]


def tiles(net, data, side, step, of_tile):
    """The mean of the tiles' maps at each pixel."""
    height, width = data.shape[1:]
    data = np.pad(data, [(0, 0)] + [(0, max(side - each, 0)) for each in (height, width)], mode="constant")
    found, count = np.zeros((K, *data.shape[1:])), np.zeros(data.shape[1:])
    for y in starts(data.shape[1], side, step):
        for x in starts(data.shape[2], side, step):
            found[:, y : y + side, x : x + side] += of_tile(data[:, y : y + side, x : x + side])
            count[y : y + side, x : x + side] += 1
    return (found / count)[:, :height, :width]


def oaa_of_five_sizes(net, image, mean):
    """eval_res.py, multi_scale_test; where tiles overlap, their mean."""
    found = 0
    for scale in (0.5, 0.75, 1.0, 1.25, 1.5):
        scaled = cv2.resize(np.float32(image), None, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        maps = tiles(net, data_of(scaled, mean), 401, 267, lambda tile: softmax(times(net.scores(tile), 8)))
        found = found + resize(maps, image.shape[:2], cv2.INTER_CUBIC)
    return shares(found)


def pspnet(net, image, mean):
    """eval_sub.m, scale_process.m and caffe_process.m at one size."""

    def both(tile):
        return softmax(times(net.scores(tile), 8) + times(net.scores(tile[:, :, ::-1]), 8)[:, :, ::-1])

    height, width = image.shape[:2]
    size = tuple(
        513 if side == max(height, width) else round(513 / max(height, width) * side) for side in (height, width)
    )
    scaled = resize(image.transpose(2, 0, 1), size, cv2.INTER_LINEAR).transpose(1, 2, 0)
    maps = resize(tiles(net, data_of(scaled, mean), 473, 316, both), (height, width), cv2.INTER_LINEAR)
    return maps / maps.sum(axis=0)


def dilated(net, image, mean):
    """predict.py and its interp_map: cell k counts at pixel 8k."""
    height, width = image.shape[:2]
    data = np.float32(image) - np.float32(mean)
    data = cv2.copyMakeBorder(data, 186, 186, 186, 186, cv2.BORDER_REFLECT_101)
    data = cv2.copyMakeBorder(data, 0, 900 - data.shape[0], 0, 900 - data.shape[1], cv2.BORDER_REFLECT_101)
    probabilities = softmax(net.scores(data.transpose(2, 0, 1)))
    return at(probabilities, np.arange(height) / 8, np.arange(width) / 8)


def icnet(net, image, mean):
    """eval_sub.m."""
    scaled = resize(image.transpose(2, 0, 1), (1025, 2049), cv2.INTER_LINEAR).transpose(1, 2, 0)
    maps = resize(softmax(times(net.scores(data_of(scaled, mean)), 4)), image.shape[:2], cv2.INTER_LINEAR)
    return maps / maps.sum(axis=0)


THEIRS = dict(
    deeplab_crf=deeplab, deeplab_largefov=deeplab, wssl_em_fixed=deeplab, deeplab_v2_vgg16=deeplab,
    deeplab_v2_resnet101=deeplab_of_three_sizes, fcn32s=as_it_is, fcn16s=as_it_is, fcn8s=as_it_is,
    fcn8s_atonce=as_it_is, ccnn=as_it_is, whats_the_point=as_it_is, crf_rnn=crf_rnn, sec=sec, dsrg=dsrg,
    dsrg_seeded=dsrg_seeded, oaa_vgg16=oaa, oaa_resnet101=oaa_of_five_sizes, dilated_net=dilated, pspnet=pspnet,
    icnet=icnet,
)  # fmt: skip


def picture(rng, height=97, width=161):
    """Smooth, with a white square."""
    image = cv2.resize(rng.randint(0, 256, (9, 12, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    image[30:50, 60:80] = 255
    return image


@pytest.fixture
def nets(tmp_path):
    """nets(name): (the LegacyNet of the authors' prototxt, the plain net)."""

    def nets(name, model="old.caffemodel"):
        theirs, plain, version = NETS[name]
        plain = Plain(tmp_path, plain)
        (tmp_path / "deploy.prototxt").write_text(prototxt(theirs, version))
        plain.save(tmp_path / model, theirs)
        arguments = (str(tmp_path / "deploy.prototxt"), None, str(tmp_path / model), K)
        return LegacyNet(experiments.load("voc12"), *arguments), plain

    return nets


def test_every_profile_is_compared():
    assert set(profile.known()) == set(NETS) == set(THEIRS)


# Heights and widths; OAA's cut whole pixels off what is scaled to parts of a pixel, so these are scaled to whole ones.
SIZES = dict(oaa_vgg16=[(96, 96), (97, 401)], oaa_resnet101=[(460, 300)], pspnet=[(97, 161), (161, 120)])


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_run_as_its_authors_ran_it(nets, rng, name):
    how = profile.load(name)
    net, plain = nets(name)
    for size in SIZES.get(name, [(97, 161)]):
        image = picture(rng, *size)
        expected = THEIRS[name](plain, image, np.array(how.mean))
        found = protocol.probabilities(net, image, how)
        assert found.shape == expected.shape and len(np.unique(expected.argmax(axis=0))) > 1
        np.testing.assert_allclose(found, expected, atol=2e-4)
    np.testing.assert_array_equal(protocol.probabilities(net, picture(rng, 60, 70), how).shape, (K, 60, 70))
    np.testing.assert_array_equal(protocol.probabilities(net, image, how), found)  # whatever image was before
