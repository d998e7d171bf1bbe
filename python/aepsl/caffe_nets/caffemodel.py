"""Caffemodels and prototxts, checked before Caffe sees them: it would abort, or pass over what is missing."""

import os

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.errors import InputError

RIGHT_WEIGHTS = "Give the weights that this net was made for (weights/README.md)"
OLD_SIZES = ("num", "channels", "height", "width")


def read_prototxt(path, message):
    """Parse a text prototxt into `message`, a NetParameter or SolverParameter."""
    try:
        with open(path) as file:
            return text_format.Merge(file.read(), message)
    except FileNotFoundError:
        raise InputError(f"{path}: no such prototxt; `make nets` writes an experiment's") from None
    except text_format.ParseError as error:
        raise InputError(f"{path}: line {error}; `make nets` writes it anew") from None


def open_net(prototxt, weights):
    """The net of a deploy prototxt with trained weights, for testing."""
    net = caffe.Net(prototxt, caffe.TEST)
    load_weights(net, weights, new_layers=())
    return net


def load_weights(net, path, new_layers):
    """Copy the caffemodel `path` into `net` by layer names.

    new_layers: names of layers that may be missing in the file. Returns the names of those that are.
    Caffe itself would pass over a missing layer in silence, and abort the process at a wrong shape.
    """
    shapes = caffemodel_shapes(path)
    missing = [name for name in net.params if name not in shapes]
    lacking = [name for name in missing if name not in new_layers]
    if lacking:
        raise InputError(
            f"{path}: has no layer {lacking[0]}, which the net needs; it is of another net. {RIGHT_WEIGHTS}"
        )
    for name, blobs in net.params.items():
        ours = [list(blob.shape) for blob in blobs]
        if name in shapes and not _same_shapes(ours, shapes[name]):
            raise InputError(
                f"{path}: its layer {name} has the shapes {shapes[name]}, the net's has {ours}. {RIGHT_WEIGHTS}"
            )
    net.copy_from(path)
    return missing


def caffemodel_shapes(path):
    """{layer name: [shape of each of its blobs]} of a caffemodel, also of the old format."""
    return {name: [shape_of(blob) for blob in layer.blobs] for name, layer in caffemodel_layers(path).items()}


def existing(path):
    """The path of a caffemodel; InputError if there is none."""
    if not os.path.exists(path):
        raise InputError(f"{path}: no such caffemodel; weights/README.md says where the weights come from")
    return path


def caffemodel_layers(path):
    """{name: layer} of those layers of a caffemodel that have blobs: messages of the new format or of the old."""
    existing(path)
    net = caffe_pb2.NetParameter()
    try:
        with open(path, "rb") as file:
            net.ParseFromString(file.read())
    except Exception:
        raise InputError(f"{path}: is no caffemodel or was cut short; fetch it again") from None
    layers = list(net.layer) + list(net.layers)
    if not layers:
        raise InputError(f"{path}: is no caffemodel or was cut short; fetch it again")
    return {layer.name: layer for layer in layers if layer.blobs}


def shape_of(blob):
    """The shape of a BlobProto as a list; old files have ones in front, so that there are always four."""
    if blob.HasField("shape"):
        return list(blob.shape.dim)
    return [getattr(blob, size) for size in OLD_SIZES]


def values(blob):
    """The values of a BlobProto as float32 of its shape, out of its message: one by one takes Python minutes."""
    before = caffe_pb2.BlobProto(**{field.name: size for field, size in blob.ListFields() if field.name in OLD_SIZES})
    length = 4 * len(blob.data)
    start = before.ByteSize() + 1 + (length.bit_length() + 6) // 7  # a tag, and the length as a varint
    return np.frombuffer(blob.SerializeToString(), "<f4", len(blob.data), start).reshape(shape_of(blob))


def _same_shapes(ours, theirs):
    strip = lambda shape: shape if len(shape) < 2 or shape[0] != 1 else strip(shape[1:])  # noqa: E731
    return [strip(shape) for shape in ours] == [strip(shape) for shape in theirs]
