"""Section 3.2: the segmentation nets of tables 3 and 4, the images that they segment, and the figures of all."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Optional

from aepsl.base.errors import InputError
from aepsl.graph.stage import IMAGES, LABELLED, NET, TRAINING, Stage, initial
from aepsl.paper.recipes import TRUTH, Net, Row
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment

if TYPE_CHECKING:
    from aepsl.graph.graph import Graph

STEP1 = "classification.step1"
CLASSIFIER = "+step1"  # behind a start: its classification branch is that of step 1's net
OF_MASKS = ("psl", "crf")  # settings that turn a net's scores into masks
# Settings that a row may change, and those that a net may change: its stages' words depend on each of them.
OF_ROWS = (*IMAGES, *OF_MASKS)
OF_NETS: tuple[str, ...] = (*OF_ROWS, "segmentation_start", "psl_start", "training.segmentation", "training.psl")
OF_NETS += ("seed.training", "threads", "data.crop", "new_layer_lr")


def stages(of: "Graph") -> Iterator[Stage]:
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


def is_of(key: str, keys: Iterable[str]) -> bool:
    """Whether the setting `key`, 'crf.iterations', is one of `keys`, or part of one of them, 'crf'."""
    return any(f"{key}.".startswith(f"{each}.") for each in keys)


def _check(name: str, changes: dict[str, Any], free: tuple[str, ...]) -> None:
    """InputError if `changes` has a setting that is not in `free`: no word would tell the change."""
    for key in changes:
        if not is_of(key, free):
            raise InputError(f"aepsl/paper/recipes.py: {name} changes `{key}`; it may change {', '.join(free)}")


def segmentation(of: "Graph", name: str) -> Stage:
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


def settings_of(net: Net) -> tuple[str, ...]:
    """The settings that the training of a net reads."""
    return (*TRAINING, f"training.{net.task}", *["psl.v"] * (net.task == "psl"))


def settings_of_row(row: Row) -> tuple[str, ...]:
    """Those of OF_ROWS that a row's masks depend on: without v, `psl` changes nothing. (Words have all of them.)"""
    return OF_ROWS if row.confidence == "predicted" else (*IMAGES, "crf")


def masks_of(of: "Graph", name: str) -> str:
    """The stage that makes the masks that a net learns from, or TRUTH; InputError for an unknown source."""
    source, mining = of.nets[name].masks, of.experiment.mining
    known = {f"step{t}": f"masks.ae_step{t}" for t in range(1, mining.steps + 1)}
    known.update({"merged": f"masks.ae_step{mining.merge}", TRUTH: TRUTH})
    known.update({each: f"relabel.{each}" for each, net in of.nets.items() if net.task == "psl"})
    if source not in known:
        there = f"there are {', '.join(known)}"
        raise InputError(f"aepsl/paper/recipes.py: the net {name} learns from the masks {source!r}; {there}")
    return known[source]


def starts_of(of: "Graph", name: str) -> tuple[Optional[str], Optional[str]]:
    """What a net of tables 3 and 4 reads: its initial weights, and those of its classification branch, or None."""
    net = of.nets[name]
    source = start_name(net, experiments.changed(of.experiment, net.changes))
    start, classifier = source.removesuffix(CLASSIFIER), STEP1 if source.endswith(CLASSIFIER) else None
    if start == "initial":
        return initial(of), classifier
    return STEP1 if start == "step1" else f"segmentation.{start}", classifier


def start_name(net: Net, experiment: Experiment) -> str:
    """The source of a net's initial weights: 'initial', 'step1', or another net; behind it CLASSIFIER, or nothing."""
    start = experiment.segmentation_start
    return net.start or (experiment.psl_start if net.task == "psl" else None) or start


def relabel(of: "Graph", name: str) -> Stage:
    """PSL++: a PSL net segments the training images with their true labels; the results are masks for another round."""
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


def segment(of: "Graph", split: str, name: str) -> Stage:
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


def results(of: "Graph") -> Stage:
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


def nets_with_psl(of: "Graph") -> list[str]:
    """The nets with S_hat that the experiment's rows need, in the order of tables 3 and 4."""
    needed = {of.rows[row].net for row in of.experiment.rows}
    return [name for name, net in of.nets.items() if name in needed and net.task == "psl"]
