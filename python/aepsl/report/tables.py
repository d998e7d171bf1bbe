"""The report's figures as tables of text, ours beside the paper's."""

import datetime
from typing import NamedTuple

from aepsl.graph.graph import Graph
from aepsl.paper import published, recipes
from aepsl.report import collect
from aepsl.settings import experiments

NO_COMPARISON = "These rows do not compare with the paper's: other images, other classes, another net."
KINDS = ("missed", "confused", "false")
# Section 4.3.2 and table 3: (what is compared, with what, by how much the first is better in the paper).
EFFECTS = [
    ("psl", "ae_step3", 3.2),
    ("psl_labels", "psl", -0.6),
    ("psl_none", "psl", -1.0),
    ("psl++", "psl", 0.9),
    ("psl+gt", "psl++", 1.1),
]


class Table(NamedTuple):
    """caption; columns: their names; rows: lists of text, '' where there is nothing; note: a sentence, or ''."""

    caption: str
    columns: list
    rows: list
    note: str = ""


def number(value, digits=1, sign=False):
    """A figure as text, with a true minus; '' for None."""
    return "" if value is None else f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def difference(ours, theirs):
    """Of two figures as they are printed, so that who subtracts finds the same."""
    return "" if None in (ours, theirs) else number(round(ours, 1) - round(theirs, 1), sign=True)


def percent(share, digits=1):
    return "" if share is None else number(100 * share, digits)


def main_figures(found):
    """(ours, the paper's, the difference) of the main row's mIoU as text, '' for what there is not."""
    ours = found["rows"].get(found["main"], {}).get("miou")
    theirs = recipes.rows(4)[found["main"]].published_miou if found["main"] in recipes.rows(4) else None
    return number(ours), number(theirs), difference(ours, theirs)


def effects(found, merged):
    """How much each part of the method brings: differences between rows, ours and the paper's."""
    rows, theirs = {name: row["miou"] for name, row in found["rows"].items()}, recipes.rows(4)
    lines = []
    steps = [name for name in rows if name.startswith("ae_step")]
    if "ae_step1" in rows and len(steps) > 1:
        best = max(steps, key=rows.get)
        rows[f"best step ({best})"] = rows[best]
        gain = theirs["ae_step3"].published_miou - theirs["ae_step1"].published_miou
        lines.append((f"best step ({best})", "ae_step1", gain))
    for name, other, gain in EFFECTS:
        other = f"ae_step{merged}" if other == "ae_step3" else other
        if name in rows and other in rows:
            lines.append((name, other, gain))
    cells = [[a, b, difference(rows[a], rows[b]), number(gain, sign=True)] for a, b, gain in lines]
    note = "Points of mIoU on val with CRF. These differences within a run compare better than the rows themselves."
    return Table("What each part brings", ["row", "against", "ours", "the paper"], cells, note)


def methods(found, caption, lines, ours):
    """Table 1 or 2 of the paper, with our row; ours: its mIoU, or None where only VOC's server knows."""
    rows = [
        [m.supervision, m.name.replace("(ours)", "(the paper)"), f"{m.images // 1000}k", number(m.miou), ""]
        for m in lines
    ]
    train = f"{round(found['images'].get('train', 0) / 1000)}k"
    rows.append([published.LABELS, f"this run, {found['main']}", train, number(ours), difference(ours, lines[-1].miou)])
    note = "" if ours is not None else "Nobody but VOC's server has the masks of test: `make submission` packs them."
    return Table(caption, ["supervision", "method", "images", "mIoU", "difference"], rows, note)


def iou(found, names):
    """Tables 3 and 4: IoU of each class; below each of our rows the paper's and the difference where they compare."""
    theirs = recipes.rows(max(4, len(found["mining"])))
    present = next((row["iou"] for name, row in found["rows"].items() if name in names), None)
    if present is None:
        return None
    rows = []
    for name in [name for name in names if name in found["rows"]]:
        row = found["rows"][name]
        values = [*row["iou"].values(), row["miou"]]
        rows.append([name, *map(number, values), number(row["miou_no_crf"])])
        printed = theirs[name] if found["paper"] else None
        if printed and printed.published:
            rows.append(["the paper", *map(number, printed.published), ""])
            pairs = zip(values, printed.published)
            rows.append(["difference", *(difference(a, b) for a, b in pairs), ""])
        elif printed and printed.published_miou:
            blank = [""] * (len(values) - 1)
            rows.append(["the paper, about", *blank, number(printed.published_miou), ""])
            rows.append(["difference", *blank, difference(row["miou"], printed.published_miou), ""])
    steps = all(name.startswith("ae_step") for name in names)
    caption = f"Table {3 if steps else 4}. IoU on val, in percent, with CRF: {'steps of erasing' if steps else 'PSL'}"
    absent = next(iter(found["rows"].values()))["absent"]
    note = f"Left out of the means, as val's masks do not have them: {', '.join(absent)}." if absent else ""
    note = note if found["paper"] else f"{NO_COMPARISON} {note}".strip()
    return Table(caption, ["row", *present, "mIoU", "no CRF"], rows, note)


def mining(found):
    """Mined regions of the training images, and the loss."""
    rows = []
    for step, row in found["mining"].items():
        cells = [step, *(percent(row.get(key)) for key in ("recall", "precision", "erased"))]
        cells.append(number(row["converged_loss"], 3))
        if found["paper"]:
            cells.append(number(published.CONVERGED_LOSSES.get(int(step[len("step") :])), 2))
        rows.append(cells)
    columns = ["step", "recall", "precision", "erased", "loss", *["the paper's loss, about"] * found["paper"]]
    note = "In percent of pixels of the training images, by their true masks, which nothing learns from."
    if "success" in found:
        note += f" The stop rule of algorithm 1 ends after step {found['success']}."
    return Table("Mined regions, and the loss at which classification converges", columns, rows, note)


def thresholds(found):
    rows = []
    for threshold, shares in found["thresholds"]:
        ((kind, value),) = threshold.items()
        rows.append([f"{kind} {value}", *(percent(shares.get(key)) for key in ("recall", "precision", "erased"))])
    note = "What step 1 would have mined; in percent of pixels."
    return Table("Sensitivity of the erasing threshold", ["threshold", "recall", "precision", "erased"], rows, note)


def background(found):
    """What the run says of its background cues: {name: number}, or {name: {name: number}}, in 0 ... 1."""
    rows = []
    for name, value in found.get("background", {}).items():
        for key, each in value.items() if isinstance(value, dict) else [("", value)]:
            rows.append([f"{name} {key}".strip(), percent(each)])
    return Table("Background cues", ["what", "percent"], rows)


def s_hat(found):
    """What the auxiliary mask does, by net with it, in the first epoch and the last."""
    rows = [
        [net, *(" to ".join(percent(values[k]) for k in (0, -1)) for values in columns.values())]
        for net, columns in found.get("psl", {}).items()
    ]
    note = "In percent, in the first epoch and in the last. r: pixels that S labels; v: mean over the images' labels; "
    note += "v < r: labels whose pixels Ŝ takes from S; objects: their share of the pixels that S, or Ŝ, labels."
    return Table("Ŝ in training", ["net", "r", "v", "v < r", "objects in S", "objects in Ŝ"], rows, note)


def wrong(found):
    rows = [
        [name, *(number(row["errors"][kind]) for kind in KINDS), number(sum(row["errors"].values()))]
        for name, row in found["rows"].items()
    ]
    note = "With CRF, in percent of the objects' pixels. Missed: an object taken for background; confused: for another "
    return Table("Wrong pixels", ["row", *KINDS, "together"], rows, note + "class; false: background taken for one.")


def by_size(found):
    sizes = found["rows"].get(found["main"], {}).get("by_size", [])
    rows, least = [], 0
    for each in sizes:
        name = f"{100 * least:g} to {100 * each['most']:g}% of the image"
        rows.append([name, str(each["objects"]), number(each["missed"]), number(each["confused"])])
        least = each["most"]
    note = f"Of {found['main']} with CRF, in percent of the pixels of the objects of that size. An object is a "
    note += "connected piece of one class in the true mask."
    caption = "Wrong pixels by size of object"
    return Table(caption, ["an object takes", "objects", "missed", "confused"], rows, note)


def settings(experiment):
    """What differs from the paper's experiment, and the seed."""
    own = {key: value for key, value in experiment.items() if key not in ("name", "folder")}
    papers = experiments.load(published.PAPERS_EXPERIMENT)
    base = {key: value for key, value in papers.items() if key not in ("name", "folder")}
    rows = [["seed", str(experiment["seed"]), str(base["seed"])]]
    for path, value in flat(experiments.difference(own, base)):
        theirs = base
        for key in path:
            theirs = theirs.get(key) if isinstance(theirs, dict) else None
        if path != ("seed",):
            rows.append([".".join(path), _shown(value), _shown(theirs)])
    caption = f"Settings that differ from {published.PAPERS_EXPERIMENT}'s, and the seed"
    return Table(caption, ["setting", "here", published.PAPERS_EXPERIMENT], rows)


def flat(changes, above=()):
    """((key, key, ...), value) of nested dicts."""
    for key, value in changes.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*above, key))
        else:
            yield (*above, key), value


def _shown(value):
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def host(found):
    known = dict(found.get("host", {}))
    if "other_commits" in known:
        by = [f"{', '.join(stages)}: {commit}" for commit, stages in known["other_commits"].items()]
        known["other_commits"] = "; ".join(by) or "none"
    rows = [[name.replace("_", " "), str(value)] for name, value in known.items()]
    return Table("Made on", ["what", "which"], rows)


def costs(experiment, found):
    """Seconds and peak memory of each stage, in the order of the stages."""
    names = [stage.name for stage in Graph(experiment).needed()]
    names += [name for name in found["seconds"] if name not in names]
    rows = []
    for name in [name for name in names if name in found["seconds"]]:
        peak = found["peak_mib"].get(name)
        rows.append([name, number(found["seconds"][name]), number(peak, 0) if peak else ""])
    total = datetime.timedelta(seconds=round(sum(found["seconds"].values())))
    note = f"One after the other {total} (hours:minutes:seconds); shards of a stage are added up, and may have run "
    note += "side by side. Memory: of a stage's largest process."
    return Table("What each stage took", ["stage", "seconds", "peak MiB"], rows, note)


def missing(experiment):
    rows = [list(row) for row in collect.progress(experiment)]
    return Table("Not done yet", ["stage", "done", "note"], rows, "`make status` says the same at any time.")
