"""Segments images with a trained net, without and with CRF.

With a PSL net and true labels, s_hat/ has S_hat of the few training images that the report shows.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.parallel import in_processes
from aepsl.data import check
from aepsl.data.dataset import IGNORE, Dataset, in_folder, png
from aepsl.data.lists import shard
from aepsl.images.pictures import scaled, write_mask
from aepsl.layers.losses import softmax
from aepsl.layers.psl import CONFIDENCES, prohibitive_mask, v_of, with_background
from aepsl.legacy.net import LegacyNet
from aepsl.nets import caffemodel, crf, device
from aepsl.nets.whole_image import STRIDE, TrainedNet
from aepsl.settings.typed import Experiment
from aepsl.stages.mine import shown
from aepsl.store.result import Made, begin, has

KINDS = ("plain", "crf", "s_hat")
MOST = 2**26  # values of an image's maps, those of 3.2 million pixels with VOC's classes: the CRF takes 4 GB for them


def run(
    experiment: Experiment,
    data: str,
    list_name: str,
    model: str,
    out: str,
    confidence: str = "none",
    part: Optional[str] = None,
    workers: int = 1,
    gpu: Optional[list[int]] = None,
    legacy: Optional[Sequence[Any]] = None,
    word: Optional[str] = None,
) -> Made:
    """Segment the images of a list into `out`/plain and `out`/crf, PNGs with VOC's palette.

    list_name: 'val', or the path of a list; model: caffemodel; confidence: see `weights_of_classes`; part: 'k/n', a
    share of the images; word: see aepsl.store.result; workers: processes for the CRF (1: this one); legacy: (prototxt,
    blob of scores or None, {name: value} of its ${...}) of another's net (aepsl.legacy.reader), with confidence 'none'.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(list_name)
    own = shard(ids, part)
    check.by_hand(dataset, own, word)
    labels = dict(zip(own, dataset.labels(own, may_lack=True) if confidence == "labels" else [None] * len(own)))
    if legacy:
        net: Any = LegacyNet(experiment, legacy[0], legacy[1], model, len(dataset.values), gpu, *legacy[2:])
        of_net: Callable[[np.ndarray, str], np.ndarray] = net.probabilities
    else:
        net = SegmentationNet(experiment, model, gpu)
        of_net = lambda image, image_id: net.probabilities(image, confidence, labels[image_id], image_id)  # noqa: E731
    begin(out, word, [f"{kind}/*.png" for kind in KINDS], part and set(own))
    has_s_hat = confidence == "labels" and net.classifies and list_name == experiment.data.train
    keep = [image_id for image_id in shown(experiment, ids) if image_id in set(own)] if has_s_hat else []
    plain, with_crf, s_hat = (os.path.join(out, kind) for kind in KINDS)
    values = np.array(dataset.values, np.uint8)
    for image_id in [image_id for image_id in keep if not has(png(s_hat, image_id))]:
        write_mask(png(s_hat, image_id), net.s_hat(dataset.image(image_id), labels[image_id], values, image_id))
    jobs = segmented(dataset, own, [plain, with_crf], values, of_net, functools.partial(crf.refined, settings=net.crf))
    in_processes(write_masks, jobs, workers)
    return Made([*in_folder(plain, own), *in_folder(with_crf, own)], in_folder(s_hat, keep))


def segmented(
    dataset: Dataset,
    ids: Sequence[str],
    folders: Sequence[str],
    values: np.ndarray,
    of_net: Callable[[np.ndarray, str], np.ndarray],
    refined: Callable[..., np.ndarray],
) -> Iterator[Sequence[Any]]:
    """The arguments of `write_masks` for each image that has no masks in `folders` yet.

    of_net(image, id): the net's probabilities, K x H x W float32; values, refined: see `write_masks`.
    """
    for image_id in tqdm(ids, unit="image", desc=os.path.dirname(folders[0]), disable=None):
        paths = [png(folder, image_id) for folder in folders]
        if not has(*paths):
            whole = dataset.image(image_id)
            image = fitting(whole, len(values), image_id)
            yield paths, image, of_net(image, image_id), refined, values, whole.shape[1::-1]


def fitting(image: np.ndarray, channels: int, name: str) -> np.ndarray:
    """The image; scaled down, with a line on stderr, if its maps would have more than MOST values."""
    height, width = image.shape[:2]
    scale = min(1, (MOST / (height * width * channels)) ** 0.5)
    if scale < 1:
        line = f"{name}: {width} x {height} pixels are too many for {channels} maps; it is segmented at {scale:.3f}"
        tqdm.write(line, file=sys.stderr)
    return scaled(image, scale)


def write_masks(
    paths: Sequence[str],
    image: np.ndarray,
    f: np.ndarray,
    refined: Callable[..., np.ndarray],
    values: np.ndarray,
    size: tuple[int, int],
) -> None:
    """Write the masks of the probabilities `f`, grown to `size` (width, height), to `paths`: one or two.

    refined: crf.refined with the CRF's settings, for the second; values: the mask value of each channel.
    """
    for path, with_crf in zip(paths, (False, True)):
        maps = refined(image, f, name=path) if with_crf else f
        write_mask(path, cv2.resize(values[maps.argmax(axis=0)], size, interpolation=cv2.INTER_NEAREST))


class SegmentationNet(TrainedNet):
    """A trained segmentation net, with or without a classification head, for whole images."""

    def __init__(self, experiment: Experiment, model: str, gpu: device.Gpu = None) -> None:
        self.classifies = "fc8_cls" in caffemodel.caffemodel_layers(model)
        super().__init__(experiment, "psl" if self.classifies else "segmentation", model, gpu)
        self.experiment, self.crf = experiment, experiment.crf

    def probabilities(
        self,
        image: np.ndarray,
        confidence: str = "none",
        labels: Optional[np.ndarray] = None,
        name: str = "the image",
    ) -> np.ndarray:
        """[1, v] * softmax(scores), grown to the image: (C + 1) x H x W float32, background first.

        image: H x W x 3 uint8 BGR; labels: C values, 0 or 1, for the confidence 'labels'; name: for messages.
        Raises InputError if the net has no head for the confidence, or if its scores are not finite.
        """
        if confidence == "predicted" and not self.classifies:
            needs = "which the confidence 'predicted' needs; use 'none'"
            raise InputError(f"{self.model}: has no classification head, {needs}")
        place = self.forward(image, name=name)
        f = softmax(self.values("fc8_seg", name))[0]
        v = self._v(name)[0] if self.classifies else None
        maps = weights_of_classes(confidence, v, labels, len(f), self.experiment.psl.prohibited) * f
        return self.at_image_size(maps, place, image)

    def s_hat(self, image: np.ndarray, labels: np.ndarray, values: np.ndarray, name: str = "the image") -> np.ndarray:
        """S_hat (section 3.2) as in training, at the resolution of the net's maps, grown to the image.

        image: H x W x 3 uint8 BGR; labels: C values, 0 or 1; values: the mask value of each channel.
        Returns H x W uint8, 255 for ignored pixels.
        """
        (height, width), _ = self.forward(image, name=name)
        v = self._v(name)
        S_hat = prohibitive_mask(self.values("fc8_seg", name), v, labels[None])[0].astype(int)
        mask = np.where(S_hat == IGNORE, IGNORE, values[np.minimum(S_hat, len(labels))])
        grown = np.kron(mask, np.ones((STRIDE, STRIDE), int))[:height, :width].astype(np.uint8)
        return cv2.resize(grown, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)

    def _v(self, name: str) -> np.ndarray:
        return v_of(softmax(self.values("fc8_cls", name)), self.experiment.psl.v)


def weights_of_classes(
    confidence: str, v: Optional[np.ndarray], labels: Optional[np.ndarray], channels: int, prohibited: float
) -> np.ndarray:
    """[1, v] of the test phase (section 3.2) as channels x 1 x 1 float32.

    confidence 'predicted': class probabilities `v` (C), those below `prohibited` set to 0; 'labels': the image labels
    (the paper's '+GT', and for training images); 'none': ones.
    """
    if confidence == "none":
        return np.ones((channels, 1, 1), np.float32)
    if confidence == "predicted":
        assert v is not None
        labels = np.where(v < prohibited, 0, v)
    return with_background(labels).astype(np.float32)[:, None, None]


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data list model out shard gpu")
    weights = "the weights of the classes' maps (none)"
    parser.add_argument("--confidence", choices=CONFIDENCES, default="none", help=weights)
    parser.add_argument("--workers", type=cli.number(1, 256), default=1, help="processes for the CRF (this one)")
    parser.add_argument("--deploy", help="prototxt of another author's net, for --model")
    scores = "with --deploy: the blob of its scores, before a softmax (the last)"
    parser.add_argument("--scores", metavar="BLOB", help=scores)
    several: Any = dict(nargs="+", action="extend", default=[], metavar="NAME=VALUE")
    parser.add_argument("--define", type=cli.pair, help="with --deploy: the value of its ${NAME}", **several)
    arguments = parser.parse_args(argv)
    legacy = [vars(arguments).pop(name) for name in ("deploy", "scores", "define")]
    if any(legacy) and (not legacy[0] or arguments.confidence != "none"):
        raise InputError("--scores: give --deploy too, the prototxt that has this blob, and no --confidence")
    arguments.legacy = (*legacy[:2], dict(legacy[2])) if any(legacy) else None
    run(**vars(arguments))
