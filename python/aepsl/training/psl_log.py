"""What S_hat does to the objects, epoch by epoch: psl.csv in the folder of a PSL training.

J(f, S) is a mean over the share r of pixels that S labels, J(f, S_hat) a mean over nearly all. So a pixel's weight is
1 / r in the first and 1 in the second. If S is c at a pixel and S_hat is background, both losses together are smallest
at f_c = 1 / (1 + r). There [1, v] (x) f is still largest for background if v_c < r: S_hat overrules S. If it does so
nearly everywhere, the net loses the objects. This is so where v weights S_hat. With the ablations' confidences 'labels'
and 'none' it does not: v and v_below_r then describe the classification branch alone.

The shares of objects are of the pixels that a mask labels. S labels the share r, S_hat nearly all. So if S_hat has as
many pixels of objects as S, its share is about r times that of S, not the same.
"""

import os
import sys
from typing import Optional

import numpy as np

from aepsl.base.files import read_table
from aepsl.layers.losses import counted_pixels
from aepsl.training.observers import Observer, write_table

COLUMNS = (
    "r",  # share of pixels that S labels, mean of the images
    "v",  # mean of v over the images' labels
    "v_below_r",  # share of those labels with v < r
    "S_objects",  # share of objects among the pixels of S that count
    "S_hat_objects",  # the same of S_hat
)
# With r = .65, as on the demo, S_hat below a fifth of S's share has less than a third of S's pixels of objects.
LOST = 0.2


class AuxiliaryMasks(Observer):
    """Writes psl.csv: COLUMNS by epoch, from 1. Warns when the objects are lost. An entry: `sums` of the batch."""

    name = "psl"

    def __init__(self, folder: str, epoch: int) -> None:
        self.folder, self.epoch = folder, epoch
        self.entries: list[list[float]] = []

    def after(self, iteration: int) -> None:
        S, S_hat, v, labels = (self.net.blobs[name].data for name in ("mask", "mask_hat", "v", "labels"))
        self.entries.append(sums(S[:, 0], S_hat[:, 0], v, labels))
        line = warning(self.entries, self.epoch)
        if line:
            print(f"warning: {self.folder}: {line}", file=sys.stderr, flush=True)

    def end(self) -> None:
        numbered = [[epoch, *row] for epoch, row in enumerate(rows(self.entries, self.epoch), start=1)]
        write_table(os.path.join(self.folder, "psl.csv"), ["epoch", *COLUMNS], numbered)


def sums(S: np.ndarray, S_hat: np.ndarray, v: np.ndarray, labels: np.ndarray) -> list[float]:
    """What one batch adds to its epoch's row: 9 numbers. S, S_hat: N x h x w; v, labels: N x C."""
    S, S_hat = (counted_pixels(mask, labels) for mask in (S, S_hat))
    r = S.any(axis=1).mean(axis=(1, 2))
    present = labels > 0
    below = present & (v < r[:, None])
    pixels = [count for mask in (S, S_hat) for count in (mask[:, 1:].sum(), mask.sum())]
    return [float(each) for each in (len(r), r.sum(), present.sum(), v[present].sum(), below.sum(), *pixels)]


def rows(batches: list[list[float]], epoch: int) -> list[list[float]]:
    """A row of COLUMNS for each epoch.

    batches: the `sums` of every iteration so far; epoch: its number of iterations. Less than half an epoch at the end
    counts as part of the epoch before it: a row of a single batch would say little.
    """
    starts = epoch * np.arange(max(1, (2 * len(batches) + epoch) // (2 * epoch)))
    return [_row(*np.sum(batches[k:end], axis=0)) for k, end in zip(starts, [*starts[1:], None])]


def _row(images, r, labels, v, below, S_objects, S_pixels, S_hat_objects, S_hat_pixels):
    parts = ((r, images), (v, labels), (below, labels), (S_objects, S_pixels), (S_hat_objects, S_hat_pixels))
    return [part / whole if whole else 0.0 for part, whole in parts]


def read(path: str) -> dict[str, list[float]]:
    """{column: its numbers, by epoch} of a psl.csv."""
    table = read_table(path, COLUMNS)
    return {column: table[column] for column in COLUMNS}


def warning(batches: list[list[float]], epoch: int) -> Optional[str]:
    """The warning after the first epoch in which S_hat has lost the objects; None after any other iteration."""
    if len(batches) % epoch:
        return None
    found = rows(batches, epoch)
    lost = [row[-1] < LOST * row[-2] for row in found]
    if not lost[-1] or any(lost[:-1]):
        return None
    r, v, below, S, S_hat = found[-1]
    line = f"S_hat loses the objects in epoch {len(found)}: they are {S_hat:.1%} of its pixels, and {S:.1%} of S's"
    weights = f"v is below r = {r:.2f} for {below:.0%} of the labels (psl.csv)"
    remedy = "A net that knows the objects from the start may keep them: `psl_start` in experiment.yaml"
    return f"{line}; {weights}. {remedy}"
