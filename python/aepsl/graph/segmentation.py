"""Section 3.2: the segmentation nets of tables 3 and 4, the images that they segment, and the figures of all."""

from aepsl.base.errors import InputError
from aepsl.graph.stage import IMAGES, NET, TRAINING, Stage, Start, initial
from aepsl.settings import experiments

TRUTH = "truth"  # in the place of a folder of masks: the data set's own
# What a row may change, and a net besides: all that its stages are known to be made of.
OF_ROWS = (*IMAGES, "psl", "crf")
OF_NETS = ("segmentation_start", "psl_start", "training", "seed.training", "threads", "data.crop", "new_layer_lr")


def stages(of):
    """The stages in their order: each net, the training images as a PSL net segments them, then the rows."""
    for name, net in of.nets.items():
        _check(name, net.changes, (*OF_NETS, *OF_ROWS))
        yield segmentation(of, name)
        if net.task == "psl":
            yield relabel(of, name)
    for name, row in of.rows.items():
        _check(name, row.changes, OF_ROWS)
    for split in ("val", "test"):
        yield from (segment(of, split, row) for row in of.rows)
    yield results(of)


def is_of(key, keys):
    """Whether the setting `key`, 'crf.iterations', is one of `keys`, or a part of one: of 'crf'."""
    return any(f"{key}.".startswith(f"{each}.") for each in keys)


def _check(name, changes, free):
    """InputError for a change of a setting that what a net or row makes is not known by."""
    for key in changes:
        if not is_of(key, free):
            raise InputError(f"aepsl/paper/recipes.py: {name} changes `{key}`; it may change {', '.join(free)}")


def segmentation(of, name):
    """A net of tables 3 and 4: segmentation alone, or with online prohibitive segmentation learning."""
    net, start = of.nets[name], start_of(of, name)
    needs, masks = masks_of(of, name)
    options = dict(task=net.task, masks=TRUTH) if masks == TRUTH else dict(task=net.task)
    return Stage(
        f"segmentation.{name}",
        net.task,
        of.folder.segmentation(name),
        needs=(*start.needs, *needs),
        settings=(*TRAINING, f"training.{net.task}"),
        inputs=(f"net.{net.task}", "train.images", "train.labels", *start.inputs, *["train.masks"] * (masks == TRUTH)),
        paths=dict(weights=start.weights) if masks == TRUTH else dict(weights=start.weights, masks=masks),
        options=dict(options, confidence=net.confidence) if net.confidence else options,
        changes=net.changes,
    )


def masks_of(of, name):
    """(stages, folder) of the masks that a net learns from; InputError for a source of masks that there is not."""
    source = of.nets[name].masks
    if source == TRUTH:
        return (), TRUTH
    if source in of.nets and of.nets[source].task == "psl":
        return (f"relabel.{source}",), of.folder.relabelled(source) + "/crf"
    steps = {f"step{t}": t for t in range(1, of.experiment.mining.steps + 1)}
    steps["merged"] = of.experiment.mining.merge
    if source not in steps:
        known = ", ".join([*steps, TRUTH, *(each for each in of.nets if of.nets[each].task == "psl")])
        raise InputError(f"aepsl/paper/recipes.py: the net {name} learns from the masks {source!r}; there are {known}")
    return (f"masks.ae_step{steps[source]}",), of.folder.masks(steps[source])


def start_of(of, name):
    """The Start of a net of tables 3 and 4."""
    net = of.nets[name]
    start = start_name(net, experiments.changed(of.experiment, net.changes) if net.changes else of.experiment)
    if start == "initial":
        return initial(of)
    if start == "step1":
        return Start(("classification.step1",), of.folder.model(of.folder.classification(1)))
    return Start((f"segmentation.{start}",), of.folder.model(of.folder.segmentation(start)))


def start_name(net, experiment):
    """What a net begins with: 'initial', 'step1', or the name of another net."""
    start = experiment.segmentation_start
    return net.start or (experiment.psl_start if net.task == "psl" else None) or start


def relabel(of, name):
    """PSL++: a PSL net segments the training images, knowing their labels; the results are masks of one more round."""
    return Stage(
        f"relabel.{name}",
        "relabel",
        of.folder.relabelled(name),
        needs=(f"segmentation.{name}",),
        settings=(*NET, "psl.prohibited", "crf", "seed.report"),
        inputs=("net.psl", "train.images", "train.labels"),
        paths=dict(model=of.folder.model(of.folder.segmentation(name))),
        options=dict(list_name=of.experiment.data.train, confidence="labels"),
        images="train",
        changes=of.nets[name].changes,
    )


def segment(of, split, name):
    """A row of the tables: the images of val, or those of the test server."""
    row = of.rows[name]
    listed = split if of.experiment.data.list_of(split) else "val"  # `submission` packs val where there is no test
    return Stage(
        f"segment.{split}.{name}",
        "segment",
        of.folder.segmented(split, name),
        needs=(f"segmentation.{row.net}",),
        settings=(*NET, "psl.prohibited", "crf"),
        inputs=(
            f"net.{of.nets[row.net].task}",
            f"{listed}.images",
            *[f"{listed}.labels"] * (row.confidence == "labels"),
        ),
        paths=dict(model=of.folder.model(of.folder.segmentation(row.net))),
        options=dict(list_name=of.experiment.data.list_of(listed), confidence=row.confidence),
        images=listed,
        changes={**of.nets[row.net].changes, **row.changes},
    )


def results(of):
    """Every figure of the run."""
    steps = range(1, of.experiment.mining.steps + 1)
    return Stage(
        "results",
        "results",
        of.folder.results,
        needs=(
            *(f"{kind}.step{t}" for t in steps for kind in ("classification", "shares")),
            *(f"segment.val.{row}" for row in of.experiment.rows),
            *(f"segmentation.{net}" for net in nets_with_psl(of)),
            "thresholds",
            "background",
        ),
        settings=("seed.report", "rows", "mining.steps", "mining.merge", "mining.max_converged_loss"),
        inputs=("val.masks",),
        options=dict(nets=nets_with_psl(of)),
    )


def nets_with_psl(of):
    """The nets with S_hat that the experiment's rows need, in the order of tables 3 and 4."""
    needed = {of.rows[row].net for row in of.experiment.rows}
    return [name for name, net in of.nets.items() if name in needed and net.task == "psl"]
