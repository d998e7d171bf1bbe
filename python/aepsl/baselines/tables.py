"""What a baseline's results.json holds, as tables."""

from aepsl.base.table import Table, number

NAMES = dict(plain="without CRF", crf="with CRF")


def of_baseline(found):
    """[Table]: mIoU beside what its authors published, IoU by class, how it was run."""
    return [_miou(found), _by_class(found), _how(found)]


def shown(published):
    """What was published, each a text: '62.25 without CRF on VOC 2012 val'."""
    return [f"{each['miou']:g} {NAMES['crf' if each['crf'] else 'plain']} on {each['images']}" for each in published]


def _rows(found):
    return {NAMES[kind]: row for kind, row in found["rows"].items() if row}


def _miou(found):
    images = f"{found['images']} images of {found['list']}"
    rows = [[f"this run, {name}", number(row["miou"], 2), images, ""] for name, row in _rows(found).items()]
    for each in found["published"]:
        name = f"published, {NAMES['crf' if each['crf'] else 'plain']}"
        rows.append([name, f"{each['miou']:g}", each["images"], each["source"]])
    note = "" if found["published"] else "No published figure of this net is known to us."
    return Table(found["title"], ["", "mIoU", "of", "source"], rows, note)


def _by_class(found):
    rows = _rows(found)
    classes = next(iter(rows.values()))["iou"]
    cells = [[name, *(number(row["iou"].get(name), 2) for row in rows.values())] for name in classes]
    absent = ", ".join(next(iter(rows.values()))["absent"])
    note = f"Left out of the mean, not in the ground truth: {absent}." if absent else ""
    return Table("IoU by class", ["class", *rows], cells, note)


def _how(found):
    rows = [[key, found[key]["file"] + ", SHA-256 " + found[key]["sha256"]] for key in ("deploy", "weights")]
    published = found["weights"].get("as_published")
    if published is not None:
        rows.append(["", "the file that its authors published" if published else "NOT the file that they published"])
    skipped = ("title", "name", "published", "deploy", "weights")
    rows += [[key, _text(value)] for key, value in found["profile"].items() if key not in skipped]
    rows += [["translated", line] for line in found["changes"]]
    return Table("How it was run", ["", "what"], rows)


def _text(value):
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
