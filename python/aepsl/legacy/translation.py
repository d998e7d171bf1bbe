"""Layers of other Caffes as layers of plain Caffe.

A translation is a method of the layer and of the net before it. It returns the layers that replace the layer. It adds
to `said` what it did, and to `fixed` the weights that no caffemodel has. It raises Impossible, with the reason.
"""

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Optional

import numpy as np
from caffe.proto.caffe_pb2 import NetParameter

from aepsl.legacy.layers import Layer
from aepsl.legacy.text import Fields
from aepsl.nets import geometry
from aepsl.nets.geometry import BOTH

DIMENSIONS = 4  # of a blob: images, channels, rows, columns
EPS = 1e-5  # of PSPNet's BN, if its bn_param has none
REASONS = {  # why plain Caffe, and so this reader, has no layer of these kinds
    "Unpooling Upsample": "puts values back where a max pooling found them (by its mask), which plain Caffe cannot",
    "MultiStageMeanfield DenseCRF": "is a CRF with layers behind it; only one at the end can be left to our CRF",
    "Python": "is code of the net's authors, which is not run",
    "ROIPooling Proposal": "needs object proposals, which an image does not have",
    "InnerProduct Reshape Flatten": "takes images of one size; make it a convolution",
}


class Impossible(Exception):
    """The layer has no translation; the message says why."""


class Translator:
    """size: (height, width) of the input in the prototxt; only: the same, if the net takes no other size, else None.

    said: {what was done: [layers]}; fixed: {layer: function(its blobs in the caffemodel or None, shapes) -> arrays}.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.only: Optional[tuple[int, int]] = None
        self.said: dict[str, list[str]] = {}
        self.fixed: dict[str, Callable] = {}

    def say(self, what: str, layer: Layer) -> None:
        """Note what was done with the layer."""
        self.said.setdefault(f"{layer.kind}: {what}", []).append(layer.name)

    def plain(self, layer: Layer, net: NetParameter) -> list[Layer]:
        """The layers of plain Caffe that replace the layer; net: those before it."""
        own = getattr(self, f"_{layer.kind.lower()}", None)
        if own:
            return own(layer, net)
        if layer.kind not in geometry.KNOWN:
            reasons = (reason for kinds, reason in REASONS.items() if layer.kind in kinds.split())
            raise Impossible(next(reasons, "is no layer that this reader knows"))
        return [layer]

    def _convolution(self, layer, net):
        """DeepLab's `hole` becomes dilation. Fillers are used if the caffemodel has no weights, as CCNN's from FCN."""
        param = layer.fields.message("convolution_param")
        holes = param.words("hole")
        if param.words("hole_h") or param.words("hole_w"):
            holes = [param.get(name, param.get("hole", "1")) for name in ("hole_h", "hole_w")]
        if holes:
            self.say("`hole` is dilation", layer)
        fields = param.without("engine", "weight_filler", "bias_filler", "hole", "hole_h", "hole_w")
        fields.extend(("dilation", hole, layer.line) for hole in holes)
        filler = param.message("weight_filler")
        if filler.get("type") == "bilinear_upsampling":
            self.fixed[layer.name] = _or(lambda shapes: [_bilinear(shapes[0]), *map(np.zeros, shapes[1:])])
        elif filler.get("type") == "bilinear":
            self.fixed[layer.name] = _or(lambda shapes: None)
            fields.append(("weight_filler", filler, layer.line))
        others = layer.fields.without("convolution_param")
        return [layer.made(layer.kind, Fields([*others, ("convolution_param", fields, layer.line)]))]

    _deconvolution = _convolution

    def _concat(self, layer, net):
        """Of channels alone: rows of two blobs in one have no place on the image."""
        param = layer.fields.message(f"{layer.kind.lower()}_param")
        axis = param.number("axis", param.number(f"{layer.kind.lower()}_dim", 1, int), int)
        if axis % DIMENSIONS != 1:
            raise Impossible(f"works along axis {axis}, and only along 1, the channels, do cells stay where they are")
        return [layer]

    _slice = _concat

    def _scale(self, layer, net):
        """Of one bottom, its weights may be of channels, not of rows: those fit images of one size."""
        param = layer.fields.message(f"{layer.kind.lower()}_param")
        first, count = param.number("axis", 1, int) % DIMENSIONS, param.number("num_axes", 1, int)
        if len(layer.bottoms) == 1 and count and (count < 0 or first + count > 2):
            raise Impossible("has a weight for each row or column, so it takes images of one size")
        return [layer]

    _bias = _scale

    def _pooling(self, layer, net):
        if layer.fields.message("pooling_param").get("pool") in ("STOCHASTIC", "2"):
            raise Impossible("is STOCHASTIC, which Caffe computes on a GPU alone; MAX and AVE are taken")
        return [layer]

    def _crop(self, layer, net):
        """A Crop without crop_param: FCN's authors align its cells with the second bottom's, BVLC crops at offset 0."""
        if layer.fields.messages("crop_param"):
            return [layer]
        ours, theirs = (geometry.cells(net, bottom) for bottom in layer.bottoms)
        if ours.stride != theirs.stride:
            raise Impossible(f"crops cells of stride {ours.stride} by cells of stride {theirs.stride}")
        apart = [(theirs.start[axis] - ours.start[axis]) / ours.stride[axis] for axis in BOTH]
        offsets = [math.floor(cells + 0.5) for cells in apart]
        if min(offsets) < 0:
            raise Impossible(f"would cut off {min(offsets)} cells")
        self.say(f"offset {offsets[0]}, {offsets[1]} computed from kernels, strides and pads", layer)
        return [layer.made("Crop", Fields.of(crop_param=Fields.of(axis=2, offset=offsets)))]

    def _interp(self, layer, net):
        """Corners are kept: a Deconvolution makes `zoom` cells of one, a pooling takes every shrink-th cell."""
        param = layer.fields.message("interp_param")
        if param.number("pad_beg", 0) or param.number("pad_end", 0):
            raise Impossible("pads before it interpolates")
        zoom, shrink, single = self._ratio(param, layer, net)
        words = " and ".join(f"{z}/{s}" for z, s in dict.fromkeys(zip(zoom, shrink)))
        self.say(f"by {words} is a Deconvolution with triangular weights, a pooling or both", layer)
        if max(shrink) == 1 < max(zoom):
            return [self._zoomed(layer, zoom, single, net)]
        if max(zoom) == 1:
            return [layer.made("Pooling", _every(shrink))]
        between = f"{layer.name}_zoomed"
        zoomed = self._zoomed(dataclasses.replace(layer, name=between, tops=[between]), zoom, single, net)
        return [zoomed, layer.made("Pooling", _every(shrink), bottoms=[between])]

    def _zoomed(self, layer, zoom, single, net):
        """The layer as a Deconvolution; along an axis with a single cell its weights are ones."""
        count = geometry.channels(net)[layer.bottoms[0]]
        kernel = [z if one else 2 * z - 1 for z, one in zip(zoom, single)]
        pad = [0 if one else z - 1 for z, one in zip(zoom, single)]
        sides = dict(kernel_size=kernel, stride=list(zoom), pad=pad)
        param = Fields.of(num_output=count, group=count, bias_term="false", **sides)
        rows = [(np.ones if one else _triangle, side) for side, one in zip(kernel, single)]
        self.fixed[layer.name] = _or(lambda shapes: [np.broadcast_to(np.outer(*(f(k) for f, k in rows)), shapes[0])])
        return layer.made("Deconvolution", Fields.of(convolution_param=param))

    def _ratio(self, param, layer, net):
        """(zoom, shrink, whether there is a single cell), each along both axes."""
        if not param.words("height"):
            zoom, shrink = (param.number(f"{name}_factor", 1, int) for name in ("zoom", "shrink"))
            return (zoom, zoom), (shrink, shrink), (False, False)
        self.only = self.size
        cells = geometry.shapes(net, *self.size)[layer.bottoms[0]][1:]
        wanted = [param.number(name, 1, int) for name in ("height", "width")]
        ratios = [(n, 1) if k == 1 else Fraction(n - 1, k - 1).as_integer_ratio() for n, k in zip(wanted, cells)]
        return (*zip(*ratios), [k == 1 for k in cells])

    def _bn(self, layer, net):
        """BN with fixed statistics becomes a Scale: slope (x - mean) / sqrt(variance + eps) + bias."""
        param = layer.fields.message("bn_param")
        if param.get("bn_mode", "INFERENCE" if not param.messages("scale_filler") else "LEARN") != "INFERENCE":
            raise Impossible("normalises by the image's own statistics; its authors make it one of bn_mode INFERENCE")
        eps = param.number("eps", EPS)
        self.fixed[layer.name] = lambda blobs, shapes: _folded(blobs, eps)
        self.say("with the statistics of its training, is a Scale", layer)
        return [layer.made("Scale", Fields.of(scale_param=Fields.of(bias_term="true")))]


def _or(made):
    """A function for `fixed`: the layer's blobs in the caffemodel, or else made(shapes)."""
    return lambda blobs, shapes: made(shapes) if blobs is None else blobs


def _folded(blobs, eps):
    """A Scale's slope and bias; blobs that are not BN's four are returned as they are, for load_weights to check."""
    if blobs is None or len(blobs) != 4 or len({blob.size for blob in blobs}) > 1:
        return [blob.ravel() for blob in blobs or ()]
    slope, bias, mean, variance = (blob.ravel() for blob in blobs)
    slope = slope / np.sqrt(variance + eps)
    return [slope, bias - mean * slope]


def _triangle(side):
    """`side` weights of linear interpolation between cells (side + 1) // 2 apart."""
    return 1 - np.abs(np.arange(side) - (side - 1) / 2) / ((side + 1) // 2)


def _bilinear(shape):
    """Bilinear weights of a Deconvolution as FCN's authors set them (surgery.upsample_filt)."""
    weights = np.zeros(shape)
    weights[np.arange(shape[0]), np.arange(shape[0]) if shape[1] > 1 else 0] = np.outer(*map(_triangle, shape[2:]))
    return weights


def _every(shrink):
    """A pooling that takes every s-th cell."""
    param = Fields.of(pool="MAX", kernel_size=1, stride_h=shrink[0], stride_w=shrink[1])
    return Fields.of(pooling_param=param)
