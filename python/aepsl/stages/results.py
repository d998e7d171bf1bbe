"""Gathers a run's figures into results.json.

    {"rows": {"ae_step1": {"miou": 44.9, "iou": {"background": ..., ...}, "miou_no_crf": ..., "iou_no_crf": ...,
                           "absent": classes that the ground truth does not have, left out of the means,
                           "errors": {"missed": ..., "confused": ..., "false": ...} with CRF, see evaluate,
                           "by_size": of the main row, by size of object, see by_image.of_row}},
     "mining": {"step1": {"recall": ..., "precision": ..., "erased": ..., "converged_loss": ...}},
     "losses": {"step1": [[iteration, loss], ...]},
     "psl": {"psl": {"r": [of each epoch], ...}, ...} of each net with S_hat, see psl_log.COLUMNS,
     "thresholds": [[threshold, {"recall": ..., "precision": ..., "erased": ...}], ...] of step 1,
     "background": {"cue": {"share": ..., "precision": ..., "recall": ..., "error": ...},
                    "masks": {"labelled": ..., "ignored": ..., "wrong": ...}}, see evaluate_background,
     "success": see successful_steps,
     "main": see recipes.main_row, "examples": {"best": ..., "worst": ..., "over_erased": ...}, see by_image,
     "images": {"train": how many, "val": ...},
     "seconds": {stage: ...}, "peak_mib": {stage: ...}, "host": see _host}
IoU in percent, the rest in 0 ... 1.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from aepsl import cli
from aepsl.base import host
from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_table, write_json
from aepsl.base.parallel import in_threads
from aepsl.data.dataset import Dataset
from aepsl.evaluation import by_image, evaluate
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import recipes
from aepsl.settings.typed import Experiment
from aepsl.store import digests
from aepsl.store.result import Made
from aepsl.training import psl_log

OF_THE_MACHINE = ("seconds", "peak_mib", "host")


def run(experiment: Experiment, data: str, nets: Sequence[str] = (), machine: Optional[dict[str, int]] = None) -> Made:
    """Evaluate the segmentations of val that the experiment's `rows` name, gather the rest, write results.json.

    nets: those with S_hat, in the order of the tables; machine: {"cores": ..., "gpus": ...} that the run was given;
    None: this machine's cores.
    """
    folder, steps = RunFolder(experiment.name), range(1, experiment.mining.steps + 1)
    dataset = Dataset(data, experiment.classes)
    erased = erasing(folder, steps)
    converged = [row["converged_loss"] for row in erased["mining"].values()]
    val = dataset.ids(experiment.data.val)
    rows = evaluated(dataset, val, {row: folder.segmented("val", row) for row in experiment.rows})
    main = recipes.main_row(experiment.rows)
    of_main = os.path.join(folder.segmented("val", main), "crf")
    rows[main]["by_size"], ious = by_image.of_row(of_main, dataset, val)
    results = dict(
        experiment=experiment.name,
        images=folder.images(),
        main=main,
        rows=rows,
        mining=erased["mining"],
        losses=erased["losses"],
        psl={net: psl_log.read(os.path.join(folder.segmentation(net), "psl.csv")) for net in nets},
        thresholds=erased["thresholds"],
        background=read_figures(folder.background),
        success=successful_steps(converged, experiment.mining.max_converged_loss),
        examples=_examples(experiment, folder, dataset, ious),
        seconds=folder.seconds(),
        peak_mib=folder.peaks(),
        host=_host(folder, machine),
    )
    write_json(folder.results, results)
    figures = digests.of_value({name: results[name] for name in results if name not in OF_THE_MACHINE})
    return Made([], [folder.results], dict(sha256=figures))


def _host(folder: RunFolder, machine: Optional[dict[str, int]]) -> dict[str, Any]:
    """`made_on`, and {commit: its stages} of the stages that other commits have made: those are not made again."""
    found = host.made_on(**machine or {})
    others: dict[str, list[str]] = {}
    for stage, marks in folder.took().items():
        for commit in sorted({mark["commit"] for mark in marks} - {found["commit"]}) if stage != "results" else ():
            others.setdefault(commit, []).append(stage)
    return dict(found, other_commits=others)


def erasing(
    folder: RunFolder, steps: Sequence[int], is_there: Callable[[str], bool] = lambda path: True
) -> dict[str, Any]:
    """{"mining": ..., "losses": ..., "thresholds": ...} of results.json, from the files that `is_there` accepts."""
    mining: dict[str, Any] = {}
    losses: dict[str, list[list[float]]] = {}
    for t in steps:
        log, trained = (os.path.join(folder.classification(t), name) for name in ("log.csv", "train.json"))
        if is_there(log):
            iterations, values, *_ = read_table(log, ["iteration"]).values()
            losses[f"step{t}"] = [[int(iteration), loss] for iteration, loss in zip(iterations, values)]
        if is_there(trained) and is_there(folder.shares(t)):
            mining[f"step{t}"] = {**read_figures(folder.shares(t)), **read_figures(trained, key="converged_loss")}
    thresholds = read_figures(folder.thresholds, list) if is_there(folder.thresholds) else []
    return dict(mining=mining, losses=losses, thresholds=thresholds)


def read_figures(path: str, kind: type = dict, key: Optional[str] = None) -> Any:
    """read_json for a dict, or another `kind`, in which all values, or that of `key`, are numbers. Else InputError."""
    value = read_json(path)
    if key and isinstance(value, dict):
        value = {key: value.get(key)}
    if not (isinstance(value, kind) and value != {} and _are_numbers(value)):
        raise InputError(f"{path}: does not hold the figures that its stage writes; delete it and run the stage again")
    return value


def _are_numbers(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return all(map(_are_numbers, value)) if isinstance(value, list) else type(value) in (int, float)


def evaluated(dataset: Dataset, ids: Sequence[str], folders: Mapping[str, str]) -> dict[str, Any]:
    """The rows of results.json, {row: ...}, of the segmentations `folders` = {row: folder} of the images `ids`.

    Each folder has plain/ and crf/. They are evaluated on all cores.
    """
    names = ["background", *dataset.classes]
    paths = [f"{folder}/{kind}" for folder in folders.values() for kind in ("plain", "crf")]
    found = in_threads(evaluate.run, [(path, dataset.mask_folder(), ids, dataset.values, names) for path in paths])
    return dict(zip(folders, map(row_of, found[::2], found[1::2])))


def row_of(plain: Mapping[str, Any], crf: Mapping[str, Any]) -> dict[str, Any]:
    """A row of results.json; plain, crf: evaluate.scores without and with CRF."""
    without = dict(miou_no_crf=plain["miou"], iou_no_crf=plain["iou"])
    return dict(miou=crf["miou"], iou=crf["iou"], **without, absent=crf["absent"], errors=crf["errors"])


def _examples(experiment: Experiment, folder: RunFolder, dataset: Dataset, ious: dict[str, float]) -> dict[str, Any]:
    """The images that the report shows: see by_image. ious: {id: mIoU} of the main row."""
    found = by_image.examples(ious)
    merged = experiment.mining.merge
    if merged < experiment.mining.steps and dataset.mask_folder():
        ids = dataset.ids(experiment.data.train)
        regions = folder.regions(merged), folder.regions(merged + 1)
        found["over_erased"] = by_image.over_erased(*regions, dataset, ids, experiment.seed.report)
    return found


def successful_steps(converged: Sequence[float], most: float) -> int:
    """The stop rule of algorithm 1: the number of steps before the first whose converged loss is above `most`."""
    return next((t for t, loss in enumerate(converged) if loss > most), len(converged))


def main(argv: Optional[list[str]] = None) -> None:
    written: Any = lambda asked: dict(written=RunFolder(asked.experiment.name).results)  # noqa: E731
    parser = cli.parser(__doc__, "experiment data", places=written)
    parser.add_argument("--nets", nargs="*", default=[], help="nets with S_hat, whose psl.csv is read")
    run(**vars(parser.parse_args(argv)))
