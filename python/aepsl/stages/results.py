"""Gathers a run's figures into results.json.

    {"rows": {"ae_step1": {"miou": 44.9, "iou": {"background": ..., ...}, "miou_no_crf": ..., "iou_no_crf": ...,
                           "absent": classes that the ground truth does not have, left out of the means,
                           "errors": {"missed": ..., "confused": ..., "false": ...} with CRF, see evaluate}},
     "mining": {"step1": {"recall": ..., "precision": ..., "erased": ..., "converged_loss": ...}},
     "losses": {"step1": [[iteration, loss], ...]},
     "thresholds": [[threshold, {"recall": ..., "precision": ..., "erased": ...}], ...] of step 1,
     "background": {"cue": {"share": ..., "precision": ..., "recall": ..., "error": ...},
                    "masks": {"labelled": ..., "ignored": ..., "wrong": ...}}, see evaluate_background,
     "success": the steps before the first whose training was none, "seconds": {stage: ...}}
IoU in percent, the rest in 0 ... 1.
"""

import csv
import os

from aepsl import cli, digests
from aepsl.data.dataset import Dataset
from aepsl.files import read_json, write_json
from aepsl.made import Figures
from aepsl.run_folder import RunFolder
from aepsl.stages import evaluate


def run(experiment, data):
    """Evaluate the segmentations of val that the experiment's `rows` name, gather the rest, write results.json."""
    folder = RunFolder(experiment)
    dataset = Dataset(data, experiment["classes"])
    training = {t: read_json(os.path.join(folder.classification(t), "train.json")) for t in folder.steps}
    converged = [training[t]["converged_loss"] for t in folder.steps]
    val = experiment["data"]["val"]
    results = dict(
        experiment=experiment["name"],
        rows={row: evaluated(dataset, val, folder.segmented("val", row)) for row in experiment["rows"]},
        mining={
            f"step{t}": dict(read_json(folder.shares(t)), converged_loss=loss)
            for t, loss in zip(folder.steps, converged)
        },
        losses={f"step{t}": _log(os.path.join(folder.classification(t), "log.csv")) for t in folder.steps},
        thresholds=read_json(folder.thresholds),
        background=read_json(folder.background),
        success=successful_steps(converged, experiment["mining"]["max_converged_loss"]),
        seconds=folder.seconds(),
    )
    write_json(folder.results, results)
    figures = digests.of_value({name: results[name] for name in results if name != "seconds"})
    return Figures(dict(sha256=figures), [folder.results])


def evaluated(dataset, list_name, folder):
    """A row of results.json, of the segmentations `folder`/plain and `folder`/crf of the images of a list."""
    names = ["background"] + dataset.classes
    plain, with_crf = (
        evaluate.run(f"{folder}/{kind}", dataset.mask_folder(), dataset.ids(list_name), dataset.values, names)
        for kind in ("plain", "crf")
    )
    return dict(
        miou=with_crf["miou"],
        iou=with_crf["iou"],
        miou_no_crf=plain["miou"],
        iou_no_crf=plain["iou"],
        absent=with_crf["absent"],
        errors=with_crf["errors"],
    )


def successful_steps(converged, most):
    """The stop rule of algorithm 1: how many steps came before the first whose converged loss is above `most`."""
    return next((t for t, loss in enumerate(converged) if loss > most), len(converged))


def _log(path):
    with open(path) as file:
        return [[int(row[0]), float(row[1])] for row in list(csv.reader(file))[1:]]


def main(argv=None):
    cli.run_stage(run, cli.parser(__doc__, "experiment data done").parse_args(argv))
