"""The nets that we train and the rows that they make: tables 3 and 4 of the paper, and what we add to them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from aepsl.paper import published

TRUTH = "truth"  # in place of masks that a stage makes: the data set's own


class Net(NamedTuple):
    """A segmentation net of tables 3 and 4.

    task        'segmentation'; or 'psl', with the classification branch and S_hat of section 3.2
    masks       what it learns from: 'step1', 'step2', ...: the regions merged up to that step (table 3); 'merged': up
                to the step that the experiment merges to, the paper's 3; 'psl', or another net with S_hat: the
                training images as that net segments them; 'truth': the true masks
    confidence  the weights of the classes' maps, whose maximum is S_hat: 'predicted', v; 'labels', the image's labels;
                'none', ones. None for a net without S_hat
    changes     of settings, for an ablation: {'training.psl.lr': 0.01}
    start       its initial weights, a value of the settings segmentation_start and psl_start; None: the setting's value
    """

    task: str
    masks: str
    confidence: Optional[str]
    changes: dict[str, Any] = {}
    start: Optional[str] = None


class Row(NamedTuple):
    """A row of tables 3 and 4, or one that we add to them.

    net              a name of `nets`
    confidence       the weights of the classes' maps at test: 'predicted', v with values below p set to 0 (section
                     3.2); 'labels', the image's labels (the paper's GT); 'none', ones
    title            its name in the tables, '' where they do not have it
    published        IoU on val of background and the 20 classes, then their mean: 22 numbers, or None
    published_miou   that mean; computed from PSL_LESS where section 4.3.2 gives only a distance; or None
    changes          of settings, added to those of the net: {'crf.iterations': 5}
    """

    net: str
    confidence: str
    title: str = ""
    published: Optional[tuple[float, ...]] = None
    published_miou: Optional[float] = None
    changes: dict[str, Any] = {}


def nets(steps: int) -> dict[str, Net]:
    """{name: Net}: every net of tables 3 and 4 for `steps` steps of erasing, and the calibration's."""
    return {
        **{f"ae_step{t}": Net("segmentation", f"step{t}", None) for t in range(1, steps + 1)},
        "psl": Net("psl", "merged", "predicted"),
        "psl_labels": Net("psl", "merged", "labels"),
        "psl_none": Net("psl", "merged", "none"),
        "psl++": Net("psl", "psl", "predicted"),
        "calibration": Net("segmentation", TRUTH, None),
    }


def rows(steps: int) -> dict[str, Row]:
    """{name: Row}: every row of tables 3 and 4 for `steps` steps of erasing, and those that we add."""
    return {
        **{f"ae_step{t}": _row(f"ae_step{t}", "none", f"AE-step{t}") for t in range(1, steps + 1)},
        "psl": _row("psl", "predicted", "w/ PSL"),
        "psl_labels": _row_by_difference("psl_labels", "predicted"),
        "psl_none": _row_by_difference("psl_none", "predicted"),
        "psl++": _row("psl++", "predicted", "w/ PSL++"),
        "psl+gt": _row("psl++", "labels", "w/ PSL+GT"),  # the text compares it with PSL++
        "psl_no_policy": Row("psl", "none"),
        "psl++_no_policy": Row("psl++", "none"),
        "calibration": Row("calibration", "none"),
    }


def _row(net: str, confidence: str, title: str) -> Row:
    """A row of the tables; without figures for a step that they do not have."""
    numbers = published.TABLES_3_AND_4.get(title)
    return Row(net, confidence, title, numbers, numbers[-1]) if numbers else Row(net, confidence)


def _row_by_difference(net: str, confidence: str) -> Row:
    miou = round(published.TABLES_3_AND_4["w/ PSL"][-1] - published.PSL_LESS[net], 1)
    return Row(net, confidence, published_miou=miou)


def main_row(rows: Sequence[str]) -> str:
    """The row that represents a run with these rows: the paper's result, psl++, or the last of them."""
    return "psl++" if "psl++" in rows else rows[-1]
