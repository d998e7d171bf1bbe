"""The results of `make baseline` for a net: the folder runs/baselines/NAME.

plain/ID.png, crf/ID.png   segmentations without and with CRF; no crf/ if the profile has no CRF
results.json               figures, and the inputs and settings that they were made with
index.html                 the page
made/baseline.json         the SHA-256 of the masks, the results and the photos (aepsl.store.records)
"""

import glob
import os
from collections.abc import Mapping, Sequence

from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.data.dataset import Dataset, in_folder, png
from aepsl.graph import run_folder
from aepsl.store import digests, records
from aepsl.store.result import Made

ROOT = os.path.join(run_folder.ROOT, "baselines")
KINDS = ("plain", "crf")
JOB = "baseline"
PATTERNS = (*(f"{kind}/*.png" for kind in KINDS), "results.json", "made/*", "done/*", "index.html")


def path(name: str, *parts: str) -> str:
    """A path in the folder of the baseline `name`."""
    return os.path.join(ROOT, name, *parts)


def results(name: str) -> dict:
    """The content of a baseline's results.json. InputError for a baseline that was not run, and for edited results."""
    file = path(name, "results.json")
    if not os.path.exists(file):
        runs = ", ".join(known()) or "none"
        raise InputError(f"{path(name)}: no such baseline was run; `make baseline` runs one; there are: {runs}")
    _check(name, {file: "results.json"})
    return read_json(file)


def masks(name: str) -> str:
    """The folder of a baseline's segmentations: with CRF if its profile has one."""
    return path(name, "crf" if results(name)["rows"].get("crf") else "plain")


def known() -> list[str]:
    """The names of the baselines that were run to their end, sorted."""
    return sorted(each.split(os.sep)[-2] for each in glob.glob(path("*", "results.json")))


def keep(name: str, word: str, dataset: Dataset, ids: Sequence[str], kinds: Sequence[str]) -> None:
    """Record the SHA-256 of the files of a baseline whose images are all segmented, in masks of these kinds."""
    segmented = [mask for kind in kinds for mask in in_folder(path(name, kind), ids)]
    photos = dict(zip(ids, digests.of(map(dataset.image_path, ids))))
    records.keep(path(name), JOB, word, Made(segmented, [path(name, "results.json")], photos), {})


def check(names: Sequence[str], dataset: Dataset, ids: Sequence[str]) -> None:
    """InputError if the images are others than those that a baseline segmented, or its segmentations were changed."""
    has_photos = os.path.isdir(os.path.join(dataset.root, "JPEGImages"))  # true masks are enough to compare
    photos = {dataset.image_path(image_id): image_id for image_id in ids if has_photos}
    for name in names:
        segmented = {png(path(name, kind), image_id): png(kind, image_id) for kind in KINDS for image_id in ids}
        _check(name, {**segmented, **photos})


def _check(name: str, files: Mapping[str, str]) -> None:
    """InputError if a file is not the recorded one; files: {path: its name in the record}."""
    place, record = records.path_of(path(name), JOB), records.read_record(path(name), JOB)
    if not os.path.lexists(place):
        return  # of an earlier version
    if not (record and isinstance(record["mark"]["value"], dict)):
        raise InputError(f"{place}: is damaged; run the baseline again")
    known = {**record["files"], **record["mark"]["value"]}
    for file, now in zip(files, digests.of(files)):
        if known.get(files[file], now) != now:
            raise InputError(f"{file}: has changed since the baseline {name} was run; run it again")
