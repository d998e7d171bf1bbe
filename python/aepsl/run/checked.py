"""The checks before a run begins: of its data, of the user's maps, and of the disk for its results."""

import os
import tempfile
import unicodedata
from collections.abc import Iterable
from typing import Optional

from aepsl.base.errors import InputError
from aepsl.data import check
from aepsl.data.dataset import Dataset
from aepsl.graph.graph import Contents
from aepsl.run.inputs import PARTS
from aepsl.saliency.maps import Maps
from aepsl.settings.typed import Experiment
from aepsl.store import digests, records
from aepsl.store.result import Made


def run(experiment: Experiment, folder: str, data: str, contents: Contents, maps: Optional[str]) -> None:
    """Check all, once for the same contents. InputError for the first fault. folder: the run's; maps: the user's."""
    names = (*PARTS, *["maps"] * bool(maps))
    word = digests.of_value({name: value for name, value in contents.items() if name.split(".")[0] in names})
    records.done(folder, "check", word, lambda: (Made([], value=_images(experiment, folder, data, maps)), {}))


def _images(experiment: Experiment, folder: str, data: str, maps: Optional[str]) -> dict[str, int]:
    """{"train": the number of images, "val": ...}. InputError for the first fault."""
    dataset = Dataset(data, experiment.classes)
    train = dataset.ids(experiment.data.train)
    for ids in (train, dataset.ids(experiment.data.val)):
        check_names(folder, ids)
    images = check.run(experiment, data)
    if maps:
        Maps(maps, dataset).check_meaning(train)
    return images


def check_names(folder: str, ids: Iterable[str]) -> None:
    """InputError for two ids whose results would be one file: on some disks a and A, or two forms of é, are the same.

    folder: on the disk of the results.
    """
    known: dict[str, str] = {}
    for image_id in ids:
        other = known.setdefault(unicodedata.normalize("NFC", image_id).casefold(), image_id)
        if other != image_id and _is_one_file(folder, image_id, other):
            line = f"this disk takes {other}.png and {image_id}.png for one file"
            raise InputError(f"{folder}: {line}; rename one of the images, or put this repository on another disk")


def _is_one_file(folder: str, one: str, other: str) -> bool:
    with tempfile.TemporaryDirectory(dir=folder) as inside, open(os.path.join(inside, one), "w"):
        return os.path.exists(os.path.join(inside, other))
