"""Section 3.1: object regions by adversarial erasing, and the masks S that they make with background cues."""

from aepsl.graph.stage import CUES, LABELLED, NET, TRAINING, TRUE_MASKS, Stage, initial


def stages(of):
    """The stages in their order."""
    yield saliency(of)
    if initial(of) == "surgery":
        yield surgery(of)
    for t in range(1, of.experiment.mining.steps + 1):
        yield from (classification(of, t), mine(of, t), shares(of, t), masks(of, t))
    yield from (thresholds(of), background(of))


def saliency(of):
    """Background cues. The user's maps count alone, and so does a detector."""
    options = dict(list_name=of.experiment.data.train)
    if of.given["maps"]:
        source = dict(reads=dict(maps="maps"), inputs=("train.images",), options=options)
    else:
        options.update(detector=of.experiment.background.detector)
        source = dict(inputs=("train.images", "detector"), options=options)
    return Stage("saliency", "saliency", of.run.saliency, images="train", **source)


def surgery(of):
    """LargeFOV's initial weights. Where the user's lack fc6 and fc7 they are drawn, of what fc6_fc7 stands for."""
    made_of = dict(reads=dict(vgg="weights"), inputs=("fc6_fc7",), stood_for=TRAINING)
    return Stage("surgery", "surgery", of.run.initial, **made_of)


def classification(of, t):
    """Step t of adversarial erasing: learn to classify what the steps before have left of the images."""
    return Stage(
        f"classification.step{t}",
        "classification",
        of.run.classification(t),
        reads=dict(weights=initial(of), regions=_mined(t - 1)),
        settings=(*TRAINING, "training.classification"),
        inputs=("net.classification", *LABELLED),
        options=dict(task="classification"),
    )


def mine(of, t):
    """What the net of step t looks at joins the regions that are erased."""
    return Stage(
        f"mine.step{t}",
        "mine",
        of.run.regions(t),
        reads=dict(model=f"classification.step{t}", before=_mined(t - 1)),
        settings=(*NET, "mining.threshold", "seed.report"),
        inputs=("net.classification", *LABELLED),
        images="train",
    )


def shares(of, t):
    """How much of the objects the regions cover, and how much else."""
    return Stage(f"shares.step{t}", "shares", of.run.shares(t), dict(regions=_mined(t)), inputs=TRUE_MASKS)


def thresholds(of):
    """How much hangs on the erasing threshold: what step 1 would have mined with others."""
    return Stage(
        "thresholds",
        "thresholds",
        of.run.thresholds,
        reads=dict(model="classification.step1"),
        settings=(*NET, "mining.sensitivity"),
        inputs=("net.classification", "train.images", *TRUE_MASKS),
    )


def masks(of, t):
    """S of the regions of steps 1 to t, and background."""
    reads = dict(regions=_mined(t), saliency="saliency")
    made_of = dict(settings=CUES, inputs=("train.labels",), images="train")
    return Stage(f"masks.ae_step{t}", "masks", of.run.masks(t), reads, **made_of)


def background(of):
    """How good the background cue is, and the masks of the tables' nets."""
    reads = dict(saliency="saliency", masks=f"masks.ae_step{of.experiment.mining.merge}")
    return Stage("background", "background", of.run.background, reads, settings=CUES, inputs=TRUE_MASKS)


def _mined(t):
    return f"mine.step{t}" if t else None
