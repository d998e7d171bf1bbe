"""What `make baseline` leaves of a net: runs/baselines/NAME.

plain/ID.png, crf/ID.png   segmentations without and with CRF; no crf/ where the profile has none
results.json               figures, and what they were made of
index.html                 the page
"""

import glob
import os

from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.graph import run_folder

ROOT = os.path.join(run_folder.ROOT, "baselines")
KINDS = ("plain", "crf")


def path(name, *parts):
    return os.path.join(ROOT, name, *parts)


def results(name):
    """results.json of a baseline. Raises InputError for one that was not run."""
    if not os.path.exists(path(name, "results.json")):
        runs = ", ".join(known()) or "none"
        raise InputError(f"{path(name)}: no such baseline was run; `make baseline` runs one; there are: {runs}")
    return read_json(path(name, "results.json"))


def masks(name):
    """The folder of a baseline's segmentations: with CRF where its profile has one."""
    return path(name, "crf" if results(name)["rows"].get("crf") else "plain")


def known():
    """The names of the baselines that were run to their end, sorted."""
    return sorted(each.split(os.sep)[-2] for each in glob.glob(path("*", "results.json")))
