"""A run's folder, runs/NAME: every path in it, and the time and memory that its marks record."""

import glob
import os
import re
from typing import Any, Optional

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.store import records
from aepsl.store.result import RECORD

ROOT = "runs"
MODEL = "final.caffemodel"
# Errors of reading a JSON file of unexpected content.
DAMAGED = (InputError, OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def is_in_a_run(path: str) -> bool:
    """Whether a path is in a run's folder, or in one that a stage has filled: a stage made the file, not the user."""
    folder = os.path.dirname(os.path.relpath(path, ROOT))
    while folder and not folder.startswith(os.pardir):
        if any(os.path.exists(os.path.join(ROOT, folder, name)) for name in ("made", RECORD)):
            return True
        folder = os.path.dirname(folder)
    return False


class RunFolder:
    """The paths of the run of that name, below `root` (ROOT): relative to the repository."""

    def __init__(self, name: str, root: Optional[str] = None) -> None:
        self.path = os.path.join(root or ROOT, name)
        self.settings = self._in("experiment.yaml")  # of the run, whole: every stage and every report reads these
        self.start = self._in("start.json")  # the options of the last start, and SHA-256 of its inputs (graph.Start)
        self.queue = self._in("queue")  # the jobs that are given to a cluster's queue (aepsl.run.queue)
        self.data = self._in("data")  # what the demo draws
        self.saliency = self._in("saliency")  # background cues
        self.initial = self._in("initial.caffemodel")  # LargeFOV's initial weights, if they are made of VGG-16's
        self.thresholds = self._in("step1/thresholds.json")  # `shares` of the regions of other thresholds
        self.background = self._in("background.json")  # errors of the background cue, and of the tables' nets' masks
        self.page = self._in("report/index.html")  # the report: made of the rest, and nothing is made of it
        self.results = self._in("results.json")  # every figure
        self.calibration = self._in("calibration.json")  # the figures of the net trained with the true masks

    def _in(self, path: str) -> str:
        return os.path.join(self.path, path)

    def classification(self, step: int) -> str:
        """train.prototxt, solver.prototxt, log.csv, train.json, final.caffemodel of an erasing step."""
        return self._in(f"step{step}/classification")

    def regions(self, step: int) -> str:
        """Pixels mined in the steps up to this one: 16-bit PNGs, a bit for each label of the image.

        heat/ has this step's maps of the few images that the report shows.
        """
        return self._in(f"step{step}/regions")

    def shares(self, step: int) -> str:
        """A JSON file: recall, precision and erased share of the regions."""
        return self._in(f"step{step}/regions.json")

    def masks(self, step: int) -> str:
        """S, made of the regions of all steps up to this one."""
        return self._in(f"masks/ae_step{step}")

    def segmentation(self, net: str) -> str:
        """The training of a net of tables 3 and 4."""
        return self._in(f"segmentation/{net}")

    def relabelled(self, net: str) -> str:
        """The training images segmented by a PSL net: in crf/, with CRF, the masks of another round.

        s_hat/ has S_hat of the few images that the report shows.
        """
        return self._in(f"relabelled/{net}")

    def segmented(self, split: str, row: str) -> str:
        """The segmentations of 'val' or 'test' by a row: in plain/ without CRF, in crf/ with it."""
        return self._in(f"{split}/{row}")

    def submission(self, row: str) -> str:
        """The archive of a row."""
        return self._in(f"submission/{row}.tgz")

    @staticmethod
    def model(folder: str) -> str:
        """The trained weights in the folder of a training."""
        return os.path.join(folder, MODEL)

    def check_begun(self) -> None:
        """InputError for a run without a file."""
        if not (os.path.isdir(self.path) and os.listdir(self.path)):
            raise InputError(f"{self.path}: is no run that has begun; `make reproduce` begins one, `make demo` another")

    def images(self) -> dict[str, int]:
        """{"train": the number of checked images, "val": ...}; {} before the check."""
        images = records.read_mark(self.path, "check").get("value")
        return images if isinstance(images, dict) and all(isinstance(n, int) for n in images.values()) else {}

    def seconds(self) -> dict[str, float]:
        """{stage: seconds}, the sum over its shards, even if they ran at the same time."""
        return {stage: sum(mark["seconds"] for mark in marks) for stage, marks in self.took().items()}

    def peaks(self) -> dict[str, float]:
        """{stage: peak memory in MiB}, the largest of its shards."""
        return {stage: max(mark["peak_mib"] for mark in marks) for stage, marks in self.took().items()}

    def took(self) -> dict[str, list[dict[str, Any]]]:
        """{stage: the marks of its finished jobs, one for each shard}, without damaged ones: a start restores those."""
        found: dict[str, list[dict[str, Any]]] = {}
        for job in self.marked():
            mark = dict(dict(peak_mib=0, commit=commit.UNKNOWN), **records.read_mark(self.path, job))
            numbers = [mark.get("seconds"), mark["peak_mib"]]
            are_sound = all(isinstance(each, (int, float)) and 0 <= each < 1e9 for each in numbers)  # no nan
            if are_sound and isinstance(mark["commit"], str):
                found.setdefault(stage_of(job), []).append(mark)
        return found

    def marked(self) -> list[str]:
        """The names of all jobs that have a mark, in the order of their files."""
        paths = sorted(glob.glob(records.mark_of(glob.escape(self.path), "*")))
        return [os.path.basename(path)[: -len(".json")] for path in paths]


def stage_of(job: str) -> str:
    """'mine.step1' of 'mine.step1.2-4': the name of a job's stage."""
    return re.sub(r"\.\d+-\d+$", "", job)
