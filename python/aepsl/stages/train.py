"""One run of Caffe's solver.

Its folder then holds the train.prototxt and solver.prototxt that it used, log.csv, train.json and final.caffemodel,
with PSL also psl.csv (aepsl.training.psl_log);
`caffe train -solver FOLDER/solver.prototxt -weights WEIGHTS` repeats it. Interrupted and started again it goes on
from its last snapshot, and ends, on the CPU, with the same bytes.
"""

import contextlib
import csv
import glob
import io
import json
import math
import os
import sys
import time

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import (
    check_room,
    flush,
    make_folder,
    no_room,
    only_one,
    read_json,
    sha256,
    write_json,
    write_text,
    written_whole,
)
from aepsl.data.dataset import Dataset, in_folder
from aepsl.data.regions import check_bits
from aepsl.layers.losses import softmax
from aepsl.layers.psl import WEIGHTS
from aepsl.nets import build, caffemodel, device, finite
from aepsl.nets.prototxt import net_text
from aepsl.settings import experiments
from aepsl.store import digests
from aepsl.store.healing import is_whole
from aepsl.store.made import Result, settings_of
from aepsl.training import psl_log

FILES = ["*.prototxt", "*.caffemodel", "*.solverstate", "*.csv", "snapshot.json", "progress.json", "train.json"]
PROTOTXTS = ("train.prototxt", "solver.prototxt")
SHORTEST = 20  # iterations whose mean loss says something
SURE = 0.95  # mean of the largest probability where scores have saturated; a net that knows nothing has 1 / classes
TRUTH = "truth"  # as a folder of masks: the data set's own


def run(experiment, task, data, out, weights=None, regions=None, masks=None, psl_weights="scores", gpu=None):
    """Train the net of `task` on the data set `data` and write the folder `out`.

    experiment: settings; weights: initial caffemodel, None to start from the fillers alone;
    regions: folder of regions to erase from the images; masks: folder of masks to learn from (segmentation, psl), or
    TRUTH; psl_weights: what weights S_hat: scores, labels or none (psl). Raises InputError for bad inputs, before Caffe
    starts, for a training that diverges, and for a classification that saturates.
    """
    _check_rates(experiment, task)
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    masks = dataset.mask_folder() if masks == TRUTH else masks
    found = dataset.check(ids, [folder for folder in (regions, masks) if folder])
    for path in in_folder(regions, ids) if regions else ():
        check_bits(path)
    if masks:
        for path, values in zip(in_folder(masks, ids), found):
            dataset.check_values(path, values[-1])
    if weights:
        caffemodel.existing(weights)

    made_of = _made_of(experiment, task, dataset, ids, weights, regions, masks, psl_weights)
    make_folder(out)
    with only_one(out):
        result = Result(out, made_of, FILES, is_locked=True)
        logs = ["log.csv"] + ["psl.csv"] * (task == "psl")
        is_trained = all([result.has("final.caffemodel", *logs), result.has_beside("train.json")])
        if not (result.has_beside(*PROTOTXTS) and is_trained):
            write_prototxts(experiment, task, data, len(ids), out, regions, masks, psl_weights)
        if not is_trained:
            device.use(gpu)
            _train(experiment, task, dataset.labels(ids), out, weights, on_cpu=gpu is None)
        History(out, ()).clear()
    return result


def _made_of(experiment, task, dataset, ids, weights, regions, masks, psl_weights):
    return dict(
        stage=f"train {task}",
        **settings_of(experiment, task),
        **dataset.contents(ids, "images", "labels"),
        net=digests.of_value(build.deploy_net(experiment, task)),
        weights=digests.of_file(weights),
        regions=regions and digests.together(in_folder(regions, ids), ids),
        masks=masks and digests.together(in_folder(masks, ids), ids),
        psl_weights=psl_weights if task == "psl" else None,
    )


def _check_rates(experiment, task):
    for name in ("lr", "momentum", "decay"):
        value = experiment["training"][task][name]
        if not 0 <= value < math.inf:
            raise InputError(f"{experiment['name']}: training.{task}.{name} is {value}; give a number from 0 on")


def _train(experiment, task, labels, out, weights, on_cpu):
    """Run the solver of the folder `out` to its end, from its snapshot if it has one. labels: N x C of all images."""
    solver_path = os.path.join(out, "solver.prototxt")
    settings = caffemodel.read_prototxt(solver_path, caffe_pb2.SolverParameter())
    solver = caffe.get_solver(solver_path)
    if weights:
        caffemodel.load_weights(solver.net, weights, build.NEW_LAYERS)
    history = History(out, solver.net.outputs, notes_psl=task == "psl")
    history.resume(solver, experiment["seed"])
    fail = lambda layer: _say_diverged(out, task, settings, solver.iter, layer)  # noqa: E731
    finite.watch(solver.net, fail, on_cpu)
    epoch = experiments.iterations(1, len(labels), experiment["training"][task]["batch"])
    with tqdm(total=settings.max_iter, initial=solver.iter, unit="iteration", desc=out, disable=None) as bar:
        while solver.iter < settings.max_iter:
            history.check_room(solver, settings.snapshot)
            with np.errstate(invalid="ignore", over="ignore"):  # `finite.watch` says it better
                solver.step(1)
            loss = history.add(solver)
            history.tell(solver.iter)
            if solver.iter % settings.snapshot == 0 and solver.iter < settings.max_iter:
                _check_weights(solver, fail)
                history.save(solver, experiment["seed"])
            if task == "classification":
                _check_saturation(solver, history, labels, max(SHORTEST, epoch // 2))
            if task == "psl":
                _warn_of_collapse(history, epoch)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

    _check_weights(solver, fail)
    write_text(os.path.join(out, "log.csv"), history.text())
    if task == "psl":
        write_text(os.path.join(out, "psl.csv"), psl_log.text(history.psl, epoch))
    summary = dict(converged_loss=history.mean_loss(epoch), constant_loss=constant_loss(labels), weights=weights)
    write_json(os.path.join(out, "train.json"), summary)
    history.check_room(solver)
    with written_whole(os.path.join(out, "final.caffemodel")) as beside:  # the last: with it, all is there
        solver.net.save(beside)
        history.check_whole(beside)


def _say_diverged(out, task, settings, iteration, layer):
    """Raise the InputError of a training whose `layer` gave values that are not finite at `iteration`."""
    rate = settings.base_lr * settings.gamma ** (max(0, iteration - 1) // settings.stepsize)  # that of the step before
    if iteration == 0:
        cause = "nothing was learned yet, so the initial weights or `data.mean` in experiment.yaml are at fault"
    else:
        cause = f"the rate is too large: lower training.{task}.lr in experiment.yaml"
    raise InputError(
        f"{out}: values that are not finite at iteration {iteration} (rate {rate:g}), from layer {layer} on; {cause}"
    )


def _check_weights(solver, fail):
    """fail(layer) for weights that are not finite: neither a snapshot nor a result may hold them."""
    layer = finite.first_faulty_weights(solver.net)
    if layer:
        fail(layer)


def write_prototxts(experiment, task, data, images, out, regions=None, masks=None, psl_weights="scores"):
    """Write the run's train.prototxt and solver.prototxt: the experiment's, with the run's data filled in."""
    build.check_size(experiment, task)
    net = text_format.Parse(build.train_net(experiment, task), caffe_pb2.NetParameter())
    _set(net, "WeaklyLabelledImages", root=data, regions=regions, masks=masks)
    if task == "psl":
        _set(net, "ProhibitiveMask", weights=psl_weights)
    net_path = os.path.join(out, "train.prototxt")
    write_text(net_path, net_text(net.name, net))
    solver = build.solver(experiment, task, net_path, images, os.path.join(out, "snapshot"))
    write_text(os.path.join(out, "solver.prototxt"), solver)


def _set(net, name, **settings):
    """Change parameters of the net's Python layer of the class `name`."""
    layer = next(layer.python_param for layer in net.layer if layer.python_param.layer == name)
    layer.param_str = json.dumps({**json.loads(layer.param_str), **settings})


class History:
    """The losses of a run, and the two newest snapshots, from which it can go on.

    A snapshot counts once snapshot.json names it, with the SHA-256 of its files, which then are on the disk: what is
    half-written or damaged is never restored.
    """

    def __init__(self, folder, names, notes_psl=False):
        self.folder = folder
        self.names = list(names)
        self.rows = []
        self.notes_psl, self.psl = notes_psl, []  # of every iteration, see psl_log.sums
        self.snapshots = []
        self.record, self.progress = (os.path.join(folder, name) for name in ("snapshot.json", "progress.json"))
        self.told = -math.inf

    def add(self, solver):
        """Note the losses of the iteration just done; returns their sum, the objective."""
        values = [float(solver.net.blobs[name].data) for name in self.names]
        if not np.isfinite(values).all():
            raise InputError(
                f"{self.folder}: the loss is {values} at iteration {solver.iter}; "
                "lower `lr` in experiment.yaml and delete the folder"
            )
        self.rows.append([solver.iter - 1] + values)
        if self.notes_psl:
            S, S_hat, v, labels = (solver.net.blobs[name].data for name in ("mask", "mask_hat", "v", "labels"))
            self.psl.append(psl_log.sums(S[:, 0], S_hat[:, 0], v, labels))
        return sum(values)

    def mean_loss(self, count):
        """Mean objective of the last `count` iterations."""
        return float(np.mean([sum(row[1:]) for row in self.rows[-count:]]))

    def tell(self, iteration):
        """Leave how far the training is, at most once a second, for those who watch: aepsl.run.status."""
        if time.monotonic() - self.told < 1:
            return
        self.told = time.monotonic()
        state = dict(iteration=iteration, loss=self.mean_loss(SHORTEST))
        no_matter = contextlib.suppress(InputError, OSError)  # a full disk ends the training where it does
        with no_matter, written_whole(self.progress, flushed=False) as beside, open(beside, "w") as file:
            json.dump(state, file)

    def check_room(self, solver, snapshot=1):
        """Raise InputError if the iteration to come writes weights, every `snapshot`-th does, that have no room."""
        if (solver.iter + 1) % snapshot == 0:
            size = 4 * sum(blob.count for blobs in solver.net.params.values() for blob in blobs)
            check_room(self.folder, 2 * size + (1 << 20))  # the solver's state is as large

    def check_whole(self, path):
        """Raise InputError for weights that Caffe has just written, and that a full disk has cut short."""
        if not is_whole(path):
            raise no_room(self.folder, os.path.getsize(path))

    def save(self, solver, seed):
        """Make the solver's newest snapshot the one to go on from; start the random numbers that follow it."""
        files = {}
        for kind in ("caffemodel", "solverstate"):
            name = f"snapshot_iter_{solver.iter}.{kind}"
            path = os.path.join(self.folder, name)
            self.check_whole(path)
            flush(path)
            files[name] = [os.path.getsize(path), sha256(path)]
        self.snapshots = [dict(iteration=solver.iter, files=files), *self.snapshots[:1]]
        psl = dict(psl=self.psl) if self.notes_psl else {}
        write_json(self.record, dict(iteration=solver.iter, rows=self.rows, **psl, snapshots=self.snapshots))
        self._remove_snapshots()
        _seed(seed, solver.iter)

    def resume(self, solver, seed):
        """Go on from the newest snapshot that is whole, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.progress)
        if not os.path.exists(self.record):
            return
        try:
            state = read_json(self.record)
            rows, snapshots = state["rows"], state["snapshots"]
            psl = state["psl"] if self.notes_psl else []
        except (InputError, KeyError, TypeError):
            print(f"{self.record}: is damaged; the training begins anew", file=sys.stderr)
            return
        for number, snapshot in enumerate(snapshots):
            fault = self._fault(snapshot)
            if fault:
                next_one = "an older snapshot is taken" if number + 1 < len(snapshots) else "the training begins anew"
                print(f"{fault}: is damaged or missing; {next_one}", file=sys.stderr)
                continue
            iteration = snapshot["iteration"]
            solver.restore(os.path.join(self.folder, f"snapshot_iter_{iteration}.solverstate"))
            solver.net.layers[0].start(iteration)
            self.rows, self.psl, self.snapshots = rows[:iteration], psl[:iteration], snapshots[number:]
            _seed(seed, iteration)
            return

    def _fault(self, snapshot):
        """The first file of a snapshot that is not as it was written, or None."""
        for name, (size, value) in snapshot["files"].items():
            path = os.path.join(self.folder, name)
            if not os.path.exists(path) or os.path.getsize(path) != size or sha256(path) != value:
                return path
        return None

    def text(self):
        """log.csv: the iteration and its losses."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["iteration"] + self.names)
        writer.writerows([row[0]] + [f"{value:.6g}" for value in row[1:]] for row in self.rows)
        return text.getvalue()

    def clear(self):
        for path in filter(os.path.exists, (self.record, self.progress)):
            os.unlink(path)
        self.snapshots = []
        self._remove_snapshots()

    def _remove_snapshots(self):
        """Remove those that are not among self.snapshots."""
        kept = {name for snapshot in self.snapshots for name in snapshot["files"]}
        for path in glob.glob(os.path.join(glob.escape(self.folder), "snapshot_iter_*")):
            if os.path.basename(path) not in kept:
                os.unlink(path)


def constant_loss(labels):
    """The least squared classification loss of scores that do not look at the image. labels: N x C."""
    t = labels / labels.sum(axis=1, keepdims=True)
    return float(((t - t.mean(axis=0)) ** 2).sum(axis=1).mean() / 2)


def _seed(seed, iteration):
    """Dropout after a snapshot is a function of (seed, iteration), in a resumed run as in one that was not."""
    caffe.set_random_seed((seed * 1_000_003 + iteration) % 2**31)


def is_stuck(losses, constant, count):
    """Whether the loss stays above what scores that do not look at the image reach.

    losses: of every iteration so far; constant: what such scores reach; count: iterations to compare. Their last
    `count` must have a mean above 1.1 times `constant`, and one that is not lower, beyond their scatter, than the mean
    of the `count` before; False where there are fewer than twice `count`.
    """
    before, last = losses[-2 * count : -count], losses[-count:]
    if len(before) < count:
        return False
    scatter = math.sqrt((np.var(before) + np.var(last)) / count)
    return bool(np.mean(last) > max(1.1 * constant, np.mean(before) - 2 * scatter))


def _check_saturation(solver, history, labels, count):
    """Raise InputError for a net that is sure of everything, and stuck with it.

    A gradient of the squared loss has a factor p (1 - p): once a rate too large has made every score extreme, nothing
    changes any more. Looked at every `count` iterations; a net that is merely slow is not sure.
    """
    if solver.iter % count:
        return
    losses, constant = [row[1] for row in history.rows[-2 * count :]], constant_loss(labels)
    if is_stuck(losses, constant, count) and softmax(solver.net.blobs["fc8_cls"].data).max(axis=1).mean() > SURE:
        raise InputError(
            f"{history.folder}: stuck at iteration {solver.iter}: the classification loss is {np.mean(losses):.3f} and "
            f"falls no more; scores that ignore the image reach {constant:.3f}. The squared loss saturates where the "
            "rate is too large: lower training.classification.lr in experiment.yaml"
        )


def _warn_of_collapse(history, epoch):
    line = psl_log.warning(history.psl, epoch)
    if line:
        print(f"warning: {history.folder}: {line}", file=sys.stderr, flush=True)


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data gpu done")
    parser.add_argument("--task", required=True, choices=experiments.TASKS)
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--weights", help="initial caffemodel")
    parser.add_argument("--regions", help="folder of mined regions, erased from the images")
    parser.add_argument("--masks", help=f"folder of masks to learn from, or '{TRUTH}': the data set's own")
    parser.add_argument("--psl-weights", choices=WEIGHTS, default="scores", help="what weights S_hat")
    arguments = parser.parse_args(argv)
    if (arguments.task == "classification") != (arguments.masks is None):
        needs = "learns from no masks: leave --masks out" if arguments.masks else "learns from masks: give --masks"
        raise InputError(f"--task {arguments.task} {needs}")
    if arguments.regions and arguments.task != "classification":
        raise InputError(f"--task {arguments.task} erases nothing: leave --regions out")
    build.check(arguments.experiment)
    cli.run_stage(run, arguments)
