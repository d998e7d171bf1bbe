"""One run of Caffe's solver (aepsl.training.solve).

Its folder then holds the train.prototxt and solver.prototxt that it used, log.csv, train.json and final.caffemodel,
with PSL also psl.csv (aepsl.training.psl_log);
`caffe train -solver FOLDER/solver.prototxt -weights WEIGHTS` repeats it. Interrupted and started again it goes on
from its last snapshot (aepsl.training.snapshots), and ends, on the CPU, with the same bytes.
"""

import os

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder
from aepsl.base.locks import only_one
from aepsl.data.dataset import Dataset, in_folder
from aepsl.data.regions import check_bits
from aepsl.layers.psl import CONFIDENCES
from aepsl.nets import build, caffemodel, device
from aepsl.settings import experiments
from aepsl.store.result import Made, begin, has
from aepsl.training import snapshots, solve
from aepsl.training.observers import clear_progress
from aepsl.training.prototxts import NET, SOLVER, write_prototxts

FILES = ["*.prototxt", "*.caffemodel", "*.solverstate", "*.csv", "snapshot.json", "progress.json", "train.json"]
TRUTH = "truth"  # as a folder of masks: the data set's own


def run(
    experiment, task, data, out, weights=None, regions=None, masks=None, confidence="predicted", gpu=None, word=None
):
    """Train the net of `task` on the data set `data` and write the folder `out`.

    experiment: settings; weights: initial caffemodel, None to start from the fillers alone;
    regions: folder of regions to erase from the images; masks: folder of masks to learn from (segmentation, psl), or
    TRUTH; confidence: what weights S_hat (psl): predicted, labels or none; word: see aepsl.store.result. Raises
    InputError for bad inputs, before Caffe starts, for a training that diverges, and for a classification that
    saturates.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    masks = dataset.mask_folder() if masks == TRUTH else masks
    _check(dataset, ids, weights, regions, masks)
    if not out.isprintable() and out != out.encode(errors="ignore").decode():
        raise InputError(f"{out}: is no UTF-8, and Caffe's solver.prototxt holds no other text; name another folder")

    logs = ["log.csv"] + ["psl.csv"] * (task == "psl")
    results = [os.path.join(out, name) for name in ("final.caffemodel", *logs)]
    summary, *prototxts = (os.path.join(out, name) for name in ("train.json", NET, SOLVER))
    make_folder(out)
    with only_one(out):
        begin(out, word, FILES, is_locked=True)
        is_trained = has(*results, summary)
        if not (has(*prototxts) and is_trained):
            write_prototxts(experiment, task, data, len(ids), out, regions, masks, confidence)
        if not is_trained:
            device.use(gpu)
            solve.run(task, dataset.labels(ids), out, weights, on_cpu=gpu is None)
        snapshots.clear(out)
        clear_progress(out)
    return Made(results, [summary, *prototxts])


def _check(dataset, ids, weights, regions, masks):
    """Raise InputError unless all images can be read, and what goes with them, and the initial weights are there."""
    if masks:
        dataset.check_masks(ids, masks)
    else:
        dataset.check(ids, [regions] if regions else [])
    for path in in_folder(regions, ids) if regions else ():
        check_bits(path)
    if weights:
        caffemodel.existing(weights)


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data gpu")
    parser.add_argument("--task", required=True, choices=experiments.TASKS)
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--weights", help="initial caffemodel")
    parser.add_argument("--regions", help="folder of mined regions, erased from the images")
    parser.add_argument("--masks", help=f"folder of masks to learn from, or '{TRUTH}': the data set's own")
    parser.add_argument("--confidence", choices=CONFIDENCES, default="predicted", help="what weights S_hat")
    arguments = parser.parse_args(argv)
    if (arguments.task == "classification") != (arguments.masks is None):
        needs = "learns from no masks: leave --masks out" if arguments.masks else "learns from masks: give --masks"
        raise InputError(f"--task {arguments.task} {needs}")
    if arguments.regions and arguments.task != "classification":
        raise InputError(f"--task {arguments.task} erases nothing: leave --regions out")
    build.check(arguments.experiment)
    run(**vars(arguments))
