"""Opening nets: the processor, initial weights checked before Caffe sees them."""

import os

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl import cuda
from aepsl.dataset import scaled
from aepsl.errors import InputError
from aepsl.geometry import padded
from aepsl.gpu import claimed

RIGHT_WEIGHTS = "Give the weights that this net was made for (weights/README.md)"
OLD_SIZES = ("num", "channels", "height", "width")


def use(gpu):
    """Compute on the CPU if `gpu` is None, or else on a GPU: number `gpu`, or a free one of several in a list.

    Without that GPU Caffe itself would end the process.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        return
    numbers = gpu if isinstance(gpu, list) else [gpu]
    visible = [number for number in numbers if 0 <= number < cuda.count()]
    if not cuda.BUILT_IN:
        raise InputError(f"GPU {numbers[0]}: this Caffe is built without CUDA; GPU=0 takes the image that has it")
    if not visible:
        raise InputError(
            f"GPU {numbers[0]}: {cuda.count()} GPUs are visible here, counted from 0; `make check-gpu` says more"
        )
    caffe.set_device(claimed(visible) if isinstance(gpu, list) else gpu)
    caffe.set_mode_gpu()


def add_gpu_argument(parser):
    """The option --gpu of every stage that runs a net, for `use`."""
    parser.add_argument(
        "--gpu",
        type=lambda text: [int(number) for number in text.split(",")],
        metavar="N[,N...]",
        help="numbers of the GPUs of which a free one is taken; the CPU without it",
    )


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


def forward(net, image, settings, erased=None):
    """Run a deploy net on a whole image.

    image: H x W x 3 uint8 BGR; settings: the experiment's `data` (scale, mean); erased: H x W, pixels that are not 0
    become the mean. The image is scaled and padded to 8k + 1 with the mean. Returns (height, width) of the scaled
    image, to which `geometry.grown` brings the net's maps.
    """
    pixels = scaled(image, settings["scale"]) - np.array(settings["mean"], np.float32)
    if erased is not None:
        pixels[scaled(erased, settings["scale"]) > 0] = 0
    blob = padded(pixels).transpose(2, 0, 1)[None]
    net.blobs["data"].reshape(*blob.shape)
    net.blobs["data"].data[...] = blob
    net.forward()
    return pixels.shape[:2]
