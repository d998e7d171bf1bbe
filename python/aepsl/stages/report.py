"""Prints a run's tables, the paper's rows beside ours, and writes its page, runs/NAME/report/index.html."""

import os
import sys

from aepsl import cli, experiments, paper
from aepsl.errors import InputError
from aepsl.report import collect, page
from aepsl.run_folder import DAMAGED, RunFolder
from aepsl.tools.run import data_of


def tables(results):
    """The tables of a run as text; the paper's rows below ours where the experiment is the paper's."""
    is_paper = results["experiment"] == paper.PAPERS_EXPERIMENT
    parts = _mined(results, is_paper), _background(results), _thresholds(results), _iou(results, is_paper)
    return "\n".join(sum(parts, []) + _wrong(results) + _psl(results))


def _mined(results, is_paper):
    theirs = {f"step{t}": f"{loss:20.2f}" for t, loss in paper.CONVERGED_LOSSES.items()} if is_paper else {}
    lines = ["", "Mined regions of the training images, in percent of pixels, and the loss of classification"]
    lines.append(f"{'':16}{'recall':>10}{'precision':>11}{'erased':>8}{'loss':>8}" + "  the paper's, about" * is_paper)
    for step, row in results["mining"].items():
        lines.append(f"{step:16}{_shares(row)}{row['converged_loss']:8.3f}{theirs.get(step, '')}")
    return [*lines, f"The stop rule of algorithm 1 ends after step {results['success']}."]


def _background(results):
    cue, masks = results["background"]["cue"], results["background"]["masks"]
    lines = ["", "What is taken as background in the training images, and the masks S, in percent of pixels"]
    lines.append(f"{'':16}{'recall':>10}{'precision':>11}{'share':>8}{'of objects':>12}")
    lines.append(f"{'cue':16}" + _percents(cue, recall=10, precision=11, share=8, error=12))
    lines.append(f"{'':16}{'labelled':>10}{'ignored':>11}{'wrong':>8}")
    return [*lines, f"{'S':16}" + _percents(masks, labelled=10, ignored=11, wrong=8)]


def _thresholds(results):
    lines = ["", "The same for step 1, had the threshold been another"]
    for threshold, shares in results["thresholds"]:
        ((kind, value),) = threshold.items()
        lines.append(f"{kind:11}{value:<5}{_shares(shares)}")
    return lines


def _iou(results, is_paper):
    theirs = paper.rows(len(results["mining"])) if is_paper else {}
    names = list(next(iter(results["rows"].values()))["iou"])
    width = max(7, max(len(name) for name in names) + 1) if len(names) < 12 else 7
    lines = ["", "IoU on val, in percent, with CRF (last column: the mean without CRF)"]
    lines.append(f"{'':18}" + "".join(f"{name[: width - 1]:>{width}}" for name in names) + "   mIoU  no CRF")
    for model, row in results["rows"].items():
        cells = "".join(f"{value:{width}.1f}" for value in row["iou"].values())
        lines.append(f"{model:18}{cells}{row['miou']:7.1f}{row['miou_no_crf']:8.1f}")
        lines += _published(theirs[model], len(names) * width) if model in theirs else []
    return lines


def _published(row, width):
    """The paper's line below ours; width: of our cells of classes. Where it has only a mean, that alone."""
    if row.published:
        return [f"{'  the paper':18}" + "".join(f"{value:7.1f}" for value in row.published)]
    return [f"{'  the paper, about':18}{'':{width}}{row.published_miou:7.1f}"] if row.published_miou else []


def _wrong(results):
    kinds = ("missed", "confused", "false")
    lines = ["", "Wrong pixels with CRF, in percent of the objects' pixels"]
    lines.append(f"{'':18}" + "".join(f"{kind:>10}" for kind in kinds))
    for model, row in results["rows"].items():
        lines.append(f"{model:18}" + "".join(f"{row['errors'][kind]:10.1f}" for kind in kinds))
    absent = next(iter(results["rows"].values()))["absent"]
    if absent:
        lines.append(f"Left out of the means, as val's masks do not have them: {', '.join(absent)}.")
    return lines


def _psl(results):
    """S_hat by net, in the first epoch and the last; nothing for a run without, or of before it was noted."""
    lines = [
        "",
        "S_hat in training, in percent, in the first epoch and the last: labelled, the pixels that S labels (r);",
    ]
    lines.append(
        "v, mean over the images' labels; v < r, the labels that S_hat overrules; objects among S's and S_hat's"
    )
    lines.append(f"{'':18}" + "".join(f"{title:>14}" for title in ("labelled", "v", "v < r", "objects S", "S_hat")))
    for net, columns in results.get("psl", {}).items():
        cells = [f"{100 * values[0]:.1f} {100 * values[-1]:5.1f}" for values in columns.values()]
        lines.append(f"{net:18}" + "".join(f"{cell:>14}" for cell in cells))
    return lines if results.get("psl") else []


def _shares(row):
    return _percents(row, recall=10, precision=11, erased=8)


def _percents(shares, **widths):
    """Cells of a row, `nan` for a share that is not there: training images need no masks."""
    return "".join(f"{100 * shares.get(key, float('nan')):{width}.1f}" for key, width in widths.items())


def run(experiment, form="text", data=None):
    """Print the figures of a run; write its page too, but for the form 'md', which is Markdown. See page.html.

    data: root of the data set; without it and without the experiment's own the page has no pictures. Raises InputError
    for a run that has not begun, and for files that are damaged.
    """
    found, text = _read(experiment)
    if form == "md":
        print(page.markdown(experiment, found))
        return
    try:
        data = data_of(experiment, data)
    except InputError as error:
        data = None
        print(f"The page is without pictures: {error}", file=sys.stderr)
    path = page.run(experiment, found, data)
    print(text)
    print(f"\nThe same to look at: {path}")


def _read(experiment):
    """(what there is, its tables as text)."""
    folder = RunFolder(experiment)
    try:
        found = collect.gathered(experiment)
        return found, tables(found) if found["rows"] else "Not finished: no tables yet; the page shows what there is"
    except InputError:
        raise
    except (*DAMAGED, AttributeError, ValueError):
        path = folder.results if os.path.exists(folder.results) else folder.path
        raise InputError(f"{path}: is damaged; type the run's command again, which makes it anew") from None


def main(argv=None):
    parser = cli.parser(__doc__, places=lambda asked: dict(written=os.path.dirname(RunFolder(asked.experiment).page)))
    parser.add_argument("experiment", type=experiments.load, help="whose run, finished or not")
    parser.add_argument(
        "--data", default=os.environ.get("DATA") or None, help="a folder in VOC layout, for the pictures"
    )
    parser.add_argument("--format", dest="form", choices=("text", "md"), default="text", help="md: Markdown, no page")
    run(**vars(parser.parse_args(argv)))
