"""A training: Caffe's solver, a loop of its steps, and the observers that are called after each."""

import os
from collections.abc import Sequence

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tqdm import tqdm

from aepsl.base.files import read_text, write_json
from aepsl.nets import build, caffemodel
from aepsl.training import snapshots
from aepsl.training.diagnosis import Finiteness, Saturation, constant_loss
from aepsl.training.observers import Losses, Progress
from aepsl.training.psl_log import AuxiliaryMasks


def run(task: str, labels: np.ndarray, out: str, initial: Sequence[str] = (), on_cpu: bool = True) -> None:
    """Run the solver of the folder `out` to its end, from its newest snapshot if there is one.

    labels: N x C of all images, 0 or 1; initial: caffemodels. Each overwrites the layers that one before it gave, as
    with `caffe train -weights FIRST,SECOND`. Writes log.csv, with PSL psl.csv, train.json, and last final.caffemodel.
    Raises InputError for a training that diverges, for a classification that saturates, and for a full disk.
    """
    path = os.path.join(out, build.SOLVER)
    settings = text_format.Parse(read_text(path), caffe_pb2.SolverParameter())
    solver = caffe.get_solver(path)
    for path in initial:
        caffemodel.load_weights(solver.net, path, build.NEW_LAYERS)

    epoch = settings.snapshot  # iterations; a snapshot ends each
    losses = Losses(out)
    observers = _observers(task, labels, out, settings, losses, on_cpu)
    for each in observers:
        each.begin(solver)  # Snapshots resumes
    left = range(solver.iter, settings.max_iter)
    bar = tqdm(left, initial=solver.iter, total=settings.max_iter, unit="iteration", desc=out, disable=None)
    for _ in bar:
        with np.errstate(invalid="ignore", over="ignore"):  # Finiteness has a better message
            solver.step(1)
        for each in observers:
            each.after(solver.iter)
        bar.set_postfix(loss=f"{losses.mean(1):.3f}", refresh=False)
    for each in observers:
        each.end()

    weights = ",".join(initial) or None
    summary = dict(converged_loss=losses.mean(epoch), constant_loss=constant_loss(labels), weights=weights)
    write_json(os.path.join(out, "train.json"), summary)
    snapshots.save(solver.net, os.path.join(out, "final.caffemodel"))


def _observers(task, labels, out, settings, losses, on_cpu):
    """The observers of a training of `task`, in the order in which they are called."""
    epoch = settings.snapshot
    logs = [losses, AuxiliaryMasks(out, epoch)] if task == "psl" else [losses]
    return [
        Finiteness(out, task, settings, on_cpu),  # first, so that no snapshot has values that are not finite
        *logs,
        Progress(out, losses),
        snapshots.Snapshots(out, settings, logs),  # after the logs, whose entries it writes
        *([Saturation(out, losses, labels, epoch)] if task == "classification" else []),
    ]
