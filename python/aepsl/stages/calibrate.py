"""Tells a broken set-up from a weak method: what the net reaches with the true masks. `make calibrate`.

The schedule, the nets and the CRF are those of every other segmentation net of the experiment; only the masks are
SegmentationClassAug's own. Whatever misses the published figure here is wrong before any weak label is involved.
"""

from aepsl import cli
from aepsl.base.files import write_json
from aepsl.base.table import Table, number
from aepsl.data.dataset import Dataset
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import published
from aepsl.stages.results import evaluated

# Other initial weights, another schedule's length and another CRF library separate us from the release by no more.
TOLERANCE = 2.0
NOTHING_PUBLISHED = "No figure is published for these data: it is the upper bound of the rows of tables 3 and 4."
WHAT_TO_DO = "Find out why before training with weak labels: initial weights, lists, masks, `make check-gpu`."


def run(experiment, data):
    """Evaluate the segmentations of val by the net of true masks, write calibration.json and print what they say."""
    folder = RunFolder(experiment.name)
    dataset = Dataset(data, experiment.classes)
    folders = {"calibration": folder.segmented("val", "calibration")}
    (row,) = evaluated(dataset, dataset.ids(experiment.data.val), folders).values()
    write_json(folder.calibration, row)
    print("\n" + report(experiment.name, row["miou_no_crf"], row["miou"]))


def report(name, plain, with_crf):
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


def main(argv=None):
    parser = cli.parser(
        __doc__, "experiment data", places=lambda asked: dict(written=RunFolder(asked.experiment.name).calibration)
    )
    run(**vars(parser.parse_args(argv)))
