"""Snapshots: an interrupted training continues from the newest one. On the CPU it ends with the same bytes.

Caffe's solverstate has the weights, the momentum and the iteration. A batch is a function of (seed, iteration), see
aepsl.layers.data. So are the random numbers of dropout, because they are seeded anew at each snapshot. The logs up to
the snapshot are in snapshot.json:

    {"iteration": of the newest, "rows": a log's entries, and so for each log,
     "snapshots": [{"iteration": ..., "files": {name: [bytes, SHA-256]}}, ...], the two newest, the newest first}

A snapshot is used only if snapshot.json names it; its files are on the disk then. A file that is half-written or
damaged is never restored.
"""

import contextlib
import glob
import os
import sys

import caffe
from caffe.proto import caffe_pb2

from aepsl.base.errors import InputError
from aepsl.base.files import check_room, flush, no_room, read_json, sha256, write_json, written_whole
from aepsl.nets import caffemodel
from aepsl.training.observers import Observer

RECORD = "snapshot.json"
FILES = "snapshot_iter_{}.{}"  # as Caffe writes them after the step, see `snapshot_prefix` in solver.prototxt


class Snapshots(Observer):
    """Resumes a training, and records its snapshots in snapshot.json. Checks that there is room for the next one."""

    def __init__(self, folder: str, settings: caffe_pb2.SolverParameter, logs: list) -> None:
        """logs: the observers with `name` and `entries`."""
        self.folder, self.settings, self.logs = folder, settings, logs
        self.record = os.path.join(folder, RECORD)
        self.snapshots: list[dict] = []

    def begin(self, solver: caffe.SGDSolver) -> None:
        """Restore the newest snapshot that is whole, if there is one; warn of a damaged one."""
        super().begin(solver)
        self._resume(solver)
        self._check_room(solver.iter)

    def _resume(self, solver):
        logged, snapshots = self._read()
        for number, snapshot in enumerate(snapshots):
            fault = _fault(self.folder, snapshot)
            if not fault:
                self.snapshots, iteration = snapshots[number:], snapshot["iteration"]
                solver.restore(os.path.join(self.folder, FILES.format(iteration, "solverstate")))
                solver.net.layers[0].start(iteration)
                for log in self.logs:
                    log.entries = logged[log.name][:iteration]
                _seed(self.settings.random_seed, iteration)
                return
            next_one = "an older snapshot is taken" if number + 1 < len(snapshots) else "the training begins anew"
            print(f"{fault}: is damaged or missing; {next_one}", file=sys.stderr)

    def _read(self):
        """({log: its entries}, the snapshots) of snapshot.json; both empty if it is missing or damaged."""
        try:
            state = read_json(self.record)
            return {log.name: state[log.name] for log in self.logs}, state["snapshots"]
        except (InputError, KeyError, TypeError):
            if os.path.exists(self.record):
                print(f"{self.record}: is damaged; the training begins anew", file=sys.stderr)
            return {}, []

    def after(self, iteration: int) -> None:
        if is_kept(self.settings, iteration):
            self._keep(iteration)
        self._check_room(iteration)

    def _check_room(self, iteration):
        if (iteration + 1) % self.settings.snapshot == 0:
            check_room_for(self.net, self.folder)

    def _keep(self, iteration):
        files = {}
        for kind in ("caffemodel", "solverstate"):
            name = FILES.format(iteration, kind)
            path = os.path.join(self.folder, name)
            check_whole(path)
            flush(path)
            files[name] = [os.path.getsize(path), sha256(path)]
        self.snapshots = [dict(iteration=iteration, files=files), *self.snapshots[:1]]
        logged = {log.name: log.entries for log in self.logs}
        write_json(self.record, dict(iteration=iteration, **logged, snapshots=self.snapshots))
        _remove_others(self.folder, self.snapshots)
        _seed(self.settings.random_seed, iteration)


def is_kept(settings: caffe_pb2.SolverParameter, iteration: int) -> bool:
    """Whether Caffe's snapshot after this step is kept: every one, except that of the last step."""
    return iteration % settings.snapshot == 0 and iteration < settings.max_iter


def clear(folder: str) -> None:
    """Remove all snapshots of a training that is done."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, RECORD))
    _remove_others(folder, [])


def _remove_others(folder, snapshots):
    """Remove the files of the folder's snapshots that are not among `snapshots`."""
    kept = {name for snapshot in snapshots for name in snapshot["files"]}
    for path in glob.glob(os.path.join(glob.escape(folder), FILES.format("*", "*"))):
        if os.path.basename(path) not in kept:
            os.unlink(path)


def _fault(folder, snapshot):
    """The first file of a snapshot that is missing or has changed, or None."""
    for name, (size, value) in snapshot["files"].items():
        path = os.path.join(folder, name)
        if not os.path.exists(path) or os.path.getsize(path) != size or sha256(path) != value:
            return path
    return None


def _seed(seed, iteration):
    """Seed Caffe's random numbers from (seed, iteration), so that dropout is the same in a resumed run."""
    caffe.set_random_seed((seed * 1_000_003 + iteration) % 2**31)


# For a disk that may be full: Caffe would abort, or write half a file without a message.


def check_room_for(net: caffe.Net, folder: str) -> None:
    """Raise InputError unless a snapshot of the net has room in `folder`."""
    size = 4 * sum(blob.count for blobs in net.params.values() for blob in blobs)
    check_room(folder, 2 * size + (1 << 20))  # the solver's state is as large


def check_whole(path: str) -> None:
    """Raise FullDisk if the file that Caffe has just written, weights or a solver's state, was cut short."""
    kind = caffe_pb2.SolverState if path.endswith(".solverstate") else caffe_pb2.NetParameter
    if not caffemodel.is_read(path, kind()):
        raise no_room(os.path.dirname(path), os.path.getsize(path))


def save(net: caffe.Net, path: str) -> None:
    """Write the net's weights, whole or not at all; InputError for a full disk."""
    check_room_for(net, os.path.dirname(path))
    with written_whole(path) as beside:
        net.save(beside)
        check_whole(beside)
