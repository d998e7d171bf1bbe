"""Segments pictures of your own with a trained net."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder
from aepsl.data import meaning
from aepsl.graph.graph import of_run
from aepsl.graph.run_folder import RunFolder
from aepsl.images import looks
from aepsl.images.pictures import palette, read_picture, within, write_colour, write_mask
from aepsl.nets import crf
from aepsl.run import checked, today
from aepsl.settings.typed import Experiment
from aepsl.stages.segment import SegmentationNet

LONGEST = 500  # pixels of a picture's longer side, as in VOC: the nets know objects of this size


def run(
    experiment: Experiment,
    paths: Sequence[str],
    model: str,
    out: str,
    confidence: str = "predicted",
    overlay: bool = False,
    gpu: Optional[list[int]] = None,
) -> None:
    """Segment pictures into `out`/NAME.png, with CRF and VOC's palette; with `overlay` also `out`/NAME_overlay.png.

    paths: of the pictures; model: caffemodel; confidence: predicted or none. Mask values are 0 for background and k for
    the experiment's k-th class. Raises InputError, before the first is segmented, for a picture that cannot be read and
    for two results of the same name.
    """
    written = Counter(result for path in paths for result in results(path, out, overlay))
    for path in paths:
        result = next((each for each in results(path, out, overlay) if written[each] > 1), None)
        if result:
            raise InputError(f"{path}: another's result would overwrite {result}; segment them into two folders")
        read_picture(path)
    meaning.of_pictures("pictures", paths, looks.look(paths), most=1)
    today.tell(experiment)
    today.check_unchanged(RunFolder(experiment.name).path, [model])
    make_folder(out)
    checked.check_names(out, [os.path.splitext(os.path.basename(path))[0] for path in paths])
    net = SegmentationNet(experiment, model, gpu)
    for path in tqdm(paths, unit="image", disable=None):
        image = read_picture(path)
        small = within(image, LONGEST)
        maps = crf.refined(small, net.probabilities(small, confidence, name=path), net.crf, path)
        mask = cv2.resize(maps.argmax(axis=0).astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        segmented, *overlays = results(path, out, overlay)
        write_mask(segmented, mask)
        for each in overlays:
            drawn = cv2.addWeighted(image, 0.5, palette()[mask][:, :, ::-1], 0.5, 0)
            write_colour(each, np.where(mask[:, :, None] > 0, drawn, image))


def results(path: str, out: str, overlay: bool) -> list[str]:
    """The files that are written for a picture: its segmentation, and with `overlay` the picture with it drawn over."""
    name = os.path.join(out, os.path.splitext(os.path.basename(path))[0])
    return [name + ".png"] + [name + "_overlay.png"] * overlay


def places(asked: Any) -> dict[str, Any]:
    """The files in OUT; an existing one can be a link to a picture (aepsl.places)."""
    return dict(written=[each for path in asked.paths for each in results(path, asked.out, asked.overlay)])


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "gpu", places=places)
    told = "whose settings: those of runs/NAME, or of prototxt/NAME if there is no run"
    parser.add_argument("--experiment", required=True, type=of_run, metavar="NAME", help=told)
    parser.add_argument("paths", nargs="+", metavar="IMAGE", help=f"pictures; segmented at {LONGEST} pixels at most")
    parser.add_argument("--model", required=True, help="caffemodel of the trained net")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--overlay", action="store_true", help="also draw each picture with its segmentation")
    weights = "the weights of the classes' maps (predicted); give none for a net without a classification head"
    parser.add_argument("--confidence", choices=("predicted", "none"), default="predicted", help=weights)
    run(**vars(parser.parse_args(argv)))
