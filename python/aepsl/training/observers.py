"""Observers of a training: their base class, and those that write the losses and the progress. See training.solve."""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Sequence

import caffe
import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.files import write_bytes, write_text

PROGRESS = "progress.json"
SHORTEST = 20  # iterations; the mean loss of fewer scatters too much


class Observer:
    """Is called during a training; a subclass overrides what it needs. An InputError from it ends the training."""

    def begin(self, solver: caffe.SGDSolver) -> None:
        """Called before the first step. The solver has its weights; after Snapshots.begin, those of the snapshot."""
        self.net = solver.net

    def after(self, iteration: int) -> None:
        """Called after a step; iteration: how many steps are done, also before an interruption."""

    def end(self) -> None:
        """Called after the last step, before final.caffemodel is written."""


class Losses(Observer):
    """Writes log.csv. An entry: the iteration, from 0, and its losses; their sum is the objective."""

    name = "rows"  # of `entries`, one an iteration, in snapshot.json

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.entries: list[list[float]] = []

    def after(self, iteration: int) -> None:
        self.entries.append([iteration - 1] + [float(self.net.blobs[name].data) for name in self.net.outputs])

    def mean(self, count: int) -> float:
        """Mean objective of the last `count` iterations."""
        return float(np.mean([sum(row[1:]) for row in self.entries[-count:]]))

    def end(self) -> None:
        write_table(os.path.join(self.folder, "log.csv"), ["iteration", *self.net.outputs], self.entries)


def write_table(path: str, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV file of numbers: the first of each row as it is, the others with six digits."""
    cells = [columns, *([str(first), *(f"{value:.6g}" for value in others)] for first, *others in rows)]
    write_text(path, "".join(",".join(row) + "\n" for row in cells))


class Progress(Observer):
    """Writes the iteration and the mean of SHORTEST losses to progress.json, at most once a second, for run.status."""

    def __init__(self, folder: str, losses: Losses) -> None:
        self.folder, self.losses, self.told = folder, losses, -math.inf

    def begin(self, solver: caffe.SGDSolver) -> None:
        clear_progress(self.folder)

    def after(self, iteration: int) -> None:
        if time.monotonic() - self.told < 1:
            return
        self.told = time.monotonic()
        state = dict(iteration=iteration, loss=self.losses.mean(SHORTEST))
        with contextlib.suppress(InputError, OSError):  # a full disk does not end the training here
            write_bytes(os.path.join(self.folder, PROGRESS), json.dumps(state).encode(), flushed=False)


def clear_progress(folder: str) -> None:
    """Remove the progress of a training that is done, or was interrupted."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, PROGRESS))
