"""Another author's segmentation net with its weights, for images of any size; its scores are resized to the image.

Whether Caffe can build the net is tried in another process, since Caffe ends the process if it cannot.
"""

import faulthandler
import functools
import math
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
from aepsl.nets.whole_image import fitting_scale, grown
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
        gpu: device.Gpu = None,
        variables: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.deploy, self.model = deploy, model
        self.legacy = legacy = reader.read(deploy, scores, model, variables, channels)
        for line in legacy.changes:
            tqdm.write(f"{deploy}: {line}", file=sys.stderr)
        count = geometry.channels(legacy.net)[legacy.scores]
        if count != channels:
            raise InputError(
                f"{deploy}: its blob {legacy.scores} has {count} channels; {channels} channels are needed, one for "
                "background and one for each class"
            )
        kinds = [layer.type for layer in legacy.net.layer if legacy.scores in layer.top]
        if kinds[-1] == "Softmax":  # a second one would change the probabilities
            raise InputError(f"{deploy}: {scores} comes out of a softmax, which is added here; name the blob before it")
        self.cells = geometry.cells(legacy.net, legacy.scores)
        self.prototxt = prototxt.net_text("legacy", legacy.net)
        _check(deploy, self.prototxt)
        device.use(gpu)
        self.net = caffemodel.net_of(self.prototxt)
        weights.load(self.net, model, legacy.fixed)
        self.crf = legacy.crf or experiment.crf
        self.scale = experiment.data.scale
        self.mean = np.array(legacy.input.mean or experiment.data.mean, np.float32)
        self.input_scale = np.float32(legacy.input.scale or 1)
        self.padding_of = functools.lru_cache(None)(functools.partial(geometry.padding, legacy.net, legacy.scores))
        own = sizes.needs(legacy.net, *legacy.input.size())
        self.most = max(sizes.MOST, own if own < math.inf else 0)

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
            return tuple(self.padding_of(side, axis) for side, axis in zip((height, width), BOTH))
        except Unfit as unfit:
            raise InputError(f"{self.deploy}: takes no image of {width} x {height} pixels: {unfit}") from None

    def padded(self, data: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """(`data`, 3 x H x W, with the `padding` that the net needs; where its first pixel is then, (y, x)).

        Margins that the net loses are filled with reflections, and the rest, at the bottom and right, with 0: the mean.
        """
        (top, bottom), (left, right) = self.padding(*data.shape[1:])
        data = np.pad(data, ((0, 0), (top, top), (left, left)), mode="reflect")
        return np.pad(data, ((0, 0), (0, bottom - top), (0, right - left))), (top, left)

    def forward(self, data: np.ndarray, name: str = "the image") -> np.ndarray:
        """The scores, K x h x w float32, of `data`, 3 x H x W float32: pixels less the mean, of a size that fits.

        Raises InputError if they are not finite.
        """
        blob = self.net.blobs[self.legacy.input.blob]
        blob.reshape(1, *data.shape)
        blob.data[0] = data
        self.net.forward()
        scores = self.net.blobs[self.legacy.scores].data[0].copy()
        if not np.isfinite(scores).all():
            raise InputError(f"{name}: {self.model} gives scores that are not finite; is it of another mean or scale?")
        return scores

    def grown(self, maps: np.ndarray, size: tuple[int, ...], front: tuple[float, ...] = (0, 0)) -> np.ndarray:
        """Maps K x h x w of the scores' cells, resized to `size` (height, width); front: (y, x) of the first pixel."""
        start = tuple(start - before for start, before in zip(self.cells.start, front))
        return grown(maps, geometry.Cells(start, self.cells.stride), size)

    def probabilities(
        self,
        image: np.ndarray,
        confidence: str = "none",
        labels: Optional[np.ndarray] = None,
        name: str = "the image",
    ) -> np.ndarray:
        """softmax of the scores resized to the image, K x H x W float32; image: H x W x 3 uint8 BGR.

        The image is scaled and `padded`. One that is too large for the net is scaled down further, and a line says so.
        """
        pixels = scaled(image, fitting_scale(self.scale, image.shape[:2], self.takes, name))
        data = ((pixels - self.mean) * self.input_scale).transpose(2, 0, 1)
        padded, front = self.padded(data)
        scores = self.grown(self.forward(padded, name), data.shape[1:], front)
        return softmax(np.stack([cv2.resize(each, image.shape[1::-1]) for each in scores])[None])[0]

    def takes(self, height: int, width: int) -> bool:
        """Whether the net can take an image of that size, padded, in the memory that it may use.

        That is sizes.MOST floats, or as many as its authors' own input needs.
        """
        sides = (side + sum(pads) for side, pads in zip((height, width), self.padding(height, width)))
        return sizes.needs(self.legacy.net, *sides) <= self.most


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
