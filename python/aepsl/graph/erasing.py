"""Section 3.1: object regions by adversarial erasing, and the masks S that they make with background cues."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

from aepsl.graph.stage import CUES, LABELLED, NET, TRAINING, TRUE_MASKS, Stage, initial

if TYPE_CHECKING:
    from aepsl.graph.graph import Graph


def stages(of: "Graph") -> Iterator[Stage]:
    """The stages in their order."""
    yield saliency(of)
    if initial(of) == "surgery":
        yield surgery(of)
    for t in range(1, of.experiment.mining.steps + 1):
        yield from (classification(of, t), mine(of, t), shares(of, t), masks(of, t))
    yield from (thresholds(of), background(of))


def saliency(of: "Graph") -> Stage:
    """Background cues: the user's maps, or else the detector's."""
    options = dict(list_name=of.experiment.data.train)
    source: dict[str, Any] = dict(reads=dict(maps="maps"), inputs=("train.images",), options=options)
    if not of.given["maps"]:
        options.update(detector=of.experiment.background.detector)
        source = dict(inputs=("train.images", "detector"), options=options)
    return Stage("saliency", "saliency", of.run.saliency, images="train", **source)


def surgery(of: "Graph") -> Stage:
    """LargeFOV's initial weights. Missing fc6 and fc7 are drawn; the input fc6_fc7 covers all settings of that."""
    made_of: dict[str, Any] = dict(reads=dict(vgg="weights"), inputs=("fc6_fc7",), stood_for=TRAINING)
    return Stage("surgery", "surgery", of.run.initial, **made_of)


def classification(of: "Graph", t: int) -> Stage:
    """Step t of adversarial erasing: learn to classify the images without the regions of the steps before."""
    return Stage(
        f"classification.step{t}",
        "classification",
        of.run.classification(t),
        reads=dict(weights=initial(of), regions=_mined(t - 1)),
        settings=(*TRAINING, "training.classification"),
        inputs=("net.classification", *LABELLED),
        options=dict(task="classification"),
    )


def mine(of: "Graph", t: int) -> Stage:
    """The regions of step t: those of the steps before, and what the CAM of step t's net adds."""
    return Stage(
        f"mine.step{t}",
        "mine",
        of.run.regions(t),
        reads=dict(model=f"classification.step{t}", before=_mined(t - 1)),
        settings=(*NET, "mining.threshold", "seed.report"),
        inputs=("net.classification", *LABELLED),
        images="train",
    )


def shares(of: "Graph", t: int) -> Stage:
    """Recall and precision of the regions, against the true masks."""
    return Stage(f"shares.step{t}", "shares", of.run.shares(t), dict(regions=_mined(t)), inputs=TRUE_MASKS)


def thresholds(of: "Graph") -> Stage:
    """Sensitivity to the erasing threshold: the shares that step 1 would have with other thresholds."""
    return Stage(
        "thresholds",
        "thresholds",
        of.run.thresholds,
        reads=dict(model="classification.step1"),
        settings=(*NET, "mining.sensitivity"),
        inputs=("net.classification", "train.images", *TRUE_MASKS),
    )


def masks(of: "Graph", t: int) -> Stage:
    """S of the regions of steps 1 to t, and background."""
    reads = dict(regions=_mined(t), saliency="saliency")
    made_of: dict[str, Any] = dict(settings=CUES, inputs=("train.labels",), images="train")
    return Stage(f"masks.ae_step{t}", "masks", of.run.masks(t), reads, **made_of)


def background(of: "Graph") -> Stage:
    """Errors of the background cue, and of the masks of the tables' nets, against the true masks."""
    reads: dict[str, Optional[str]] = dict(saliency="saliency", masks=f"masks.ae_step{of.experiment.mining.merge}")
    return Stage("background", "background", of.run.background, reads, settings=CUES, inputs=TRUE_MASKS)


def _mined(t: int) -> Optional[str]:
    return f"mine.step{t}" if t else None
