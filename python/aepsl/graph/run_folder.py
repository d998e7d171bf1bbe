"""A run's folder, runs/NAME: every path in it, and every stage.

data/                     what the demo draws
saliency/                 background cues
initial.caffemodel        LargeFOV's initial weights, where they are made of VGG-16's
stepT/classification/     train.prototxt, solver.prototxt, log.csv, train.json, final.caffemodel of erasing step T
stepT/regions/            what was mined in steps 1 ... T (16-bit PNGs: a bit for each label of the image);
                          heat/: step T's maps of the few images that the report shows
masks/ae_stepT/           the masks made of steps 1 ... T
background.json           how good the background cue is, and the masks of the tables' nets
segmentation/NET/         the nets of tables 3 and 4
relabelled/psl/           the training images segmented by the PSL net: with CRF the masks of psl++;
                          s_hat/: S_hat of the few images that the report shows
{val,test}/ROW/           segmentations, without CRF in plain/ and with it in crf/
report/index.html         the report: made of the rest, never part of what anything is made of
results.json              every figure; calibration.json: those of the net trained with true masks
done/STAGE.json           the mark of a stage that is done (aepsl.store.made): what it has made
seconds/STAGE.json        what it took, and the commit of the code that made it
made/STAGE.json           what every file of it holds (aepsl.store.healing)
"""

import contextlib
import glob
import os
import re
from typing import NamedTuple, Optional

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.paper import recipes

ROOT = "runs"
MODEL = "final.caffemodel"
OF_ROWS_AND_STEPS = ("classification.", "mine.", "shares.", "masks.", "segmentation.", "relabel.", "segment.val.")
DAMAGED = (InputError, OSError, KeyError, TypeError, IndexError)  # what reading a JSON file of another kind raises


def is_in_a_run(path):
    """Whether a path lies in a run's folder, where everything is of our making."""
    return os.path.dirname(os.path.relpath(path, ROOT)).split(os.sep)[0] not in ("", os.pardir)


class Stage(NamedTuple):
    """name: of its marks; kind: what it does; folder: of its results; images: the list that it goes through, if any."""

    name: str
    kind: str
    folder: str
    images: Optional[str] = None


class RunFolder:
    """The paths and stages of the run of an experiment (its settings), below `root`: relative to the repository.

    Raises InputError if its `rows` name one that there is not.
    """

    def __init__(self, experiment, root=None):
        self.experiment = experiment
        self.path = os.path.join(root or ROOT, experiment["name"])
        self.steps = range(1, experiment["mining"]["steps"] + 1)
        self.nets = recipes.nets(len(self.steps))
        self.rows = recipes.rows(len(self.steps))
        self.data = self._path("data")
        self.saliency = self._path("saliency")
        self.initial = self._path("initial.caffemodel")
        self.thresholds = self._path("step1", "thresholds.json")
        self.background = self._path("background.json")
        self.results = self._path("results.json")
        self.calibration = self._path("calibration.json")
        for row in experiment["rows"]:
            self.checked_row(row)

    def checked_row(self, row):
        """`row`; InputError if tables 3 and 4 have no such row, and we add none."""
        if row not in self.rows:
            known = ", ".join(self.rows)
            raise InputError(f"{row}: no row of tables 3 and 4; `rows` in experiment.yaml and ROW= take {known}")
        return row

    def classification(self, step):
        return self._path(f"step{step}", "classification")

    def regions(self, step):
        return self._path(f"step{step}", "regions")

    @property
    def page(self):
        return self._path("report", "index.html")

    def shares(self, step):
        """Recall, precision and erased share of the regions of a step."""
        return self._path(f"step{step}", "regions.json")

    def masks(self, name):
        return self._path("masks", name)

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

    def mark(self, stage):
        return self._path("done", stage + ".json")

    def _path(self, *parts):
        return os.path.join(self.path, *parts)

    def merged(self, net):
        """The step whose regions make the masks that a net of tables 3 and 4 learns from; None for other masks."""
        masks = self.nets[net].masks
        if masks == "merged":
            return self.experiment["mining"]["merge"]
        return int(masks[len("step") :]) if masks.startswith("step") else None

    def masks_of(self, net):
        """The folder of masks that a net learns from; 'truth' for the data set's own."""
        step = self.merged(net)
        if step:
            return self.masks(f"ae_step{step}")
        return "truth" if self.nets[net].masks == "truth" else os.path.join(self.relabelled("psl"), "crf")

    def initial_of(self, weights):
        """The caffemodel that nets begin with: LargeFOV's is made of the user's `weights`, others' are those."""
        return self.initial if weights and self.experiment["net"] == "largefov" else weights

    def start_of(self, net):
        """The training whose weights a net of tables 3 and 4 begins with, as its stage and its folder.

        None where it begins with the initial weights.
        """
        start = self.experiment["segmentation_start"]
        if self.nets[net].task == "psl":
            start = self.experiment.get("psl_start", start)
        if start == "initial":
            return None
        if start == "step1":
            return Stage("classification.step1", "classification", self.classification(1))
        return Stage(f"segmentation.{start}", "segmentation", self.segmentation(start))

    def nets_with_psl(self):
        """The nets with S_hat that the experiment's rows need, in the order of tables 3 and 4."""
        needed = {self.rows[row].net for row in self.experiment["rows"]}
        return [name for name, net in self.nets.items() if name in needed and net.task == "psl"]

    def stages(self, rows=None):
        """The stages of `rule all`, in their order; with other `rows` than the experiment's, those that they need."""
        rows = rows or self.experiment["rows"]
        yield Stage("saliency", "saliency", self.saliency, "train")
        for t in self.steps:
            yield Stage(f"classification.step{t}", "classification", self.classification(t))
            yield Stage(f"mine.step{t}", "mine", self.regions(t), "train")
            yield Stage(f"masks.ae_step{t}", "masks", self.masks(f"ae_step{t}"), "train")
        needed = {self.rows[row].net for row in rows}
        starts = [self.start_of(net) for net in needed]
        needed |= {start.name[len("segmentation.") :] for start in starts if start and start.kind == "segmentation"}
        for net in [net for net in self.nets if net in needed]:
            if self.nets[net].masks == "psl":
                yield Stage("relabel.psl", "relabel", self.relabelled("psl"), "train")
            yield Stage(f"segmentation.{net}", self.nets[net].task, self.segmentation(net))
        for row in rows:
            yield Stage(f"segment.val.{row}", "segment", self.segmented("val", row), "val")

    def has_use_for(self, stage, packed):
        """Whether a stage, or its shard, is one of this experiment's: rows and steps may have been more before.

        packed: rows that submission packs, which need not be the experiment's.
        """
        used = {each.name for each in self.stages([*self.experiment["rows"], *packed, "calibration"])}
        used |= {f"shares.step{t}" for t in self.steps}
        return not stage.startswith(OF_ROWS_AND_STEPS) or re.sub(r"\.\d+-\d+$", "", stage) in used

    def is_done(self, stage):
        """Whether the marks of a stage, or of all its shards, are there."""
        shards = range(1, self.experiment["shards"] + 1)
        marks = [self.mark(f"{stage}.{k}-{len(shards)}") for k in shards]
        return os.path.exists(self.mark(stage)) or all(map(os.path.exists, marks))

    def images(self):
        """{"train": how many images were checked, "val": ...}; {} before that."""
        try:
            images = read_json(self.mark("check"))
        except (InputError, OSError):
            images = None
        is_one = isinstance(images, dict) and all(isinstance(count, int) for count in images.values())
        return images if is_one else {}

    def main_row(self):
        """The row that stands for the run: the paper's result, psl++, or the last of those that the experiment has."""
        rows = self.experiment["rows"]
        return "psl++" if "psl++" in rows else rows[-1]

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
        """{stage: what `together` makes of its shards' values}; a value that is not of `unknown`'s type is left out."""
        values = {}
        for path in sorted(glob.glob(os.path.join(glob.escape(self._path("seconds")), "*.json"))):
            parts = os.path.basename(path)[: -len(".json")].split(".")
            stage = ".".join(part for part in parts if "-" not in part)
            with contextlib.suppress(*DAMAGED, AttributeError):  # the next start puts it back
                values.setdefault(stage, []).append(type(unknown)() + read_json(path).get(what, unknown))
        return {stage: together(found) for stage, found in values.items()}
