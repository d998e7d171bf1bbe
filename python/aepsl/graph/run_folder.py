"""A run's folder, runs/NAME: every path in it, and what its marks say."""

import contextlib
import glob
import os
import re

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.store import records

ROOT = "runs"
MODEL = "final.caffemodel"
DAMAGED = (InputError, OSError, KeyError, TypeError, IndexError)  # what reading a JSON file of another kind raises
PATHS = dict(  # attributes of a RunFolder; those with {} are functions of what stands there
    settings="experiment.yaml",  # of the run, whole: every stage, and whatever prints its figures, reads these
    start="start.json",  # what the last start was asked for, and what its inputs hold (aepsl.graph.graph.Start)
    queue="queue",  # the jobs that a cluster's queue has, or will be given (aepsl.run.queue)
    data="data",  # what the demo draws
    saliency="saliency",  # background cues
    initial="initial.caffemodel",  # LargeFOV's initial weights, where they are made of VGG-16's
    # train.prototxt, solver.prototxt, log.csv, train.json, final.caffemodel of an erasing step
    classification="step{}/classification",
    # what was mined in all steps up to this one: 16-bit PNGs, a bit for each label of the image;
    regions="step{}/regions",  # heat/: this step's maps of the few images that the report shows
    shares="step{}/regions.json",  # recall, precision and erased share of the regions
    thresholds="step1/thresholds.json",  # the same with other thresholds
    masks="masks/ae_step{}",  # made of the regions of all steps up to this one
    background="background.json",  # how good the background cue is, and the masks of the tables' nets
    segmentation="segmentation/{}",  # the nets of tables 3 and 4
    # the training images segmented by a PSL net: with CRF, in crf/, the masks of another round;
    relabelled="relabelled/{}",  # s_hat/: S_hat of the few images that the report shows
    segmented="{}/{}",  # val or test, and a row: segmentations, without CRF in plain/ and with it in crf/
    submission="submission/{}.tgz",  # the archive of a row
    page="report/index.html",  # the report: made of the rest, never part of what anything is made of
    results="results.json",  # every figure
    calibration="calibration.json",  # those of the net trained with true masks
)


def is_in_a_run(path):
    """Whether a path lies in a run's folder, where everything is of our making."""
    return os.path.dirname(os.path.relpath(path, ROOT)).split(os.sep)[0] not in ("", os.pardir)


class RunFolder:
    """The paths of the run of that name, below `root`: relative to the repository."""

    def __init__(self, name, root=None):
        self.path = os.path.join(root or ROOT, name)
        for key, pattern in PATHS.items():
            path = os.path.join(self.path.replace("{", "{{").replace("}", "}}"), pattern).format
            setattr(self, key, path if "{" in pattern else path())

    @staticmethod
    def model(folder):
        """The trained weights in the folder of a training."""
        return os.path.join(folder, MODEL)

    def has_begun(self):
        return os.path.isdir(self.path) and bool(os.listdir(self.path))

    def images(self):
        """{"train": how many images were checked, "val": ...}; {} before that."""
        images = records.read_mark(self.path, "check").get("value")
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

    def took(self):
        """[(stage, what its mark says)] of every job of a stage that is done, shards one by one."""
        paths = sorted(glob.glob(os.path.join(glob.escape(self.path), "done", "*.json")))
        jobs = [os.path.basename(path)[: -len(".json")] for path in paths]
        marks = [(stage_of(job), records.read_mark(self.path, job)) for job in jobs]
        return [(stage, mark) for stage, mark in marks if "seconds" in mark]

    def _took(self, what, together, unknown=0):
        """{stage: what `together` makes of its jobs' values}; a value that is not of `unknown`'s type is left out."""
        values = {}
        for stage, mark in self.took():
            with contextlib.suppress(TypeError):  # damaged: the next start puts it back
                values.setdefault(stage, []).append(type(unknown)() + mark.get(what, unknown))
        return {stage: together(found) for stage, found in values.items() if found}


def stage_of(job):
    """'mine.step1' of 'mine.step1.2-4': the name of the stage that a job is a share of."""
    return re.sub(r"\.\d+-\d+$", "", job)
