"""Another author's segmentation net with its weights, for images of any size; its scores are resized to the image."""

import faulthandler
import functools
import math
import multiprocessing
import os
import re
import resource
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Optional

import caffe
import numpy as np
from tqdm import tqdm

from aepsl.base.errors import InputError
from aepsl.layers.losses import softmax
from aepsl.legacy import reader
from aepsl.nets import caffemodel, device, geometry, prototxt, sizes
from aepsl.nets.geometry import BOTH, Unfit
from aepsl.nets.whole_image import WholeImages
from aepsl.settings.typed import Experiment


class LegacyNet(WholeImages):
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
        self.deploy = deploy
        self.legacy = legacy = reader.read(deploy, scores, model, variables, channels)
        for line in legacy.changes:
            tqdm.write(f"{deploy}: {line}", file=sys.stderr)
        count = geometry.channels(legacy.net)[legacy.scores]
        if count != channels:
            needs = f"{channels} channels are needed, one for background and one for each class"
            raise InputError(f"{deploy}: its blob {legacy.scores} has {count} channels; {needs}")
        kinds = [layer.type for layer in legacy.net.layer if legacy.scores in layer.top]
        if kinds[-1] == "Softmax":  # a second one would change the probabilities
            raise InputError(f"{deploy}: {scores} comes out of a softmax, which is added here; name the blob before it")
        text = prototxt.net_text("legacy", legacy.net)
        _check(deploy, text)
        super().__init__(text, model, experiment.data, gpu)
        caffemodel.load_weights(self.net, model, computed=legacy.fixed)
        self.cells = geometry.cells(legacy.net, legacy.scores)
        self.crf = legacy.crf or experiment.crf
        self.input = legacy.input.blob
        self.mean = np.array(legacy.input.mean or experiment.data.mean, np.float32)
        self.input_scale = np.float32(legacy.input.scale or 1)
        self.padding_of = functools.lru_cache(None)(functools.partial(geometry.padding, legacy.net, legacy.scores))
        own = self.needs(*legacy.input.size())
        self.most = max(sizes.MOST, own if own < math.inf else 0)  # at least what its authors' own input needs

    def padding(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """((top, bottom), (left, right)): the pixels to add to an image of that size, see geometry.padding.

        Raises InputError if the net takes neither this size nor a larger one.
        """
        only = self.legacy.only
        if only and (height > only[0] or width > only[1]):
            line = f"takes {only[1]} x {only[0]} pixels alone, and the image has {width} x {height}"
            raise InputError(f"{self.deploy}: {line}; slide crops of that size over it, which a profile can say")
        if only:
            return tuple((0, most - side) for most, side in zip(only, (height, width)))
        try:
            return tuple(self.padding_of(side, axis) for side, axis in zip((height, width), BOTH))
        except Unfit as unfit:
            raise InputError(f"{self.deploy}: takes no image of {width} x {height} pixels: {unfit}") from None

    def scores(self, data: np.ndarray, name: str = "the image") -> np.ndarray:
        """The scores, K x h x w float32, of `data`, see `run`. Raises InputError if they are not finite."""
        self.run(data)
        return self.values(self.legacy.scores, name)[0].copy()

    def probabilities(self, image: np.ndarray, name: str = "the image") -> np.ndarray:
        """softmax of the scores resized to the image, K x H x W float32; image: H x W x 3 uint8 BGR."""
        place = self.forward(image, name=name)
        scores = self.at_image_size(self.values(self.legacy.scores, name)[0], place, image)
        return softmax(scores[None])[0]


def _check(deploy, text):
    """InputError, with Caffe's message, if Caffe would end this process at the net: another process tries it."""
    with tempfile.NamedTemporaryFile("w") as file, tempfile.TemporaryFile("w+", errors="replace") as said:
        file.write(text)
        file.flush()
        child = multiprocessing.get_context("fork").Process(target=_build, args=(file.name, said.fileno()))
        child.start()
        child.join()
        said.seek(0)
        reasons = [line.partition("] ")[2].strip() for line in said if re.match(r"F\d{4} ", line)]
    if child.exitcode:
        raise InputError(f"{deploy}: Caffe cannot build this net: {(reasons or ['it gives no reason'])[0]}")


def _build(path, log):
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()  # Caffe may end this process
    caffe.set_mode_cpu()
    caffe.Net(path, caffe.TEST)
