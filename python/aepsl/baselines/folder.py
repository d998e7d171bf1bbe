"""The results of `make baseline` for a net: the folder runs/baselines/NAME.

plain/ID.png, crf/ID.png   segmentations without and with CRF; no crf/ if the profile has no CRF
results.json               figures, and the inputs and settings that they were made with
index.html                 the page
"""

import glob
import os

from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.graph import run_folder

ROOT = os.path.join(run_folder.ROOT, "baselines")
KINDS = ("plain", "crf")


def path(name: str, *parts: str) -> str:
    """A path in the folder of the baseline `name`."""
    return os.path.join(ROOT, name, *parts)


def results(name: str) -> dict:
    """The content of a baseline's results.json. Raises InputError for a baseline that was not run."""
    if not os.path.exists(path(name, "results.json")):
        runs = ", ".join(known()) or "none"
        raise InputError(f"{path(name)}: no such baseline was run; `make baseline` runs one; there are: {runs}")
    return read_json(path(name, "results.json"))


def masks(name: str) -> str:
    """The folder of a baseline's segmentations: with CRF if its profile has one."""
    return path(name, "crf" if results(name)["rows"].get("crf") else "plain")


def known() -> list[str]:
    """The names of the baselines that were run to their end, sorted."""
    return sorted(each.split(os.sep)[-2] for each in glob.glob(path("*", "results.json")))
