"""Section 3.1: object regions by adversarial erasing, and the masks S that they make with background cues."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

from aepsl.graph.stage import CUES, LABELLED, NET, TRAINING, TRUE_MASKS, Stage, initial

if TYPE_CHECKING:
    from aepsl.graph.graph import Graph


def stages(of: "Graph") -> Iterator[Stage]:
    """The stages in their order."""
    yield saliency(of)
    if initial(of) == "surgery":  # fc6 and fc7 may have to be drawn; the input fc6_fc7 covers all settings of that
        yield Stage("surgery", "surgery", of.run.initial, dict(vgg="weights"), inputs=("fc6_fc7",), stood_for=TRAINING)
    for t in range(1, of.experiment.mining.steps + 1):
        yield from step(of, t)
    yield thresholds(of)
    cues = dict(saliency="saliency", masks=f"masks.ae_step{of.experiment.mining.merge}")
    yield Stage("background", "background", of.run.background, cues, settings=CUES, inputs=TRUE_MASKS)


def saliency(of: "Graph") -> Stage:
    """Background cues: the user's maps, or else the detector's."""
    options = dict(list_name=of.experiment.data.train)
    source: dict[str, Any] = dict(reads=dict(maps="maps"), inputs=("train.images",), options=options)
    if not of.given["maps"]:
        options.update(detector=of.experiment.background.detector)
        source = dict(inputs=("train.images", "detector"), options=options)
    return Stage("saliency", "saliency", of.run.saliency, images="train", **source)


def step(of: "Graph", t: int) -> Iterator[Stage]:
    """Step t: learn to classify what is left of the images, mine, compare the regions with the true masks, make S."""
    before: Optional[str] = f"mine.step{t - 1}" if t > 1 else None
    yield Stage(
        f"classification.step{t}",
        "classification",
        of.run.classification(t),
        reads=dict(weights=initial(of), regions=before),
        settings=(*TRAINING, "training.classification"),
        inputs=("net.classification", *LABELLED),
        options=dict(task="classification"),
    )
    yield Stage(
        f"mine.step{t}",
        "mine",
        of.run.regions(t),
        reads=dict(model=f"classification.step{t}", before=before),
        settings=(*NET, "mining.threshold", "seed.report"),
        inputs=("net.classification", *LABELLED),
        images="train",
    )
    yield Stage(f"shares.step{t}", "shares", of.run.shares(t), dict(regions=f"mine.step{t}"), inputs=TRUE_MASKS)
    yield Stage(
        f"masks.ae_step{t}",
        "masks",
        of.run.masks(t),
        reads=dict(regions=f"mine.step{t}", saliency="saliency"),
        settings=CUES,
        inputs=("train.labels",),
        images="train",
    )


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
