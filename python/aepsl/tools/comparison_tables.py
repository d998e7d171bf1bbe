"""The result of `compare.compared` as tables."""

from collections.abc import Sequence
from typing import Any, Optional

from aepsl.base.table import Table, number
from aepsl.evaluation import bootstrap, evaluate
from aepsl.paper import published

DIFFERENCE = ("difference", "interval", "beyond 0")  # columns
PAPERS_IMAGES = 1449  # of VOC 2012 val


def tables(result: dict[str, Any]) -> list[Table]:
    """[Table]: all classes together, each class, and the images in which each method differs most."""
    methods, differences, paper = (result[key] for key in ("methods", "differences", "paper"))
    rows = []
    for name, row in methods.items():
        wrong = [number(row["errors"][kind]) for kind in evaluate.WRONG_KINDS]
        rows.append([name, number(row["miou"], 2), *difference_cells(differences.get(name, {}).get("miou")), *wrong])
    papers = [(f"the paper: {name}", row["miou"]) for name, row in paper["rows"].items()]
    papers += [(f"{each['name']}, {each['supervision']}", each["miou"]) for each in paper["methods"]]
    columns = ["method", "mIoU", *DIFFERENCE, *evaluate.WRONG_KINDS]
    rows += [[name, number(miou), *[""] * (len(columns) - 2)] for name, miou in papers]
    note = f"{meaning(result)} Wrong pixels are in percent of the objects'. {paper['note']}"
    every = [Table(f"{result['images']} images", columns, rows, note), _by_class(result)]
    for name, difference in differences.items():
        rows = [
            [each["id"], number(each["theirs"]), number(each["ours"]), number(each["difference"], sign=True)]
            for each in difference["images"]
        ]
        caption = "The images that differ most, by their own mIoU"
        every.append(Table(caption, ["image", name, result["reference"], "difference"], rows))
    return every


def meaning(result: dict[str, Any]) -> str:
    """What the differences and intervals in a table are."""
    note = f"Differences from {result['reference']} are in points; intervals hold {bootstrap.LEVEL}% of "
    return note + f"{result['draws']} draws of a paired bootstrap over images."


def _by_class(result: dict[str, Any]) -> Table:
    reference, classes = result["reference"], result["classes"]
    iou = {name: [number(row["iou"].get(label), 2) for label in classes] for name, row in result["methods"].items()}
    columns = [("class", classes), (reference, iou[reference])]
    for name, difference in result["differences"].items():
        cells = zip(*(difference_cells(difference["iou"].get(label)) for label in classes))
        columns += [(name, iou[name]), *zip(DIFFERENCE, cells)]
    for title, paper in result["paper"]["rows"].items():
        columns.append((f"the paper: {title}", [number(paper["iou"][label]) for label in classes]))
    names, shown = zip(*columns)
    return Table("IoU by class", names, list(zip(*shown)))


def difference_cells(cell: Optional[dict[str, float]]) -> list[str]:
    """Cells of DIFFERENCE; cell: a difference with its interval, or None."""
    if cell is None:
        return [""] * len(DIFFERENCE)
    difference, low, high = (number(cell[key], 2, sign=True) for key in ("difference", "low", "high"))
    return [difference, f"{low} … {high}", "above" if cell["low"] > 0 else "below" if cell["high"] < 0 else ""]


def of_paper(classes: Sequence[str], images: int) -> dict[str, Any]:
    """{"note": one sentence, "rows": {title: {"miou", "iou"}}, "methods": of table 1}; both empty for other classes."""
    if classes != ["background", *published.VOC_CLASSES]:
        note = "The paper's tables are of VOC's 21 classes: they do not compare with these."
        return dict(note=note, rows={}, methods=[])
    note = f"The paper's figures are of the {PAPERS_IMAGES} images of VOC 2012 val"
    note += "." if images == PAPERS_IMAGES else f"; ours are of {images}."
    rows = {
        title: dict(miou=miou, iou=dict(zip(classes, iou))) for title, (*iou, miou) in published.TABLES_3_AND_4.items()
    }
    return dict(note=note, rows=rows, methods=[each._asdict() for each in published.TABLE_1])
