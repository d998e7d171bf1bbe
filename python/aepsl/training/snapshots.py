"""Snapshots: a training that was interrupted goes on from the newest one, and ends, on the CPU, with the same bytes.

Caffe's solverstate has the weights, the momentum and the iteration. A batch is a function of (seed, iteration), see
aepsl.layers.data. So are the random numbers of dropout between two snapshots, because each snapshot starts them anew.
The logs up to the snapshot are in snapshot.json:

    {"iteration": of the newest, "rows": a log's entries, and so for each log,
     "snapshots": [{"iteration": ..., "files": {name: [bytes, SHA-256]}}, ...], the two newest, the newest first}

A snapshot counts once snapshot.json names it; its files are on the disk then. What is half-written or damaged is never
restored.
"""

import glob
import os
import sys

import caffe

from aepsl.base.errors import InputError
from aepsl.base.files import flush, read_json, sha256, write_json
from aepsl.training import disk
from aepsl.training.observers import Observer

RECORD = "snapshot.json"
FILES = "snapshot_iter_{}.{}"  # as Caffe writes them after the step, see `snapshot_prefix` in solver.prototxt


class Snapshots(Observer):
    """Resumes a training, and names each snapshot that is kept."""

    def __init__(self, folder, settings, logs):
        self.folder, self.settings, self.logs = folder, settings, logs
        self.record = os.path.join(folder, RECORD)
        self.snapshots = []

    def begin(self, solver):
        """Go on from the newest snapshot that is whole, if there is one; what is damaged is said."""
        logged, snapshots = self._read()
        for number, snapshot in enumerate(snapshots):
            fault = _fault(self.folder, snapshot)
            if not fault:
                self.snapshots = snapshots[number:]
                self._restore(solver, snapshot["iteration"], logged)
                return
            next_one = "an older snapshot is taken" if number + 1 < len(snapshots) else "the training begins anew"
            print(f"{fault}: is damaged or missing; {next_one}", file=sys.stderr)

    def _read(self):
        """The entries of each log, and the snapshots; none if snapshot.json is missing or damaged."""
        if not os.path.exists(self.record):
            return {}, []
        try:
            state = read_json(self.record)
            return {log.name: state[log.name] for log in self.logs}, state["snapshots"]
        except (InputError, KeyError, TypeError):
            print(f"{self.record}: is damaged; the training begins anew", file=sys.stderr)
            return {}, []

    def _restore(self, solver, iteration, logged):
        solver.restore(os.path.join(self.folder, FILES.format(iteration, "solverstate")))
        solver.net.layers[0].start(iteration)
        for log in self.logs:
            log.entries = logged[log.name][:iteration]
        _seed(self.settings.random_seed, iteration)

    def after(self, iteration):
        if not is_kept(self.settings, iteration):
            return
        files = {}
        for kind in ("caffemodel", "solverstate"):
            name = FILES.format(iteration, kind)
            path = os.path.join(self.folder, name)
            disk.check_whole(path)
            flush(path)
            files[name] = [os.path.getsize(path), sha256(path)]
        self.snapshots = [dict(iteration=iteration, files=files), *self.snapshots[:1]]
        logged = {log.name: log.entries for log in self.logs}
        write_json(self.record, dict(iteration=iteration, **logged, snapshots=self.snapshots))
        _remove_others(self.folder, self.snapshots)
        _seed(self.settings.random_seed, iteration)


def is_kept(settings, iteration):
    """Whether Caffe has written a snapshot after this step, and one that is kept: that of the last step is not."""
    return iteration % settings.snapshot == 0 and iteration < settings.max_iter


def clear(folder):
    """Remove all snapshots of a training that is done."""
    path = os.path.join(folder, RECORD)
    if os.path.exists(path):
        os.unlink(path)
    _remove_others(folder, [])


def _remove_others(folder, snapshots):
    """Remove the files of the folder's snapshots that are not among `snapshots`."""
    kept = {name for snapshot in snapshots for name in snapshot["files"]}
    for path in glob.glob(os.path.join(glob.escape(folder), FILES.format("*", "*"))):
        if os.path.basename(path) not in kept:
            os.unlink(path)


def _fault(folder, snapshot):
    """The first file of a snapshot that is not as it was written, or None."""
    for name, (size, value) in snapshot["files"].items():
        path = os.path.join(folder, name)
        if not os.path.exists(path) or os.path.getsize(path) != size or sha256(path) != value:
            return path
    return None


def _seed(seed, iteration):
    """Dropout after a snapshot is a function of (seed, iteration), in a resumed run as in one that was not."""
    caffe.set_random_seed((seed * 1_000_003 + iteration) % 2**31)
