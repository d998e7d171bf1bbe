"""Runs a net on a whole image, and resizes the net's maps to the image."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Optional

import cv2
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tqdm import tqdm

from aepsl.base.errors import InputError
from aepsl.images.pictures import less_mean, scaled
from aepsl.nets import build, caffemodel, device, finite, geometry, sizes
from aepsl.nets.build import STRIDE
from aepsl.settings.typed import Data, Experiment

Place = tuple[tuple[int, ...], tuple[int, ...]]  # of an image on a net's input: its size, its first pixel; each (y, x)


def padded(side: int) -> int:
    """The smallest 8k + 1 that is at least `side`."""
    return side + -(side - 1) % STRIDE


def fitting_scale(wanted: float, size: Sequence[int], takes: Callable[[int, int], bool], name: str) -> float:
    """The scale `wanted`, or a smaller one if the net does not take an image of `size` (height, width) at that scale.

    takes(height, width): whether it takes a scaled image; name: of the image, for the line that says so. Raises
    InputError for a net that takes none.
    """
    scale = wanted
    while not takes(*(max(1, round(side * scale)) for side in size)):
        scale *= 0.95
        if scale * max(size) < 1:
            raise InputError(f"{name}: the net needs more memory than it may use for an image of any size")
    if scale < wanted:
        line = f"{name}: {size[1]} x {size[0]} pixels are too many for the net at scale {wanted:g}"
        tqdm.write(f"{line}; it is processed at {scale:.3f}", file=sys.stderr)
    return scale


def grown(maps: np.ndarray, cells: geometry.Cells, size: Sequence[int]) -> np.ndarray:
    """Maps K x h x w, resized to `size` (height, width): K x height x width float32.

    cells: the positions of the maps' cells. Bilinear between cells; a pixel beyond the outermost takes the nearest.
    """
    rows, columns = (_weights(*each) for each in zip(maps.shape[1:], size, cells.start, cells.stride))
    maps = maps.astype(np.float32)
    maps = np.take(maps, rows, axis=1) if rows.ndim == 1 else rows @ maps
    return np.take(maps, columns, axis=2) if columns.ndim == 1 else maps @ columns.T


def _weights(cells, pixels, start, stride):
    """The matrix of linear interpolation, pixels x cells; if every cell is a pixel, only the cell of each pixel."""
    position = np.clip((np.arange(pixels) - start) / stride, 0, cells - 1)
    if stride == 1 and start == int(start):
        return position.astype(int)
    weight = 1 - np.abs(position[:, None] - np.arange(cells)[None])
    return np.maximum(weight, 0).astype(np.float32)


class WholeImages:
    """A net for whole images; cells: those of its maps, set by a subclass, which also loads the caffemodel `model`."""

    input, input_scale = "data", np.float32(1)  # the input's blob, and the factor of pixels less the mean
    cells: geometry.Cells

    def __init__(self, prototxt: str, model: str, data: Data, gpu: device.Gpu) -> None:
        device.use(gpu)
        self.prototxt, self.model, self.scale = prototxt, model, data.scale
        self.most: float = sizes.MOST
        self.mean = np.array(data.mean, np.float32)
        self.net = caffemodel.net_of(prototxt)
        self.parameter = text_format.Parse(prototxt, caffe_pb2.NetParameter())
        # Remembered: it reads the whole prototxt, and many images have the same size.
        self.needs = functools.lru_cache(None)(functools.partial(sizes.needs, self.parameter))

    def padding(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """((top, bottom), (left, right)): the pixels to add to an image of that size, here to sides of 8k + 1."""
        return tuple((0, padded(side) - side) for side in (height, width))

    def padded(self, data: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """(`data`, 3 x H x W, with its `padding`; where its first pixel is then, (y, x)).

        Margins that the net loses are filled with reflections, and the rest, at the bottom and right, with 0: the mean.
        """
        (top, bottom), (left, right) = self.padding(*data.shape[1:])
        data = np.pad(data, ((0, 0), (top, top), (left, left)), mode="reflect")
        return np.pad(data, ((0, 0), (0, bottom - top), (0, right - left))), (top, left)

    def takes(self, height: int, width: int) -> bool:
        """Whether the net can take an image of that size, padded, in at most `most` floats."""
        sides = (side + sum(pads) for side, pads in zip((height, width), self.padding(height, width)))
        return self.needs(*sides) <= self.most

    def run(self, data: np.ndarray) -> None:
        """Run the net on `data`, 3 x H x W float32: pixels less the mean, of a size that fits."""
        blob = self.net.blobs[self.input]
        blob.reshape(1, *data.shape)
        blob.data[0] = data
        self.net.forward()

    def forward(self, image: np.ndarray, erased: Optional[np.ndarray] = None, name: str = "the image") -> Place:
        """Run the net on a whole image.

        image: H x W x 3 uint8 BGR; erased: H x W, pixels that are not 0 become the mean; name: of the image, for
        messages. The image is scaled, and padded. One that is too large for the net is scaled down further, and a line
        says so. Returns its Place, for `at_image_size`.
        """
        scale = fitting_scale(self.scale, image.shape[:2], self.takes, name)
        pixels = scaled(image, scale)
        data = np.empty((3, *pixels.shape[:2]), np.float32)
        less_mean(pixels, self.mean, data, None if erased is None else scaled(erased, scale))
        padded_data, front = self.padded(data * self.input_scale)
        self.run(padded_data)
        return data.shape[1:], front

    def grown(self, maps: np.ndarray, size: tuple[int, ...], front: tuple[float, ...] = (0, 0)) -> np.ndarray:
        """Maps K x h x w, resized to `size` (height, width); front: (y, x) of the first pixel on the net's input."""
        start = tuple(start - before for start, before in zip(self.cells.start, front))
        return grown(maps, geometry.Cells(start, self.cells.stride), size)

    def at_image_size(self, maps: np.ndarray, place: Place, image: np.ndarray) -> np.ndarray:
        """The net's maps for `image`, K x h x w, resized to K x H x W float32; place: what `forward` returned."""
        return np.stack([cv2.resize(each, image.shape[1::-1]) for each in self.grown(maps, *place)])

    def values(self, blob: str, name: str) -> np.ndarray:
        """The values of a blob, which are overwritten by the next `run`; InputError if they are not finite."""
        return self.check(self.net.blobs[blob].data, name)

    def check(self, array: np.ndarray, name: str) -> np.ndarray:
        """`array`, which the net computed from the image `name`; InputError unless its values are all finite."""
        if not finite.are_finite(array):
            layer = finite.first_fault(self.net) or "the last"
            why = "its training diverged, or it is for images of another mean or scale: train it again"
            raise InputError(f"{name}: {self.model} gives values that are not finite, from the layer {layer} on; {why}")
        return array


class TrainedNet(WholeImages):
    """The deploy net of a task, with the trained weights of the caffemodel `model`, for whole images."""

    def __init__(self, experiment: Experiment, task: str, model: str, gpu: device.Gpu = None) -> None:
        build.check_size(experiment, task)
        super().__init__(build.deploy_net(experiment, task), model, experiment.data, gpu)
        caffemodel.load_weights(self.net, model)
        trunk = next(layer.bottom[0] for layer in self.parameter.layer if layer.name in ("gap", "fc8_seg"))
        self.cells = geometry.cells(self.parameter, trunk)  # of every map: the heads are on the trunk's last blob


class ClassificationNet(TrainedNet):
    """The trained classification net of one step, for whole images."""

    def __init__(self, experiment: Experiment, model: str, gpu: device.Gpu = None) -> None:
        super().__init__(experiment, "classification", model, gpu)
        self.features = self.net.bottom_names["gap"][0]

    def cam(
        self, image: np.ndarray, classes: np.ndarray, erased: Optional[np.ndarray] = None, name: str = "the image"
    ) -> np.ndarray:
        """Class activation maps H_c(u) = sum_k w_ck x_k(u) of reference [34], resized to the image's size.

        image: H x W x 3 uint8 BGR; classes: indices from 0; erased: H x W, not 0 where erased, or None; name: of the
        image, for messages. Returns len(classes) x H x W float32. Raises InputError if they are not finite.
        """
        place = self.forward(image, erased, name)
        weights = self.net.params["fc8_cls"][0].data[classes]
        maps = np.tensordot(weights, self.net.blobs[self.features].data[0], axes=1)
        self.check(maps, name)
        return self.at_image_size(maps, place, image)
