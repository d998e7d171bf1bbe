"""Prints a run's tables, the paper's rows beside ours."""

import argparse
import os

from aepsl.files import read_json

PAPER_ROWS = {  # tables 3 and 4: IoU of background and the 20 classes on VOC 2012 val, then their mean
    "ae_step1": "82.6 63.0 27.5 45.9 38.3 43.6 61.3 29.2 60.0 13.6 52.0 "
    "32.6 52.4 49.8 47.9 43.7 32.6 61.4 29.4 35.1 41.9 44.9",
    "ae_step2": "82.2 69.3 29.7 60.9 40.8 52.4 59.3 44.2 65.3 13.0 58.9 "
    "32.2 60.0 56.6 49.1 43.0 34.2 69.7 32.1 42.8 43.2 49.5",
    "ae_step3": "78.5 71.8 29.2 64.1 39.9 57.8 58.5 54.5 63.0 10.3 60.5 "
    "36.0 61.6 56.1 62.6 42.9 36.5 64.5 31.5 49.5 38.7 50.9",
    "ae_step4": "74.4 65.5 28.2 59.7 38.5 57.8 57.5 59.0 57.2 9.6 54.9 "
    "39.2 56.5 52.6 65.0 43.2 34.9 55.9 30.4 47.9 36.8 48.8",
    "psl": "83.3 70.0 31.6 69.7 40.8 54.2 63.2 58.4 69.9 18.1 65.5 "
    "33.5 69.8 60.7 60.5 50.5 38.1 69.4 31.4 57.3 39.7 54.1",
    "psl++": "83.4 71.1 30.5 72.9 41.6 55.9 63.1 60.2 74.0 18.0 66.5 "
    "32.4 71.7 56.3 64.8 52.4 37.4 69.1 31.4 58.9 43.9 55.0",
    "psl+gt": "83.6 71.0 30.6 73.0 42.7 56.1 63.6 61.7 75.2 22.2 67.6 "
    "33.4 74.6 57.8 65.6 53.6 37.7 71.6 33.2 59.0 45.1 56.1",
}
PAPER_LOSSES = {"step1": 0.05, "step2": 0.08, "step3": 0.10, "step4": 0.15}  # about, section 4.3.1 and figure 5a


def tables(results):
    """The tables of a run as text; the paper's rows below ours where the experiment is the paper's."""
    lines = ["", "Mined regions of the training images, in percent of pixels, and the loss of classification"]
    is_paper = results["experiment"] == "voc12"
    lines.append(f"{'':16}{'recall':>10}{'precision':>11}{'erased':>8}{'loss':>8}" + "  the paper's, about" * is_paper)
    for step, row in results["mining"].items():
        theirs = f"{PAPER_LOSSES[step]:20.2f}" if is_paper and step in PAPER_LOSSES else ""
        lines.append(f"{step:16}{_shares(row)}{row['converged_loss']:8.3f}{theirs}")
    lines.append(f"The stop rule of algorithm 1 ends after step {results['success']}.")
    lines += ["", "The same for step 1, had the threshold been another"]
    for threshold, shares in results["thresholds"]:
        ((kind, value),) = threshold.items()
        lines.append(f"{kind:11}{value:<5}{_shares(shares)}")
    names = list(next(iter(results["rows"].values()))["iou"])
    lines += ["", "IoU on val, in percent, with CRF (last column: the mean without CRF)"]
    width = max(7, max(len(name) for name in names) + 1) if len(names) < 12 else 7
    lines.append(f"{'':18}" + "".join(f"{name[: width - 1]:>{width}}" for name in names) + "   mIoU  no CRF")
    for model, row in results["rows"].items():
        cells = "".join(f"{value:{width}.1f}" for value in row["iou"].values())
        lines.append(f"{model:18}{cells}{row['miou']:7.1f}{row['miou_no_crf']:8.1f}")
        if is_paper and model in PAPER_ROWS:
            lines.append(f"{'  the paper':18}" + "".join(f"{cell:>{width}}" for cell in PAPER_ROWS[model].split()))
    lines += ["", "Wrong pixels with CRF, in percent of the objects' pixels"]
    lines.append(f"{'':18}{'missed':>10}{'confused':>10}{'false':>10}")
    for model, row in results["rows"].items():
        lines.append(
            f"{model:18}" + "".join(f"{row['errors'][kind]:10.1f}" for kind in ("missed", "confused", "false"))
        )
    absent = next(iter(results["rows"].values()))["absent"]
    if absent:
        lines.append(f"Left out of the means, as val's masks do not have them: {', '.join(absent)}.")
    return "\n".join(lines)


def _shares(row):
    cells = [100 * row[key] if key in row else float("nan") for key in ("recall", "precision", "erased")]
    return f"{cells[0]:10.1f}{cells[1]:11.1f}{cells[2]:8.1f}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a finished run")
    print(tables(read_json(os.path.join(parser.parse_args(argv).run, "results.json"))))
