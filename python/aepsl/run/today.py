"""Compares the settings and data of today with those of a run, and lists the stages that a start would make anew."""

import datetime
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.run import inputs, rows
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.store import digests, records


def lines(experiment: Experiment, data: Optional[str] = None) -> tuple[list[str], list[str]]:
    """(lines, names of the data set's inputs that differ); experiment: the run's own; data: the user's path."""
    run = RunFolder(experiment.name)
    if not os.path.exists(run.start):
        return [], []
    try:
        return _lines(run, data)
    except InputError as error:
        return [f"{error}; what this run was made of cannot be compared with it"], []
    except DAMAGED:
        return [f"{run.start}: is damaged; the run's next start makes it anew"], []


def _lines(run: RunFolder, data: Optional[str]) -> tuple[list[str], list[str]]:
    """`lines`, unless a file is damaged."""
    own, found = graph.read(run.path), []
    settings = _settings(own.experiment)
    contents = _contents(settings, own.start, data)
    left = [stage.name for stage in own.needed() if not own.is_done(stage.name)]
    if left and os.path.exists(run.results):
        line = f"{run.results}: was made before the last start, whose settings and data may be others"
        found.append(f"{line}; it makes anew: {', '.join(left)}")
    keys = [".".join(path) for path, _ in flat(experiments.difference(settings.settings(), own.experiment.settings()))]
    others = [name for name in inputs.DATA if contents.get(name) != own.start.contents.get(name)]
    if keys or others:
        now = graph.Graph(settings, own.start._replace(contents=contents))
        stages = ", ".join(_anew(own, now)) or "no stage"
        what = [f"`{', '.join(keys)}` of experiment.yaml"] * bool(keys)
        what += [f"{', '.join(others)} of the data"] * bool(others)
        line = f"{run.path}: its figures are of the settings and data of its start; today {' and '.join(what)} differ"
        found.append(f"{line}; a start would make anew: {stages}")
    return found, others


def tell(experiment: Experiment, data: Optional[str] = None) -> None:
    """Print `lines` on stderr: for a command that uses a run's results."""
    for line in lines(experiment, data)[0]:
        print(line, file=sys.stderr)


def check_unchanged(run: str, paths: Iterable[str]) -> None:
    """InputError if a file is not as its stage wrote it; run: the run's folder; paths: files, of which some are its."""
    known: dict[str, str] = {}
    for record in glob.glob(os.path.join(glob.escape(run), "made", "*.json")):
        known.update((records.read_record(run, os.path.basename(record)[: -len(".json")]) or {"files": {}})["files"])
    own = [path for path in paths if os.path.relpath(path, run) in known]
    changed = [path for path, now in zip(own, digests.of(own)) if known[os.path.relpath(path, run)] != now]
    if changed:
        line = f"of the run's files that are read, {len(changed)} were changed since its stages wrote them"
        raise InputError(f"{changed[0]}: {line}; start the run again, which makes them anew")


def tell_anew(found: graph.Graph) -> None:
    """Say which finished stages a start makes anew, before it does, and how long they took; found: its Graph."""
    stages = _anew(found, found, found.start.targets)
    if stages:
        took = found.run.seconds()
        seconds = datetime.timedelta(seconds=round(sum(took.get(name, 0) for name in stages)))
        line = f"{found.run.path}: made anew, of today's settings and data: {', '.join(stages)}"
        print(f"{line}; what is there of these took {seconds}, and is replaced", file=sys.stderr, flush=True)


def _settings(own: Experiment) -> Experiment:
    """Today's settings of an experiment; the run's own where there is no file of that name, or ROW= alone differs."""
    if own.name not in experiments.known():
        return own
    now = experiments.load(own.name)
    whole = graph.Graph(now)
    return own if set(own.rows) <= set(whole.rows) and rows.only(whole, own.rows) == own else now


def _contents(settings: Experiment, start: graph.Start, data: Optional[str]) -> graph.Contents:
    """Today's contents of the user's data set, or of the run's; the recorded ones for files that are missing."""
    if not data or settings.synthetic or not os.path.exists(os.path.join(data, "image_labels.txt")):
        data = start.data
    now = inputs.contents_of(settings, data, None, None)
    kept = ("weights", "fc6_fc7", "maps", *["detector"] * bool(start.maps))  # of files that may not be mounted
    return {**start.contents, **{name: each for name, each in now.items() if each and name not in kept}}


def _anew(own: graph.Graph, now: graph.Graph, targets: Iterable[str] = ("results",)) -> list[str]:
    """The names of the stages that are done in `own`, and would be made again for `targets` of `now`."""
    return [name for name in now.outdated(targets) if name in own.stages and own.is_done(name)]


def flat(changes: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """((key, key, ...), value) of nested dicts."""
    for key, value in changes.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*above, key))
        else:
            yield (*above, key), value
