"""Gathers what a run has so far: results.json where it is finished, else what its stages have left."""

import os

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_table
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import published
from aepsl.run import status


def gathered(experiment):
    """What results.json holds, or as much of it as there is, and: 'paper', whether the paper's figures compare;
    'images', {"train": n, "val": n}; 'missing', the names of the stages that are not done.

    Raises InputError for a run that has not begun.
    """
    folder = RunFolder(experiment)
    if not os.path.isdir(folder.path) or not os.listdir(folder.path):
        raise InputError(f"{folder.path}: is no run that has begun; `make reproduce` begins one, `make demo` another")
    found = read_json(folder.results) if os.path.exists(folder.results) else so_far(folder)
    found.setdefault("main", folder.main_row())
    found.setdefault("peak_mib", folder.peaks())
    found["paper"] = experiment["name"] == published.PAPERS_EXPERIMENT
    found["images"] = folder.images()
    found["missing"] = [stage.name for stage in folder.stages() if not folder.is_done(stage.name)]
    return found


def so_far(folder):
    """As results.json, of a run that is not finished: what its steps have left."""
    found = dict(rows={}, mining={}, losses={}, thresholds=[], examples={}, seconds=folder.seconds())
    for t in folder.steps:
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


def losses(path):
    """[[iteration, loss], ...] of a training's log.csv."""
    iterations, losses, *_ = read_table(path, ["iteration"]).values()
    return [[int(iteration), loss] for iteration, loss in zip(iterations, losses)]


def progress(experiment):
    """[(stage, how much is done, a note)] of the stages that are not done."""
    folder = RunFolder(experiment)
    images = folder.images()
    left = [stage for stage in folder.stages() if not folder.is_done(stage.name)]
    states = [status.state_of(stage, images) for stage in left]
    return [(stage.name, state.counted, state.note) for stage, state in zip(left, states)]
