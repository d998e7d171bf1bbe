"""The sizes of a net's blobs, computed from its prototxt: Caffe would end the process at one that is too large."""

import math

import caffe
from caffe.proto.caffe_pb2 import NetParameter

from aepsl.base.errors import InputError
from aepsl.nets import geometry
from aepsl.settings.typed import Experiment

INT_MAX = 2**31 - 1  # most elements of a blob or of a convolution's column buffer
MOST = 2**30  # most floats that one image may need in all, 4 GiB: a photo of 689 x 689 pixels in voc12's net
PIECE = 2**21  # bytes: CUDA allocates a GPU's memory in such pieces; blobs of less than half a piece share them


def counts(net: NetParameter, height: int, width: int, batch: int = 1) -> dict[str, int]:
    """{name: number of elements} of every blob with a position, and of Caffe's column buffers.

    net: plain V2; height, width: of its input; batch: images in it, of which a buffer holds one. Raises Unfit.
    """
    found = geometry.shapes(net, height, width)
    result = {name: batch * math.prod(shape) for name, shape in found.items()}
    for layer in (each for each in net.layer if each.type in ("Convolution", "Deconvolution")):
        kernel = math.prod(geometry.of_axis(layer.convolution_param, "kernel", axis, 1) for axis in geometry.BOTH)
        many, few = found[layer.bottom[0]], found[layer.top[0]]
        if layer.type == "Deconvolution":
            many, few = few, many
        elif kernel == 1:
            continue  # such a convolution reads its bottom
        result[f"{layer.name}'s columns"] = many[0] * kernel * math.prod(few[1:])
    return result


def weights(net: NetParameter) -> dict[str, int]:
    """{name: number of elements} of the weights of every convolution; net: a deploy net."""
    channels = geometry.channels(net)
    convolutions = [layer for layer in net.layer if layer.type == "Convolution"]
    shapes = {each.name: (each.convolution_param, channels[each.bottom[0]]) for each in convolutions}
    return {f"{name}'s weights": own.num_output * of * own.kernel_size[0] ** 2 for name, (own, of) in shapes.items()}


def training_bytes(net: caffe.Net, parameter: NetParameter) -> int:
    """The bytes of a GPU's memory that Caffe's solver takes for a training net, without those that CUDA itself takes.

    Counted are: data and gradients of every blob; every parameter with its gradient and momentum; the positions of
    pooling's maxima; dropout's random numbers; each convolution's own columns, and the ones that its bias is multiplied
    with. parameter: the net's prototxt.
    """
    counts = [blob.count for blob in net.blobs.values()]  # gradients
    shared = {top for name in net.top_names for top in net.top_names[name] if name.endswith("_split")}
    counts += [blob.count for name, blob in net.blobs.items() if name not in shared]
    for layer in parameter.layer:
        is_max = layer.type == "Pooling" and layer.pooling_param.pool == layer.pooling_param.MAX
        counts += [net.blobs[layer.top[0]].count] * (is_max or layer.type == "Dropout")
    for name, blobs in net.params.items():
        counts += 3 * [blob.count for blob in blobs]
        kernel, cells = blobs[0].shape[1:], net.blobs[net.top_names[name][0]].shape[2:]
        counts += [math.prod(cells)] + [math.prod([*kernel, *cells])] * (len(kernel) == 3 and kernel[-1] > 1)
    sizes = [4 * count for count in counts]
    small = sum(size for size in sizes if size < PIECE / 2)
    return sum(PIECE * -(-size // PIECE) for size in (small, *(size for size in sizes if size >= PIECE / 2)))


def check(net: NetParameter, experiment: Experiment, task: str, batch: int) -> None:
    """Raise InputError if Caffe cannot hold the net, or a batch of `task`; net: its deploy net."""
    crop = experiment.data.crop
    settings = f"training.{task}.batch {batch} and data.crop {crop}"
    for found, what in ((weights(net), "these channels and fc"), (counts(net, crop, crop, batch), settings)):
        name, count = max(found.items(), key=lambda item: item[1])
        if count > INT_MAX:
            line = f"with {what} the net's {name} would have {count} values, and Caffe takes {INT_MAX} at most"
            raise InputError(f"{experiment.name}: {line}; make one of them smaller")


def needs(net: NetParameter, height: int, width: int) -> float:
    """The floats that one image of that size needs; infinity where the net or Caffe cannot take it."""
    try:
        floats = counts(net, height, width).values()
    except geometry.Unfit:
        return math.inf
    return sum(floats) if max(floats) <= INT_MAX else math.inf
