"""Background cues: a saliency map for each image, low where the background is (section 3.1 of the paper).

The paper thresholds the maps of DRFI, which were never published. A folder of precomputed maps, of any detector, is
taken as it is; without one a detector makes them:

    drfi    the paper's, trained by us (aepsl.saliency.drfi)
    rbd     robust background detection, which needs no training (aepsl.saliency.rbd)
    truth   the true masks' background, of which a real cue has a part: to see how much there is to win

    OUT/ID.png   8-bit grey, the image's size: saliency = value / 255
"""

import os

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.data.dataset import IGNORE, Dataset, in_folder, shard
from aepsl.images import decoding
from aepsl.images.pictures import read_indexed, write_grey
from aepsl.saliency import rbd
from aepsl.saliency.drfi import model as drfi
from aepsl.store import digests
from aepsl.store.made import Result

# JPEG keeps a grey map stored as colour grey within this many of 255 steps.
GREY_TOLERANCE = 8


def run(data, list_name, out, detector="rbd", maps=None, part=None):
    """Write `out`/ID.png for the images of a list of the data set `data`.

    list_name: 'train_aug', or the path of a list; maps: a folder with ID.png or ID.jpg, grey, each of its image's size,
    on any scale: each map is brought to [0, 1] by its own minimum and maximum. None: `detector` makes the maps.
    part: 'k/n' makes only that share. One process works on one core.
    Raises InputError before the first map is written if an image or a map is missing, broken or of another size.
    """
    dataset = Dataset(data)
    ids = dataset.ids(list_name)
    own = shard(ids, part)
    dataset.check(own)
    source = Maps(maps, dataset) if maps else DETECTORS[detector](dataset)
    source.check(own)
    made_of = source.made_of(ids)
    result = Result(out, dict(stage="saliency", **dataset.contents(ids, "images"), **made_of), files=["*.png"])

    cv2.setNumThreads(1)
    for image_id in tqdm(own, unit="image", desc=out, disable=None):
        if result.has(image_id + ".png"):
            continue
        write_grey(os.path.join(out, image_id + ".png"), np.rint(source.saliency(image_id) * 255).astype(np.uint8))
    return result


class Detector:
    """Makes the maps of a data set."""

    def __init__(self, dataset):
        self.dataset = dataset

    def check(self, ids):
        """Raise InputError for what it cannot make of the images `ids`, which are whole."""


class Drfi(Detector):
    """Maps of the project's model."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.model = drfi.load(drfi.MODEL)

    def made_of(self, ids):
        return dict(detector="drfi", model=digests.of_file(drfi.MODEL), shares=list(drfi.SHARES.items()))

    def saliency(self, image_id):
        return self.model.saliency(self.dataset.image(image_id))


class Rbd(Detector):
    """Maps of robust background detection."""

    def made_of(self, ids):
        return dict(detector="rbd", **rbd.settings())

    def saliency(self, image_id):
        return rbd.saliency(self.dataset.image(image_id))


class Truth(Detector):
    """The true masks: background 0, objects 1, what is ignored between."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.folder = dataset.mask_folder()
        if self.folder is None:
            raise InputError(f"{dataset.root}: has no masks for `background.detector: truth`; take drfi or rbd")

    def check(self, ids):
        self.dataset.check(ids, [self.folder])

    def made_of(self, ids):
        return dict(detector="truth", **self.dataset.contents(ids, "masks"))

    def saliency(self, image_id):
        truth = read_indexed(in_folder(self.folder, [image_id])[0])
        return np.where(truth == IGNORE, 0.5, truth > 0)


DETECTORS = dict(drfi=Drfi, rbd=Rbd, truth=Truth)


class Maps(Detector):
    """Precomputed maps: run's `maps`."""

    def __init__(self, folder, dataset):
        super().__init__(dataset)
        self.folder = folder

    def check(self, ids):
        for image_id in ids:
            self.saliency(image_id)

    def made_of(self, ids):
        return dict(maps=contents(self.folder, ids))

    def saliency(self, image_id):
        return read_map(self.folder, image_id, decoding.header(self.dataset.image_path(image_id)).size)


def contents(folder, ids):
    """The SHA-256 of the precomputed maps of `ids`."""
    return digests.together([map_path(folder, image_id) for image_id in ids], ids)


def map_path(folder, image_id):
    """The precomputed map of an image; InputError if there is none."""
    paths = [os.path.join(folder, image_id + extension) for extension in (".png", ".jpg")]
    found = next(filter(os.path.exists, paths), None)
    if found is None:
        raise InputError(f"{folder}: holds neither {image_id}.png nor {image_id}.jpg; add this image's saliency map")
    return found


def read_map(folder, image_id, size):
    """A precomputed map as H x W float32, its minimum at 0 and its maximum at 1 (all 0 if it is constant).

    Raises InputError for a map that is missing, broken, coloured, or not of `size` (width, height).
    """
    path = map_path(folder, image_id)
    with decoding.opened(path) as image:
        decoding.load(image, path)
        found = image.size
        grey = image.mode in ("1", "L", "I", "I;16", "F")
        values = np.array(image if grey else image.convert("RGB"), np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: has values that are not finite; compute this map anew")
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


def main(argv=None):
    parser = cli.parser(__doc__, "data shard done")
    parser.add_argument("--list", dest="list_name", required=True, help="train_aug, or the path of a list of ids")
    parser.add_argument("--out", required=True, help="folder for the maps")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--detector", choices=DETECTORS, default="rbd", help="what makes the maps (rbd)")
    source.add_argument("--maps", help="folder of precomputed maps, ID.png or ID.jpg")
    cli.run_stage(run, parser.parse_args(argv))
