"""Trains rows of tables 3 and 4 with several settings and training seeds, from one run's masks, and compares them.

    aepsl sweep demo --rows ae_step3,psl --seeds 1,2,3 --set psl_start=ae_step3 --set training.psl.lr=0.01

compares the settings as they are with each --set of changes. A seed is that of the segmentation nets: their new layers,
dropout and order of images. Data, classification, regions and masks are the run's, which is brought up to there first.

runs/NAME/sweep/NET.SEED.DIGEST/   a training (aepsl.stages.train) and what it makes of val; DIGEST is of its settings,
                                   so that the same net is trained once, and a sweep goes on where it was interrupted
runs/NAME/sweep.json               {"settings": [{"changes": ["psl_start=ae_step3"], "rows": {"psl": [by seed]}}], ...}
"""

import concurrent.futures
import multiprocessing
import os
import re
import subprocess
import sys

import numpy as np
import yaml

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import only_one, write_json
from aepsl.data.dataset import Dataset
from aepsl.graph.run_folder import RunFolder
from aepsl.nets import build
from aepsl.run.start import cores_of, data_of, weights_of
from aepsl.settings import experiments
from aepsl.stages import results, segment, train
from aepsl.store import digests
from aepsl.store.made import settings_of
from aepsl.training import psl_log

# What may differ: nothing that the run's masks are made of.
FREE = ("segmentation_start", "psl_start", "training.segmentation", "training.psl", "psl", "crf")


class Trainings:
    """The nets of one experiment, as settings and seed have changed it, on the data and masks of its run."""

    def __init__(self, experiment, data, weights, gpu):
        self.experiment, self.data, self.gpu = experiment, data, gpu
        self.run = RunFolder(experiment)
        self.initial = self.run.initial_of(weights)

    def row(self, name):
        """A row as in results.json, of val segmented by its net; with S_hat also psl.csv, and the net's folder."""
        row, E = self.run.rows[name], self.experiment
        folder = self.trained(row.net)
        key = digests.of_value([settings_of(E, "segment"), row.policy])[:8]
        out = os.path.join(folder, f"val.{key}")
        model, val = RunFolder.model(folder), E["data"]["val"]
        segment.run(self.experiment, self.data, val, model, out, row.policy, gpu=self.gpu)
        evaluated = results.evaluated(Dataset(self.data, E["classes"]), val, {name: out})
        figures = dict(evaluated[name], seed=E["seed"], folder=folder)
        if self.run.nets[row.net].task == "psl":
            figures["psl"] = psl_log.read(os.path.join(folder, "psl.csv"))
        print(f"{folder}: {name} {figures['miou']:.1f}, {figures['miou_no_crf']:.1f} without CRF", flush=True)
        return figures

    def trained(self, name):
        """The folder of a net, trained; the one that it starts from is trained first."""
        net, folder = self.run.nets[name], self.folder(name)
        start = self.run.start_of(name)
        weights = self.initial
        if start:
            is_ours = start.kind == "segmentation"
            weights = RunFolder.model(self.trained(os.path.basename(start.folder)) if is_ours else start.folder)
        train.run(
            self.experiment,
            net.task,
            self.data,
            folder,
            weights=weights,
            masks=self.run.masks_of(name),
            psl_weights=net.weights or "scores",
            gpu=self.gpu,
        )
        return folder

    def folder(self, name):
        task, start = self.run.nets[name].task, self.run.start_of(name)
        made_of = [build.deploy_net(self.experiment, task), settings_of(self.experiment, task), start and start.name]
        if start and start.kind == "segmentation":
            made_of.append(self.folder(os.path.basename(start.folder)))
        key = digests.of_value(made_of)[:8]
        return os.path.join(self.run.path, "sweep", f"{name}.{self.experiment['seed']}.{key}")


def rows_of_seeds(variants, seeds, rows, data, weights, gpu):
    """{seed: [{row: figures} of each variant]}; what one process does."""
    found = {}
    for seed in seeds:
        trainings = [Trainings(dict(variant, seed=seed), data, weights, gpu) for variant in variants]
        found[seed] = [{row: each.row(row) for row in rows} for each in trainings]
    return found


def changed(experiment, changes):
    """The settings with `changes`, ['training.psl.lr=0.01', ...], checked.

    Raises InputError for one that is no setting, cannot have that value, or changes what the run shares.
    """
    settings = {key: value for key, value in experiment.items() if key not in ("name", "folder")}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise InputError(f"--set {change}: give KEY=VALUE, for example psl_start=ae_step3")
        if not any(f"{key}.".startswith(f"{free}.") for free in FREE):
            raise InputError(f"--set {change}: a sweep can change {', '.join(FREE)}; anything else is another run")
        try:
            over = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise InputError(f"--set {change}: its value is not YAML; give a number, or a word") from None
        for part in reversed(key.split(".")):
            over = {part: over}
        settings = experiments.laid_over(settings, over)
    settings = experiments.complete(settings, f"--set {' '.join(changes)}")
    return dict(settings, name=experiment["name"], folder=experiment["folder"])


def summary(values):
    """'70.1  69.0 .. 71.5': mean and range."""
    return f"{np.mean(values):7.1f}{min(values):7.1f} ..{max(values):5.1f}"


def tables(found):
    """sweep.json as text. Of S_hat it tells the share in the first epoch and in the last, means over the seeds."""
    first = found["rows"][0]
    lines = [f"mIoU on val over {len(found['seeds'])} training seeds: mean, least .. largest"]
    lines.append(f"{'':16}{'with CRF':>20}{'without':>20}{f'above {first}, same seed':>28}  objects in S_hat, of S's")
    for variant in found["settings"]:
        lines.append(" ".join(variant["changes"]) or "as it is")
        base = [row["miou"] for row in variant["rows"][first]]
        for name, rows in variant["rows"].items():
            miou = [row["miou"] for row in rows]
            line = f"  {name:14}{summary(miou)}{summary([row['miou_no_crf'] for row in rows])}"
            if name != first:
                line += f"{'':8}{summary(np.subtract(miou, base))}"
            if "psl" in rows[0]:
                kept = np.mean(
                    [np.divide(row["psl"]["S_hat_objects"], row["psl"]["S_objects"]) for row in rows], axis=0
                )
                line += f"{'':8}{kept[0]:.2f}, then {kept[-1]:.2f}"
            lines.append(line)
    return "\n".join(lines)


def check_rows(experiment, rows):
    """Raise InputError for a row that there is not, or whose masks the run does not share."""
    folder, merge = RunFolder(experiment), experiment["mining"]["merge"]
    for row in rows:
        net = folder.rows[folder.checked_row(row)].net
        if folder.nets[net].masks != "truth" and not 1 <= (folder.merged(net) or 0) <= merge:
            raise InputError(f"--rows {row}: a sweep takes rows whose masks are of steps 1 to {merge}")


def bring_shared(asked):
    """Bring the run to the masks, by `aepsl run`; ends this process where that fails, which has said why."""
    options = {key: getattr(asked, key) for key in ("data", "weights", "saliency", "gpu", "cores")}
    told = [part for key, value in options.items() if value for part in ("--" + key, value)]
    done = subprocess.run([sys.executable, "-m", "aepsl", "run", asked.name, "shared", *told])
    if done.returncode:
        sys.exit(done.returncode)


def trained(variants, rows, seeds, data, weights, gpus, cores):
    """As rows_of_seeds, in as many processes as there are GPUs, or cores for."""
    threads = variants[0]["threads"]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)  # as of every stage
    count = max(1, min(len(seeds), len(gpus) or (cores or len(os.sched_getaffinity(0))) // threads))
    parts = [(variants, seeds[k::count], rows, data, weights, gpus[k] if gpus else None) for k in range(count)]
    with concurrent.futures.ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as processes:
        waiting = [processes.submit(rows_of_seeds, *part) for part in parts]
        return {seed: each for part in waiting for seed, each in part.result().items()}


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("name", help="the experiment, a folder of prototxt/")
    parser.add_argument("--rows", default="ae_step3,psl", help="of tables 3 and 4; the first is compared with")
    parser.add_argument("--seeds", default="1,2,3", help="of the trainings")
    parser.add_argument("--set", nargs="+", action="append", default=[], metavar="KEY=VALUE", help="compare this, too")
    for option in ("data", "weights", "saliency", "gpu", "cores"):
        parser.add_argument("--" + option, default=os.environ.get(option.upper()) or None, help="as of `aepsl run`")
    asked = parser.parse_args(argv)
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", asked.seeds, re.ASCII):
        raise InputError(f"--seeds {asked.seeds}: give numbers, for example 1,2,3")
    seeds, rows = [int(seed) for seed in asked.seeds.split(",")], asked.rows.split(",")
    for option, given in (("--seeds", seeds), ("--rows", rows)):
        if len(set(given)) < len(given):
            raise InputError(f"{option}: names one twice; each is trained once")
    experiment, changes = experiments.load(asked.name), [[], *asked.set]
    check_rows(experiment, rows)
    variants = [changed(experiment, each) for each in changes]
    bring_shared(asked)
    inputs = data_of(experiment, asked.data), weights_of(experiment, asked.weights)
    gpus = list(range(cli.count(asked.gpu or "")))
    with only_one(RunFolder(experiment).path):
        by_seed = trained(variants, rows, seeds, *inputs, gpus, cores_of(asked.cores))
        settings = [
            dict(changes=each, rows={row: [by_seed[seed][k][row] for seed in seeds] for row in rows})
            for k, each in enumerate(changes)
        ]
        found = dict(experiment=asked.name, seeds=seeds, rows=rows, settings=settings)
        write_json(os.path.join(RunFolder(experiment).path, "sweep.json"), found)
    print(tables(found))
