"""The paths that a command reads and those that it writes, by the names of its options, and the one rule for them.

No output may be an input, contain one, or be inside one, links resolved: results would replace what they are made of.
`cli.Parser` checks every command's options, before anything is written. A command that also uses paths which no option
names passes them: `cli.parser(..., places=)`.
"""

import contextlib
import glob
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aepsl.base.errors import InputError
from aepsl.graph import run_folder
from aepsl.settings import experiments, yaml_file
from aepsl.settings.typed import Experiment

INPUTS = (
    "before classes classifier data data_set deploy experiment gt ids images list list_name list_path maps masks model"
    " paths pred profile regions run saliency sbd sources test vgg voc weights"
).split()
OUTPUTS = "html json out written".split()
SEEN = set(INPUTS) - set("data data_set experiment profile run sources".split())  # what is typed in the image
UNSEEN = "name that folder with DATA=, or put a link to it into the top folder of this repository"
FIGURES = ("html", "json")  # outputs that must not be in a run's folder, whose own files have such names
LISTS = ("list", "list_name")  # the path of a list, or the name of one of the data set
DEPTH = 3  # of folders that are searched for links: ImageSets/Segmentation/LIST.txt
REMEDY = "the result would replace what it is made of; name another place for one of the two"


class Place(NamedTuple):
    """name: of its option; path: as it was given; real: the path with links resolved."""

    name: str
    path: str
    real: str

    def __str__(self) -> str:
        return f"{self.name} {self.path}".lstrip()


def check_seen(asked: Mapping[str, Any]) -> None:
    """InputError for an input that the container does not see: in a folder that is not mounted, or behind a link there.

    asked: {option: its value}. A file that is missing in a folder that exists is left to the command.
    """
    for place in [place for key in SEEN for place in _given(key, asked, {})]:
        path = found = os.path.abspath(place.path)
        while not os.path.lexists(found):
            found = os.path.dirname(found)
        is_near = path.startswith(os.path.join(os.getcwd(), "")) or found in (path, os.path.dirname(path))
        if os.path.exists(found) and (is_near or "AEPSL_IMAGE" not in os.environ):
            continue
        leads = "" if os.path.exists(found) else f"leads to {os.readlink(found)}, which "
        raise InputError(f"{place.path}: {leads}is not there, or not in a folder that the image sees; {UNSEEN}")


def check_nets(asked: Mapping[str, Any]) -> None:
    """InputError for a net of a run whose classes are not those of the experiment: values would name other classes.

    Warns if it would be given images of another scale or mean than it learned from. asked: {option: its value}.
    """
    experiment: Any = asked.get("experiment")
    runs = os.path.realpath(run_folder.ROOT)
    for path in [asked.get(key) for key in ("model", "classifier")] * isinstance(experiment, Experiment):
        name = os.path.relpath(os.path.realpath(path), runs).split(os.sep)[0] if path else os.pardir
        settings = run_folder.RunFolder(name).settings
        if name in (os.pardir, experiment.name) or not os.path.exists(settings):
            continue
        theirs = yaml_file.read(settings)
        pairs = itertools.zip_longest(theirs.get("classes", ()), experiment.classes)
        differing = next(((k, *pair) for k, pair in enumerate(pairs, 1) if pair[0] != pair[1]), None)
        if differing:
            fault = "is of the run {}, whose class {} is {}; in {} it is {}"
            fault = fault.format(name, *differing[:2], experiment.name, differing[2])
            raise InputError(f"{path}: {fault}; give --experiment {name}")
        for key, ours in (("scale", experiment.data.scale), ("mean", list(experiment.data.mean))):
            learned = theirs.get("data", {}).get(key, ours)
            if learned != ours:
                line = f"is of the run {name}, with data.{key} {learned}, and {experiment.name} has {ours}"
                print(f"warning: {path}: {line}; --experiment {name} has its settings", file=sys.stderr)


def of_run(*names: str) -> dict[str, Any]:
    """The places of a command that reads the runs of these experiments: their folders, and their own data sets."""
    folders = [os.path.join(run_folder.ROOT, name) for name in names]
    return dict(run=folders, data_set=[os.path.join("data", name) for name in names])


def check_apart(asked: dict[str, Any], names: dict[str, str]) -> None:
    """InputError unless the rule holds.

    asked: {option: its value}, with the places that the command adds; names: {option: how it is typed}.
    """
    outputs = {key: _given(key, asked, names) for key in OUTPUTS if asked.get(key)}
    inputs = [place for key in INPUTS for place in _given(key, asked, names)] if outputs else []
    inputs += [place for each in inputs for place in _behind(each)]
    begun = [os.path.dirname(done) for done in glob.glob(os.path.join(run_folder.ROOT, "*", "done"))]
    runs = [place for run in begun for place in _resolved("the run", run)]
    for key, places in outputs.items():
        for place in places:
            for other in inputs + runs * (key in FIGURES):
                _check_two(place, other)


def _check_two(output: Place, other: Place) -> None:
    relations = {
        "is": output.real == other.real,
        "is inside": output.real.startswith(os.path.join(other.real, "")),
        "contains": other.real.startswith(os.path.join(output.real, "")),
    }
    for relation in filter(relations.get, relations):
        raise InputError(f"{output}: {relation} {other}; {REMEDY}")


def _given(key: str, asked: Mapping[str, Any], names: dict[str, str]) -> list[Place]:
    """The Places that an option names."""
    value = asked.get(key)
    if isinstance(value, Experiment):
        value = os.path.join(experiments.FOLDER, value.name)
    values = value if isinstance(value, list) else [value]
    paths = [path for path in values if path and (key not in LISTS or os.sep in path)]
    return [place for path in paths for place in _resolved(names.get(key, ""), path)]


def _resolved(name: str, path: str) -> list[Place]:
    """A path as Places: its target, and if it is a link, the link itself."""
    plain = path.rstrip(os.sep) or os.sep
    found = [Place(name, path, os.path.realpath(plain))]
    if os.path.islink(plain):
        folder = os.path.realpath(os.path.dirname(plain) or os.curdir)
        found.append(Place(name, path, os.path.join(folder, os.path.basename(plain))))
    return found


def _behind(place: Place, depth: int = DEPTH) -> Iterator[Place]:
    """The targets of the links in a folder, as Places."""
    with contextlib.suppress(OSError):  # not a folder, or not readable: the command itself reports that
        for entry in os.scandir(place.real):
            inside = place._replace(path=os.path.join(place.path, entry.name), real=entry.path)
            if entry.is_symlink():
                inside = inside._replace(real=os.path.realpath(entry.path))
                yield inside
            if depth > 1 and os.path.isdir(entry.path):  # entry.is_dir() raises an error for a loop of links
                yield from _behind(inside, depth - 1)
