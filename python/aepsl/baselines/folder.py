"""The results of `make baseline` for a net: the folder runs/baselines/NAME.

plain/ID.png, crf/ID.png   segmentations without and with CRF; no crf/ if the profile has no CRF
results.json               figures, and the inputs and settings that they were made with
files.json                 {ID: the SHA-256 of the image and of its segmentations}
index.html                 the page
"""

import glob
import os
from collections.abc import Sequence
from typing import Any

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json
from aepsl.data.dataset import Dataset, in_folder, png
from aepsl.graph import run_folder
from aepsl.settings.check import validator
from aepsl.store import digests

ROOT = os.path.join(run_folder.ROOT, "baselines")
KINDS = ("plain", "crf")
FILES = "files.json"
PATTERNS = (*(f"{kind}/*.png" for kind in KINDS), "results.json", FILES, "index.html")
_FIGURE = dict(required=["miou", "crf", "images"], properties=dict(miou=dict(type="number")))
SCHEMAS: dict[str, dict[str, Any]] = {  # what is read of the two
    "results.json": dict(
        type="object",
        required=["rows", "published"],
        properties=dict(rows=dict(type="object"), published=dict(type="array", items=dict(type="object", **_FIGURE))),
    ),
    FILES: dict(type="object", additionalProperties=dict(type="object")),
}


def path(name: str, *parts: str) -> str:
    """A path in the folder of the baseline `name`."""
    return os.path.join(ROOT, name, *parts)


def results(name: str) -> dict:
    """The content of a baseline's results.json. Raises InputError for a baseline that was not run."""
    if not os.path.exists(path(name, "results.json")):
        runs = ", ".join(known()) or "none"
        raise InputError(f"{path(name)}: no such baseline was run; `make baseline` runs one; there are: {runs}")
    return _read(name, "results.json")


def _read(name: str, file: str) -> Any:
    """The value of a JSON file; InputError if it was edited or damaged."""
    found = read_json(path(name, file))
    if not validator(SCHEMAS[file]).is_valid(found):
        raise InputError(f"{path(name, file)}: is not as `make baseline` writes it; run the baseline again")
    return found


def masks(name: str) -> str:
    """The folder of a baseline's segmentations: with CRF if its profile has one."""
    return path(name, "crf" if results(name)["rows"].get("crf") else "plain")


def known() -> list[str]:
    """The names of the baselines that were run to their end, sorted."""
    return sorted(each.split(os.sep)[-2] for each in glob.glob(path("*", "results.json")))


def keep_digests(name: str, dataset: Dataset, ids: Sequence[str]) -> None:
    """Write FILES, of a baseline whose images are all segmented."""
    write_json(path(name, FILES), _digests(name, dataset, ids))


def remove_changed(name: str, dataset: Dataset, ids: Sequence[str]) -> None:
    """Remove the segmentations that are not those of FILES any more: they are made anew."""
    for image_id, kind in _changed(name, dataset, ids):
        mask = png(path(name, kind), image_id)
        if kind in KINDS and os.path.lexists(mask):
            os.unlink(mask)


def check(names: Sequence[str], dataset: Dataset, ids: Sequence[str]) -> None:
    """InputError if the images are others than those that a baseline segmented, or its segmentations were changed."""
    for name in names:
        for image_id, kind in _changed(name, dataset, ids):
            what = f"segmentation of {image_id} was changed" if kind in KINDS else f"photo was another {image_id}"
            raise InputError(f"{path(name)}: its {what}; run the baseline again, with DATA={dataset.root}")


def _changed(name: str, dataset: Dataset, ids: Sequence[str]) -> list[tuple[str, str]]:
    """[(id, 'image' or one of KINDS)] of the files that are not those of FILES; none where that is missing."""
    known = _read(name, FILES) if os.path.exists(path(name, FILES)) else {}
    now = _digests(name, dataset, [image_id for image_id in ids if image_id in known])
    return [
        (image_id, kind)
        for image_id in now
        for kind, value in now[image_id].items()
        if value != known[image_id].get(kind)
    ]


def _digests(name: str, dataset: Dataset, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    files = {kind: in_folder(path(name, kind), ids) for kind in KINDS}
    if os.path.isdir(os.path.join(dataset.root, "JPEGImages")):  # true masks are enough to compare
        files["image"] = [dataset.image_path(image_id) for image_id in ids]
    found = {kind: digests.of(paths) for kind, paths in files.items()}
    return {image_id: {kind: found[kind][k] for kind in found} for k, image_id in enumerate(ids)}
