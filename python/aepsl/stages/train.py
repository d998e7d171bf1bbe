"""Trains a net with Caffe's solver (aepsl.training.solve).

Its folder has train.prototxt, solver.prototxt, log.csv, train.json, final.caffemodel, and with PSL also psl.csv
(aepsl.training.psl_log). `caffe train -solver FOLDER/solver.prototxt -weights WEIGHTS` repeats the training. After an
interruption it continues from its last snapshot (aepsl.training.snapshots); on the CPU the result has the same bytes.
"""

import os
from collections.abc import Sequence
from typing import Optional

import numpy as np

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder
from aepsl.base.locks import only_one
from aepsl.data import check
from aepsl.data.dataset import Dataset, in_folder
from aepsl.data.regions import check_is_mask, check_regions
from aepsl.layers.psl import CONFIDENCES
from aepsl.nets import build, caffemodel, device
from aepsl.paper.recipes import TRUTH
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.store.result import Made, begin, has
from aepsl.training import snapshots, solve
from aepsl.training.observers import clear_progress

FILES = ["*.prototxt", "*.caffemodel", "*.solverstate", "*.csv", "snapshot.json", "progress.json", "train.json"]


def run(
    experiment: Experiment,
    task: str,
    data: str,
    out: str,
    weights: Optional[str] = None,
    classifier: Optional[str] = None,
    regions: Optional[str] = None,
    masks: Optional[str] = None,
    confidence: str = "predicted",
    gpu: Optional[list[int]] = None,
    word: Optional[str] = None,
) -> Made:
    """Train the net of `task` on the data set `data`; write the folder `out`.

    weights: initial caffemodel, None: all layers are drawn; classifier: caffemodel of a classification net, for the
    last layer of the classification branch (psl), None: it is drawn; regions: folder of regions to erase from the
    images; masks: folder of masks to learn from (segmentation, psl), or TRUTH; confidence: the weights for S_hat (psl):
    predicted, labels or none; word: see aepsl.store.result. InputError for bad inputs, and if the training fails.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    masks = dataset.mask_folder() if masks == TRUTH else masks
    initial = [path for path in (classifier, weights) if path]
    _check_files(out, initial, classifier)
    _check_images(dataset, ids, regions, masks)
    results = [os.path.join(out, name) for name in ["final.caffemodel", "log.csv"] + ["psl.csv"] * (task == "psl")]
    summary, *prototxts = (os.path.join(out, name) for name in ("train.json", build.NET, build.SOLVER))
    make_folder(out)
    with only_one(out):
        begin(out, word, FILES, is_locked=True)
        is_trained = has(*results, summary)
        if not (has(*prototxts) and is_trained):
            build.write_prototxts(experiment, task, data, len(ids), out, confidence, regions=regions, masks=masks)
        if not is_trained:
            device.use(gpu)
            solve.run(task, dataset.labels(ids), out, initial, on_cpu=gpu is None)
        snapshots.clear(out)
        clear_progress(out)
    return Made(results, [summary, *prototxts])


def _check_files(out: str, initial: Sequence[str], classifier: Optional[str]) -> None:
    """InputError for a folder `out` whose name Caffe cannot hold, and for initial weights that are missing or wrong."""
    if out != out.encode(errors="ignore").decode():
        raise InputError(f"{out}: is no UTF-8, and Caffe's solver.prototxt holds no other text; name another folder")
    for path in initial:
        caffemodel.existing(path)
    if classifier and "fc8_cls" not in caffemodel.caffemodel_layers(classifier):
        raise InputError(f"{classifier}: has no layer fc8_cls; give the caffemodel of a classification net")


def _check_images(dataset: Dataset, ids: Sequence[str], regions: Optional[str], masks: Optional[str]) -> None:
    """InputError if an image, a region or a mask is missing or invalid."""
    if masks:
        found = dataset.check_masks(ids, masks)
        if masks != dataset.mask_folder():  # those are compared with the labels when a run starts
            list(map(check_is_mask, in_folder(masks, ids)))
            drawn = np.array([np.isin(dataset.values[1:], values) for values in found])
            labels = drawn & (dataset.labels(ids) > 0)  # S may lack a class of the labels
            check.compare(masks, ids, dataset.classes, labels, drawn)
    elif regions:
        found = dataset.check(ids, [regions])
        for path, (values,), labels in zip(in_folder(regions, ids), found, dataset.labels(ids)):
            check_regions(path, values.max(initial=0), labels.sum())
    else:
        dataset.check(ids)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data out gpu")
    parser.add_argument("--task", required=True, choices=experiments.TASKS)
    parser.add_argument("--weights", help="initial caffemodel")
    parser.add_argument("--classifier", help="caffemodel of a classification net: --weights lacks its last layer")
    parser.add_argument("--regions", help="folder of mined regions, erased from the images")
    parser.add_argument("--masks", help=f"folder of masks to learn from, or '{TRUTH}': the data set's own")
    parser.add_argument("--confidence", choices=CONFIDENCES, default="predicted", help="the weights for S_hat")
    arguments = parser.parse_args(argv)
    if (arguments.task == "classification") != (arguments.masks is None):
        needs = "learns from no masks: leave --masks out" if arguments.masks else "learns from masks: give --masks"
        raise InputError(f"--task {arguments.task} {needs}")
    if arguments.classifier and (arguments.task != "psl" or not arguments.weights):
        raise InputError("--classifier is of --task psl, beside --weights: leave it out")
    if arguments.regions and arguments.task != "classification":
        raise InputError(f"--task {arguments.task} erases nothing: leave --regions out")
    build.check(arguments.experiment)
    run(**vars(arguments))
