"""Section 3.2: the segmentation nets of tables 3 and 4, the images that they segment, and the figures of all."""

from aepsl.base.errors import InputError
from aepsl.graph.stage import IMAGES, LABELLED, NET, TRAINING, Stage, initial
from aepsl.settings import experiments

TRUTH = "truth"  # in the place of a stage that makes masks: the data set's own
STEP1 = "classification.step1"
CLASSIFIER = "+step1"  # behind a start: its classification branch is that of step 1's net
# What a row may change, and a net besides: all that its stages are known to be made of.
OF_MASKS = ("psl", "crf")  # what the maps of a net's scores become masks by
OF_ROWS = (*IMAGES, *OF_MASKS)
OF_NETS = (*OF_ROWS, "segmentation_start", "psl_start", "training.segmentation", "training.psl", "seed.training")
OF_NETS += ("threads", "data.crop", "new_layer_lr")


def stages(of):
    """The stages in their order: each net, the training images as a PSL net segments them, then the rows."""
    for name, net in of.nets.items():
        _check(name, net.changes, OF_NETS)
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
    net, masks = of.nets[name], masks_of(of, name)
    is_truth = masks == TRUTH
    options = dict(task=net.task, masks=TRUTH if is_truth else None, confidence=net.confidence)
    return Stage(
        f"segmentation.{name}",
        net.task,
        of.run.segmentation(name),
        reads=dict(zip(("weights", "classifier"), starts_of(of, name)), masks=None if is_truth else masks),
        settings=settings_of(net),
        inputs=(f"net.{net.task}", *LABELLED, *["train.masks"] * is_truth),
        options={key: value for key, value in options.items() if value},
        changes=net.changes,
    )


def settings_of(net):
    """What the training of a net reads: its S_hat, too, has v."""
    return (*TRAINING, f"training.{net.task}", *["psl.v"] * (net.task == "psl"))


def masks_of(of, name):
    """The stage that makes the masks that a net learns from, or TRUTH; InputError for a source that there is not."""
    source, steps = of.nets[name].masks, range(1, of.experiment.mining.steps + 1)
    with_psl = [each for each, net in of.nets.items() if net.task == "psl"]
    known = {f"step{t}": f"masks.ae_step{t}" for t in steps}
    known.update({"merged": f"masks.ae_step{of.experiment.mining.merge}", TRUTH: TRUTH})
    known.update((each, f"relabel.{each}") for each in with_psl)
    if source not in known:
        there = f"there are {', '.join(known)}"
        raise InputError(f"aepsl/paper/recipes.py: the net {name} learns from the masks {source!r}; {there}")
    return known[source]


def starts_of(of, name):
    """What a net of tables 3 and 4 reads as its initial weights, and as those of its classification branch, or None."""
    net = of.nets[name]
    start = start_name(net, experiments.changed(of.experiment, net.changes) if net.changes else of.experiment)
    start, classifier = split(start)
    if start == "initial":
        return initial(of), classifier and STEP1
    return STEP1 if start == "step1" else f"segmentation.{start}", classifier and STEP1


def split(start):
    """('ae_step3', '+step1') of 'ae_step3+step1', and ('psl++', None) of 'psl++'."""
    return (start[: -len(CLASSIFIER)], CLASSIFIER) if start.endswith(CLASSIFIER) else (start, None)


def start_name(net, experiment):
    """What a net begins with: 'initial', 'step1', or the name of another net; behind it CLASSIFIER, or nothing."""
    start = experiment.segmentation_start
    return net.start or (experiment.psl_start if net.task == "psl" else None) or start


def relabel(of, name):
    """PSL++: a PSL net segments the training images, knowing their labels; the results are masks of one more round."""
    return Stage(
        f"relabel.{name}",
        "relabel",
        of.run.relabelled(name),
        reads=dict(model=f"segmentation.{name}"),
        settings=(*NET, *OF_MASKS, "seed.report"),
        inputs=("net.psl", *LABELLED),
        options=dict(list_name=of.experiment.data.train, confidence="labels"),
        images="train",
        changes=of.nets[name].changes,
    )


def segment(of, split, name):
    """A row of the tables: the images of val, or those of the test server."""
    row, data = of.rows[name], of.experiment.data
    listed = split if data.list_of(split) else "val"  # `submission` packs val where there is no test
    labels = [f"{listed}.labels"] * (row.confidence == "labels")
    return Stage(
        f"segment.{split}.{name}",
        "segment",
        of.run.segmented(split, name),
        reads=dict(model=f"segmentation.{row.net}"),
        settings=(*NET, *OF_MASKS),
        inputs=(f"net.{of.nets[row.net].task}", f"{listed}.images", *labels),
        options=dict(list_name=data.list_of(listed), confidence=row.confidence),
        images=listed,
        changes={**of.nets[row.net].changes, **row.changes},
    )


def results(of):
    """Every figure of the run."""
    steps = range(1, of.experiment.mining.steps + 1)
    return Stage(
        "results",
        "results",
        of.run.results,
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
