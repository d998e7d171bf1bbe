"""The quality of saliency maps: the usual measures, and the quality of the background cue that they give."""

from typing import Optional

import numpy as np

from aepsl.base.table import Table, number
from aepsl.data.dataset import IGNORE

BETA2 = 0.3  # of the F-measure
THRESHOLDS = (0.06, 0.12)  # the paper's


class Cue:
    """Counts over all images of what is taken as background.

    'share' of all pixels; 'precision' and 'recall' of background; 'error': the share of the objects' pixels that are
    taken as background. Each in 0 ... 1.
    """

    def __init__(self):
        self.counts = np.zeros(6, int)

    def add(self, B: np.ndarray, truth: Optional[np.ndarray]) -> None:
        """B: H x W booleans; truth: H x W mask, 0 for background, IGNORE for unknown pixels; None without a mask."""
        truth = np.full(B.shape, IGNORE) if truth is None else truth
        ground, objects = truth == 0, (truth != 0) & (truth != IGNORE)
        sets = B, B | True, B & ground, ground, B & objects, objects
        self.counts += [np.count_nonzero(each) for each in sets]

    def shares(self) -> dict[str, float]:
        """{name: share}; only 'share' if no image had a mask."""
        taken, pixels, right, ground, wrong, objects = self.counts.tolist()
        if not ground + objects:
            return dict(share=taken / pixels)
        precision, recall = right / max(1, right + wrong), right / max(1, ground)
        return dict(share=taken / pixels, precision=precision, recall=recall, error=wrong / max(1, objects))


class Measures:
    """Measures of all maps that `add` was given; maps have 8 bits, thresholds are 0 ... 255.

    AUC: the mean of the areas below the maps' ROC curves; F: the largest on the mean precision-recall curve, with
    beta^2 = .3; MAE: the mean of |map - mask|. In these, every image has the same weight. Then, over all pixels
    together, the Cue of the pixels below each of THRESHOLDS.
    """

    def __init__(self):
        self.images, self.area, self.absolute = 0, 0.0, 0.0
        self.recall, self.precision = np.zeros((2, 257))
        self.tallies = [Cue() for _ in THRESHOLDS]

    def add(self, saliency: np.ndarray, is_object: np.ndarray) -> None:
        """saliency: H x W uint8; is_object: H x W booleans, with both kinds of pixels."""
        counts = (np.bincount(saliency[pixels], minlength=256) for pixels in (is_object, ~is_object))
        # Taken as salient: values of at least 256 (none), 255, 254 ... 0.
        found, false = (np.append(0, each[::-1].cumsum()) for each in counts)
        self.images += 1
        self.area += np.trapz(found / found[-1], false / false[-1])
        self.recall += found / found[-1]
        self.precision += (found + (found + false == 0)) / np.maximum(found + false, 1)
        self.absolute += np.abs(saliency / 255 - is_object).mean()
        for tally, threshold in zip(self.tallies, THRESHOLDS):
            tally.add(saliency < threshold * 255, is_object.astype(np.uint8))

    def figures(self) -> dict:
        """{"AUC": ..., "F": ..., "MAE": ..., "cue": [Cue's shares]}, each in 0 ... 1."""
        recall, precision = self.recall / self.images, self.precision / self.images
        F = (1 + BETA2) * precision * recall / np.maximum(BETA2 * precision + recall, 1e-12)
        cue = [tally.shares() for tally in self.tallies]
        return dict(AUC=self.area / self.images, F=F.max(), MAE=self.absolute / self.images, cue=cue)


def grey(saliency: np.ndarray) -> np.ndarray:
    """A map in [0, 1] as it is written: H x W uint8."""
    return np.rint(saliency * 255).astype(np.uint8)


def table(found: dict[str, dict]) -> Table:
    """{name: Measures' figures}, a row each; the cue's shares in percent."""
    shares = [each for t in THRESHOLDS for each in (f"<{t:.2f}: share", "precision", "recall", "error")]
    rows = []
    for name, figures in found.items():
        percent = [number(100 * share) for cue in figures["cue"] for share in cue.values()]
        rows.append([name, *(number(figures[key], 3) for key in ("AUC", "F", "MAE")), *percent])
    return Table("", ["", "AUC", "F", "MAE", *shares], rows)
