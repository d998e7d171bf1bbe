"""Segments images with a trained net, without and with CRF.

Of the few training images that the report shows, S_hat of a PSL net is kept too, where labels are known: in s_hat/.
"""

import os
import sys

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.parallel import in_processes
from aepsl.data.dataset import IGNORE, Dataset, in_folder, shard
from aepsl.images.pictures import scaled, write_mask
from aepsl.layers.losses import softmax
from aepsl.layers.psl import CONFIDENCES, prohibitive_mask, with_background
from aepsl.legacy.net import LegacyNet
from aepsl.nets import caffemodel, crf
from aepsl.nets.whole_image import STRIDE, WholeImages
from aepsl.stages.mine import shown
from aepsl.store.result import Made, begin, has

KINDS = ("plain", "crf", "s_hat")
MOST = 2**26  # values of an image's maps, those of 3.2 million pixels with VOC's classes: the CRF takes 4 GB for them


def run(
    experiment, data, list_name, model, out, confidence="none", part=None, workers=1, gpu=None, legacy=None, word=None
):
    """Segment the images of a list into `out`/plain and `out`/crf, PNGs with VOC's palette.

    experiment: settings; data: root of the data set; list_name: 'val', or the path of a list; model: caffemodel;
    confidence: see `weights_of_classes`; part: 'k/n' segments only that share of the images; word: see
    aepsl.store.result; workers: more than 1 are processes for the CRF, for which a net on a GPU does not wait;
    the result is the same; legacy: (deploy, scores, variables) of another author's net, its prototxt, blob of scores or
    None, and what its ${...} stand for (aepsl.legacy.reader); with the confidence none alone.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(list_name)
    own = shard(ids, part)
    labels = dataset.labels(own, may_lack=True) if confidence == "labels" else [None] * len(own)
    if legacy:
        deploy, scores, *variables = legacy
        net = LegacyNet(experiment, deploy, scores, model, len(dataset.values), confidence, gpu, *variables)
    else:
        net = SegmentationNet(experiment, model, gpu)
    begin(out, word, [f"{kind}/*.png" for kind in KINDS], part and set(own))
    has_s_hat = confidence == "labels" and net.classifies and list_name == experiment.data.train
    keep = [image_id for image_id in shown(experiment, ids) if image_id in set(own)] if has_s_hat else []
    folders = [os.path.join(out, kind) for kind in KINDS]
    values = np.array(dataset.values, np.uint8)

    def segmented():
        """What `_write_masks` is given of each image that has no masks yet."""
        for image_id, row in zip(tqdm(own, unit="image", desc=out, disable=None), labels):
            *paths, kept = [os.path.join(folder, image_id + ".png") for folder in folders]
            if image_id in keep and not has(kept):
                write_mask(kept, net.s_hat(dataset.image(image_id), row, values, image_id))
            if not has(*paths):
                whole = dataset.image(image_id)
                image = fitting(whole, len(values), image_id)
                f = net.probabilities(image, confidence, row, image_id)
                yield paths, image, f, net.crf, values, whole.shape[1::-1]

    in_processes(_write_masks, segmented(), workers)
    return Made([*in_folder(folders[0], own), *in_folder(folders[1], own)], in_folder(folders[2], keep))


def fitting(image, channels, name):
    """The image, or one scaled down where its maps would have more than MOST values, which a line says."""
    height, width = image.shape[:2]
    scale = min(1, (MOST / (height * width * channels)) ** 0.5)
    if scale < 1:
        line = f"{name}: {width} x {height} pixels are too many for {channels} maps; it is segmented at {scale:.3f}"
        tqdm.write(line, file=sys.stderr)
    return scaled(image, scale)


def _write_masks(paths, image, f, crf_settings, values, size):
    """Write the masks of the probabilities `f` without and with CRF, grown to `size`, (width, height).

    values: the mask value of each channel.
    """
    for path, maps in ((paths[0], f), (paths[1], crf.refined(image, f, crf_settings, paths[1]))):
        write_mask(path, cv2.resize(values[maps.argmax(axis=0)], size, interpolation=cv2.INTER_NEAREST))


class SegmentationNet(WholeImages):
    """A trained segmentation net, with or without a classification head, for whole images."""

    def __init__(self, experiment, model, gpu=None):
        self.classifies = "fc8_cls" in caffemodel.caffemodel_layers(model)
        super().__init__(experiment, "psl" if self.classifies else "segmentation", model, gpu)
        self.experiment, self.crf = experiment, experiment.crf

    def segmented(self, image, confidence="none", labels=None, name="the image"):
        """Channel indices of an H x W x 3 uint8 BGR image, without and with CRF: two arrays H x W.

        labels: C values, 0 or 1, for the confidence 'labels'; name: of the image, for messages.
        """
        f = self.probabilities(image, confidence, labels, name)
        return f.argmax(axis=0), crf.refined(image, f, self.experiment.crf).argmax(axis=0)

    def probabilities(self, image, confidence="none", labels=None, name="the image"):
        """[1, v] * softmax(scores), grown to the image: (C + 1) x H x W float32, background first.

        Raises InputError if the net has no head for the confidence, or if its scores are not finite.
        """
        if confidence == "predicted" and not self.classifies:
            raise InputError(
                f"{self.model}: has no classification head, which the confidence 'predicted' needs; use 'none'"
            )
        small = self.forward(image, name=name)
        f = softmax(self._scores("fc8_seg", name))[0]
        v = softmax(self._scores("fc8_cls", name))[0] if self.classifies else None
        maps = weights_of_classes(confidence, v, labels, len(f), self.experiment.psl.prohibited) * f
        return self.at_image_size(maps, small, image)

    def s_hat(self, image, labels, values, name="the image"):
        """S_hat (section 3.2) as training sees it, at the resolution of the net's maps, grown to the image.

        image: H x W x 3 uint8 BGR; labels: C values, 0 or 1; values: the mask value of each channel.
        Returns H x W uint8, 255 where S_hat says nothing.
        """
        small = self.forward(image, name=name)
        v = softmax(self._scores("fc8_cls", name))
        S_hat = prohibitive_mask(self._scores("fc8_seg", name), v, labels[None])[0].astype(int)
        mask = np.where(S_hat == IGNORE, IGNORE, values[np.minimum(S_hat, len(labels))])
        grown = np.kron(mask, np.ones((STRIDE, STRIDE), int))[: small[0], : small[1]].astype(np.uint8)
        return cv2.resize(grown, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)

    def _scores(self, blob, name):
        scores = self.net.blobs[blob].data
        self.check(scores, name)
        return scores


def weights_of_classes(confidence, v, labels, channels, prohibited):
    """[1, v] of the test phase (section 3.2) as channels x 1 x 1 float32.

    confidence 'predicted': class probabilities `v` (C), those below `prohibited` made 0; 'labels': the image labels
    (the paper's '+GT', and for training images); 'none': ones.
    """
    if confidence == "none":
        return np.ones((channels, 1, 1), np.float32)
    chosen = np.where(v < prohibited, 0, v) if confidence == "predicted" else labels
    return with_background(chosen).astype(np.float32)[:, None, None]


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data shard gpu")
    parser.add_argument("--list", dest="list_name", required=True, help="val, or the path of a list of ids")
    parser.add_argument("--model", required=True, help="caffemodel of the trained net")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument(
        "--confidence", choices=CONFIDENCES, default="none", help="what weights the classes' maps (none)"
    )
    parser.add_argument(
        "--workers", type=cli.number(1, 256), default=1, help="processes for the CRF; default: this one"
    )
    parser.add_argument("--deploy", help="prototxt of another author's net, that --model is of")
    parser.add_argument(
        "--scores", metavar="BLOB", help="with --deploy: the blob of its scores, before a softmax (the last)"
    )
    parser.add_argument(
        "--define",
        type=cli.pair,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="with --deploy: what its ${NAME} is",
    )
    arguments = parser.parse_args(argv)
    legacy = [vars(arguments).pop(name) for name in ("deploy", "scores", "define")]
    arguments.legacy = (*legacy[:2], dict(legacy[2])) if any(legacy) else None
    run(**vars(arguments))
