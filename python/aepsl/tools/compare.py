"""Sets predictions of any method beside a run's rows and the paper's: IoU, intervals of the differences, images."""

import math
import os
from typing import NamedTuple

import numpy as np

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, write_json, write_text
from aepsl.base.parallel import in_threads
from aepsl.data.dataset import VOC_CLASSES, Dataset, in_folder
from aepsl.data.predictions import find
from aepsl.evaluation import bootstrap, evaluate
from aepsl.graph.graph import Graph, of_run
from aepsl.paper import published
from aepsl.report import page
from aepsl.run.inputs import data_of
from aepsl.tools.comparison_tables import tables

MOST_DIFFERENT = 20  # images that are named
PAPERS_IMAGES = 1449  # of VOC 2012 val


class Method(NamedTuple):
    """name: in the tables; paths: of its masks, in the order of the ids."""

    name: str
    paths: list


class Counts(NamedTuple):
    """confusion: K x (K + 1) of all images; sums: N x 3 x K, evaluate.sums of each."""

    confusion: np.ndarray
    sums: np.ndarray


def run(pred, runs, list_name=None, data=None, draws=bootstrap.DRAWS, seed=1):
    """Compare folders of predictions and rows of runs; returns what --json writes, see `compared`.

    pred: folders; runs: texts runs/NAME:ROW, the first of which names the experiment whose classes and list count;
    list_name: 'val', or the path of a list; data: root of the data set. Raises InputError before anything is decoded
    for predictions that are missing or of another size.
    """
    named = [_named_row(text) for text in runs]
    if not named:
        raise InputError("--run: name a row of a run, for example --run runs/demo:psl++; its classes and images count")
    experiment = named[0][0].experiment
    first = named[0][0].run.path
    for graph, _ in named[1:]:
        if graph.experiment.classes != experiment.classes:
            raise InputError(f"{graph.run.path}: has other classes than {first}; compare runs of one data set")
    dataset = Dataset(data_of(experiment, data), experiment.classes)
    ids = dataset.ids(list_name or experiment.data.val)
    evaluate.check_ids(dataset.mask_folder(), ids)
    methods = [
        Method(f"{graph.run.path}:{row}", find(graph.run.segmented("val", row) + "/crf", ids)) for graph, row in named
    ]
    methods += [Method(folder, find(folder, ids)) for folder in pred]
    _check_names(methods)
    truths = in_folder(dataset.mask_folder(), ids)
    counted = in_threads(_count, [(each, truths, dataset.values) for each in methods])
    evaluate.check_counts(dataset.mask_folder(), counted[0].confusion)
    return compared([method.name for method in methods], counted, ids, ["background", *dataset.classes], draws, seed)


def _places(asked):
    """The runs that --run names, and what data sets they have: aepsl.places."""
    return places.of_run(*(os.path.basename(text.rpartition(":")[0]) for text in asked.run))


def _named_row(text):
    """(Graph, row) of runs/NAME:ROW."""
    path, _, row = text.rpartition(":")
    name = os.path.basename(os.path.normpath(path)) if path else ""
    if not row or os.path.normpath(path) != os.path.join("runs", name):
        raise InputError(f"--run {text}: must be runs/NAME:ROW, for example runs/demo:psl++")
    graph = Graph(of_run(name))
    return graph, graph.checked_row(row)


def _check_names(methods):
    names = [method.name for method in methods]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"{twice}: is named twice; name it once")
    if len(methods) < 2:
        raise InputError("--pred: name a folder of predictions, or a second --run; one method alone compares with none")


def _count(method, truths, values):
    """The Counts of a Method. Raises InputError for a prediction that has no class at a pixel that counts."""
    total, sums = np.zeros((len(values), len(values) + 1), np.int64), []
    for path, confusion in zip(method.paths, evaluate.confusions(method.paths, truths, values)):
        if confusion[:, -1].any():
            raise InputError(
                f"{path}: has values that are no classes; each pixel needs one of {', '.join(map(str, values))}"
            )
        total += confusion
        sums.append(evaluate.sums(confusion))
    return Counts(total, np.stack(sums))


def compared(names, counted, ids, classes, draws=bootstrap.DRAWS, seed=1):
    """The comparison of methods with the first of them, as a JSON value.

    names: of the methods; counted: their Counts; classes: names, background first. Returns {"classes", "images",
    "draws", "seed", "reference": the first method's name, "methods": {name: as evaluate.run returns},
    "differences": {name: {"miou": {"difference", "low", "high"}, "iou": {class: the same}, "images": [{"id",
    "difference", "ours", "theirs"}, ...]}}, "paper": see `_paper`}; IoU in percent, differences in points.
    """
    low, high = bootstrap.intervals([each.sums for each in counted[1:]], counted[0].sums, draws, seed)
    ours = bootstrap.with_mean(evaluate.iou(counted[0].sums.sum(axis=0)))
    differences = {}
    for name, each, *bounds in zip(names[1:], counted[1:], low, high):
        theirs = bootstrap.with_mean(evaluate.iou(each.sums.sum(axis=0)))
        cells = [dict(difference=d, low=a, high=b) for d, a, b in zip((theirs - ours).tolist(), *map(list, bounds))]
        iou = {label: cell for label, cell in zip(classes, cells) if not math.isnan(cell["difference"])}
        images = most_different(ids, counted[0].sums, each.sums)
        differences[name] = dict(miou=cells[-1], iou=iou, images=images)
    return dict(
        classes=classes,
        images=len(ids),
        draws=draws,
        seed=seed,
        reference=names[0],
        methods={name: evaluate.scores(each.confusion, classes) for name, each in zip(names, counted)},
        differences=differences,
        paper=_paper(classes, len(ids)),
    )


def most_different(ids, ours, theirs):
    """MOST_DIFFERENT images whose own mIoU, over the classes in the image's truth, differs most; N x 3 x K of each."""
    means = [bootstrap.with_mean(evaluate.iou(np.moveaxis(sums, 1, 0)))[:, -1] for sums in (ours, theirs)]
    order = np.argsort(-np.abs(means[1] - means[0]), kind="stable")[:MOST_DIFFERENT]
    return [
        dict(id=ids[k], difference=float(means[1][k] - means[0][k]), ours=float(means[0][k]), theirs=float(means[1][k]))
        for k in order
    ]


def _paper(classes, images):
    """{"note": one sentence, "rows": {title: {"miou", "iou"}}, "methods": of table 1}; both empty for other classes."""
    if classes != ["background", *VOC_CLASSES]:
        return dict(
            note="The paper's tables are of VOC's 21 classes: they do not compare with these.", rows={}, methods=[]
        )
    note = f"The paper's figures are of the {PAPERS_IMAGES} images of VOC 2012 val"
    note += "." if images == PAPERS_IMAGES else f"; ours are of {images}."
    rows = {}
    for title in published.TABLES_3_AND_4:
        *iou, miou = published.of_row(title)
        rows[title] = dict(miou=miou, iou=dict(zip(classes, iou)))
    return dict(note=note, rows=rows, methods=[each._asdict() for each in published.TABLE_1])


def main(argv=None):
    parser = cli.parser(__doc__, places=_places)
    parser.add_argument("--run", action="append", default=[], metavar="runs/NAME:ROW", help="a row; the first is ours")
    parser.add_argument("--pred", action="append", default=[], metavar="DIR", help="a folder of predictions, ID.png")
    parser.add_argument("--list", help="val, or the path of a list of ids (the experiment's val)")
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="root of the data set, in VOC layout")
    parser.add_argument("--draws", type=cli.number(1), default=bootstrap.DRAWS, help="of the bootstrap (%(default)s)")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--html", help="file to write a page to")
    asked = parser.parse_args(argv)
    for path in filter(None, (asked.json, asked.html)):
        check_place(path)
    if asked.json and asked.json == asked.html:
        raise InputError(f"{asked.json}: cannot be both figures and page; name two files")
    result = run(asked.pred, asked.run, asked.list, asked.data, asked.draws)
    if asked.json:
        write_json(asked.json, result)
    if asked.html:
        write_text(asked.html, page.rendered("compare.html", reference=result["reference"], tables=tables(result)))
    print("\n\n".join(table.text() for table in tables(result)))
