"""What is looked at before a run begins: its data, the user's maps, and the disk that takes its results."""

import os
import tempfile
import unicodedata

from aepsl.base.errors import InputError
from aepsl.data import check
from aepsl.data.dataset import Dataset
from aepsl.run.inputs import PARTS
from aepsl.saliency.maps import Maps
from aepsl.store import digests, records
from aepsl.store.result import Made


def run(experiment, folder, data, contents, maps):
    """Look at all of it, once for what it holds; folder: the run's; contents: see aepsl.run.inputs; maps: or None."""
    names = (*PARTS, *["maps"] * bool(maps))
    word = digests.of_value({name: value for name, value in contents.items() if name.split(".")[0] in names})
    records.done(folder, "check", word, lambda: (Made([], value=_images(experiment, folder, data, maps)), {}))


def _images(experiment, folder, data, maps):
    """{"train": how many images there are, "val": ...}; raises InputError for the first fault."""
    dataset = Dataset(data, experiment.classes)
    train = dataset.ids(experiment.data.train)
    for ids in (train, dataset.ids(experiment.data.val)):
        check_names(folder, ids)
    images = check.run(experiment, data)
    if maps:
        Maps(maps, dataset).check_meaning(train)
    return images


def check_names(folder, ids):
    """InputError for two ids whose results would be one file: some disks take a and A, or two forms of é, for one.

    folder: on the disk of the results.
    """
    known = {}
    for image_id in ids:
        other = known.setdefault(unicodedata.normalize("NFC", image_id).casefold(), image_id)
        if other != image_id and _is_one_file(folder, image_id, other):
            line = f"this disk takes {other}.png and {image_id}.png for one file"
            raise InputError(f"{folder}: {line}; rename one of the images, or put this repository on another disk")


def _is_one_file(folder, one, other):
    with tempfile.TemporaryDirectory(dir=folder) as inside, open(os.path.join(inside, one), "w"):
        return os.path.exists(os.path.join(inside, other))
