"""What a command reads and what it writes, by the names of its options, and the one rule between the two.

No output may be an input, hold one, or lie in one, links resolved: results would replace what they are made of.
`cli.Parser` looks at that as soon as it has read the options, before anything is written; no command can forget it. A
command whose places are not all named by options says the others: `cli.parser(..., places=)`.
"""

import contextlib
import glob
import os
from typing import NamedTuple

from aepsl.base.errors import InputError
from aepsl.graph import run_folder
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment

INPUTS = (
    "before classes data data_set deploy experiment gt ids images list list_name list_path maps masks model paths pred"
    " profile regions run saliency sbd sources test vgg voc weights"
).split()
OUTPUTS = "html json out written".split()
SEEN = set(INPUTS) - set("data data_set experiment profile run sources".split())  # what is typed in the image
UNSEEN = "name that folder with DATA=, or put a link to it into the top folder of this repository"
FIGURES = ("html", "json")  # that are part of no run, whose own have such names too
LISTS = ("list", "list_name")  # the path of a list, or the name of one of the data set
DEPTH = 3  # of folders that links are looked for in: ImageSets/Segmentation/LIST.txt
REMEDY = "the result would replace what it is made of; name another place for one of the two"


class Place(NamedTuple):
    """name: of its option; path: as it was given; real: where it lies, links resolved."""

    name: str
    path: str
    real: str

    def __str__(self):
        return f"{self.name} {self.path}".lstrip()


def check_seen(asked):
    """InputError for an input that the container does not see: elsewhere, or behind a link to elsewhere.

    asked: {option: its value}. A file that is missing in a folder that is there, the commands themselves complain of.
    """
    for place in [place for key in SEEN for place in _given(key, asked, {})]:
        path = there = os.path.abspath(place.path)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        is_here = path.startswith(os.path.join(os.getcwd(), "")) or there in (path, os.path.dirname(path))
        if os.path.exists(there) and (is_here or "AEPSL_IMAGE" not in os.environ):
            continue
        leads = "" if os.path.exists(there) else f"leads to {os.readlink(there)}, which "
        raise InputError(f"{place.path}: {leads}is not there, or not in a folder that the image sees; {UNSEEN}")


def of_run(*names):
    """What is read of the runs of these experiments, and the data sets that they have where none is named."""
    folders = [os.path.join(run_folder.ROOT, name) for name in names]
    return dict(run=folders, data_set=[os.path.join("data", name) for name in names])


def check_apart(asked, names):
    """InputError unless the rule holds.

    asked: {option: its value}, and what the command adds; names: {option: how it is typed}.
    """
    outputs = {key: _given(key, asked, names) for key in OUTPUTS if asked.get(key)}
    inputs = [place for key in INPUTS for place in _given(key, asked, names)] if outputs else []
    inputs += [place for each in inputs for place in _behind(each)]
    runs = [place for run in _begun() for place in _resolved("the run", run)] if set(outputs) & set(FIGURES) else []
    for key, places in outputs.items():
        for place in places:
            for other in inputs + runs * (key in FIGURES):
                _check_two(place, other)


def _check_two(output, other):
    relations = {
        "is": output.real == other.real,
        "lies in": output.real.startswith(os.path.join(other.real, "")),
        "holds": other.real.startswith(os.path.join(output.real, "")),
    }
    for relation in filter(relations.get, relations):
        raise InputError(f"{output}: {relation} {other}; {REMEDY}")


def _given(key, asked, names):
    """The Places that an option names."""
    value = asked.get(key)
    if isinstance(value, Experiment):
        value = os.path.join(experiments.FOLDER, value.name)
    values = value if isinstance(value, list) else [value]
    paths = [path for path in values if path and (key not in LISTS or os.sep in path)]
    return [place for path in paths for place in _resolved(names.get(key, ""), path)]


def _resolved(name, path):
    """A path as Places: what it leads to, and if it is a link, where that lies."""
    plain = path.rstrip(os.sep) or os.sep
    found = [Place(name, path, os.path.realpath(plain))]
    if os.path.islink(plain):
        folder = os.path.realpath(os.path.dirname(plain) or os.curdir)
        found.append(Place(name, path, os.path.join(folder, os.path.basename(plain))))
    return found


def _behind(place, depth=DEPTH):
    """The Places that links in a folder lead to."""
    with contextlib.suppress(OSError):  # no folder; or one that the command itself will complain of
        for entry in os.scandir(place.real):
            inside = place._replace(path=os.path.join(place.path, entry.name), real=entry.path)
            if entry.is_symlink():
                inside = inside._replace(real=os.path.realpath(entry.path))
                yield inside
            if depth > 1 and entry.is_dir():
                yield from _behind(inside, depth - 1)


def _begun():
    """The folders of the runs that have begun."""
    return [os.path.dirname(done) for done in glob.glob(os.path.join(run_folder.ROOT, "*", "done"))]
