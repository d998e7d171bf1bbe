"""Another author's segmentation net with its weights, for images of any size; its scores are resized to the image.

Whether Caffe can build the net is tried in another process, since Caffe ends the process if it cannot.
"""

import faulthandler
import os
import re
import resource
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Optional

import caffe
import cv2
import numpy as np
from tqdm import tqdm

from aepsl.base.errors import InputError
from aepsl.images.pictures import scaled
from aepsl.layers.losses import softmax
from aepsl.legacy import reader, weights
from aepsl.nets import caffemodel, device, geometry, prototxt, sizes
from aepsl.nets.geometry import BOTH, Unfit
from aepsl.nets.whole_image import grown
from aepsl.settings.typed import Experiment


class LegacyNet:
    """The net of the prototxt `deploy` with the weights `model`, whose scores have one channel for each class.

    scores: their blob, or None for the last (reader.read); channels: how many it must have, background first;
    variables: see reader.read. Changes of the net in reading are printed. `crf` has the values of its own CRF, or the
    experiment's. Raises InputError for a net or weights at which Caffe would abort.
    """

    def __init__(
        self,
        experiment: Experiment,
        deploy: str,
        scores: Optional[str],
        model: str,
        channels: int,
        confidence: str = "none",
        gpu: device.Gpu = None,
        variables: Optional[Mapping[str, Any]] = None,
    ) -> None:
        if not deploy or confidence != "none":
            raise InputError("--scores: give --deploy too, the prototxt that has this blob, and no --confidence")
        self.settings, self.deploy, self.model = experiment.data, deploy, model
        self.legacy = legacy = reader.read(deploy, scores, model, variables, channels)
        for line in legacy.changes:
            tqdm.write(f"{deploy}: {line}", file=sys.stderr)
        count = geometry.channels(legacy.net)[legacy.scores]
        if count != channels:
            raise InputError(
                f"{deploy}: its blob {legacy.scores} has {count} channels; {channels} channels are needed, one for "
                "background and one for each class"
            )
        if _is_softmax(legacy):
            raise InputError(f"{deploy}: {scores} comes out of a softmax, which is added here; name the blob before it")
        self.cells = geometry.cells(legacy.net, legacy.scores)
        self.prototxt = prototxt.net_text("legacy", legacy.net)
        _check(deploy, self.prototxt)
        device.use(gpu)
        self.net = caffemodel.net_of(self.prototxt)
        weights.load(self.net, model, legacy.fixed)
        self.crf = legacy.crf or experiment.crf
        self.mean = np.array(legacy.input.mean or self.settings.mean, np.float32)
        self.input_scale = np.float32(legacy.input.scale or 1)
        self.paddings: dict[tuple[int, int], tuple[int, int]] = {}
        self.most = max(sizes.MOST, self._floats(*legacy.input.size()) or 0)

    def padding(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """((top, bottom), (left, right)): the pixels to add to an image of that size, see geometry.padding.

        Raises InputError if the net takes neither this size nor a larger one.
        """
        only = self.legacy.only
        if only and (height > only[0] or width > only[1]):
            raise InputError(
                f"{self.deploy}: takes {only[1]} x {only[0]} pixels alone, and the image has {width} x {height}; slide "
                "crops of that size over it, which a profile can say"
            )
        if only:
            return tuple((0, most - side) for most, side in zip(only, (height, width)))
        try:
            return tuple(self._padding(side, axis) for side, axis in zip((height, width), BOTH))
        except Unfit as unfit:
            raise InputError(f"{self.deploy}: takes no image of {width} x {height} pixels: {unfit}") from None

    def _padding(self, side, axis):
        if (side, axis) not in self.paddings:
            self.paddings[side, axis] = geometry.padding(self.legacy.net, self.legacy.scores, side, axis)
        return self.paddings[side, axis]

    def forward(self, pixels: np.ndarray, name: str = "the image") -> np.ndarray:
        """The scores, K x h x w float32, of `pixels`, H x W x 3 float32: BGR, less the mean, of a size that fits.

        Raises InputError if they are not finite.
        """
        blob = self.net.blobs[self.legacy.input.blob]
        blob.reshape(1, 3, *pixels.shape[:2])
        blob.data[0] = pixels.transpose(2, 0, 1)
        self.net.forward()
        scores = self.net.blobs[self.legacy.scores].data[0].copy()
        if not np.isfinite(scores).all():
            raise InputError(f"{name}: {self.model} gives scores that are not finite; is it of another mean or scale?")
        return scores

    def grown(self, maps: np.ndarray, height: int, width: int, front: tuple[float, ...] = (0, 0)) -> np.ndarray:
        """Maps K x h x w of the scores' cells, resized to K x height x width; front: (y, x) of the first pixel."""
        start = tuple(start - before for start, before in zip(self.cells.start, front))
        return grown(maps, geometry.Cells(start, self.cells.stride), (height, width))

    def probabilities(
        self,
        image: np.ndarray,
        confidence: str = "none",
        labels: Optional[np.ndarray] = None,
        name: str = "the image",
    ) -> np.ndarray:
        """softmax of the scores resized to the image, K x H x W float32; image: H x W x 3 uint8 BGR.

        The image is scaled, and padded with the mean at the bottom and right. Margins that the net loses are filled
        with reflections. An image that is too large for the net is scaled down further, and a line says so.
        """
        pixels = (scaled(image, self.fitting_scale(image.shape[:2], name)) - self.mean) * self.input_scale
        height, width = pixels.shape[:2]
        (top, bottom), (left, right) = self.padding(height, width)
        pixels = cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_REFLECT_101)
        pixels = np.pad(pixels, ((0, bottom - top), (0, right - left), (0, 0)), mode="constant")
        scores = self.grown(self.forward(pixels, name), height, width, (top, left))
        return softmax(np.stack([cv2.resize(each, image.shape[1::-1]) for each in scores])[None])[0]

    def fitting_scale(self, size: tuple[int, int], name: str) -> float:
        """The experiment's scale, or a smaller one if an image of `size` (height, width) is too large for the net."""
        wanted = scale = self.settings.scale
        while not self.takes(*(max(1, round(side * scale)) for side in size)):
            scale *= 0.95
            if scale * max(size) < 1:
                raise InputError(
                    f"{self.deploy}: needs more memory than {4 * self.most} bytes for an image of any size"
                )
        if scale < wanted:
            tqdm.write(f"{name}: is too large for {self.deploy}; it is processed at {scale:.3f}", file=sys.stderr)
        return scale

    def takes(self, height: int, width: int) -> bool:
        """Whether the net can take an image of that size, padded, in the memory that it may use.

        That is sizes.MOST floats, or as many as its authors' own input needs.
        """
        sides = (side + sum(pads) for side, pads in zip((height, width), self.padding(height, width)))
        floats = self._floats(*sides)
        return floats is not None and floats <= self.most

    def _floats(self, height, width):
        """The floats that an image needs; None for a size that the net refuses, or with too large a blob for Caffe."""
        try:
            counts = geometry.counts(self.legacy.net, height, width).values()
        except Unfit:
            return None
        return sum(counts) if max(counts) <= sizes.INT_MAX else None


def _check(deploy, text):
    """InputError, with Caffe's message, if Caffe would end this process at the net."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "deploy.prototxt")
        with open(path, "w") as file:
            file.write(text)
        fault = _fault(path, os.path.join(folder, "said"))
    if fault:
        raise InputError(f"{deploy}: Caffe cannot build this net: {fault}")


def _fault(path, log):
    """Caffe's message, in one line, for a prototxt at which it would end this process; None for a valid one."""
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY, 0o600), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()  # Caffe may end this process
        try:
            caffe.set_mode_cpu()
            caffe.Net(path, caffe.TEST)
            os._exit(0)
        finally:
            os._exit(1)
    if not os.waitpid(child, 0)[1]:
        return None
    with open(log, errors="replace") as file:
        said = [line.partition("] ")[2].strip() for line in file if re.match(r"F\d{4} ", line)]
    return (said or ["it gives no reason"])[0]


def _is_softmax(legacy):
    """Whether the last layer that writes the scores is a softmax; a second one would change the probabilities."""
    kinds = [layer.type for layer in legacy.net.layer if legacy.scores in layer.top]
    return kinds[-1] == "Softmax"
