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
from aepsl.settings.typed import Experiment


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
    """The deploy net of a task, with the trained weights of the caffemodel `model`, for whole images."""

    def __init__(self, experiment: Experiment, task: str, model: str, gpu: device.Gpu = None) -> None:
        device.use(gpu)
        self.settings = experiment.data
        self.model = model
        build.check_size(experiment, task)
        self.prototxt = build.deploy_net(experiment, task)
        self.net = caffemodel.open_net(self.prototxt, model)
        self.parameter = text_format.Parse(self.prototxt, caffe_pb2.NetParameter())
        # Remembered: it reads the whole prototxt, and many images have the same size.
        self.needs = functools.lru_cache(None)(functools.partial(sizes.needs, self.parameter))
        trunk = next(layer.bottom[0] for layer in self.parameter.layer if layer.name in ("gap", "fc8_seg"))
        self.cells = geometry.cells(self.parameter, trunk)  # of every map: the heads are on the trunk's last blob

    def at_image_size(self, maps: np.ndarray, small: tuple[int, int], image: np.ndarray) -> np.ndarray:
        """The net's maps for `image`, K x h x w, resized to K x H x W float32; small: what `forward` returned."""
        return np.stack([cv2.resize(each, image.shape[1::-1]) for each in grown(maps, self.cells, small)])

    def forward(
        self, image: np.ndarray, erased: Optional[np.ndarray] = None, name: str = "the image"
    ) -> tuple[int, int]:
        """Run the net on a whole image.

        image: H x W x 3 uint8 BGR; erased: H x W, pixels that are not 0 become the mean; name: of the image, for
        messages. The image is scaled, and padded with the mean to sides of 8k + 1. One that is too large for the net is
        scaled down further, and a line says so. Returns (height, width) of the scaled image, for `at_image_size`.
        """
        scale = fitting_scale(self.settings.scale, image.shape[:2], self.takes, name)
        pixels = scaled(image, scale)
        height, width = pixels.shape[:2]
        blob = self.net.blobs["data"]
        blob.reshape(1, 3, padded(height), padded(width))
        data = blob.data[0]
        data[:, height:], data[:, :, width:] = 0, 0
        mean = np.array(self.settings.mean, np.float32)
        less_mean(pixels, mean, data[:, :height, :width], None if erased is None else scaled(erased, scale))
        self.net.forward()
        return height, width

    def takes(self, height: int, width: int) -> bool:
        """Whether the net can take an image of that size, padded, in at most sizes.MOST floats."""
        return self.needs(padded(height), padded(width)) <= sizes.MOST

    def check(self, array: np.ndarray, name: str) -> None:
        """Raise InputError unless the values `array`, which the net computed from the image `name`, are all finite."""
        if not finite.are_finite(array):
            layer = finite.first_fault(self.net) or "the last"
            raise InputError(
                f"{name}: {self.model} gives values for it that are not finite, from the layer {layer} on; "
                "its training diverged, or it is for images of another mean or scale: train it again"
            )


class ClassificationNet(WholeImages):
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
        small = self.forward(image, erased, name)
        weights = self.net.params["fc8_cls"][0].data[classes]
        maps = np.tensordot(weights, self.net.blobs[self.features].data[0], axes=1)
        self.check(maps, name)
        return self.at_image_size(maps, small, image)
