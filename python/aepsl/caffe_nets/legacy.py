"""A segmentation net of plain Caffe, as DeepLab's and SEC's authors released theirs: a deploy prototxt and weights.

Caffe upgrades prototxts of 2014 (`layers { type: CONVOLUTION }`, `input_dim`) itself; DeepLab's own word `hole` is
`dilation` here. The net must take images of any size: it has no InnerProduct.
"""

import os
import re
import tempfile

import caffe
import cv2
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.caffe_nets import caffemodel, device
from aepsl.caffe_nets.whole_image import interpolation, padded
from aepsl.errors import InputError
from aepsl.files import read_text
from aepsl.images import scaled
from aepsl.layers.losses import softmax

HOLE = re.compile(r"\bhole\s*:")  # DeepLab's Caffe had dilation under this name
FIXED = ("innerproduct", "reshape")  # layers that take one size of image only


class LegacyNet:
    """The net of `deploy` with the weights `model`, whose blob `scores` has one channel for each class.

    channels: how many that must be, background first. Raises InputError for a prototxt that Caffe would abort at.
    """

    def __init__(self, experiment, deploy, scores, model, channels, policy="none", gpu=None):
        if not (deploy and scores) or policy != "none":
            raise InputError("--deploy and --scores: give both, a prototxt and its blob of scores, and no --policy")
        device.use(gpu)
        self.settings, self.prototxt, self.model, self.scores = experiment["data"], deploy, model, scores
        self.net = _opened(deploy, model)
        self.input = _only_input(self.net, deploy)
        if scores not in self.net.blobs:
            raise InputError(f"{deploy}: has no blob {scores}; --scores takes one of {', '.join(self.net.blobs)}")
        shape = self.net.blobs[scores].data.shape
        if len(shape) != 4 or shape[1] != channels:
            raise InputError(
                f"{deploy}: its blob {scores} has the shape {list(shape)}; {channels} channels are needed, one for "
                "background and one for each class"
            )
        if _is_softmax(self.net, scores):
            raise InputError(f"{deploy}: {scores} comes out of a softmax, which is done here; name the blob before it")

    def probabilities(self, image, policy="none", labels=None, name="the image"):
        """softmax of the scores grown to the image, K x H x W float32; image: H x W x 3 uint8 BGR.

        The image is scaled, less the mean, padded to 8k + 1 with the mean; the scores' corners lie on the input's.
        Raises InputError if they are not finite.
        """
        pixels = scaled(image, self.settings["scale"]) - np.array(self.settings["mean"], np.float32)
        blob = padded(pixels).transpose(2, 0, 1)[None]
        self.net.blobs[self.input].reshape(*blob.shape)
        self.net.blobs[self.input].data[...] = blob
        self.net.forward()
        scores = self.net.blobs[self.scores].data[0]
        if not np.isfinite(scores).all():
            raise InputError(f"{name}: {self.model} gives scores that are not finite; is it of another mean or scale?")
        rows, columns = (
            interpolation(cells, pixels, stride=(sides - 1) / max(1, cells - 1))
            for cells, pixels, sides in zip(scores.shape[1:], pixels.shape[:2], blob.shape[2:])
        )
        grown = rows @ scores.astype(np.float32) @ columns.T
        return softmax(np.stack([cv2.resize(each, image.shape[1::-1]) for each in grown])[None])[0]


def _opened(deploy, model):
    text = read_text(deploy)
    if text is None:
        raise InputError(f"{deploy}: no such prototxt")
    text = HOLE.sub("dilation:", text)
    _check(deploy, text)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "deploy.prototxt")
        with open(path, "w") as file:
            file.write(text)
        return caffemodel.open_net(path, model)


def _check(deploy, text):
    """InputError for what is no deploy prototxt of layers that this Caffe has, for images of any size."""
    try:
        net = text_format.Parse(text, caffe_pb2.NetParameter())
    except text_format.ParseError as error:
        raise InputError(f"{deploy}: line {error}; it must be a deploy prototxt of plain Caffe") from None
    known = set(caffe.layer_type_list())
    for layer in net.layer:
        if layer.type not in known:
            raise InputError(f"{deploy}: this Caffe has no layer {layer.type}; cut {layer.name} and what follows it")
    old = [caffe_pb2.V1LayerParameter.LayerType.Name(layer.type) for layer in net.layers]
    fixed = [kind for kind in [*old, *(layer.type for layer in net.layer)] if kind.replace("_", "").lower() in FIXED]
    if fixed:
        raise InputError(f"{deploy}: has a layer {fixed[0]}, and so takes images of one size; make it a convolution")


def _only_input(net, deploy):
    """The name of the net's input, one image of three channels."""
    shapes = {name: list(net.blobs[name].data.shape) for name in net.inputs}
    if [shape[1:2] for shape in shapes.values()] != [[3]]:
        raise InputError(f"{deploy}: has the inputs {shapes}; it must have one, of an image's 3 channels")
    return net.inputs[0]


def _is_softmax(net, blob):
    """Whether the last layer that writes the blob is a softmax, to which another would give other probabilities."""
    kinds = [layer.type for name, layer in zip(net._layer_names, net.layers) if blob in net.top_names[name]]
    return kinds[-1:] == ["Softmax"]
