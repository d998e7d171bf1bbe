"""Caffemodels, checked before Caffe sees them: it would abort, or pass over what is missing."""

import math
import os
import tempfile
import warnings

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from aepsl.base.errors import InputError
from aepsl.base.files import opened
from aepsl.nets.finite import are_finite

RIGHT_WEIGHTS = "Give the weights that this net was made for (weights/README.md)"
# What is read of a caffemodel, of the new format and of V1. Another Caffe may have given the number of any other field,
# as DeepLab's gave a MatWrite's, to another message.
FIELDS = """
name: "aepsl/caffemodel.proto" package: "aepsl" dependency: "%s"
message_type {
  name: "Net"
  field { name: "layer" number: 100 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".aepsl.Layer" }
  field { name: "layers" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".aepsl.V1Layer" }
}
message_type {
  name: "Layer"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "blobs" number: 7 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".caffe.BlobProto" }
}
message_type {
  name: "V1Layer"
  field { name: "name" number: 4 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "blobs" number: 6 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".caffe.BlobProto" }
}
"""
OLD_SIZES = ("num", "channels", "height", "width")
LARGEST = 2**31 - 1  # bytes of a file that Caffe's format can hold


def _message_class():
    file = text_format.Parse(FIELDS % caffe_pb2.DESCRIPTOR.name, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("aepsl.Net"))


_Net = _message_class()


def net_of(text):
    """The net of a prototxt, for testing, with its fillers' weights; text: what the prototxt holds."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text)
        file.flush()
        return caffe.Net(file.name, caffe.TEST)


def open_net(text, weights):
    """The net of a deploy prototxt, given as text, with trained weights, for testing."""
    net = net_of(text)
    load_weights(net, weights, new_layers=())
    return net


def load_weights(net, path, new_layers, computed=()):
    """Copy the caffemodel `path` into `net` by layer names.

    new_layers: names of layers that may be missing in the file; computed: of those that are passed over. Returns the
    names of those that are missing. Raises InputError, with the layer, for one that is missing, of another shape, or
    not whole. Caffe's own copy_from is not asked: it
    would pass over a missing layer in silence, and abort the process at a wrong shape.
    """
    layers = caffemodel_layers(path)
    wanted = [name for name in net.params if name not in computed]
    missing = [name for name in wanted if name not in layers]
    lacking = [name for name in missing if name not in new_layers]
    if lacking:
        raise InputError(
            f"{path}: has no layer {lacking[0]}, which the net needs; it is of another net. {RIGHT_WEIGHTS}"
        )
    found = [name for name in wanted if name in layers]
    for name in found:
        ours, theirs = [list(blob.shape) for blob in net.params[name]], list(map(shape_of, layers[name].blobs))
        if not _same_shapes(ours, theirs):
            raise InputError(f"{path}: its layer {name} has the shapes {theirs}, the net's has {ours}. {RIGHT_WEIGHTS}")
    for name in found:
        for blob, array in zip(net.params[name], arrays(path, layers[name])):
            blob.data[...] = array.reshape(blob.data.shape)
    return missing


def existing(path):
    """The path of a caffemodel; InputError if there is none."""
    if not os.path.exists(path):
        raise InputError(f"{path}: no such caffemodel; weights/README.md says where the weights come from")
    return path


def caffemodel_layers(path):
    """{name: layer} of those layers of a caffemodel that have blobs: messages with `name` and `blobs`.

    Raises InputError for a file that is none, and for one that holds a layer twice.
    """
    if not os.path.isfile(existing(path)):
        raise InputError(f"{path}: is no file; give a caffemodel")
    if os.path.getsize(path) > LARGEST:
        raise InputError(f"{path}: is larger than 2 GB, which no caffemodel can be. {RIGHT_WEIGHTS}")
    net = _Net()
    if not (is_read(path, net) and (net.layer or net.layers)):
        raise InputError(f"{path}: is no caffemodel or was cut short; fetch it again")
    by_name = {}
    for layer in [layer for layer in [*net.layer, *net.layers] if layer.blobs]:
        if layer.name in by_name:
            raise InputError(f"{path}: has two layers {layer.name}, so it is open which one counts. {RIGHT_WEIGHTS}")
        by_name[layer.name] = layer
    return by_name


def is_read(path, message):
    """Read a file of Caffe's into `message`; whether it was one of that kind, to its last byte."""
    with opened(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error")  # what protobuf says of bytes that it left out
        content = file.read()
        try:
            message.ParseFromString(content)
        except (DecodeError, SystemError):  # the latter for such a warning, out of C++
            return False
    return bool(content)


def shape_of(blob):
    """The shape of a BlobProto as a list; old files have ones in front, so that there are always four."""
    if any(map(blob.HasField, OLD_SIZES)):  # Caffe's order
        return [getattr(blob, size) for size in OLD_SIZES]
    return list(blob.shape.dim)


def arrays(path, layer):
    """The values of a layer that `caffemodel_layers` found in the file `path`: for each blob float32 of its shape.

    Raises InputError, with the layer, for a shape that is none or not that of the values, and for values that are not
    finite.
    """
    result = []
    for blob in layer.blobs:
        shape, given = shape_of(blob), len(blob.double_data) or len(blob.data)
        if min(shape, default=1) < 1 or math.prod(shape) != given:
            raise InputError(
                f"{path}: its layer {layer.name} says that it has the shape {shape}, and holds {given} values; "
                "the file is damaged, fetch it again"
            )
        result.append(_values(blob).reshape(shape))
    if not all(map(are_finite, result)):
        raise InputError(
            f"{path}: its layer {layer.name} has values that are not finite; the training that made it diverged, or "
            "the file is damaged: train or fetch it again"
        )
    return result


def _values(blob):
    """The values of a BlobProto as float32, out of the bytes of its message: one by one they take Python minutes."""
    if blob.double_data:
        return np.array(blob.double_data, np.float64).astype(np.float32)
    alone = caffe_pb2.BlobProto()
    alone.MergeFrom(blob)
    for behind in ("shape", "diff"):
        alone.ClearField(behind)
    return np.frombuffer(alone.SerializeToString(), "<f4", offset=alone.ByteSize() - 4 * len(blob.data))


def _same_shapes(ours, theirs):
    strip = lambda shape: shape if len(shape) < 2 or shape[0] != 1 else strip(shape[1:])  # noqa: E731
    return [strip(shape) for shape in ours] == [strip(shape) for shape in theirs]
