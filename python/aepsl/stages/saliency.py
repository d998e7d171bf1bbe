"""Background cues: a saliency map for each image, low where the background is (section 3.1 of the paper).

The paper thresholds the maps of DRFI, which were never published. A folder of precomputed maps (of DRFI,
or any other detector) is taken as it is; without one, a detector that needs no training makes them (aepsl.stages.rbd).

    OUT/ID.png         8-bit grey, the image's size: saliency = value / 255
    OUT/settings.json  how the maps were made, so that a second run cannot mix two kinds
"""

import argparse
import os

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from aepsl.data.dataset import Dataset, shard
from aepsl.errors import InputError
from aepsl.files import read_json, write_json
from aepsl.images import write_grey
from aepsl.stages import rbd

# JPEG keeps a grey map stored as colour grey within this many of 255 steps.
GREY_TOLERANCE = 8


def run(data_root, ids, out, maps=None):
    """Write `out`/ID.png for the images `ids` (a list of ids) of the data set at `data_root`.

    `maps`: a folder with ID.png or ID.jpg, grey, each of its image's size, on any scale: each map is
    brought to [0, 1] by its own minimum and maximum. None: aepsl.stages.rbd makes the maps.
    Maps that are there already are kept, so a run that was stopped goes on where it was, and the runs of
    several shards may share `out`. One process works on one core.
    Raises InputError before the first map is written if an image or a map is missing, broken or of another size.
    """
    data = Dataset(data_root)
    settings = {"maps": os.path.realpath(maps)} if maps is not None else {"maps": "RBD", **rbd.settings()}
    _check_settings(out, settings)
    todo = [image_id for image_id in ids if not _is_whole(os.path.join(out, image_id + ".png"))]
    data.check(todo)
    if maps is not None:
        for image_id in todo:
            read_map(maps, image_id, _size(data.image_path(image_id)))
    write_json(os.path.join(out, "settings.json"), settings)

    cv2.setNumThreads(1)
    for image_id in tqdm(todo, unit="image", desc=out, disable=None):
        if maps is None:
            saliency = rbd.saliency(data.image(image_id))
        else:
            saliency = read_map(maps, image_id, _size(data.image_path(image_id)))
        write_grey(os.path.join(out, image_id + ".png"), np.rint(saliency * 255).astype(np.uint8))


def read_map(folder, image_id, size):
    """A precomputed map as H x W float32, its minimum at 0 and its maximum at 1 (all 0 if it is constant).

    Raises InputError for a map that is missing, broken, coloured, or not of `size` (width, height).
    """
    path = os.path.join(folder, image_id + ".png")
    if not os.path.exists(path):
        path = os.path.join(folder, image_id + ".jpg")
    if not os.path.exists(path):
        raise InputError(f"{folder}: holds neither {image_id}.png nor {image_id}.jpg; add this image's saliency map")
    try:
        with Image.open(path) as image:
            found = image.size
            grey = image.mode in ("1", "L", "I", "I;16", "F")
            values = np.array(image if grey else image.convert("RGB"), np.float32)
    except (OSError, SyntaxError):
        raise InputError(f"{path}: cannot be decoded; copy it again, or compute this map anew") from None
    if found != tuple(size):
        raise InputError(
            f"{path}: is {found[0]} x {found[1]}, its image {size[0]} x {size[1]}; "
            "compute the map on this very image, at its full size"
        )
    if values.ndim == 3:
        if np.ptp(values, axis=2).max() > GREY_TOLERANCE:
            raise InputError(f"{path}: has colours; a saliency map is grey, the brighter the more salient")
        values = values.mean(axis=2)
    return rbd.normalised(values)


def _check_settings(out, settings):
    """Refuse a folder whose maps were made in another way."""
    path = os.path.join(out, "settings.json")
    if os.path.exists(path) and read_json(path) != settings:
        raise InputError(f"{path}: the maps beside it were made in another way; delete the folder, or name another")


def _is_whole(path):
    """Is there a PNG at `path`, to its last chunk? (After a power cut, a renamed file can still be short.)"""
    try:
        with open(path, "rb") as file:
            file.seek(-8, os.SEEK_END)
            return file.read(4) == b"IEND"
    except OSError:
        return False


def _size(path):
    """(width, height) of the image as stored, from its header."""
    with Image.open(path) as image:
        return image.size


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--list", required=True, help="its list of images (train_aug), or a path to a file of ids")
    parser.add_argument("--out", required=True, help="folder for the maps")
    parser.add_argument("--maps", help="folder of precomputed maps, ID.png or ID.jpg; without it RBD makes them")
    parser.add_argument("--shard", dest="part", help="K/N: only that share of the images")
    arguments = parser.parse_args(argv)
    ids = shard(Dataset(arguments.data).ids(arguments.list), arguments.part)
    run(arguments.data, ids, arguments.out, arguments.maps)
