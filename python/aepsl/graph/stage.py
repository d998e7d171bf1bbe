"""What a stage of the graph is, and what all stages are declared with."""

from typing import NamedTuple, Optional

from aepsl.graph.run_folder import RunFolder
from aepsl.settings.experiments import TASKS
from aepsl.settings.typed import Experiment

# Keys of the settings that stages of several kinds depend on: of whole images through a net, of trainings, of cues.
IMAGES = ("data.scale", "data.mean")
NET = ("net", "channels", "convs", "fc", "fc6_dilation", "input_scale", "new_layer_lr", "data.crop", *IMAGES)
TRAINING = (*NET, "seed.training", "threads")
CUES = ("background.threshold", "background.indoor_threshold", "background.indoor_classes")

# The module of aepsl.stages of a kind of stage, where it has another name.
MODULES = dict.fromkeys(TASKS, "train")
MODULES.update(relabel="segment", shares="evaluate_regions", thresholds="evaluate_regions")


class Stage(NamedTuple):
    """A stage: said once, and read by all that run, show, plan or mend it.

    name, kind    'mine.step2', and 'mine', which says what it is
    out           the folder, or the file, of its results
    needs         the stages before it, whose results its own are made of
    settings      what it is made of besides: keys of settings, 'data.scale'
    inputs        and names of contents, 'train.images' (aepsl.run.inputs)
    reads         settings that it reads besides, for which its inputs stand
    paths         what its run(...) reads, by argument; options: its other arguments
    images        the list whose images it goes through, in shards; None for one that does not
    changes       of settings, by its net: {'training.psl.lr': 0.01}
    """

    name: str
    kind: str
    out: str
    needs: tuple = ()
    settings: tuple = ()
    inputs: tuple = ()
    reads: tuple = ()
    paths: dict = {}
    options: dict = {}
    images: Optional[str] = None
    changes: dict = {}

    @property
    def module(self):
        return "aepsl.stages." + MODULES.get(self.kind, self.kind)

    @property
    def is_training(self):
        return self.kind in TASKS

    @property
    def has_net(self):
        return self.is_training or self.kind in ("mine", "thresholds", "relabel", "segment")


class Of(NamedTuple):
    """What stages are declared of. nets, rows: of tables 3 and 4 (aepsl.paper.recipes).

    weights, maps: the caffemodel and the folder of saliency maps that the user gave, or None.
    """

    experiment: Experiment
    folder: RunFolder
    nets: dict
    rows: dict
    weights: Optional[str] = None
    maps: Optional[str] = None


class Start(NamedTuple):
    """What a net begins with. needs: stages; weights: a caffemodel, or None; inputs: names of what it holds."""

    needs: tuple
    weights: Optional[str]
    inputs: tuple = ()


def initial(of):
    """LargeFOV begins with VGG-16's weights, made to fit; SqueezeNet with its own; the demo with none."""
    if of.weights and of.experiment.net == "largefov":
        return Start(("surgery",), of.folder.initial)
    return Start((), of.weights, ("weights",))
