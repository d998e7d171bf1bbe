# What the rules share: what was asked for, the inputs' contents, options that several commands take.

import json
import os
from shlex import quote

from aepsl.store import made
from aepsl.graph.run_folder import RunFolder

ASKED = json.loads(os.environ["AEPSL_RUN"])
CONTENTS = ASKED["contents"]
E = ASKED["experiment"]
RUN = RunFolder(E)
CORES = ASKED["cores"]
GPUS = ASKED["gpus"]
TRAINING_CORES = E["data"]["workers"] + 1 if GPUS else E["threads"]
CRF_CORES = max(1, CORES // (GPUS or E["shards"]))
# The threads of a net are a setting: with more, OpenBLAS adds in another order, and the last digits change.
STAGE = "cd {} && OMP_NUM_THREADS={t} OPENBLAS_NUM_THREADS={t} python3 -m aepsl".format(
    quote(workflow.basedir), t=E["threads"]
)
COMMON = f"--experiment {E['name']} --data {quote(ASKED['data'])}"


def option(name, value):
    return f"{name} {quote(value)}" if value else ""


GPU = option("--gpu", ",".join(map(str, range(GPUS))))
DETECTOR = E["background"]["detector"]
MAPS = option("--maps", ASKED["saliency"]) or option("--detector", DETECTOR)
# The kind of settings, and the contents, that the maps are made of: the user's maps count alone, and so does a detector.
SALIENCY = (
    ("maps", "train.images saliency")
    if ASKED["saliency"]
    else ("saliency", "train.images" + {"drfi": " drfi", "truth": " train.masks"}.get(DETECTOR, ""))
)
# LargeFOV begins with VGG-16's weights, made to fit; SqueezeNet with its own; the demo with none.
INITIAL = RUN.initial_of(ASKED["weights"])
INITIAL_MARK = ["done/surgery.json"] if INITIAL == RUN.initial else []
WEIGHTS = option("--weights", INITIAL)


def made_of(kind, contents):
    """What a stage's results depend on: settings, and contents of inputs by name, 'train.images weights'."""
    return dict(made.settings_of(E, kind), **{name: CONTENTS[name] for name in contents.split()})


def shards(stage):
    """The marks of all parts of a stage that goes through images."""
    return [f"done/{stage}.{k}-{E['shards']}.json" for k in range(1, E["shards"] + 1)]


def masks_marks(net):
    """What a net of tables 3 and 4 waits for, for its masks."""
    if RUN.nets[net].masks == "psl":
        return shards("relabel.psl")
    return [f"done/masks.ae_step{RUN.merged(net)}.json"] if RUN.merged(net) else []


def start_weights(net):
    """The option that takes the place of WEIGHTS, if it stands after it: a net begins with another one of the run."""
    start = RUN.start_of(net)
    return option("--weights", RUN.model(start.folder)) if start else ""


def start_marks(net):
    start = RUN.start_of(net)
    return [f"done/{start.name}.json"] if start else INITIAL_MARK


wildcard_constraints:
    t=r"\d+",
    k=r"\d+",
    n=r"\d+",
    split="val|test",
