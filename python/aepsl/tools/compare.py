"""Compares predictions of any method with a run's rows and the paper's: IoU, intervals of the differences, images."""

import math
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, read_json, write_json, write_text
from aepsl.base.parallel import in_threads
from aepsl.baselines import folder as baseline
from aepsl.data import check
from aepsl.data.dataset import Dataset, in_folder
from aepsl.data.predictions import find
from aepsl.evaluation import bootstrap, by_image, evaluate, meaning
from aepsl.graph.graph import Graph, of_run
from aepsl.report import page
from aepsl.run import today
from aepsl.run.inputs import data_of
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.tools.comparison_tables import of_paper, tables


class Counts(NamedTuple):
    """confusion: K x (K + 1) of all images; sums: N x 3 x K, evaluate.sums of each."""

    confusion: np.ndarray
    sums: np.ndarray


def run(
    pred: Sequence[str],
    runs: Sequence[str] = (),
    list_name: Optional[str] = None,
    data: Optional[str] = None,
    draws: int = bootstrap.DRAWS,
    seed: int = 1,
    experiment: Optional[Experiment] = None,
    baselines: Sequence[str] = (),
    as_given: bool = False,
) -> dict[str, Any]:
    """Compare rows of runs, baselines and predictions; returns the value that --json writes, see `compared`.

    pred: see aepsl.data.predictions; runs: texts runs/NAME:ROW; list_name: 'val', or the path of a list; data: root of
    the data set; experiment: its classes and list are used, without it the first run's, or else the data set's own;
    as_given: see meaning.check. InputError, before it decodes one, for predictions that are missing or of another size.
    """
    named = [_named_row(text) for text in runs]
    if named:
        experiment = experiment or named[0][0].experiment
    dataset, list_name = _data(experiment, data, list_name, bool(named))
    are_labelled = [_check_run(graph, row, dataset) for graph, row in named]
    ids, classes = dataset.ids(list_name), ["background", *dataset.classes]
    gt = evaluate.check_ids(dataset.mask_folder(), ids)
    truths = in_folder(gt, ids)
    sources = [(f"{graph.run.path}:{row}", graph.stages[f"segment.val.{row}"].result) for graph, row in named]
    sources += [(name, baseline.masks(name)) for name in baselines] + [(folder, folder) for folder in pred]
    names = _checked_names(sources)
    baseline.check(baselines, dataset, ids)
    with tempfile.TemporaryDirectory() as folder:
        own = [os.path.join(folder, str(k)) for k in range(len(sources))]
        methods = [find(path, ids, truths, dataset.values, each) for (_, path), each in zip(sources, own)]
        counted = in_threads(_count, [(paths, truths, dataset.values) for paths in methods])
        evaluate.check_counts(gt, counted[0].confusion)
        for name, paths, found in list(zip(names, methods, counted))[len(named) :]:  # the classes of runs are known
            meaning.check(name, dict(zip(ids, paths)), truths, classes, *found, as_given)
        meaning.tell_same(names, [each.sums for each in counted])
        if not (named and all(are_labelled)):  # a run's start has checked them
            check.compare_labels(dataset, gt, ids, counted[0].sums[:, 1, 1:] > 0)
    return compared(names, counted, ids, classes, draws, seed)


def _data(
    experiment: Optional[Experiment], data: Optional[str], list_name: Optional[str], of_run: bool
) -> tuple[Dataset, str]:
    """(Dataset, name of the list); of_run: whether a run is compared, whose data set may be elsewhere."""
    if experiment is None:
        if not data:
            remedy = "name a data set, an experiment such as voc12, or a row of a run with --run"
            raise InputError(f"--data: nothing says which classes and images count; {remedy}")
        return Dataset(data), list_name or "val"
    root = data if data and not of_run else data_of(experiment, data)
    return Dataset(root, experiment.classes), list_name or experiment.data.val


def _check_run(graph: Graph, row: str, dataset: Dataset) -> bool:
    """InputError unless the run has the classes and true masks of the data set, and its row is of its last start.

    Returns whether the image labels, and the order in classes.txt, are known to be those of its start.
    """
    if list(graph.experiment.classes) != dataset.classes:
        raise InputError(f"{graph.run.path}: has other classes than those compared; compare runs of one data set")
    run, val = graph.run, graph.experiment.data.val
    if not os.path.exists(run.start):
        print(f"{run.path}: nothing says which true masks it is of: {run.start} is missing", file=sys.stderr)
        return False
    try:
        known, labels = (read_json(run.start)["contents"].get(f"val.{part}") for part in ("masks", "labels"))
    except (AttributeError, KeyError, TypeError):
        known = None
    if not known:
        raise InputError(f"{run.start}: does not say which true masks the run is of; start the run again")
    if not dataset.has_list(val) or dataset.contents(dataset.ids(val), "masks")["masks"] != known:
        raise InputError(f"{dataset.root}: has other true masks of {val} than those of {run.path}; name its own, DATA=")
    if not graph.is_done(f"segment.val.{row}"):
        raise InputError(f"{run.path}: {row} is not segmented, or not of the run's last start; finish the run first")
    today.check_unchanged(run.path, in_folder(graph.stages[f"segment.val.{row}"].result, dataset.ids(val)))
    has_labels = os.path.exists(os.path.join(dataset.root, "image_labels.txt"))
    return has_labels and dataset.contents(dataset.ids(val), "labels")["labels"] == labels


def _places(asked: Any) -> dict[str, Any]:
    """The runs and baselines that are read, and their data sets: aepsl.places."""
    names = [os.path.basename(text.rpartition(":")[0]) for text in asked.run]
    found = places.of_run(*names, *([asked.experiment.name] if asked.experiment else []))
    return dict(found, run=found["run"] + [baseline.path(name) for name in asked.baseline])


def _named_row(text: str) -> tuple[Graph, str]:
    """(Graph, row) of runs/NAME:ROW."""
    path, _, row = text.rpartition(":")
    name = os.path.basename(os.path.normpath(path)) if path else ""
    if not row or os.path.normpath(path) != os.path.join("runs", name):
        raise InputError(f"--run {text}: must be runs/NAME:ROW, for example runs/demo:psl++")
    graph = Graph(of_run(name))
    return graph, graph.checked_row(row)


def _checked_names(sources: list[tuple[str, str]]) -> list[str]:
    """The methods' names; sources: (name, path of the predictions) of each. InputError for one alone, or twice."""
    places = [os.path.realpath(path) for _, path in sources]
    twice = next((name for (name, _), place in zip(sources, places) if places.count(place) > 1), None)
    if twice:
        raise InputError(f"{twice}: is named twice; name it once")
    if len(sources) < 2:
        raise InputError("--pred: name a folder of predictions, or a second --run; one method alone compares with none")
    return [name for name, _ in sources]


def _count(paths: Sequence[str], truths: Sequence[str], values: Sequence[int]) -> Counts:
    """The Counts of a method's masks. InputError for a prediction without a class at a pixel that has a true label."""
    total, sums = np.zeros((len(values), len(values) + 1), np.int64), []
    for path, confusion in zip(paths, evaluate.confusions(paths, truths, values)):
        if confusion[:, -1].any():
            known = ", ".join(map(str, values))
            raise InputError(f"{path}: has values that are no classes; each pixel needs one of {known}")
        total += confusion
        sums.append(evaluate.sums(confusion))
    return Counts(total, np.stack(sums))


def compared(
    names: list[str], counted: list[Counts], ids: list[str], classes: list[str], draws: int, seed: int = 1
) -> dict[str, Any]:
    """The comparison of methods with the first of them, as a JSON value.

    names: of the methods; counted: their Counts; classes: names, background first. Returns {"classes", "images",
    "draws", "seed", "reference": the first method's name, "methods": {name: as evaluate.run returns},
    "differences": {name: {"miou": {"difference", "low", "high"}, "iou": {class: the same}, "images": [{"id",
    "difference", "ours", "theirs"}, ...]}}, "paper": see `of_paper`}; IoU in percent, differences in points.
    """
    low, high = bootstrap.intervals([each.sums for each in counted[1:]], counted[0].sums, draws, seed)
    ours = bootstrap.with_mean(evaluate.iou(counted[0].sums.sum(axis=0)))
    differences = {}
    for name, each, *bounds in zip(names[1:], counted[1:], low, high):
        theirs = bootstrap.with_mean(evaluate.iou(each.sums.sum(axis=0)))
        cells = [dict(difference=d, low=a, high=b) for d, a, b in zip((theirs - ours).tolist(), *map(list, bounds))]
        iou = {label: cell for label, cell in zip(classes, cells) if not math.isnan(cell["difference"])}
        images = by_image.most_different(ids, counted[0].sums, each.sums)
        differences[name] = dict(miou=cells[-1], iou=iou, images=images)
    return dict(
        classes=classes,
        images=len(ids),
        draws=draws,
        seed=seed,
        reference=names[0],
        methods={name: evaluate.scores(each.confusion, classes) for name, each in zip(names, counted)},
        differences=differences,
        paper=of_paper(classes, len(ids)),
    )


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=_places)
    parser.add_argument("--experiment", type=experiments.load, metavar="NAME", help="its classes and list are used")
    several: Any = dict(action="append", default=[])
    parser.add_argument("--run", metavar="runs/NAME:ROW", help="a row of a run", **several)
    parser.add_argument("--baseline", metavar="NAME", help="a baseline that was run", **several)
    parser.add_argument("--pred", metavar="PATH", help="a folder, .tgz or .pkl of masks", **several)
    parser.add_argument("--list", dest="list_name", help="val, or the path of a list of ids (the experiment's val)")
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="root of the data set, in VOC layout")
    parser.add_argument("--draws", type=cli.number(1), default=bootstrap.DRAWS, help="of the bootstrap (%(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--html", help="file to write a page to")
    parser.add_argument("--as-given", **evaluate.AS_GIVEN)
    asked = vars(parser.parse_args(argv))
    figures, html = asked.pop("json"), asked.pop("html")
    for path in filter(None, (figures, html)):
        check_place(path)
    if figures and figures == html:
        raise InputError(f"{figures}: cannot be both figures and page; name two files")
    result = run(runs=asked.pop("run"), baselines=asked.pop("baseline"), **asked)
    if figures:
        write_json(figures, result)
    if html:
        write_text(html, page.rendered("compare.html", reference=result["reference"], tables=tables(result)))
    print("\n\n".join(table.text() for table in tables(result)))
