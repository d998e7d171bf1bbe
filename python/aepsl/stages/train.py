"""One run of Caffe's solver.

Its folder then holds the train.prototxt and solver.prototxt that it used, log.csv, train.json and final.caffemodel;
`caffe train -solver FOLDER/solver.prototxt -weights WEIGHTS` repeats it. Interrupted and started again it goes on
from its last snapshot, and ends, on the CPU, with the same bytes.
"""

import csv
import glob
import io
import json
import os
import sys

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tqdm import tqdm

from aepsl import cli, digests, experiments
from aepsl.caffe_nets import build, caffemodel, device
from aepsl.data.dataset import Dataset, in_folder
from aepsl.errors import InputError
from aepsl.files import read_json, write_json, write_text, written_whole
from aepsl.layers.psl import WEIGHTS
from aepsl.made import Result, settings_of

FILES = ["*.prototxt", "*.caffemodel", "*.solverstate", "*.csv", "snapshot.json", "train.json"]
TRUTH = "truth"  # as a folder of masks: the data set's own


def run(experiment, task, data, out, weights=None, regions=None, masks=None, psl_weights="scores", gpu=None):
    """Train the net of `task` on the data set `data` and write the folder `out`.

    experiment: settings (aepsl.experiments.load); weights: initial caffemodel, None to start from the fillers alone;
    regions: folder of regions to erase from the images; masks: folder of masks to learn from (segmentation, psl), or
    TRUTH; psl_weights: what weights S_hat: scores, labels or none (psl). Raises InputError for bad inputs, before Caffe
    starts, and for a loss that is not finite.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    masks = dataset.mask_folder() if masks == TRUTH else masks
    dataset.check(ids, [folder for folder in (regions, masks) if folder])
    if weights:
        caffemodel.existing(weights)

    result = Result(out, _made_of(experiment, task, dataset, ids, weights, regions, masks, psl_weights), FILES)
    is_finished = result.has("final.caffemodel", "log.csv")
    if not (is_finished and os.path.exists(os.path.join(out, "train.json"))):
        write_prototxts(experiment, task, data, len(ids), out, regions, masks, psl_weights)
        device.use(gpu)
        _train(experiment, task, dataset.labels(ids), out, weights)
    History(out, ()).clear()
    return result


def _made_of(experiment, task, dataset, ids, weights, regions, masks, psl_weights):
    return dict(
        stage=f"train {task}",
        **settings_of(experiment, task),
        **dataset.contents(ids, "images", "labels"),
        net=digests.of_file(experiments.prototxt(experiment, task, "deploy")),
        weights=digests.of_file(weights),
        regions=regions and digests.together(in_folder(regions, ids), ids),
        masks=masks and digests.together(in_folder(masks, ids), ids),
        psl_weights=psl_weights if task == "psl" else None,
    )


def _train(experiment, task, labels, out, weights):
    """Run the solver of the folder `out` to its end, from its snapshot if it has one. labels: N x C of all images."""
    solver_path = os.path.join(out, "solver.prototxt")
    settings = caffemodel.read_prototxt(solver_path, caffe_pb2.SolverParameter())
    solver = caffe.get_solver(solver_path)
    if weights:
        caffemodel.load_weights(solver.net, weights, build.NEW_LAYERS)
    history = History(out, solver.net.outputs)
    history.resume(solver, experiment["seed"])
    epoch = experiments.iterations(1, len(labels), experiment["training"][task]["batch"])
    with tqdm(total=settings.max_iter, initial=solver.iter, unit="iteration", desc=out, disable=None) as bar:
        while solver.iter < settings.max_iter:
            solver.step(1)
            loss = history.add(solver)
            if solver.iter % settings.snapshot == 0 and solver.iter < settings.max_iter:
                history.save(solver, experiment["seed"])
            if solver.iter == epoch and task == "classification":
                _warn_if_saturated(history.mean_loss(epoch // 4 + 1), labels)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

    with written_whole(os.path.join(out, "final.caffemodel")) as beside:
        solver.net.save(beside)
    write_text(os.path.join(out, "log.csv"), history.text())
    summary = dict(converged_loss=history.mean_loss(epoch), constant_loss=constant_loss(labels), weights=weights)
    write_json(os.path.join(out, "train.json"), summary)


def write_prototxts(experiment, task, data, images, out, regions=None, masks=None, psl_weights="scores"):
    """Write the run's train.prototxt and solver.prototxt: the experiment's, with the run's data filled in."""
    net = caffemodel.read_prototxt(experiments.prototxt(experiment, task, "train"), caffe_pb2.NetParameter())
    _set(net, "WeaklyLabelledImages", root=data, regions=regions, masks=masks)
    if task == "psl":
        _set(net, "ProhibitiveMask", weights=psl_weights)
    net_path = os.path.join(out, "train.prototxt")
    write_text(net_path, text_format.MessageToString(net))
    solver = build.solver(experiment, task, net_path, images, os.path.join(out, "snapshot"))
    write_text(os.path.join(out, "solver.prototxt"), solver)


def _set(net, name, **settings):
    """Change parameters of the net's Python layer of the class `name`."""
    layer = next(layer.python_param for layer in net.layer if layer.python_param.layer == name)
    layer.param_str = json.dumps({**json.loads(layer.param_str), **settings})


class History:
    """The losses of a run, and the snapshot that it can go on from.

    A snapshot counts once snapshot.json names it: a half-written one is never restored.
    """

    def __init__(self, folder, names):
        self.folder = folder
        self.names = list(names)
        self.rows = []

    def add(self, solver):
        """Note the losses of the iteration just done; returns their sum, the objective."""
        values = [float(solver.net.blobs[name].data) for name in self.names]
        if not np.isfinite(values).all():
            raise InputError(
                f"{self.folder}: the loss is {values} at iteration {solver.iter}; "
                "lower `lr` in experiment.yaml and delete the folder"
            )
        self.rows.append([solver.iter - 1] + values)
        return sum(values)

    def mean_loss(self, count):
        """Mean objective of the last `count` iterations."""
        return float(np.mean([sum(row[1:]) for row in self.rows[-count:]]))

    def save(self, solver, seed):
        """Make the solver's newest snapshot the one to go on from; start the random numbers that follow it."""
        state = dict(iteration=solver.iter, rows=self.rows)
        write_json(os.path.join(self.folder, "snapshot.json"), state)
        self._remove_snapshots(keep=solver.iter)
        _seed(seed, solver.iter)

    def resume(self, solver, seed):
        """Go on from the saved snapshot, if there is one."""
        path = os.path.join(self.folder, "snapshot.json")
        if not os.path.exists(path):
            return
        state = read_json(path)
        solver.restore(os.path.join(self.folder, f"snapshot_iter_{state['iteration']}.solverstate"))
        solver.net.layers[0].start(solver.iter)
        self.rows = state["rows"]
        _seed(seed, solver.iter)

    def text(self):
        """log.csv: the iteration and its losses."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["iteration"] + self.names)
        writer.writerows([row[0]] + [f"{value:.6g}" for value in row[1:]] for row in self.rows)
        return text.getvalue()

    def clear(self):
        if os.path.exists(os.path.join(self.folder, "snapshot.json")):
            os.unlink(os.path.join(self.folder, "snapshot.json"))
        self._remove_snapshots(keep=None)

    def _remove_snapshots(self, keep):
        for path in glob.glob(os.path.join(glob.escape(self.folder), "snapshot_iter_*")):
            if not os.path.basename(path).startswith(f"snapshot_iter_{keep}."):
                os.unlink(path)


def constant_loss(labels):
    """The least squared classification loss of scores that do not look at the image. labels: N x C."""
    t = labels / labels.sum(axis=1, keepdims=True)
    return float(((t - t.mean(axis=0)) ** 2).sum(axis=1).mean())


def _seed(seed, iteration):
    """Dropout after a snapshot is a function of (seed, iteration), in a resumed run as in one that was not."""
    caffe.set_random_seed((seed * 1_000_003 + iteration) % 2**31)


def _warn_if_saturated(loss, labels):
    constant = constant_loss(labels)
    if loss > 1.1 * constant:
        print(
            f"warning: after its first epoch the classification loss is {loss:.3f}; scores that ignore the image "
            f"reach {constant:.3f}. The squared loss saturates where the rate is too large: lower `lr`",
            file=sys.stderr,
        )


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data gpu done")
    parser.add_argument("--task", required=True, choices=experiments.TASKS)
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--weights", help="initial caffemodel")
    parser.add_argument("--regions", help="folder of mined regions, erased from the images")
    parser.add_argument("--masks", help=f"folder of masks to learn from, or '{TRUTH}': the data set's own")
    parser.add_argument("--psl-weights", choices=WEIGHTS, default="scores", help="what weights S_hat")
    arguments = parser.parse_args(argv)
    build.check(arguments.experiment)
    cli.run_stage(run, arguments)
