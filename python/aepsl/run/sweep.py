"""Trains rows of tables 3 and 4 with several settings and training seeds, from one run's masks, and compares them.

    aepsl sweep demo --rows ae_step3,psl --seeds 1,2,3 --set psl_start=ae_step3 --set training.psl.lr=0.01

compares the experiment's settings with each --set of changes. A seed is that of the segmentation nets: their new
layers, dropout and order of images. Data, classification, regions and masks are the run's. Each net and row is a stage
of the run's graph, added to those of the tables; one with the run's settings and seed is the run's own stage.

runs/NAME/segmentation/NET.DIGEST/, val/ROW.DIGEST/   DIGEST is of the settings that differ: the same net is trained
                                                     once, and an interrupted sweep continues where it was
runs/NAME/sweep.json     {"settings": [{"changes": ["psl_start=ae_step3"], "rows": {"psl": [by seed]}}], ...}
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Optional

import numpy as np

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import write_json
from aepsl.base.parallel import in_threads
from aepsl.data.dataset import Dataset, in_folder
from aepsl.evaluation import evaluate
from aepsl.graph.graph import Graph, read
from aepsl.graph.segmentation import CLASSIFIER, OF_MASKS, OF_NETS, is_of, settings_of, settings_of_row, start_name
from aepsl.graph.stage import TRAINING
from aepsl.paper import recipes
from aepsl.run import queue, start
from aepsl.run.sweep_table import KINDS, table
from aepsl.settings import experiments, yaml_file
from aepsl.settings.typed import Experiment
from aepsl.stages import results
from aepsl.store import digests
from aepsl.training import psl_log

# Settings that may differ: the run's masks do not depend on them.
FREE = [key for key in OF_NETS if key not in TRAINING]


class Variant:
    """The nets and rows of an experiment with other settings; changes: {'training.psl.lr': 0.01, 'seed': 2}."""

    def __init__(self, experiment: Experiment, changes: dict[str, Any]) -> None:
        self.base, self.changes = Graph(experiment), changes
        self.experiment = experiments.changed(experiment, changes)
        self.nets: dict[str, recipes.Net] = {}  # without the run's own
        self.rows: dict[str, recipes.Row] = {}

    def net(self, name: str) -> str:
        """The name of a net with these settings: the run's own, or one of `nets`."""
        net = self.base.nets[name]
        both = [experiments.changed(each, net.changes) for each in (self.base.experiment, self.experiment)]
        starts = [start_name(net, each) for each in both]
        start = starts[1].removesuffix(CLASSIFIER)
        starts[1] = (self.net(start) if start in self.base.nets else start) + starts[1][len(start) :]
        changes = self._changes_of(settings_of(net))
        key = self._key(settings_of(net), changes, *starts)
        if key:
            self.nets[name + key] = net._replace(changes={**changes, **net.changes}, start=starts[1])
        return name + key

    def row(self, name: str) -> str:
        """The name of a row with these settings: the run's own, or one of `rows`.

        Raises InputError for an unknown row, and for one whose masks another net makes: those would change.
        """
        row = self.base.rows[self.base.checked_row(name)]
        if self.base.nets[row.net].masks in self.base.nets:
            raise InputError(f"{name}: learns from masks of another net; a sweep takes rows that learn from the run's")
        net = self.net(row.net)
        changes = self._changes_of(settings_of_row(row))
        key = self._key(OF_MASKS, changes, row.net, net)
        if key:
            self.rows[name + key] = row._replace(net=net, changes={**changes, **row.changes})
        return name + key

    def _changes_of(self, settings: Sequence[str]) -> dict[str, Any]:
        """The changes of these settings, of a group of them, or of a part of one."""
        overlap = {key: is_of(key, settings) or any(is_of(each, [key]) for each in settings) for key in self.changes}
        return {key: value for key, value in self.changes.items() if overlap[key]}

    def _key(self, settings: Iterable[str], changes: dict[str, Any], ours: str, theirs: str) -> str:
        """'' if `changes` leave these settings, and `theirs` is the run's own, `ours`; else '.DIGEST' of both."""
        changed = experiments.changed(self.base.experiment, changes)
        base, own = ([each.value(key) for key in settings] for each in (self.base.experiment, changed))
        return "" if (base, ours) == (own, theirs) else "." + digests.of_value([own, theirs])[:8]


def figures(graph: Graph, dataset: Dataset, name: str) -> dict[str, Any]:
    """A row as in results.json, and its net's folder; for a net with S_hat also the columns of psl.csv.

    For each of KINDS, mIoU with and without CRF over the images whose true masks have one class, or several; None
    without such images.
    """
    folder, net, ids = graph.run, graph.rows[name].net, dataset.ids(graph.experiment.data.val)
    segmented = [os.path.join(folder.segmented("val", name), kind) for kind in ("plain", "crf")]
    (plain, without), (crf, with_crf) = in_threads(_evaluated, [(dataset, ids, each) for each in segmented])
    found = dict(results.row_of(plain, crf), folder=folder.segmentation(net))
    found.update(zip(KINDS, map(list, zip(with_crf, without))))
    if graph.nets[net].task == "psl":
        found["psl"] = psl_log.read(os.path.join(folder.segmentation(net), "psl.csv"))
    return found


def _evaluated(dataset: Dataset, ids: Sequence[str], pred: str) -> tuple[dict[str, Any], list[Optional[float]]]:
    """(evaluate.scores of the segmentations in the folder `pred`, mIoU over the images of each of KINDS)."""
    truths, count = in_folder(evaluate.check_ids(dataset.mask_folder(), ids), ids), len(dataset.values)
    totals = np.zeros((3, count, count + 1), np.int64)  # of images of no class, of one, and of several
    for confusion in evaluate.confusions(in_folder(pred, ids), truths, dataset.values):
        totals[min(2, np.count_nonzero(confusion[1:].any(axis=1)))] += confusion
    names = ["background", *dataset.classes]
    by_kind = [evaluate.scores(each, names)["miou"] if each.any() else None for each in totals[1:]]
    return evaluate.scores(totals.sum(axis=0), names), by_kind


def changes_of(experiment: Experiment, typed: Iterable[str]) -> dict[str, Any]:
    """{key: value} of ['training.psl.lr=0.01', ...].

    Raises InputError for a name that is no setting, an invalid value, and a setting that the run's masks depend on.
    """
    changes: dict[str, Any] = {}
    for change in typed:
        key, equals, value = change.partition("=")
        if not equals:
            raise InputError(f"--set {change}: give KEY=VALUE, for example psl_start=ae_step3")
        if not is_of(key, FREE):
            raise InputError(f"--set {change}: a sweep can change {', '.join(FREE)}; anything else is another run")
        other = next((each for each in changes if is_of(key, [each]) or is_of(each, [key])), None)
        if other:
            raise InputError(f"--set {change}: `{other}` has a value already; give it once, or a --set for each value")
        changes[key] = yaml_file.parsed(value, f"--set {change}")
    experiments.changed(experiment, changes)
    return changes


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, given=["data", "weights", "saliency", "gpu", "cores"], places=start.places)
    parser.add_argument("name", help="the experiment, a folder of prototxt/")
    parser.add_argument("--rows", default="ae_step3,psl", help="of tables 3 and 4; each is compared with the first")
    parser.add_argument("--seeds", default="1,2,3", help="seeds of the segmentation nets (1,2,3)")
    told = "a variant: settings that are changed together; may be given several times"
    parser.add_argument("--set", nargs="+", action="append", default=[], metavar="KEY=VALUE", help=told)
    asked = parser.parse_args(argv)
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", asked.seeds, re.ASCII):
        raise InputError(f"--seeds {asked.seeds}: give numbers, for example 1,2,3")
    seeds, rows = [int(seed) for seed in asked.seeds.split(",")], asked.rows.split(",")
    for option, given in (("--seeds", seeds), ("--rows", rows)):
        if len(set(given)) < len(given):
            raise InputError(f"{option}: names one twice; each is trained once")
    experiment = experiments.load(asked.name)
    print(table(swept(experiment, asked, rows, seeds, [[], *asked.set])).text())


def swept(
    experiment: Experiment, asked: Any, rows: Sequence[str], seeds: Sequence[int], sets: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Have all nets trained and rows segmented; returns the content of sweep.json. sets: lists of changes, as typed."""
    asked.target, asked.row, asked.profile = "sweep", None, os.environ.get("PROFILE") or None
    queue.check_profile(asked.profile)
    variants = [
        [Variant(experiment, {**changes_of(experiment, each), "seed.training": seed}) for seed in seeds]
        for each in sets
    ]
    names = [{row: [variant.row(row) for variant in by_seed] for row in rows} for by_seed in variants]
    more: dict[str, Any] = {
        key: {k: v for each in sum(variants, []) for k, v in getattr(each, key).items()} for key in ("nets", "rows")
    }
    wanted = {f"segment.val.{name}" for by_row in names for by_seed in by_row.values() for name in by_seed}
    command = start.prepared(asked, targets=sorted(wanted), **more)
    code = subprocess.run(command).returncode if command else 0
    if code or not command:  # None: a queue does the jobs, and calls this command again
        sys.exit(code)
    graph = read(Graph(experiment).run.path)
    dataset = Dataset(graph.start.data, experiment.classes)
    settings = [
        dict(
            changes=each,
            rows={
                row: [dict(figures(graph, dataset, name), seed=seed) for name, seed in zip(own[row], seeds)]
                for row in rows
            },
        )
        for each, own in zip(sets, names)
    ]
    found = dict(experiment=experiment.name, seeds=seeds, rows=rows, settings=settings)
    write_json(os.path.join(graph.run.path, "sweep.json"), found)
    return found
