"""A run's folder, runs/NAME: every path in it, and the time and memory that its marks record."""

import contextlib
import glob
import os
import re
from collections.abc import Callable
from typing import Any, Optional

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.store import records
from aepsl.store.result import RECORD

ROOT = "runs"
MODEL = "final.caffemodel"
DAMAGED = (InputError, OSError, KeyError, TypeError, IndexError)  # errors of reading a JSON file of unexpected content


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

    def has_begun(self) -> bool:
        return os.path.isdir(self.path) and bool(os.listdir(self.path))

    def images(self) -> dict[str, int]:
        """{"train": the number of checked images, "val": ...}; {} before the check."""
        images = records.read_mark(self.path, "check").get("value")
        return images if isinstance(images, dict) and all(isinstance(n, int) for n in images.values()) else {}

    def seconds(self) -> dict[str, float]:
        """{stage: seconds}, the sum over its shards, even if they ran at the same time."""
        return self._took("seconds", sum)

    def peaks(self) -> dict[str, float]:
        """{stage: peak memory in MiB}, the largest of its shards."""
        return self._took("peak_mib", max)

    def commits(self) -> dict[str, set[str]]:
        """{stage: the commits that made it}; see aepsl.base.commit."""
        return self._took("commit", set, commit.UNKNOWN)

    def took(self) -> list[tuple[str, dict[str, Any]]]:
        """[(stage, mark)] of every job that is done, one for each shard."""
        paths = sorted(glob.glob(os.path.join(glob.escape(self.path), "done", "*.json")))
        jobs = [os.path.basename(path)[: -len(".json")] for path in paths]
        marks = [(stage_of(job), records.read_mark(self.path, job)) for job in jobs]
        return [(stage, mark) for stage, mark in marks if "seconds" in mark]

    def _took(self, what: str, together: Callable[[list[Any]], Any], unknown: Any = 0) -> dict[str, Any]:
        """{stage: `together` of its jobs' values}; a value of another type than `unknown` is left out."""
        values: dict[str, list[Any]] = {}
        for stage, mark in self.took():
            with contextlib.suppress(TypeError):  # damaged: the next start restores it
                values.setdefault(stage, []).append(type(unknown)() + mark.get(what, unknown))
        return {stage: together(found) for stage, found in values.items() if found}


def stage_of(job: str) -> str:
    """'mine.step1' of 'mine.step1.2-4': the name of a job's stage."""
    return re.sub(r"\.\d+-\d+$", "", job)
