"""The checks before a run begins: of its nets, its data, the user's maps, and the disk for its results."""

import os
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Optional

from aepsl.base import doors
from aepsl.base.errors import InputError
from aepsl.data import check
from aepsl.data.dataset import Dataset
from aepsl.graph.graph import Contents, Graph
from aepsl.nets import build
from aepsl.run import costs
from aepsl.run.inputs import DATA
from aepsl.saliency import maps as user_maps
from aepsl.settings.typed import Experiment
from aepsl.store import digests, records
from aepsl.store.result import Made

SNAPSHOTS = 4  # files of a training as large as its weights: two snapshots, each with the solver's state
CLEARLY = 4  # the largest error of an estimated size, as a factor: the estimates are of photos


def nets(experiment: Experiment, maps: Optional[str]) -> None:
    """InputError if the detector is not ready, or a net cannot be built; maps: the user's."""
    if not maps:
        doors.load(doors.DETECTORS, experiment.background.detector).ready()
    build.check(experiment)


def run(experiment: Experiment, folder: str, data: str, contents: Contents, maps: Optional[str]) -> None:
    """Check all, once for the same contents. InputError for the first fault. folder: the run's; maps: the user's."""
    word = digests.of_value({name: contents[name] for name in (*DATA, *["maps"] * bool(maps))})
    records.done(folder, "check", word, lambda: (Made([], value=_images(experiment, folder, data, maps)), {}))


def _images(experiment: Experiment, folder: str, data: str, maps: Optional[str]) -> dict[str, int]:
    """{"train": the number of images, "val": ...}. InputError for the first fault."""
    dataset = Dataset(data, experiment.classes)
    train = dataset.ids(experiment.data.train)
    for ids in (train, dataset.ids(experiment.data.val)):
        check_names(folder, ids)
    images = check.run(experiment, data)
    if maps:
        user_maps.maps(maps, dataset, train)
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


def disk(graph: Graph, targets: Sequence[str]) -> None:
    """Warn if the disk may be too small for the results that are left to make; InputError if it clearly is."""
    images = costs.images_of(graph)
    left = [stage for stage in graph.needed(targets) if not graph.is_done(stage.name)]
    sizes = [costs.disk_of(graph, stage, images) for stage in left]
    needed, free = sum(sizes) + SNAPSHOTS * max(sizes, default=0), shutil.disk_usage(graph.run.path).free / 1e9
    line = f"{graph.run.path}: what is left to make takes about {needed:.2f} GB, and {free:.2f} GB of the disk are free"
    if needed > CLEARLY * free:
        raise InputError(f"{line}; make room first")
    if needed > free:
        print(f"warning: {line}; it ends early where that is not enough", file=sys.stderr, flush=True)
