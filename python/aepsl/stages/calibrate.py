"""Tells a broken set-up from a weak method: the mIoU of the net trained with the true masks. `make calibrate`.

The schedule, the nets and the CRF are those of every other segmentation net of the experiment; only the masks are
SegmentationClassAug's. If the mIoU is below the published one, the set-up is wrong: no weak label is involved.
"""

from typing import Any, Optional

from aepsl import cli
from aepsl.base.files import write_json
from aepsl.base.table import Table, number
from aepsl.data.dataset import Dataset
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import published
from aepsl.settings.typed import Experiment
from aepsl.stages.results import evaluated

# Points below DeepLab's release that our initial weights, schedule and CRF library may cost.
TOLERANCE = 2.0
NOTHING_PUBLISHED = "No figure is published for these data: it is the upper bound of the rows of tables 3 and 4."
WHAT_TO_DO = "Find out why before training with weak labels: initial weights, lists, masks, `make check-gpu`."


def run(experiment: Experiment, data: str) -> None:
    """Evaluate the segmentations of val by the net of true masks, write calibration.json, print figures and verdict."""
    folder = RunFolder(experiment.name)
    dataset = Dataset(data, experiment.classes)
    folders = {"calibration": folder.segmented("val", "calibration")}
    (row,) = evaluated(dataset, dataset.ids(experiment.data.val), folders).values()
    write_json(folder.calibration, row)
    print("\n" + report(experiment.name, row["miou_no_crf"], row["miou"]))


def report(name: str, plain: float, with_crf: float) -> str:
    """The figures and the verdict as text; plain, with_crf: mIoU on val in percent."""
    rows = [["ours", number(plain, 2), number(with_crf, 2)]]
    caption, columns = f"mIoU on val of {name}'s net trained with the true masks", ["net", "no CRF", "CRF"]
    if name != published.PAPERS_EXPERIMENT:
        return Table(caption, columns, rows, NOTHING_PUBLISHED).text()
    rows.append(["DeepLab-LargeFOV", *(number(value, 2) for value in published.LARGEFOV)])
    short = [most - ours for most, ours in zip(published.LARGEFOV, (plain, with_crf))]
    if max(short) <= TOLERANCE:
        verdict = f"Sound: at most {TOLERANCE} points below the release."
    elif short[0] <= TOLERANCE:
        verdict = f"The net is sound, its CRF is not: with it we are {short[1]:.1f} points below the release."
    else:
        verdict = f"Not sound: {short[0]:.1f} points below the release without CRF, more than {TOLERANCE}. {WHAT_TO_DO}"
    return Table(caption, columns, rows, verdict).text()


def main(argv: Optional[list[str]] = None) -> None:
    written: Any = lambda asked: dict(written=RunFolder(asked.experiment.name).calibration)  # noqa: E731
    parser = cli.parser(__doc__, "experiment data", places=written)
    run(**vars(parser.parse_args(argv)))
