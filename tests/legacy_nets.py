"""Narrow layouts of other authors' nets, with their kernels, strides, pads and crops; where a square's image lands."""

import re

import numpy as np
from caffe.proto import caffe_pb2

from aepsl.legacy.net import LegacyNet
from aepsl.settings import experiments

MEAN = [127.5] * 3
FCN_CROPS = {32: [19], 16: [5, 27], 8: [5, 9, 31]}  # the offsets that its authors published
PASCAL = "transform_param { mean_value: 104 mean_value: 117 mean_value: 123 crop_size: %d }"


def v1(kind):
    return kind if kind.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).upper()


def text(layout, version=2, head='input: "data" input_dim: 1 input_dim: 3 input_dim: 65 input_dim: 65'):
    """The prototxt of a list of (kind, name, bottoms, tops, parameters)."""
    lines = [head]
    for kind, name, bottoms, tops, parameters in layout:
        kind = f'type: "{kind}"' if version == 2 else f"type: {v1(kind)}"
        blobs = [f'bottom: "{each}"' for each in bottoms.split()] + [f'top: "{each}"' for each in tops.split()]
        word = "layer" if version == 2 else "layers"
        lines.append(f'{word} {{ name: "{name}" {kind} {" ".join(blobs)} {parameters} }}')
    return "\n".join(lines)


def conv(name, bottom, kernel, more="", kind="Convolution", channels=2):
    words = f"convolution_param {{ num_output: {channels} kernel_size: {kernel} {more} }}"
    return kind, name, bottom, name, words


def pool(name, bottom, kernel, more, of="MAX"):
    return "Pooling", name, bottom, name, f"pooling_param {{ pool: {of} kernel_size: {kernel} {more} }}"


def vgg(pools, first="pad: 1", fifth="pad: 2 hole: 2", pads="pad: 1"):
    """A convolution and a pooling for each of VGG's five parts; pools: (kernel, further words) of each."""
    bottom = "data"
    for k, (kernel, more) in enumerate(pools, start=1):
        words = first if k == 1 else fifth if k == 5 else pads
        yield conv(f"conv{k}", bottom, 3, words)
        bottom = f"pool{k}"
        yield pool(bottom, f"conv{k}", kernel, more)


def fcn(stride, crops=True):
    """FCN-32s, 16s or 8s; crops: with the offsets as later files have them, or without, as the first ones."""
    yield from vgg([(2, "stride: 2")] * 5, "pad: 100", "pad: 1")
    yield conv("fc6", "pool5", 7)
    yield conv("score_fr", "fc6", 1)
    offsets, bottom = list(FCN_CROPS[stride]), "score_fr"
    for part in (4, 3)[: {32: 0, 16: 1, 8: 2}[stride]]:
        yield conv(f"up{part}", bottom, 4, "stride: 2 bias_term: false", "Deconvolution")
        yield conv(f"score{part}", f"pool{part}", 1)
        yield crop("crop", f"score{part} up{part}", f"cut{part}", crops and offsets.pop(0))
        yield "Eltwise", "fuse", f"up{part} cut{part}", f"fuse{part}", ""
        bottom = f"fuse{part}"
    yield conv("big", bottom, 2 * stride, f"stride: {stride} bias_term: false", "Deconvolution")
    yield crop("crop", "big data", "score", crops and offsets.pop(0))


def crop(name, bottoms, top, offset):
    return "Crop", name, bottoms, top, f"crop_param {{ axis: 2 offset: {offset} }}" if offset else ""


def ccnn8s():
    """With the crop and the CRF that its own Caffe has."""
    yield from vgg([(3, "stride: 2 pad: 1")] * 3 + [(3, "stride: 1 pad: 1")] * 2)
    yield conv("fc8", "pool5", 4, "pad: 6 hole: 4")
    filler = 'group: 2 bias_term: false weight_filler: { type: "bilinear_upsampling" }'
    yield conv("score", "fc8", 15, f"stride: 8 {filler}", "Deconvolution")
    yield "Crop", "crop", "score data", "cut", ""
    values = "x_gauss: 19 y_gauss: 19 wt_gauss: 15 x_bilateral: 61 r_bilateral: 10 wt_bilateral: 35"
    yield "DenseCRF", "crf", "cut data", "refined", f"densecrf_param {{ {values} }}"


def noup():
    """vgg128_noup, DeepLab-CRF of 2014."""
    yield from vgg([(2, "stride: 2 pad: 1")] * 3 + [(2, "stride: 1 pad: 1"), (3, "stride: 1 pad: 1")])
    yield conv("fc8_${EXP}", "pool5", 4, "pad: 6 hole: 4")
    yield "Interp", "fc8_interp", "fc8_${EXP}", "fc8_interp", "interp_param { zoom_factor: 8 }"
    yield "Padding", "fc8_crop", "fc8_interp", "fc8_crop", "padding_param { pad_beg: -7 pad_end: -8 }"
    yield (
        "MatWrite",
        "fc8_mat",
        "fc8_crop",
        "",
        'mat_write_param { prefix: "${FEATURE_DIR}/" } include: { phase: TEST }',
    )


def largefov():
    """DeepLab-CRF-LargeFOV as its authors tested it."""
    seg = "label_type: PIXEL has_label: false"
    yield (
        "ImageSegData",
        "data",
        "",
        "data label data_dim",
        PASCAL % 65 + f" image_data_param {{ batch_size: 1 {seg} }}",
    )
    yield from vgg([(3, "stride: 2 pad: 1")] * 3 + [(3, "stride: 1 pad: 1")] * 2)
    yield pool("pool5a", "pool5", 3, "stride: 1 pad: 1", "AVE")
    kind, name, bottom, top, words = conv("fc6", "pool5a", 3, "pad: 12 hole: 12")
    yield kind, name, bottom, top, words + " strict_dim: false"
    yield "Dropout", "drop6", "fc6", "fc6", ""
    yield conv("fc8_${EXP}", "fc6", 1, channels="${NUM_LABELS}")
    yield "Interp", "fc8_interp", "fc8_${EXP}", "fc8_interp", "interp_param { zoom_factor: 8 }"
    yield "SoftmaxWithLoss", "loss", "fc8_interp label", "loss", "include: { phase: TRAIN }"
    yield "SegAccuracy", "accuracy", "fc8_interp label", "accuracy", "seg_accuracy_param { ignore_label: 255 }"
    values = "max_iter: 10 pos_w: 3 pos_xy_std: 3 bi_w: 5 bi_xy_std: 50 bi_rgb_std: 10"
    yield "DenseCRF", "crf", "fc8_interp data_dim data", "crf_inf", f"dense_crf_param {{ {values} }}"
    yield "MatWrite", "crf_mat", "crf_inf", "", 'mat_write_param { prefix: "x" }'
    yield "Silence", "silence", "label", "", ""


def multiscale():
    """DeepLab v2's three scales, of which the maximum counts."""
    scales = {"": None, "_res05": "shrink_factor: 2", "_res075": "shrink_factor: 4 zoom_factor: 3"}
    for end, words in scales.items():
        if words:
            words = f"interp_param {{ {words} pad_beg: 0 pad_end: 0 }}"
            yield "Interp", "data" + end, "data", "data" + end, words
        yield conv("conv1" + end, "data" + end, 7, "stride: 2 pad: 3")
        yield pool("pool1" + end, "conv1" + end, 3, "stride: 2 pad: 1")
        yield conv("res3" + end, "pool1" + end, 1, "stride: 2")
        yield conv("fc1" + end, "res3" + end, 3, "pad: 6 dilation: 6")
    for end, words in {"_res05": "zoom_factor: 2", "_res075": "zoom_factor: 4 shrink_factor: 3"}.items():
        yield "Interp", f"fc1{end}_interp", "fc1" + end, f"fc1{end}_interp", f"interp_param {{ {words} }}"
    yield "Eltwise", "fusion", "fc1 fc1_res075_interp fc1_res05_interp", "fusion", "eltwise_param { operation: MAX }"
    yield "Interp", "interp", "fusion", "interp", "interp_param { zoom_factor: 8 }"


def dilated():
    """DilatedNet's front end without pads and a context of dilations: it loses a margin of 186 pixels."""
    bottom = "data"
    for k, count in enumerate((2, 2, 3), start=1):
        for j in range(1, count + 1):
            yield conv(f"conv{k}_{j}", bottom, 3)
            bottom = f"conv{k}_{j}"
        yield pool(f"pool{k}", bottom, 2, "stride: 2")
        bottom = f"pool{k}"
    for k, count, dilation in ((4, 3, 1), (5, 3, 2)):
        for j in range(1, count + 1):
            yield conv(f"conv{k}_{j}", bottom, 3, f"dilation: {dilation}")
            bottom = f"conv{k}_{j}"
    yield conv("fc6", bottom, 7, "dilation: 4")
    bottom = "fc6"
    for k, (dilation, pad) in enumerate(((1, 33), (1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (1, 0)), start=1):
        yield conv(f"ct{k}", bottom, 3, f"dilation: {dilation} pad: {pad}")
        bottom = f"ct{k}"
    yield "Softmax", "prob", bottom, "prob", ""


def pyramid(side=113, cells=15):
    """PSPNet's: averages over parts of the image, grown to `cells`; its BN has statistics of its training."""
    yield conv("conv1", "data", 3, "stride: 2 pad: 1 bias_term: false")
    yield "BN", "conv1/bn", "conv1", "conv1", "bn_param { slope_filler { type: 'constant' value: 1 } frozen: true }"
    yield pool("pool1", "conv1", 3, "stride: 2 pad: 1")
    yield conv("conv5", "pool1", 3, "stride: 2 pad: 1")
    tops = ["conv5"]
    for parts in (6, 3, 2, 1):
        size = cells // parts
        yield pool(f"p{parts}", "conv5", size + (parts == 2), f"stride: {size}", "AVE")
        yield (
            "Interp",
            f"p{parts}_interp",
            f"p{parts}",
            f"p{parts}_interp",
            f"interp_param {{ height: {cells} width: {cells} }}",
        )
        tops.append(f"p{parts}_interp")
    yield "Concat", "concat", " ".join(tops), "concat", ""
    yield conv("conv6", "concat", 1)
    yield "Interp", "conv6_interp", "conv6", "conv6_interp", "interp_param { zoom_factor: 8 }"


def brightness(legacy, path, rename=lambda name: name):
    """A caffemodel for legacy.net whose channel 0 is the brightness of the pixels about a cell, and channel 1 is 0."""
    model = caffe_pb2.NetParameter()
    channels = {}
    for layer in legacy.net.layer:
        below = [channels[name] for name in layer.bottom] or [3]
        own, shapes, param = below[0], [], layer.convolution_param
        if layer.type in ("Convolution", "Deconvolution"):
            own = param.num_output
            sides = [*param.kernel_size, *param.kernel_size][:2]
            pair = (own, below[0]) if layer.type == "Convolution" else (below[0], own)
            kernel = np.outer(*map(middle if layer.type == "Convolution" else linear, sides))
            weights = np.zeros((pair[0], pair[1] // param.group, *sides))
            weights[0, 0] = kernel
            shapes = [weights] + [np.zeros(own)] * param.bias_term
        elif layer.type == "Scale":
            shapes = [np.full((1, own, 1, 1), value) for value in (1, 0, 0, 1)]
        elif layer.type == "Concat":
            own = sum(below)
        channels.update(dict.fromkeys(layer.top, own))
        if shapes and (layer.name not in legacy.fixed or layer.type == "Scale"):
            message = model.layer.add(name=rename(layer.name), type=layer.type)
            for values in shapes:
                message.blobs.add(shape=dict(dim=values.shape), data=values.ravel())
    path.write_bytes(model.SerializeToString())
    return str(path)


def middle(side):
    """Weights of the middle of a kernel: of the two in the middle each half."""
    weights = np.zeros(side)
    weights[(side - 1) // 2] += 0.5
    weights[side // 2] += 0.5
    return weights


def linear(side):
    return 1 - np.abs(np.arange(side) - (side - 1) / 2) / ((side + 1) // 2)


def experiment():
    changes = {"classes": ["cat", "dog"], "data": dict(scale=1, mean=MEAN)}
    return experiments.changed(experiments.load("demo"), changes)


def opened(path, legacy, **more):
    """The LegacyNet of a prototxt with weights that pass brightness on."""
    model = brightness(legacy, path.with_suffix(".caffemodel"), lambda name: name.replace("${EXP}", "voc12"))
    return LegacyNet(experiment(), str(path), None, model, 2, **more)


def landing(net, size, square, shifts):
    """How far (y, x) from a white square its image lands, on the average of so many shifts along the diagonal."""
    off = []
    for shift in range(shifts):
        image = np.zeros((*size, 3), np.uint8)
        begins = [(side - square - shifts) // 2 + shift for side in size]
        image[begins[0] : begins[0] + square, begins[1] : begins[1] + square] = 255
        seen = net.probabilities(image)[0] > 0.5
        ends = [np.flatnonzero(seen.any(axis=1 - axis))[[0, -1]] for axis in (0, 1)]
        off.append([end.mean() - (begin + (square - 1) / 2) for end, begin in zip(ends, begins)])
    return np.mean(off, axis=0)
