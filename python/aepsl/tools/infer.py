"""Segments pictures of your own with a trained net."""

import os
from collections import Counter

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder
from aepsl.images.pictures import palette, read_picture, within, write_colour, write_mask
from aepsl.stages.segment import SegmentationNet

LONGEST = 500  # pixels of a picture's longer side: no photo of VOC, whose objects the nets know, has more


def run(experiment, paths, model, out, confidence="predicted", overlay=False, gpu=None):
    """Segment pictures into `out`/NAME.png, with CRF and VOC's palette; with `overlay` also `out`/NAME_overlay.png.

    paths: of the pictures; model: caffemodel; confidence: predicted or none. Mask values are 0 for background and k for the
    experiment's k-th class. Raises InputError, before the first is segmented, for a picture that cannot be read and
    for a result that would overwrite a picture or another result.
    """
    names = [os.path.join(out, os.path.splitext(os.path.basename(path))[0]) for path in paths]
    endings = [".png", "_overlay.png"] if overlay else [".png"]
    results = [(path, name + ending) for path, name in zip(paths, names) for ending in endings]
    pictures, written = set(map(os.path.realpath, paths)), Counter(result for _, result in results)
    for path, result in results:
        if written[result] > 1:
            raise InputError(f"{path}: another's result would overwrite {result}; segment them into two folders")
        if os.path.realpath(result) in pictures:
            raise InputError(f"{path}: its result would overwrite {result}; give --out another folder")
    for path in paths:
        read_picture(path)
    make_folder(out)
    net = SegmentationNet(experiment, model, gpu)
    for path, name in zip(tqdm(paths, unit="image", disable=None), names):
        image = read_picture(path)
        mask = net.segmented(within(image, LONGEST), confidence, name=path)[1].astype(np.uint8)
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        write_mask(name + ".png", mask)
        if overlay:
            drawn = cv2.addWeighted(image, 0.5, palette()[mask][:, :, ::-1], 0.5, 0)
            write_colour(name + "_overlay.png", np.where(mask[:, :, None] > 0, drawn, image))


def main(argv=None):
    parser = cli.parser(__doc__, "experiment gpu")
    parser.add_argument("paths", nargs="+", metavar="IMAGE", help=f"pictures; segmented at {LONGEST} pixels at most")
    parser.add_argument("--model", required=True, help="caffemodel of the trained net")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--overlay", action="store_true", help="also draw each picture with its segmentation")
    weights = "what weights the classes' maps (predicted); nets without a classification head need none"
    parser.add_argument("--confidence", choices=("predicted", "none"), default="predicted", help=weights)
    run(**vars(parser.parse_args(argv)))
