"""How large a net's blobs become, worked out from its prototxt: at one too large Caffe would end the process."""

import math

from aepsl.base.errors import InputError
from aepsl.nets import geometry

INT_MAX = 2**31 - 1  # elements of a blob or of a convolution's column buffer, at most
MOST = 2**30  # floats of everything that one image needs, 4 GiB: photos of 689 x 689 pixels in voc12's net
PIECE = 2**21  # bytes: CUDA takes a GPU's memory in such pieces; what is below a half shares one


def counts(net, height, width, batch=1):
    """The elements of every blob and column buffer, {name: count}; one image after the other goes through a buffer.

    The few scores behind an InnerProduct are left out.
    net: NetParameter of a deploy net; height, width: of its input; batch: images in it.
    """
    blobs = {top for layer in net.layer for top in layer.top}
    found = geometry.counts(net, height, width)
    return {name: count * batch if name in blobs else count for name, count in found.items()}


def weights(net):
    """The elements of the weights of every convolution, {name: count}; net: NetParameter of a deploy net."""
    channels = geometry.channels(net)
    convolutions = [layer for layer in net.layer if layer.type == "Convolution"]
    shapes = {each.name: (each.convolution_param, channels[each.bottom[0]]) for each in convolutions}
    return {f"{name}'s weights": own.num_output * of * own.kernel_size[0] ** 2 for name, (own, of) in shapes.items()}


def training_bytes(net, parameter):
    """The memory of a GPU that Caffe's solver takes for a net, less what CUDA itself takes.

    net: a caffe.Net of the training net; parameter: its NetParameter. Counted are data and gradients of every blob, and
    of every parameter with its momentum; where the maxima of pooling were; dropout's random numbers; the columns that
    each convolution keeps of its own, and the ones that it multiplies its bias with.
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


def check(net, experiment, task, batch):
    """Raise InputError if Caffe cannot hold the net, or a batch of `task`; net: NetParameter of its deploy net."""
    crop = experiment.data.crop
    name, count = max(weights(net).items(), key=lambda item: item[1])
    if count > INT_MAX:
        raise InputError(
            f"{experiment.name}: with these channels and fc the net's {name} would have {count} values, and Caffe "
            f"takes {INT_MAX} at most; make them smaller"
        )
    name, count = max(counts(net, crop, crop, batch).items(), key=lambda item: item[1])
    if count > INT_MAX:
        raise InputError(
            f"{experiment.name}: with training.{task}.batch {batch} and data.crop {crop} the net's {name} would "
            f"have {count} values, and Caffe takes {INT_MAX} at most; make one of them smaller"
        )


def takes(net, height, width):
    """Whether one image of that size goes through the net in the memory that it may have."""
    floats = counts(net, height, width).values()
    return max(floats) <= INT_MAX and sum(floats) <= MOST
