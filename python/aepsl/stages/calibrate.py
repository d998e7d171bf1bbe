"""Tells a broken set-up from a weak method: what the net reaches with the true masks. `make calibrate`.

The schedule, the nets and the CRF are those of every other segmentation net of the experiment; only the masks are
SegmentationClassAug's own. Whatever misses the published figure here is wrong before any weak label is involved.
"""

from aepsl import cli, paper
from aepsl.data.dataset import Dataset
from aepsl.files import write_json
from aepsl.run_folder import RunFolder
from aepsl.stages.results import evaluated

# Other initial weights, another schedule's length and another CRF library separate us from the release by no more.
TOLERANCE = 2.0


def run(experiment, data):
    """Evaluate the segmentations of val by the net of true masks, write calibration.json and print what they say."""
    folder = RunFolder(experiment)
    dataset = Dataset(data, experiment["classes"])
    folders = {"calibration": folder.segmented("val", "calibration")}
    (row,) = evaluated(dataset, experiment["data"]["val"], folders).values()
    write_json(folder.calibration, row)
    print(report(experiment["name"], row["miou_no_crf"], row["miou"]))


def report(name, plain, with_crf):
    """The figures and the verdict as text; plain, with_crf: mIoU on val in percent."""
    lines = ["", f"mIoU on val of {name}'s net trained with the true masks", f"{'':24}{'no CRF':>8}{'CRF':>8}"]
    lines.append(f"{'ours':24}{plain:8.2f}{with_crf:8.2f}")
    if name != paper.PAPERS_EXPERIMENT:
        lines.append("No figure is published for these data: it is the upper bound of the rows of tables 3 and 4.")
        return "\n".join(lines)
    lines.append(f"{'DeepLab-LargeFOV':24}" + "".join(f"{value:8.2f}" for value in paper.LARGEFOV))
    short = [most - ours for most, ours in zip(paper.LARGEFOV, (plain, with_crf))]
    if max(short) <= TOLERANCE:
        lines.append(f"Sound: at most {TOLERANCE} points below the release.")
    elif short[0] <= TOLERANCE:
        lines.append(f"The net is sound, its CRF is not: with it we are {short[1]:.1f} points below the release.")
    else:
        lines.append(
            f"Not sound: {short[0]:.1f} points below the release without CRF, more than {TOLERANCE}. "
            "Find out why before training with weak labels: initial weights, lists, masks, `make check-gpu`."
        )
    return "\n".join(lines)


def main(argv=None):
    parser = cli.parser(
        __doc__, "experiment data", places=lambda asked: dict(written=RunFolder(asked.experiment).calibration)
    )
    run(**vars(parser.parse_args(argv)))
