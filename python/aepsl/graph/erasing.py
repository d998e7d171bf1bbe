"""Section 3.1: object regions by adversarial erasing, and the masks S that they make with background cues."""

from aepsl.graph.stage import CUES, NET, TRAINING, Stage, initial


def stages(of):
    """The stages in their order."""
    yield saliency(of)
    if "surgery" in initial(of).needs:
        yield surgery(of)
    for t in range(1, of.experiment.mining.steps + 1):
        yield from (classification(of, t), mine(of, t), shares(of, t), masks(of, t))
    yield from (thresholds(of), background(of))


def saliency(of):
    """Background cues. The user's maps count alone, and so does a detector."""
    options = dict(list_name=of.experiment.data.train)
    if of.maps:
        source = dict(inputs=("train.images", "saliency"), paths=dict(maps=of.maps), options=options)
    else:
        options.update(detector=of.experiment.background.detector)
        source = dict(inputs=("train.images", "detector"), options=options)
    return Stage("saliency", "saliency", of.folder.saliency, images="train", **source)


def surgery(of):
    """LargeFOV's initial weights. Where these lack fc6 and fc7 they are drawn, of what fc6_fc7 stands for."""
    made_of = dict(inputs=("weights", "fc6_fc7"), reads=TRAINING)
    return Stage("surgery", "surgery", of.folder.initial, paths=dict(vgg=of.weights), **made_of)


def classification(of, t):
    """Step t of adversarial erasing: learn to classify what the steps before have left of the images."""
    start = initial(of)
    return Stage(
        f"classification.step{t}",
        "classification",
        of.folder.classification(t),
        needs=(*start.needs, *_mined(t - 1)),
        settings=(*TRAINING, "training.classification"),
        inputs=("net.classification", "train.images", "train.labels", *start.inputs),
        paths=dict(weights=start.weights, regions=_regions(of, t - 1)),
        options=dict(task="classification"),
    )


def mine(of, t):
    """What the net of step t looks at joins the regions that are erased."""
    return Stage(
        f"mine.step{t}",
        "mine",
        of.folder.regions(t),
        needs=(f"classification.step{t}", *_mined(t - 1)),
        settings=(*NET, "mining.threshold", "seed.report"),
        inputs=("net.classification", "train.images", "train.labels"),
        paths=dict(model=of.folder.model(of.folder.classification(t)), before=_regions(of, t - 1)),
        images="train",
    )


def shares(of, t):
    """How much of the objects the regions cover, and how much else."""
    return Stage(
        f"shares.step{t}",
        "shares",
        of.folder.shares(t),
        needs=_mined(t),
        inputs=("train.labels", "train.masks"),
        paths=dict(regions=_regions(of, t)),
    )


def thresholds(of):
    """How much hangs on the erasing threshold: what step 1 would have mined with others."""
    return Stage(
        "thresholds",
        "thresholds",
        of.folder.thresholds,
        needs=("classification.step1",),
        settings=(*NET, "mining.sensitivity"),
        inputs=("net.classification", "train.images", "train.labels", "train.masks"),
        paths=dict(model=of.folder.model(of.folder.classification(1))),
    )


def masks(of, t):
    """S of the regions of steps 1 to t, and background."""
    return Stage(
        f"masks.ae_step{t}",
        "masks",
        of.folder.masks(t),
        needs=("saliency", *_mined(t)),
        settings=CUES,
        inputs=("train.labels",),
        paths=dict(regions=_regions(of, t), saliency=of.folder.saliency),
        images="train",
    )


def background(of):
    """How good the background cue is, and the masks of the tables' nets."""
    merged = of.experiment.mining.merge
    return Stage(
        "background",
        "evaluate_background",
        of.folder.background,
        needs=("saliency", f"masks.ae_step{merged}"),
        settings=CUES,
        inputs=("train.labels", "train.masks"),
        paths=dict(saliency=of.folder.saliency, masks=of.folder.masks(merged)),
    )


def _mined(t):
    return (f"mine.step{t}",) if t else ()


def _regions(of, t):
    return of.folder.regions(t) if t else None
