"""The positions of a blob's cells on the net's input, and their number, from kernels, strides, pads and dilations.

Cell k of a blob is centred at pixel start + k * stride of the input; the centre of pixel 0 is 0. A kernel covers K
cells of its bottom, dilation included, with stride S and pad P. A convolution or a pooling takes (start, stride) to
(start + stride ((K - 1) / 2 - P), stride S), a deconvolution to (start - stride / S ((K - 1) / 2 - P), stride / S).
"""

import functools
import math
from dataclasses import dataclass
from typing import Optional

from caffe.proto.caffe_pb2 import LayerParameter, NetParameter
from google.protobuf.message import Message

CELLWISE = set(
    "AbsVal BNLL BatchNorm Bias Clip Dropout ELU Exp LRN Log MVN PReLU Power ReLU Scale Sigmoid Softmax Split Swish"
    " TanH Threshold".split()
)
WINDOWED = {"Convolution": "convolution_param", "Deconvolution": "convolution_param", "Pooling": "pooling_param"}
KNOWN = CELLWISE | set(WINDOWED) | {"Concat", "Crop", "Eltwise", "Input", "Slice"}
BOTH = (0, 1)  # the axes: rows and columns
WHOLE = (0.0, 1.0, 1.0)  # of an input: start, stride, coarsest stride
FAR = 1024  # the most pixels by which a side is enlarged until the net takes it


class Unfit(ValueError):
    """A size that the net does not take; the message says in which layer and why."""


@dataclass(frozen=True)
class Cells:
    """The positions of a blob's cells: start and stride, each (y, x), in pixels of the input."""

    start: tuple
    stride: tuple


def cells(net: NetParameter, blob: str) -> Cells:
    """The Cells of a blob; net: plain V2. Raises Unfit for a blob without a position on the input.

    Where branches meet whose cells differ in position, the branch of the finer strides counts.
    """
    places = [_carried(net, WHOLE, functools.partial(_place, axis)).get(blob) for axis in BOTH]
    if None in places:
        raise Unfit(f"{blob} is a blob whose cells have no place on the input")
    return Cells(*zip(*((start, stride) for start, stride, _ in places)))


def _carried(net, of_input, rule):
    """{blob: value} from the inputs on, without blobs that depend on an unknown layer.

    rule(layer, the values of its bottoms): that of its tops; a list has one for each top.
    """
    found = dict.fromkeys(net.input, of_input)
    for layer in net.layer:
        below = [found[name] for name in layer.bottom if name in found]
        if layer.type == "Input":
            found.update(dict.fromkeys(layer.top, of_input))
        elif layer.type in KNOWN and below and len(below) == len(layer.bottom):
            value = rule(layer, below)
            found.update(zip(layer.top, value if isinstance(value, list) else [value] * len(layer.top)))
    return found


def _place(axis, layer, below):
    """(start, stride, coarsest stride on the way to it) of a layer's tops along an axis; None without a position."""
    if None in below:
        return None
    first = below[0] if layer.type == "Crop" else min(below, key=lambda each: each[2])
    start, stride, coarsest = first
    if layer.type == "Crop":
        return start + stride * offset(layer, axis), stride, coarsest
    if layer.type not in WINDOWED:
        return first
    reach, step, pad = window(layer, axis)
    if reach is None:
        return None
    middle = (reach - 1) / 2 - pad
    if layer.type == "Deconvolution":
        return start - stride / step * middle, stride / step, coarsest
    return start + stride * middle, stride * step, max(coarsest, stride * step)


def window(layer: LayerParameter, axis: int) -> tuple[Optional[int], int, int]:
    """(cells that the kernel covers, stride, pad) along an axis; the first is None for global pooling."""
    param = getattr(layer, WINDOWED[layer.type])
    if layer.type == "Pooling" and param.global_pooling:
        return None, 1, 0
    defaults = dict(kernel=0, stride=1, pad=0, dilation=1)
    side, stride, pad, dilation = (of_axis(param, name, axis, default) for name, default in defaults.items())
    if min(side, stride, dilation) < 1:
        raise Unfit(f"{layer.name} has a kernel, stride or dilation of 0")
    return dilation * (side - 1) + 1, stride, pad


def of_axis(param: Message, name: str, axis: int, default: int) -> int:
    """Kernel, stride, pad or dilation along an axis: from `kernel_h` and the like, or from the field for both axes."""
    given = {field.name: value for field, value in param.ListFields()}
    value = given.get(f"{name}_{'hw'[axis]}", given.get("kernel_size" if name == "kernel" else name, default))
    return value if isinstance(value, int) else value[min(axis, len(value) - 1)]


def offset(layer: LayerParameter, axis: int) -> int:
    """How many cells a Crop cuts off at the front, along an axis."""
    first, offsets = layer.crop_param.axis, layer.crop_param.offset
    if axis + 2 < first or not offsets:
        return 0
    return offsets[min(axis + 2 - first, len(offsets) - 1)]


def sides(net: NetParameter, side: int, axis: int) -> dict[str, int]:
    """{blob: its number of cells along an axis}; side: the input's pixels there. Raises Unfit."""
    return _carried(net, side, functools.partial(_side, axis))


def _side(axis, layer, below):
    count = below[0]
    if layer.type != "Crop" and len(set(below)) > 1:
        raise Unfit(f"{layer.name} joins blobs of {', '.join(map(str, below))} cells")
    if layer.type == "Crop" and axis + 2 >= layer.crop_param.axis:
        if offset(layer, axis) + below[1] > count:
            raise Unfit(f"{layer.name} cuts {below[1]} cells from {offset(layer, axis)} on out of {count}")
        return below[1]
    if layer.type == "Pooling":
        reach, stride, _ = window(layer, axis)
        if reach == 1 and (count - 1) % stride:  # such a pooling is there to map corners to corners
            raise Unfit(f"{layer.name} takes every {stride}th of {count} cells, and so not the last")
    if layer.type in WINDOWED:
        count = _windows(layer, count, *window(layer, axis))
        if count < 1:
            raise Unfit(f"{layer.name} has no cell left")
    return count


def _windows(layer, count, reach, stride, pad):
    if reach is None:
        return 1
    if layer.type == "Deconvolution":
        return stride * (count - 1) + reach - 2 * pad
    if layer.type == "Convolution":
        return (count + 2 * pad - reach) // stride + 1
    floor = layer.pooling_param.round_mode == layer.pooling_param.FLOOR
    result = (count + 2 * pad - reach) // stride + 1 if floor else -((reach - count - 2 * pad) // stride) + 1
    return result - 1 if pad and (result - 1) * stride >= count + pad else result  # no window begins in the padding


def channels(net: NetParameter) -> dict[str, int]:
    """{blob: channels}, 3 of an input, without the blobs that depend on one that no layer gives."""
    return _carried(net, 3, _channels)


def _channels(layer, below):
    if layer.type in ("Convolution", "Deconvolution"):
        return layer.convolution_param.num_output
    if layer.type == "Concat":
        return sum(below)
    if layer.type == "Slice":
        parts = range(0, below[0], below[0] // len(layer.top))[1:]
        points = [0, *(layer.slice_param.slice_point or parts), below[0]]
        return [end - begin for begin, end in zip(points, points[1:])]
    return below[0]


def shapes(net: NetParameter, height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """{blob: (channels, height, width)} of the blobs with a position. Raises Unfit for a size that the net refuses."""
    rows, columns, depth = sides(net, height, 0), sides(net, width, 1), channels(net)
    return {name: (depth[name], rows[name], columns[name]) for name in rows}


def padding(net: NetParameter, blob: str, side: int, axis: int) -> tuple[int, int]:
    """(front, back): the fewest pixels to add to an image of `side` pixels so that cells cover it from end to end.

    front: as many as the first cell would otherwise begin within the image, as in nets that lose a margin. back: at
    least as many, until the net takes the size; and, if some size allows it, until the outermost cells are equally far
    from both ends, as at 8k + 1 for DeepLab's LargeFOV. Raises Unfit.
    """
    place = cells(net, blob)
    start, stride = place.start[axis], place.stride[axis]
    front = max(0, math.ceil(start - (stride - 1) / 2))
    taken, reasons = [], []
    if front > FAR:
        raise Unfit(f"{blob} begins {front} pixels within the image")
    for each in range(side + 2 * front, side + 2 * front + FAR):
        try:
            last = start + stride * (sides(net, each, axis)[blob] - 1)
        except Unfit as unfit:
            reasons.append(unfit)
            continue
        taken.append(each)
        if last == each - 1 - start or each - taken[0] > stride:
            break
    if not taken:
        raise reasons[0]
    chosen = taken[-1] if last == taken[-1] - 1 - start else taken[0]
    return front, chosen - side - front
