"""What differs today from what a run's figures were made of, and which stages a start would make anew."""

import datetime
import os
import sys

from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.run import inputs, rows
from aepsl.settings import experiments
from aepsl.store import records

DATA = tuple(f"{key}.{part}" for key, parts in inputs.PARTS.items() for part in parts)


def lines(experiment, data=None):
    """(lines, names of inputs of the data set that differ); experiment: the run's own; data: root that a user names."""
    run = RunFolder(experiment.name)
    if not os.path.exists(run.start):
        return [], []
    try:
        own, start = graph.read(run.path)
        settings = _settings(own.experiment)
        contents = _contents(settings, start, data)
    except InputError as error:
        return [f"{error}; what this run was made of cannot be compared with it"], []
    except (*DAMAGED, ValueError, AttributeError):
        return [f"{run.start}: is damaged; the run's next start makes it anew"], []
    found = []
    left = [stage.name for stage in own.needed() if not own.is_done(stage.name)]
    if left and os.path.exists(run.results):
        line = f"{run.results}: was made before the last start, whose settings and data may be others"
        found.append(f"{line}; it makes anew: {', '.join(left)}")
    keys = [".".join(path) for path, _ in flat(experiments.difference(settings.settings(), own.experiment.settings()))]
    others = [name for name in DATA if contents.get(name) != start.contents.get(name)]
    if keys or others:
        now = graph.Graph(settings, start.weights, start.maps, contents, None, start.nets, start.rows)
        stages = ", ".join(_anew(own, now)) or "no stage"
        what = [f"`{', '.join(keys)}` of experiment.yaml"] * bool(keys)
        what += [f"{', '.join(others)} of the data"] * bool(others)
        line = f"{run.path}: its figures are of the settings and data of its start; today {' and '.join(what)} differ"
        found.append(f"{line}; a start would make anew: {stages}")
    return found, others


def tell(experiment, data=None):
    """Print `lines` on stderr: for a command that uses what a run has made."""
    for line in lines(experiment, data)[0]:
        print(line, file=sys.stderr)


def tell_anew(found):
    """Say which finished stages a start makes anew, before it does, and how long they took; found: its Graph."""
    stages = _anew(found, found)
    if stages:
        took = found.run.seconds()
        seconds = datetime.timedelta(seconds=round(sum(took.get(name, 0) for name in stages)))
        line = f"{found.run.path}: made anew, of today's settings and data: {', '.join(stages)}"
        print(f"{line}; what is there of these took {seconds}, and is replaced", file=sys.stderr, flush=True)


def _settings(own):
    """Today's settings of an experiment; those of the run where it has no file of its own, or was made with ROW=."""
    if own.name not in experiments.known():
        return own
    now = experiments.load(own.name)
    if now.rows == own.rows:
        return now
    few = rows.only(graph.Graph(now), [row for row in own.rows if row in graph.Graph(now).rows])
    return own if few.settings() == own.settings() else now


def _contents(settings, start, data):
    """Today's contents of the data set that the user names, or of the run's; as they were where it is not there."""
    has_own = settings.synthetic or not os.path.exists(os.path.join(data or "", "image_labels.txt"))
    now = inputs.contents_of(settings, start.data if has_own else data, None, None)
    kept = ("weights", "fc6_fc7", "maps", *["detector"] * bool(start.maps))  # of files that may not be mounted
    return {**start.contents, **{name: each for name, each in now.items() if each and name not in kept}}


def _anew(own, now):
    """The names of the stages that are done of `own`, and would be made again of `now`."""
    stages, run = [], own.run.path
    for stage in now.needed():
        if stage.name in own.stages and own.is_done(stage.name):
            made = [records.read_record(run, job) for job in now.jobs(stage.name)]
            word = None if set(stages).intersection(stage.needs) else now.word(stage)
            if word is None or any(record is None or record["word"] != word for record in made):
                stages.append(stage.name)
    return stages


def flat(changes, above=()):
    """((key, key, ...), value) of nested dicts."""
    for key, value in changes.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*above, key))
        else:
            yield (*above, key), value
