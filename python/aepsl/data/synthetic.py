"""Draws the demo's data set, in VOC layout: images of invented creatures, see aepsl.data.creatures."""

import os
from typing import Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.files import folder_whole, write_bytes, write_text
from aepsl.data.creatures import CLASSES, render
from aepsl.images.pictures import write_mask


def run(out: str, train: int = 320, val: int = 80, seed: int = 1) -> None:
    """Write the folder `out` in VOC layout (see aepsl.data.dataset), with the lists train_aug and val.

    train, val: their numbers of images, 1 or more. `out` appears whole or not at all. The same arguments give the same
    bytes. Raises InputError if `out` is not empty.
    """
    with folder_whole(out) as beside:
        labels: list[str] = []
        lists: dict[str, list[str]] = {"train_aug": [], "val": []}
        names = ["train_aug"] * train + ["val"] * val
        for number, name in enumerate(tqdm(names, desc="drawing", unit="image", disable=None)):
            rng = np.random.default_rng([seed, number])
            classes = 1 + rng.permutation(len(CLASSES))[: 1 + (rng.random() < 0.25)]
            image, mask, _ = render(rng, classes)
            image_id = f"{name[:5].rstrip('_')}_{len(lists[name]) + 1:06d}"
            path = os.path.join(beside, "JPEGImages", image_id + ".jpg")
            write_bytes(path, cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1], flushed=False)
            write_mask(os.path.join(beside, "SegmentationClassAug", image_id + ".png"), mask)
            labels.append(" ".join([image_id] + [CLASSES[value - 1] for value in sorted(classes)]))
            lists[name].append(image_id)
        for name, ids in lists.items():
            write_text(os.path.join(beside, "ImageSets/Segmentation", name + ".txt"), "\n".join(ids) + "\n")
        write_text(os.path.join(beside, "image_labels.txt"), "\n".join(labels) + "\n")
        write_text(os.path.join(beside, "classes.txt"), "\n".join(CLASSES) + "\n")


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--out", required=True, help="the folder to make, in VOC layout")
    parser.add_argument("--train", type=cli.number(1), default=320, help="training images (320)")
    parser.add_argument("--val", type=cli.number(1), default=80, help="validation images (80)")
    parser.add_argument("--seed", type=cli.number(0), default=1)
    run(**vars(parser.parse_args(argv)))
