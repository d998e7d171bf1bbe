"""A run's folder, runs/NAME: every path in it.

experiment.yaml           the run's settings, whole: every stage, and whatever prints its figures, reads these
start.json                what the last start was asked for, and what its inputs hold (aepsl.graph.graph.Start)
data/                     what the demo draws
saliency/                 background cues
initial.caffemodel        LargeFOV's initial weights, where they are made of VGG-16's
stepT/classification/     train.prototxt, solver.prototxt, log.csv, train.json, final.caffemodel of erasing step T
stepT/regions/            what was mined in steps 1 ... T (16-bit PNGs: a bit for each label of the image);
                          heat/: step T's maps of the few images that the report shows
stepT/regions.json        how good they are; step1/thresholds.json: with other thresholds
masks/ae_stepT/           the masks made of steps 1 ... T
background.json           how good the background cue is, and the masks of the tables' nets
segmentation/NET/         the nets of tables 3 and 4
relabelled/NET/           the training images segmented by a PSL net: with CRF the masks of another round;
                          s_hat/: S_hat of the few images that the report shows
{val,test}/ROW/           segmentations, without CRF in plain/ and with it in crf/
report/index.html         the report: made of the rest, never part of what anything is made of
results.json              every figure; calibration.json: those of the net trained with true masks
done/JOB.json             the mark of a job that is done; made/JOB.json: its record (aepsl.store.records)
seconds/JOB.json          what it took, and the commit of the code that made it
"""

import contextlib
import glob
import os
import re

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.store import records

ROOT = "runs"
MODEL = "final.caffemodel"
DAMAGED = (InputError, OSError, KeyError, TypeError, IndexError)  # what reading a JSON file of another kind raises


def is_in_a_run(path):
    """Whether a path lies in a run's folder, where everything is of our making."""
    return os.path.dirname(os.path.relpath(path, ROOT)).split(os.sep)[0] not in ("", os.pardir)


class RunFolder:
    """The paths of the run of that name, below `root`: relative to the repository."""

    def __init__(self, name, root=None):
        self.path = os.path.join(root or ROOT, name)
        self.settings = self._path("experiment.yaml")
        self.start = self._path("start.json")
        self.data = self._path("data")
        self.saliency = self._path("saliency")
        self.initial = self._path("initial.caffemodel")
        self.thresholds = self._path("step1", "thresholds.json")
        self.background = self._path("background.json")
        self.results = self._path("results.json")
        self.calibration = self._path("calibration.json")
        self.page = self._path("report", "index.html")

    def classification(self, step):
        return self._path(f"step{step}", "classification")

    def regions(self, step):
        return self._path(f"step{step}", "regions")

    def shares(self, step):
        """Recall, precision and erased share of the regions of a step."""
        return self._path(f"step{step}", "regions.json")

    def masks(self, step):
        """Made of the regions of steps 1 to `step`."""
        return self._path("masks", f"ae_step{step}")

    def segmentation(self, net):
        return self._path("segmentation", net)

    def relabelled(self, net):
        return self._path("relabelled", net)

    def segmented(self, split, row):
        return self._path(split, row)

    def submission(self, row):
        return self._path("submission", row + ".tgz")

    @staticmethod
    def model(folder):
        """The trained weights in the folder of a training."""
        return os.path.join(folder, MODEL)

    def _path(self, *parts):
        return os.path.join(self.path, *parts)

    def has_begun(self):
        return os.path.isdir(self.path) and bool(os.listdir(self.path))

    def images(self):
        """{"train": how many images were checked, "val": ...}; {} before that."""
        try:
            images = read_json(records.mark_of(self.path, "check"))
        except (InputError, OSError):
            images = None
        is_one = isinstance(images, dict) and all(isinstance(count, int) for count in images.values())
        return images if is_one else {}

    def seconds(self):
        """{stage: seconds}; the shards of a stage, which may have run side by side, are added up."""
        return self._took("seconds", sum)

    def peaks(self):
        """{stage: MiB of memory at most}; of the shards of a stage, the largest."""
        return self._took("peak_mib", max)

    def commits(self):
        """{stage: the commits that made it, a set}; see aepsl.base.commit."""
        return self._took("commit", set, commit.UNKNOWN)

    def _took(self, what, together, unknown=0):
        """{stage: what `together` makes of its jobs' values}; a value that is not of `unknown`'s type is left out."""
        values = {}
        for path in sorted(glob.glob(os.path.join(glob.escape(self.path), "seconds", "*.json"))):
            with contextlib.suppress(*DAMAGED, AttributeError):  # the next start puts it back
                stage = stage_of(os.path.basename(path)[: -len(".json")])
                values.setdefault(stage, []).append(type(unknown)() + read_json(path).get(what, unknown))
        return {stage: together(found) for stage, found in values.items()}


def stage_of(job):
    """'mine.step1' of 'mine.step1.2-4': the name of the stage that a job is a share of."""
    return re.sub(r"\.\d+-\d+$", "", job)
