"""The archive that VOC's evaluation server takes."""

import gzip
import os
import tarfile

import numpy as np

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, written_whole
from aepsl.data.dataset import Dataset
from aepsl.images import decoding
from aepsl.images.pictures import VOC_PALETTE, read_indexed

FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"


def run(experiment, data, list_name, masks, out):
    """Pack masks/ID.png of every image of the list into `out`, a .tgz: the same bytes for the same masks.

    Raises InputError, before it writes, for a mask that is missing, or has another palette, size or values.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    paths = {image_id: os.path.join(masks, image_id + ".png") for image_id in dataset.ids(list_name)}
    for image_id, path in paths.items():
        _check(path, dataset.image_path(image_id))
        dataset.check_values(path, np.unique(read_indexed(path)))
    with (
        written_whole(out) as beside,
        open(beside, "wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as unpacked,
        tarfile.open(fileobj=unpacked, mode="w") as archive,
    ):
        for image_id, path in sorted(paths.items()):
            archive.add(path, f"{FOLDER}/{image_id}.png", recursive=False, filter=_anonymous)


def _anonymous(member):
    """Without what differs from one machine and day to the next."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _check(path, image_path):
    if not os.path.exists(path):
        raise InputError(f"{path}: cannot be read; segment the image first")
    with decoding.opened(path, ["PNG"]) as mask:
        decoding.load(mask, path)
        if mask.mode != "P" or mask.getpalette() != list(VOC_PALETTE):
            raise InputError(f"{path}: does not have VOC's palette; write it with aepsl.stages.segment")
        size = decoding.header(image_path).size
        if mask.size != size:
            raise InputError(f"{path}: is {mask.size}, its image {size}; segment the image anew")


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data")
    parser.add_argument("--list", dest="list_name", required=True, help="test, or the path of a list of ids")
    parser.add_argument("--masks", required=True, help="folder of segmentations")
    parser.add_argument("--out", required=True, help="the archive, .tgz")
    run(**vars(parser.parse_args(argv)))
