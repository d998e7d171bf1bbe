"""What a stage of the graph is, and what all stages are declared with: functions of the graph, `of`."""

from typing import NamedTuple, Optional

from aepsl.base import doors
from aepsl.graph.run_folder import RunFolder
from aepsl.settings.experiments import TASKS

# Keys of the settings that stages of several kinds depend on: of whole images through a net, of trainings, of cues.
IMAGES = ("data.scale", "data.mean")
NET = ("net", "channels", "convs", "fc", "fc6_dilation", "input_scale", "new_layer_lr", "data.crop", *IMAGES)
TRAINING = (*NET, "seed.training", "threads")
CUES = ("background.threshold", "background.indoor_threshold", "background.indoor_classes")
# Names of inputs (aepsl.run.inputs).
LABELLED = ("train.images", "train.labels")
TRUE_MASKS = ("train.labels", "train.masks")

# The module of aepsl.stages of a kind of stage, where it has another name.
MODULES = dict.fromkeys(TASKS, "train")
MODULES.update(relabel="segment", shares="evaluate_regions", thresholds="evaluate_regions")
MODULES.update(background="evaluate_background")


class Stage(NamedTuple):
    """A stage: said once, and read by all that run, show, plan or mend it.

    name, kind    'mine.step2', and 'mine', which says what it is
    out           the folder, or the file, of its results
    reads         what its run(...) reads, by argument: the name of a stage, or 'weights' or 'maps', the user's; None
                  for an argument that stays away
    needs         further stages, whose results its own are made of like those that it reads
    settings      what it is made of besides: keys of settings, 'data.scale'
    inputs        and names of contents, 'train.images' (aepsl.run.inputs)
    stood_for     settings that it may read besides: its inputs stand for them
    options       other arguments of its run(...)
    images        the list whose images it goes through, in shards; None for one that does not
    changes       of settings, by its net: {'training.psl.lr': 0.01}
    paths         of what it reads, by argument; the graph fills it in
    """

    name: str
    kind: str
    out: str
    reads: dict = {}
    needs: tuple = ()
    settings: tuple = ()
    inputs: tuple = ()
    stood_for: tuple = ()
    options: dict = {}
    images: Optional[str] = None
    changes: dict = {}
    paths: dict = {}

    @property
    def module(self):
        return "aepsl.stages." + MODULES.get(self.kind, self.kind)

    @property
    def is_training(self):
        return self.kind in TASKS

    @property
    def has_net(self):
        return self.is_training or self.kind in ("mine", "thresholds", "relabel", "segment")

    @property
    def result(self):
        """The path that stages which read this one are given."""
        if self.is_training:
            return RunFolder.model(self.out)
        return f"{self.out}/crf" if self.kind == "relabel" else self.out


def initial(of):
    """What a net reads that begins with the user's weights: as they are, or made to fit its trunk; None without any."""
    if not of.given["weights"]:
        return None
    return "surgery" if needs_surgery(of.experiment) else "weights"


def needs_surgery(experiment):
    """Whether the trunk says that its initial weights are made of VGG-16's (aepsl.stages.surgery)."""
    return getattr(doors.load(doors.TRUNKS, experiment.net), "NEEDS_SURGERY", False)
