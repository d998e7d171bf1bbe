"""A segmentation net of plain Caffe, as DeepLab's and SEC's authors released theirs: a deploy prototxt and weights.

Caffe upgrades prototxts of 2014 (`layers { type: CONVOLUTION }`, `input_dim`) itself; DeepLab's own word `hole` is
`dilation` here. The net must take images of any size: it has no InnerProduct. What Caffe says of a net that it cannot
build is found out in another process, which it ends.
"""

import faulthandler
import math
import os
import re
import resource
import sys
import tempfile

import caffe
import cv2
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tqdm import tqdm

from aepsl.base.errors import InputError
from aepsl.base.files import read_text
from aepsl.images.pictures import scaled
from aepsl.layers.losses import softmax
from aepsl.nets import caffemodel, device, sizes
from aepsl.nets.whole_image import interpolation, padded

HOLE = re.compile(r"\bhole\s*:")  # DeepLab's Caffe had dilation under this name
FIXED = ("innerproduct", "reshape")  # layers that take one size of image only
# Layers that run, read or write what is no part of the net.
OTHERS = ("python", "data", "imagedata", "windowdata", "memorydata", "hdf5data", "hdf5output")
TRIED = (33, 65)  # height and width of an image that a net must take


class LegacyNet:
    """The net of `deploy` with the weights `model`, whose blob `scores` has one channel for each class.

    channels: how many that must be, background first. Raises InputError for a prototxt that Caffe would abort at.
    """

    def __init__(self, experiment, deploy, scores, model, channels, confidence="none", gpu=None):
        if not (deploy and scores) or confidence != "none":
            raise InputError("--deploy and --scores: give both, a prototxt and its blob of scores, and no --confidence")
        self.settings, self.deploy, self.model, self.scores = experiment.data, deploy, model, scores
        self.prototxt = _text(deploy)
        self.net = _opened(deploy, self.prototxt, model, gpu)
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

    def probabilities(self, image, confidence="none", labels=None, name="the image"):
        """softmax of the scores grown to the image, K x H x W float32; image: H x W x 3 uint8 BGR.

        The image is scaled, less the mean, padded to 8k + 1 with the mean; the scores' corners lie on the input's. One
        that is too large for the net is scaled down to what it takes, and a line says so. Raises InputError if the
        scores are not finite.
        """
        most = (_most_pixels(self.net, self.input) / math.prod(image.shape[:2])) ** 0.5
        if most < self.settings.scale:
            tqdm.write(f"{name}: is too large for {self.deploy}; it is processed at {most:.3f}", file=sys.stderr)
        pixels = scaled(image, min(most, self.settings.scale)) - np.array(self.settings.mean, np.float32)
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


def _text(deploy):
    """What the prototxt `deploy` holds, in this Caffe's words."""
    text = read_text(deploy)
    if text is None:
        raise InputError(f"{deploy}: no such prototxt")
    return HOLE.sub("dilation:", text)


def _opened(deploy, text, model, gpu):
    _check(deploy, text)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "deploy.prototxt")
        with open(path, "w") as file:
            file.write(text)
        fault = _fault(path, os.path.join(folder, "said"))
        if fault:
            raise InputError(f"{deploy}: Caffe cannot build this net: {fault}")
    device.use(gpu)
    return caffemodel.open_net(text, model)


def _fault(path, log):
    """What Caffe says, in one line, of a prototxt at which it would end this process; None for a sound one."""
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY, 0o600), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()  # that Caffe ends this process is no fault
        try:
            caffe.set_mode_cpu()
            net = caffe.Net(path, caffe.TEST)
            if len(net.inputs) == 1 and net.blobs[net.inputs[0]].data.ndim == 4:  # else `_only_input` refuses it
                net.blobs[net.inputs[0]].reshape(1, net.blobs[net.inputs[0]].data.shape[1], *TRIED)
                net.forward()
            os._exit(0)
        finally:
            os._exit(1)
    if not os.waitpid(child, 0)[1]:
        return None
    with open(log, errors="replace") as file:
        said = [line.partition("] ")[2].strip() for line in file if re.match(r"F\d{4} ", line)]
    return (said or ["it gives no reason"])[0]


def _most_pixels(net, name):
    """How many pixels of the input `name` the net takes: see aepsl.nets.sizes."""
    counts = [blob.count for blob in net.blobs.values()]
    columns = [
        math.prod(net.params[layer][0].shape[1:]) * math.prod(net.blobs[tops[0]].shape[2:])
        for layer, tops in net.top_names.items()
        if layer in net.params
    ]
    share = max(max(counts + columns) / sizes.INT_MAX, sum(counts) / sizes.MOST)
    return 0.9 * math.prod(net.blobs[name].shape[2:]) / share  # what lies in the rims is not in proportion


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
    older = [layer.layer.type for layer in net.layers]
    for kind in [*older, *old, *(layer.type for layer in net.layer)]:
        if kind.replace("_", "").lower() in FIXED:
            raise InputError(f"{deploy}: has a layer {kind}, and so takes images of one size; make it a convolution")
        if kind.replace("_", "").lower() in OTHERS:
            raise InputError(f"{deploy}: has a layer {kind}, which is no part of a net; cut it and what follows it")


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
