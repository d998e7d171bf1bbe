"""A baseline's results.json as tables."""

from collections.abc import Iterable

import numpy as np

from aepsl.base.table import Table, number
from aepsl.baselines.profile import Profile

NAMES = dict(plain="without CRF", crf="with CRF")


def of_baseline(found: dict) -> list[Table]:
    """The tables of a results.json: mIoU beside its authors' figures, IoU by class, how it was run."""
    return [_miou(found), _by_class(found), _how(found)]


def shown(published: Iterable[dict]) -> list[str]:
    """The published figures as texts: '62.25 without CRF on VOC 2012 val'."""
    return [f"{each['miou']:g} {NAMES['crf' if each['crf'] else 'plain']} on {each['images']}" for each in published]


def of_profiles(profiles: Iterable[Profile]) -> Table:
    """Each profile's protocol, and the published figures of its net."""
    rows = []
    for how in profiles:
        by_images: dict[str, dict[bool, list[str]]] = {}
        for each in how.published:
            by_images.setdefault(each["images"], {False: [], True: []})[each["crf"]].append(f"{each['miou']:g}")
        texts = [
            f"{' or '.join(found[False]) or '?'} / {' or '.join(found[True]) or '?'} on {images}"
            for images, found in by_images.items()
        ]
        rows.append([how.title, how.name, protocol_of(how), "; ".join(texts) or "unknown"])
    note = "Published: mIoU without / with CRF; '?': unknown to us. Sources are in the profiles."
    return Table("", ["net", "profile", "protocol", "published"], rows, note)


def protocol_of(how: Profile) -> str:
    """A profile's protocol in words, with the CRF's bilateral weight/xy/rgb and Gaussian weight/xy."""
    parts = []
    for kind, values in (how.resize or {}).items():
        words = dict(warp="warped to", longest="longer side", by="by")[kind]
        parts.append(f"{words} {', '.join(' x '.join(map(str, np.atleast_1d(each)[::-1])) for each in values)}")
    if how.pad:
        parts.append(f"padded to {how.pad}")
    if how.tiles:
        border = f", border {how.tiles.border} reflected" * bool(how.tiles.border)
        parts.append(f"tiles of {how.tiles.side}, step {how.tiles.step}{border}")
    parts = parts or ["as it is"]
    parts += ["mirrored too"] * how.mirror
    parts += [f"{how.join} of sizes"] * (sum(map(len, (how.resize or {}).values())) > 1)
    parts.append(dict(cells="softmax before growing", input="softmax of each size", joined="softmax last")[how.softmax])
    if how.crf:
        wide, near = how.crf.bilateral, how.crf.gaussian
        parts.append(f"CRF {wide.weight:g}/{wide.xy:g}/{wide.rgb:g}, {near.weight:g}/{near.xy:g}")
    return "; ".join(parts)


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
