"""The report's figures as tables, ours beside the paper's, for the terminal, for Markdown and for the page."""

from typing import Optional

from aepsl.base.table import Table, number
from aepsl.evaluation.evaluate import WRONG_KINDS
from aepsl.paper import published, recipes
from aepsl.report import tables_of_making
from aepsl.settings.typed import Experiment

SHARES = ("recall", "precision", "erased")  # of mined regions
NO_COMPARISON = "These rows do not compare with the paper's: other images, other classes, another net."
# {row: the row that sections 4.3.1 and 4.3.2 compare it with}
EFFECTS = {"psl": "ae_step3", "psl_labels": "psl", "psl_none": "psl", "psl++": "psl", "psl+gt": "psl++"}


def by_section(experiment: Experiment, found: dict) -> dict[str, list[Table]]:
    """{section: its tables, without those that have no rows}, in the page's order; found: report.gathered's."""
    rows = [row for row in found["rows"] if row != "calibration"]
    steps = [row for row in rows if row.startswith("ae_step")]
    methods = (_methods(found, 1, published.TABLE_1), _methods(found, 2, published.TABLE_2)) if found["paper"] else ()
    iou_tables = iou(found, 3, steps), iou(found, 4, [row for row in rows if row not in steps])
    every = dict(
        tables=(effects(found, experiment.mining.merge), *methods, *iou_tables, s_hat(found)),
        mining=(mining(found), thresholds(found), background(found)),
        wrong=(wrong(found), by_size(found)),
        missing=(tables_of_making.missing(experiment),) if found["missing"] else (),
        made=tables_of_making.every(experiment, found),
    )
    return {section: [table for table in tables if table.rows] for section, tables in every.items()}


def difference(ours: Optional[float], theirs: Optional[float]) -> str:
    """The difference of two figures as text, computed from them as they are printed; '' if one is None."""
    return "" if ours is None or theirs is None else number(round(ours, 1) - round(theirs, 1), sign=True)


def percent(share: Optional[float]) -> str:
    return "" if share is None else number(100 * share)


def main_figures(found: dict) -> dict[str, str]:
    """{what: text}: the main row's mIoU, '' if not known yet; the paper's and the difference if they compare."""
    ours, paper = found["rows"].get(found["main"], {}).get("miou"), recipes.rows(4).get(found["main"])
    shown = {f"this run, {found['main']}, with CRF": number(ours)}
    if found["paper"] and paper:
        shown.update({"the paper": number(paper.published_miou), "difference": difference(ours, paper.published_miou)})
    return shown


def effects(found: dict, merged: int) -> Table:
    """The effect of each part of the method: differences between rows, ours and the paper's."""
    ours = {name: row["miou"] for name, row in found["rows"].items()}
    published_rows = recipes.rows(4).items()
    paper = {name: row.published_miou for name, row in published_rows if row.published_miou is not None}
    steps, lines = [name for name in ours if name.startswith("ae_step")], []
    if "ae_step1" in ours and len(steps) > 1:
        best = max(steps, key=lambda name: ours[name])
        lines.append((f"best step ({best})", best, "ae_step1", paper["ae_step3"] - paper["ae_step1"]))
    for name, other in EFFECTS.items():
        own_other = f"ae_step{merged}" if other == "ae_step3" else other
        if name in ours and own_other in ours:
            lines.append((name, name, own_other, paper[name] - paper[other]))
    cells = [[label, b, difference(ours[a], ours[b]), number(gain, sign=True)] for label, a, b, gain in lines]
    note = "Points of mIoU on val with CRF. These differences within a run compare better than the rows themselves."
    return Table("What each part brings", ["row", "against", "ours", "the paper"], cells, note)


def _methods(found, table, lines):
    """Table 1 (val) or 2 (test) of the paper, with our row; its mIoU on test is known to VOC's server alone."""
    ours = found["rows"].get(found["main"], {}).get("miou") if table == 1 else None
    rows = [
        [m.supervision, m.name.replace("(ours)", "(the paper)"), f"{m.images // 1000}k", number(m.miou), ""]
        for m in lines
    ]
    train = f"{round(found['images'].get('train', 0) / 1000)}k"
    rows.append([published.LABELS, f"this run, {found['main']}", train, number(ours), difference(ours, lines[-1].miou)])
    caption = f"Table {table}. Other methods on {'val' if table == 1 else 'test'}"
    note = "Nobody but VOC's server has the masks of test: `make submission` packs them." if table == 2 else ""
    columns = ["supervision", "method", "images", "mIoU", "difference"]
    return Table(caption, columns, rows if found["rows"] else [], note)


def iou(found: dict, table: int, names: list[str]) -> Table:
    """Table 3 or 4: IoU of each class; below each of our rows the paper's, and the difference, if they compare."""
    present = list(next(iter(found["rows"].values()))["iou"]) if names else []
    theirs = recipes.rows(max(4, len(found["mining"]))) if found["paper"] else {}
    rows = []
    for name in names:
        row = found["rows"][name]
        values = [*row["iou"].values(), row["miou"]]
        rows.append([name, *map(number, values), number(row["miou_no_crf"])])
        if name in theirs and theirs[name].published_miou:
            rows += _papers_rows(theirs[name], values)
    caption = f"Table {table}. IoU on val, in percent, with CRF: {'steps of erasing' if table == 3 else 'PSL'}"
    absent = found["rows"][names[0]]["absent"] if names else []
    notes = [NO_COMPARISON] * (not found["paper"])
    notes += [f"Left out of the means, as val's masks do not have them: {', '.join(absent)}."] * bool(absent)
    return Table(caption, ["row", *present, "mIoU", "no CRF"], rows, " ".join(notes))


def _papers_rows(row, values):
    """The paper's line below ours, and the difference; of some rows the paper has only the mean, approximately."""
    published_row = row.published or [None] * (len(values) - 1) + [row.published_miou]
    differences = [difference(ours, theirs) for ours, theirs in zip(values, published_row)]
    name = f"  the paper: {row.title}" if row.title else "  the paper, about"
    return [[name, *map(number, published_row), ""], ["  difference", *differences, ""]]


def mining(found: dict) -> Table:
    """Mined regions of the training images, and the loss."""
    rows = []
    for step, row in found["mining"].items():
        cells = [step, *_shares(row), number(row["converged_loss"], 3)]
        if found["paper"]:
            cells.append(number(published.CONVERGED_LOSSES.get(int(step[len("step") :])), 2))
        rows.append(cells)
    columns = ["step", *SHARES, "loss", *["the paper's loss, about"] * found["paper"]]
    note = "In percent of pixels of the training images, by their true masks, which nothing learns from."
    if "success" in found:
        note += f" The stop rule of algorithm 1 ends after step {found['success']}."
    return Table("Mined regions, and the loss at which classification converges", columns, rows, note)


def thresholds(found: dict) -> Table:
    """Mined regions of step 1 with other thresholds."""
    rows = [[threshold, *_shares(row)] for threshold, row in of_thresholds(found).items()]
    note = "What step 1 would have mined; in percent of pixels."
    return Table("Sensitivity of the erasing threshold", ["threshold", *SHARES], rows, note)


def _shares(row):
    return [percent(row.get(key)) for key in SHARES]


def background(found: dict) -> Table:
    """The run's shares of background cues; found["background"]: {name: share or {name: share}}, in 0 ... 1."""
    rows = []
    for name, value in found.get("background", {}).items():
        for key, each in value.items() if isinstance(value, dict) else [("", value)]:
            rows.append([f"{name} {key}".strip(), percent(each)])
    note = "In percent of pixels of the training images. cue: what is taken for background; its error: how much of the "
    return Table("Background cues", ["what", "percent"], rows, note + "objects that takes. masks: S.")


def s_hat(found: dict) -> Table:
    """The figures of psl.csv for each net with the auxiliary mask, in the first epoch and in the last."""
    rows = [
        [net, *(" to ".join(percent(values[k]) for k in (0, -1)) for values in columns.values())]
        for net, columns in found.get("psl", {}).items()
    ]
    note = "In percent, in the first epoch and in the last. r: pixels that S labels; v: mean over the images' labels; "
    note += "v < r: labels whose pixels Ŝ takes from S; objects: their share of the pixels that S, or Ŝ, labels."
    return Table("Ŝ in training", ["net", "r", "v", "v < r", "objects in S", "objects in Ŝ"], rows, note)


def wrong(found: dict) -> Table:
    """The kinds of wrong pixels of each row."""
    rows = [
        [name, *(number(row["errors"][kind]) for kind in WRONG_KINDS), number(sum(row["errors"].values()))]
        for name, row in found["rows"].items()
    ]
    note = "With CRF, in percent of the objects' pixels. Missed: an object taken for background; confused: for another "
    return Table(
        "Wrong pixels", ["row", *WRONG_KINDS, "together"], rows, note + "class; false: background taken for one."
    )


def by_size(found: dict) -> Table:
    """Wrong pixels of the main row by size of object."""
    rows = [
        [size, str(each["objects"]), number(each["missed"]), number(each["confused"])]
        for size, each in of_sizes(found).items()
    ]
    note = f"Of {found['main']} with CRF, in percent of the pixels of the objects of that size. An object is a "
    note += "connected piece of one class in the true mask."
    return Table("Wrong pixels by size of object", ["an object takes", "objects", "missed", "confused"], rows, note)


def of_sizes(found: dict) -> dict[str, dict]:
    """{'1 to 4% of the image': wrong pixels of objects of that size}, of the main row."""
    sizes = found["rows"].get(found["main"], {}).get("by_size", [])
    bounds = [0, *(100 * each["most"] for each in sizes)]
    return {f"{least:g} to {most:g}% of the image": each for least, most, each in zip(bounds, bounds[1:], sizes)}


def of_thresholds(found: dict) -> dict[str, dict]:
    """{'of_max 0.2': recall, precision and erased share of step 1}, in 0 ... 1."""
    return {f"{kind} {value}": row for threshold, row in found["thresholds"] for kind, value in threshold.items()}
