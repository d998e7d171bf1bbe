"""The archive that VOC's evaluation server takes."""

import gzip
import os
import tarfile
from typing import Optional

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, written_whole
from aepsl.data.dataset import Dataset, check_values, in_folder
from aepsl.images import decoding
from aepsl.images.pictures import VOC_PALETTE
from aepsl.settings.typed import Experiment

FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"


def run(experiment: Experiment, data: str, list_name: str, masks: str, out: str) -> None:
    """Pack masks/ID.png of every image of the list into `out`, a .tgz: the same bytes for the same masks.

    Raises InputError, before it writes, for a mask that is missing, or has another palette, size or values.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(list_name)
    paths = in_folder(masks, ids)
    for path in paths:
        _check_palette(path)
    for path, values in zip(paths, dataset.check_masks(ids, masks)):
        check_values(path, values, dataset.values)  # the server refuses IGNORE too
    with (
        written_whole(out) as beside,
        open(beside, "wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as unpacked,
        tarfile.open(fileobj=unpacked, mode="w", dereference=True) as archive,
    ):
        for image_id, path in sorted(zip(ids, paths)):
            archive.add(path, f"{FOLDER}/{image_id}.png", recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Clear the fields that differ between machines and days."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _check_palette(path: str) -> None:
    if not os.path.exists(path):
        raise InputError(f"{path}: cannot be read; segment the image first")
    with decoding.opened(path, ["PNG"]) as mask:
        if mask.mode != "P" or mask.getpalette() != list(VOC_PALETTE):
            raise InputError(f"{path}: does not have VOC's palette; write it with aepsl.stages.segment")


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data list")
    parser.add_argument("--masks", required=True, help="folder of segmentations")
    parser.add_argument("--out", required=True, help="the archive, .tgz")
    run(**vars(parser.parse_args(argv)))
