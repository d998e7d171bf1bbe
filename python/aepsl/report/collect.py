"""Gathers what a run has so far: results.json where it is finished, else what its stages have left."""

import os

from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.graph.graph import Graph
from aepsl.paper import published, recipes
from aepsl.run.state import state_of
from aepsl.stages.results import losses


def gathered(experiment):
    """What results.json holds, or as much of it as there is, and: 'paper', whether the paper's figures compare;
    'images', {"train": n, "val": n}; 'missing', the names of the stages that are not done.

    Raises InputError for a run that has not begun.
    """
    graph = Graph(experiment)
    folder = graph.run
    if not folder.has_begun():
        raise InputError(f"{folder.path}: is no run that has begun; `make reproduce` begins one, `make demo` another")
    found = read_json(folder.results) if os.path.exists(folder.results) else so_far(experiment, folder)
    found.setdefault("main", recipes.main_row(experiment.rows))
    found.setdefault("peak_mib", folder.peaks())
    found["paper"] = experiment.name == published.PAPERS_EXPERIMENT
    found["images"] = folder.images()
    found["missing"] = [stage.name for stage in graph.needed() if not graph.is_done(stage.name)]
    return found


def so_far(experiment, folder):
    """As results.json, of a run that is not finished: what its steps have left."""
    found = dict(rows={}, mining={}, losses={}, thresholds=[], examples={}, seconds=folder.seconds())
    for t in range(1, experiment.mining.steps + 1):
        log = os.path.join(folder.classification(t), "log.csv")
        if os.path.exists(log):
            found["losses"][f"step{t}"] = losses(log)
        trained = os.path.join(folder.classification(t), "train.json")
        if os.path.exists(folder.shares(t)) and os.path.exists(trained):
            converged = read_json(trained)["converged_loss"]
            found["mining"][f"step{t}"] = dict(read_json(folder.shares(t)), converged_loss=converged)
    if os.path.exists(folder.thresholds):
        found["thresholds"] = read_json(folder.thresholds)
    return found


def progress(experiment):
    """[(stage, how much is done, a note)] of the stages that are not done."""
    graph = Graph(experiment)
    images = graph.run.images()
    left = [stage for stage in graph.shown() if not graph.is_done(stage.name)]
    states = [state_of(stage, images) for stage in left]
    return [(stage.name, state.counted, state.note) for stage, state in zip(left, states)]
