"""Reads and checks caffemodels. Caffe itself would abort at a wrong one, or ignore that a layer is missing."""

import math
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError, Message

from aepsl.base.errors import InputError
from aepsl.base.files import opened
from aepsl.nets.finite import are_finite

RIGHT_WEIGHTS = "Give the weights that this net was made for (weights/README.md)"
# The fields that are read of a caffemodel, in the new format and in V1. All other fields are skipped: another Caffe may
# use the same number for another message, as DeepLab's does for MatWrite.
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
OTHER_KINDS = {  # {how files begin that are often taken for caffemodels: what they are}
    rb"\x89HDF": "HDF5, as of Keras or of Caffe with `snapshot_format: HDF5`",
    rb"PK\x03\x04|\x80[\x02-\x05]": "a file of PyTorch or NumPy",
    rb".{7}\x00\{": "a file of safetensors",
    rb"\x1f\x8b|BZh|\xfd7zXZ": "a compressed file; unpack it first",
    rb"\s*<": "a web page in place of a download",
    rb"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` fetches the file",
    rb"\s*(#|(name|layers?|input|state)\b)": "a prototxt",
}
OLD_SIZES = ("num", "channels", "height", "width")
LARGEST = 2**31 - 1  # bytes of a file that Caffe's format can hold


def _message_class():
    file = text_format.Parse(FIELDS % caffe_pb2.DESCRIPTOR.name, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("aepsl.Net"))


_Net = _message_class()


def net_of(text: str) -> caffe.Net:
    """The net of a prototxt, in phase TEST, with weights from its fillers; text: the prototxt's."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text)
        file.flush()
        return caffe.Net(file.name, caffe.TEST)


def load_weights(
    net: caffe.Net, path: str, new_layers: Collection[str] = (), computed: Mapping[str, Callable] = {}
) -> list[str]:
    """Copy the caffemodel `path` into `net` by layer names.

    new_layers: names of layers that may be missing in the file; computed: {layer: function} of layers that are not
    copied. A function takes the layer's arrays in the file, or None, and the net's shapes; it returns an array for each
    shape, or None for the fillers' weights. Returns the names of the missing layers. Raises InputError, with the
    layer's name, for a layer that is missing, damaged, or of another shape. Caffe's own copy_from would ignore a
    missing layer, and abort the process at a wrong shape.
    """
    layers = caffemodel_layers(path)
    missing = [name for name in net.params if name not in layers]
    for name in missing:
        if name not in new_layers and name not in computed:
            raise InputError(f"{path}: has no layer {name}, which the net needs; it is of another net. {RIGHT_WEIGHTS}")
    for name in [name for name in net.params if name in layers and name not in computed]:
        ours, theirs = [list(blob.shape) for blob in net.params[name]], list(map(shape_of, layers[name].blobs))
        if not _same_shapes(ours, theirs):
            raise InputError(f"{path}: its layer {name} has the shapes {theirs}, the net's has {ours}. {RIGHT_WEIGHTS}")
    for name, blobs in net.params.items():
        values = arrays(path, layers[name]) if name in layers else None
        if name in computed:
            given, values = values, computed[name](values, [blob.data.shape for blob in blobs])
            if values is not None and [array.size for array in values] != [blob.count for blob in blobs]:
                shapes = [list(each.shape) for each in given or ()]
                fault = f"its layer {name} has the shapes {shapes}, which are not the net's"
                raise InputError(f"{path}: {fault if given else f'has no layer {name}'}. {RIGHT_WEIGHTS}")
        for blob, array in zip(blobs, values or ()):
            blob.data[...] = array.reshape(blob.data.shape)
    return missing


def existing(path: str) -> str:
    """`path`; InputError if no such file exists."""
    if not os.path.exists(path):
        raise InputError(f"{path}: no such caffemodel; weights/README.md says where the weights come from")
    return path


def caffemodel_layers(path: str) -> dict:
    """{name: layer} of the caffemodel's layers that have blobs; a layer is a message with `name` and `blobs`.

    Raises InputError for a file that is not a caffemodel, and for one with two layers of one name.
    """
    if not os.path.isfile(existing(path)):
        raise InputError(f"{path}: is no file; give a caffemodel")
    if os.path.getsize(path) > LARGEST:
        raise InputError(f"{path}: is larger than 2 GB, which no caffemodel can be. {RIGHT_WEIGHTS}")
    net = _Net()
    if not (is_read(path, net) and (net.layer or net.layers)):
        with opened(path, "rb") as file:
            begin = file.read(40)
        kind = next((what for how, what in OTHER_KINDS.items() if re.match(how, begin, re.DOTALL)), None)
        begins = f", it begins as {kind}" if kind else ""
        raise InputError(f"{path}: is no caffemodel or was cut short{begins}; fetch it again")
    by_name: dict[str, Any] = {}
    for layer in [layer for layer in [*net.layer, *net.layers] if layer.blobs]:
        if layer.name in by_name:
            raise InputError(f"{path}: has two layers {layer.name}, so it is open which one counts. {RIGHT_WEIGHTS}")
        by_name[layer.name] = layer
    return by_name


def is_read(path: str, message: Message) -> bool:
    """Read a file of Caffe's into `message`; returns whether the whole file is a message of that kind."""
    with opened(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error")  # protobuf warns of bytes that it did not read
        content = file.read()
        try:
            message.ParseFromString(content)
        except (DecodeError, SystemError):  # such a warning comes out of C++ as a SystemError
            return False
    return bool(content)


def shape_of(blob: caffe_pb2.BlobProto) -> list[int]:
    """The shape of a BlobProto as a list. Old files have four sizes, with ones in front."""
    if any(map(blob.HasField, OLD_SIZES)):  # Caffe's order
        return [getattr(blob, size) for size in OLD_SIZES]
    return list(blob.shape.dim)


def arrays(path: str, layer: Any) -> list[np.ndarray]:
    """The values of a layer that `caffemodel_layers` found in the file `path`: float32, one array for each blob.

    Raises InputError, with the layer's name, for a shape with a size of 0, for one that does not fit the number of
    values, and for values that are not finite. Warns of filters that are all 0.
    """
    result = []
    for blob in layer.blobs:
        shape, given = shape_of(blob), len(blob.double_data) or len(blob.data)
        if min(shape, default=1) < 1 or math.prod(shape) != given:
            fault = f"its layer {layer.name} says that it has the shape {shape}, and holds {given} values"
            raise InputError(f"{path}: {fault}; the file is damaged, fetch it again")
        result.append(_values(blob).reshape(shape))
    if not all(map(are_finite, result)):
        cause = "the training that made it diverged, or the file is damaged: train or fetch it again"
        raise InputError(f"{path}: its layer {layer.name} has values that are not finite; {cause}")
    if result and result[0].squeeze().ndim > 1 and not result[0].any():
        fault = "has the value 0 throughout: it was never trained, or nothing was loaded into it"
        print(f"warning: {path}: its layer {layer.name} {fault}. {RIGHT_WEIGHTS}", file=sys.stderr)
    return result


def _values(blob):
    """The values of a BlobProto as float32, read from its message's bytes: one by one they would take minutes."""
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
