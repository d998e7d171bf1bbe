"""Observers: what may watch a training, and those that note how it goes. See aepsl.training.solve."""

import contextlib
import json
import math
import os
import time

import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.files import write_bytes, write_text

SHORTEST = 20  # iterations whose mean loss says something


class Observer:
    """Is told how a training goes; what it does not care for, it leaves as here. InputError ends the training."""

    def begin(self, solver):
        """The first step is next; the solver has its weights, and after Snapshots.begin those of the snapshot."""
        self.net = solver.net

    def after(self, iteration):
        """So many steps are done, those before an interruption included."""

    def end(self):
        """All steps are done; final.caffemodel is not written yet."""


class Losses(Observer):
    """Writes log.csv. An entry: the iteration, from 0, and its losses; their sum is the objective."""

    name = "rows"  # of `entries`, one an iteration, in snapshot.json

    def __init__(self, folder):
        self.folder, self.entries = folder, []

    def after(self, iteration):
        self.entries.append([iteration - 1] + [float(self.net.blobs[name].data) for name in self.net.outputs])

    def mean(self, count):
        """Mean objective of the last `count` iterations."""
        return float(np.mean([sum(row[1:]) for row in self.entries[-count:]]))

    def end(self):
        write_table(os.path.join(self.folder, "log.csv"), ["iteration", *self.net.outputs], self.entries)


def write_table(path, columns, rows):
    """A CSV file of numbers: the first of each row as it is, the others to six digits."""
    cells = [columns, *([str(first), *(f"{value:.6g}" for value in others)] for first, *others in rows)]
    write_text(path, "".join(",".join(row) + "\n" for row in cells))


class Progress(Observer):
    """Leaves the iteration and the mean of SHORTEST losses, at most once a second, for those who watch (run.status)."""

    def __init__(self, folder, losses):
        self.folder, self.losses, self.told = folder, losses, -math.inf

    def begin(self, solver):
        clear_progress(self.folder)

    def after(self, iteration):
        if time.monotonic() - self.told < 1:
            return
        self.told = time.monotonic()
        state = dict(iteration=iteration, loss=self.losses.mean(SHORTEST))
        with contextlib.suppress(InputError, OSError):  # a full disk ends the training where it does
            write_bytes(_progress(self.folder), json.dumps(state).encode(), flushed=False)


def clear_progress(folder):
    """Remove what a training, or one that was interrupted, has told."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_progress(folder))


def _progress(folder):
    return os.path.join(folder, "progress.json")
