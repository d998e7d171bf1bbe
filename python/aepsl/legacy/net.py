"""Another author's segmentation net with its weights: images of any size go in, its scores come out and are grown.

What Caffe says of a net that it cannot build is found out in another process, which it ends.
"""

import faulthandler
import os
import re
import resource
import sys
import tempfile

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


class LegacyNet:
    """The net of the prototxt `deploy` with the weights `model`, whose scores have one channel for each class.

    scores: their blob, or None for the last (reader.read); channels: how many that must be, background first. What the
    prototxt's reading changed is printed; the values of its own CRF are `crf`, without one the experiment's. Raises
    InputError for what Caffe would abort at.
    """

    def __init__(self, experiment, deploy, scores, model, channels, confidence="none", gpu=None, variables=None):
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
            raise InputError(f"{deploy}: {scores} comes out of a softmax, which is done here; name the blob before it")
        self.cells = geometry.cells(legacy.net, legacy.scores)
        self.prototxt = prototxt.net_text("legacy", legacy.net)
        _check(deploy, self.prototxt)
        device.use(gpu)
        self.net = caffemodel.net_of(self.prototxt)
        weights.load(self.net, model, legacy.fixed)
        self.crf = legacy.crf or experiment.crf
        self.mean = np.array(legacy.input.mean or self.settings.mean, np.float32)
        self.input_scale = np.float32(legacy.input.scale or 1)
        self.paddings, self.most = {}, max(sizes.MOST, self._floats(*legacy.input.size()) or 0)

    def padding(self, height, width):
        """((top, bottom), (left, right)): the pixels that an image of that size must get, see geometry.padding.

        Raises InputError where the net takes no such size, nor a larger one.
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

    def forward(self, pixels, name="the image"):
        """The scores, K x h x w float32, of `pixels`, H x W x 3 float32: BGR, less the mean, of a size that is taken.

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

    def grown(self, maps, height, width, front=(0, 0)):
        """Maps K x h x w of the scores' cells, at each of height x width pixels from the pixel `front` (y, x) on."""
        start = tuple(start - before for start, before in zip(self.cells.start, front))
        return grown(maps, geometry.Cells(start, self.cells.stride), (height, width))

    def probabilities(self, image, confidence="none", labels=None, name="the image"):
        """softmax of the scores grown to the image, K x H x W float32; image: H x W x 3 uint8 BGR.

        The image is scaled, less the mean, padded with it at the bottom and right, and mirrored into margins that the
        net loses. One that is too large for the net is scaled down to what it takes, and a line says so.
        """
        pixels = (scaled(image, self.fitting_scale(image.shape[:2], name)) - self.mean) * self.input_scale
        height, width = pixels.shape[:2]
        (top, bottom), (left, right) = self.padding(height, width)
        pixels = cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_REFLECT_101)
        pixels = np.pad(pixels, ((0, bottom - top), (0, right - left), (0, 0)), mode="constant")
        scores = self.grown(self.forward(pixels, name), height, width, (top, left))
        return softmax(np.stack([cv2.resize(each, image.shape[1::-1]) for each in scores])[None])[0]

    def fitting_scale(self, size, name):
        """The experiment's scale, or for an image of a `size` (height, width) too large for the net a smaller one."""
        wanted = scale = self.settings.scale
        while not self.takes(*(max(1, round(side * scale)) for side in size)):
            scale *= 0.95
            if scale * max(size) < 1:
                raise InputError(f"{self.deploy}: needs more memory than {4 * self.most} bytes for whatever image")
        if scale < wanted:
            tqdm.write(f"{name}: is too large for {self.deploy}; it is processed at {scale:.3f}", file=sys.stderr)
        return scale

    def takes(self, height, width):
        """Whether an image of that size, padded, goes through the net in the memory that it may have.

        That is sizes.MOST, or what the net's input needs as its authors have it.
        """
        sides = (side + sum(pads) for side, pads in zip((height, width), self.padding(height, width)))
        floats = self._floats(*sides)
        return floats is not None and floats <= self.most

    def _floats(self, height, width):
        """The floats of an image; None for a size that is not taken, or has more in a blob than Caffe can count."""
        try:
            counts = geometry.counts(self.legacy.net, height, width).values()
        except Unfit:
            return None
        return sum(counts) if max(counts) <= sizes.INT_MAX else None


def _check(deploy, text):
    """InputError, with what Caffe says, if it would end this process at the net."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "deploy.prototxt")
        with open(path, "w") as file:
            file.write(text)
        fault = _fault(path, os.path.join(folder, "said"))
    if fault:
        raise InputError(f"{deploy}: Caffe cannot build this net: {fault}")


def _fault(path, log):
    """What Caffe says, in one line, of a prototxt at which it would end this process; None for a sound one."""
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY, 0o600), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()  # that Caffe ends this process is no fault
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
    """Whether the last layer that writes the scores is a softmax, to which another would give other probabilities."""
    kinds = [layer.type for layer in legacy.net.layer if legacy.scores in layer.top]
    return kinds[-1] == "Softmax"
