"""sweep.json as a table: mean and range of each row over the training seeds."""

from typing import Any

import numpy as np

from aepsl.base.table import Table, number

KINDS = ("one_class", "several_classes")  # of images, by their true masks


def _summary(values: Any) -> str:
    """'70.1 (69.0 … 71.5)': mean and range; '70.1' of a single value."""
    span = f" ({number(min(values))} … {number(max(values))})" if len(values) > 1 else ""
    return number(np.mean(values)) + span


def _mean(rows: list[dict[str, Any]], kind: str) -> str:
    """'46.7 / 45.5': means over the seeds with CRF and without, of one of KINDS; '' if no image is of that kind."""
    values = [row[kind] for row in rows if None not in row.get(kind, [None])]
    return " / ".join(map(number, np.mean(values, axis=0))) if values else ""


def table(found: dict[str, Any]) -> Table:
    """sweep.json as a Table. For S_hat: the share of objects in the first and last epoch, mean over the seeds."""
    first, lines = found["rows"][0], []
    for variant in found["settings"]:
        lines.append([" ".join(variant["changes"]) or "as it is", *[""] * 6])
        base = [row["miou"] for row in variant["rows"][first]]
        for name, rows in variant["rows"].items():
            miou, plain = ([row[key] for row in rows] for key in ("miou", "miou_no_crf"))
            above = _summary(np.subtract(miou, base)) if name != first else ""
            s_hat = [np.divide(row["psl"]["S_hat_objects"], row["psl"]["S_objects"]) for row in rows if "psl" in row]
            kept = [number(share, 2) for share in np.mean(s_hat, axis=0)[[0, -1]]] if s_hat else []
            by_classes = [_mean(rows, kind) for kind in KINDS]
            cells = [_summary(miou), _summary(plain), above, *by_classes, ", then ".join(kept)]
            lines.append([f"  {name}", *cells])
    seeds = len(found["seeds"])
    caption = f"mIoU on val over {seeds} training seeds: mean (least … largest)" if seeds > 1 else "mIoU on val"
    columns = ["row", "with CRF", "without", f"above {first}, same seed", "one class", "several", "objects in S_hat"]
    shown = [k for k in range(len(columns)) if any(line[k] for line in lines)]
    notes = {
        4: "One class, several: images with so many classes; with CRF / without.",
        6: "Objects in S_hat: their share of its pixels, relative to their share of S's.",
    }
    note = " ".join(text for k, text in notes.items() if k in shown)
    return Table(caption, [columns[k] for k in shown], [[line[k] for k in shown] for line in lines], note)
