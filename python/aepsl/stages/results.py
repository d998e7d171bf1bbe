"""Gathers a run's figures into results.json.

    {"rows": {"ae_step1": {"miou": 44.9, "iou": {"background": ..., ...}, "miou_no_crf": ..., "iou_no_crf": ...,
                           "absent": classes that the ground truth does not have, left out of the means,
                           "errors": {"missed": ..., "confused": ..., "false": ...} with CRF, see evaluate}},
     "mining": {"step1": {"recall": ..., "precision": ..., "erased": ..., "converged_loss": ...}},
     "losses": {"step1": [[iteration, loss], ...]},
     "thresholds": [[threshold, {"recall": ..., "precision": ..., "erased": ...}], ...] of step 1,
     "success": the steps before the first whose training was none, "seconds": {stage: ...}}
IoU in percent, the rest in 0 ... 1.
"""

import argparse
import csv
import glob
import os

from aepsl import experiments
from aepsl.data.dataset import Dataset
from aepsl.files import read_json, write_json
from aepsl.stages import evaluate


def run(experiment, data, run, rows, json):
    """Evaluate the segmentations of val, gather the rest, write `json`.

    run: the folder of the run; rows: names of segmentations, folders of run/val.
    """
    dataset = Dataset(data, experiment["classes"])
    steps = range(1, experiment["mining"]["steps"] + 1)
    training = {t: read_json(f"{run}/step{t}/classification/train.json") for t in steps}
    converged = [training[t]["converged_loss"] for t in steps]
    results = dict(
        experiment=experiment["name"],
        rows={row: evaluated(dataset, experiment["data"]["val"], f"{run}/val/{row}") for row in rows},
        mining={
            f"step{t}": dict(read_json(f"{run}/step{t}/regions.json"), converged_loss=converged[t - 1]) for t in steps
        },
        losses={f"step{t}": _log(f"{run}/step{t}/classification/log.csv") for t in steps},
        thresholds=read_json(f"{run}/step1/thresholds.json"),
        success=successful_steps(converged, experiment["mining"]["max_converged_loss"]),
        seconds=seconds_of_stages(f"{run}/seconds"),
    )
    write_json(json, results)


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


def seconds_of_stages(folder):
    """{stage: seconds}; the shards of a stage, which may have run side by side, are added up."""
    seconds = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.tsv"))):
        with open(path) as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        parts = os.path.basename(path)[: -len(".tsv")].split(".")
        stage = ".".join(part for part in parts if "-" not in part)
        seconds[stage] = seconds.get(stage, 0) + float(row["s"])
    return seconds


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--data", required=True, help="root of the data set, in VOC layout")
    parser.add_argument("--run", required=True, help="folder of the run")
    parser.add_argument("--rows", required=True, nargs="+", help="names of the segmentations under RUN/val")
    parser.add_argument("--json", required=True, help="file to write")
    arguments = vars(parser.parse_args(argv))
    run(experiments.load(arguments.pop("experiment")), **arguments)
