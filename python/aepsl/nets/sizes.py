"""How large a net's blobs become, worked out from its prototxt: at one too large Caffe would end the process."""

import math

from aepsl.base.errors import InputError

INT_MAX = 2**31 - 1  # elements of a blob or of a convolution's column buffer, at most
MOST = 2**30  # floats of everything that one image needs, 4 GiB: photos of 689 x 689 pixels in voc12's net
PIECE = 2**21  # bytes: CUDA takes a GPU's memory in such pieces; what is below a half shares one


def counts(net, height, width, batch=1):
    """The elements of every blob and column buffer, {name: count}.

    net: NetParameter of a deploy net; height, width: of its input; batch: images in it.
    """
    shapes, result = {}, {}
    for layer in net.layer:
        shape = _output(layer, [shapes[name] for name in layer.bottom] or [(3, height, width)])
        for top in layer.top:
            shapes[top] = shape
            result[top] = batch * math.prod(shape)
        if layer.type == "Convolution":  # one image after the other goes through the buffer
            channels = shapes[layer.bottom[0]][0]
            side = layer.convolution_param.kernel_size[0]
            if side > 1:
                result[f"{layer.name}'s columns"] = channels * side * side * math.prod(shape[1:])
    return result


def weights(net):
    """The elements of the weights of every convolution, {name: count}; net: NetParameter of a deploy net."""
    channels, result = {}, {}
    for layer in net.layer:
        before = [channels[name] for name in layer.bottom] or [3]
        own, conv = before[0], layer.convolution_param
        if layer.type == "Convolution":
            own = conv.num_output
            result[f"{layer.name}'s weights"] = own * before[0] * conv.kernel_size[0] ** 2
        elif layer.type == "Concat":
            own = sum(before)
        channels.update(dict.fromkeys(layer.top, own))
    return result


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


def _output(layer, bottoms):
    """The shape of the layer's tops, channels x height x width, or channels, from its bottoms'."""
    shape = bottoms[0]
    if layer.type == "Convolution":
        conv = layer.convolution_param
        side, pad, stride, dilation = (
            each[0] if each else default
            for each, default in ((conv.kernel_size, 1), (conv.pad, 0), (conv.stride, 1), (conv.dilation, 1))
        )
        reach = dilation * (side - 1) + 1
        return (conv.num_output, *((n + 2 * pad - reach) // stride + 1 for n in shape[1:]))
    if layer.type == "Pooling":
        pool = layer.pooling_param
        if pool.global_pooling:
            return (shape[0], 1, 1)
        return (shape[0], *(_pooled(n, pool.kernel_size, pool.pad, pool.stride) for n in shape[1:]))
    if layer.type == "InnerProduct":
        return (layer.inner_product_param.num_output,)
    if layer.type == "Concat":
        return (sum(each[0] for each in bottoms), *shape[1:])
    return shape


def _pooled(n, side, pad, stride):
    """Caffe rounds up, but begins no window in the padding."""
    cells = -((side - n - 2 * pad) // stride) + 1
    return cells - 1 if pad and (cells - 1) * stride >= n + pad else cells
