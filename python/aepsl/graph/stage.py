"""The Stage of a graph, and what the declarations of several stages share. `of` is the graph that is being made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from aepsl.base import doors
from aepsl.graph.run_folder import RunFolder
from aepsl.settings.experiments import TASKS
from aepsl.settings.typed import Experiment

if TYPE_CHECKING:
    from aepsl.graph.graph import Graph

# Keys of the settings that stages of several kinds depend on: of whole images through a net, of trainings, of cues.
IMAGES = ("data.scale", "data.mean")
NET = ("net", "channels", "convs", "fc", "fc6_dilation", "input_scale", "new_layer_lr", "data.crop", *IMAGES)
TRAINING = (*NET, "seed.training", "threads")
CUES = ("background.threshold", "background.indoor_threshold", "background.indoor_classes")
# Names of inputs (aepsl.run.inputs).
LABELLED = ("train.images", "train.labels")
TRUE_MASKS = ("train.labels", "train.masks")

# The module of aepsl.stages for a kind of stage, where their names differ.
MODULES = dict.fromkeys(TASKS, "train")
MODULES.update(relabel="segment", shares="evaluate_regions", thresholds="evaluate_regions")
MODULES.update(background="evaluate_background")


class Stage(NamedTuple):
    """A stage: declared once, for all code that runs, shows, plans or repairs it.

    name, kind    'mine.step2', and 'mine'
    out           the folder, or the file, of its results
    reads         {argument of its run(...): the stage whose result is passed, or 'weights' or 'maps', the user's files;
                  None: the argument is left out}
    needs         further stages that its result depends on
    settings      keys of settings that its result depends on, 'data.scale'
    inputs        names of contents that its result depends on, 'train.images' (aepsl.run.inputs)
    stood_for     settings that it may also read, because its inputs already depend on them
    options       other arguments of its run(...)
    images        the list whose images it processes, in shards; None for a stage without shards
    changes       of settings, by its net: {'training.psl.lr': 0.01}
    paths         {argument: path} for `reads`; the graph fills it in
    """

    name: str
    kind: str
    out: str
    reads: Mapping[str, Optional[str]] = {}
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    stood_for: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    images: Optional[str] = None
    changes: dict[str, Any] = {}
    paths: dict[str, Optional[str]] = {}

    @property
    def module(self) -> str:
        return "aepsl.stages." + MODULES.get(self.kind, self.kind)

    @property
    def is_training(self) -> bool:
        return self.kind in TASKS

    @property
    def has_net(self) -> bool:
        return any(name.startswith("net.") for name in self.inputs)

    @property
    def result(self) -> str:
        """The path that a stage is given to read this one's result: a model, masks, regions, figures."""
        if self.is_training:
            return RunFolder.model(self.out)
        return f"{self.out}/crf" if self.kind in ("relabel", "segment") else self.out


def initial(of: "Graph") -> Optional[str]:
    """The source of initial weights for `reads`: the user's, or 'surgery', which adapts them; None without weights."""
    if not of.given["weights"]:
        return None
    return "surgery" if needs_surgery(of.experiment) else "weights"


def needs_surgery(experiment: Experiment) -> bool:
    """Whether the trunk declares that its initial weights are made of VGG-16's (aepsl.stages.surgery)."""
    return getattr(doors.load(doors.TRUNKS, experiment.net), "NEEDS_SURGERY", False)
