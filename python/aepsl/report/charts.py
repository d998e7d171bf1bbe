"""The report's charts as SVG, in colours that the page sets for light and dark."""

import io
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aepsl.evaluation.evaluate import WRONG_KINDS
from aepsl.graph.graph import Graph
from aepsl.paper import published
from aepsl.report.tables import SHARES, size_names
from aepsl.settings.typed import Experiment

Needs = dict[str, Sequence[str]]  # {stage: stages whose results it needs}

STYLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "charts.mplstyle")
# The colours that matplotlib draws with, also in STYLE, and the page's variables that replace them.
INK, FAINT, SURFACE = "#010203", "#040506", "#070809"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", SURFACE: "var(--page)"}
# Of the steps of erasing, of which schema.yaml allows so many.
STEP_COLOURS = ["#3b6fb6", "#2a9d8f", "#d18b1d", "#b5476b", "#7a5bb0", "#6b7280", "#8c6d46", "#4d8c57", "#9a9a2b"]
SHARE_COLOURS = dict(zip(SHARES, STEP_COLOURS))
WRONG_COLOURS = dict(zip(WRONG_KINDS, (STEP_COLOURS[2], STEP_COLOURS[4], STEP_COLOURS[3])))
ABOVE = dict(ncol=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # a legend above its axes
LANES = dict(classification=0, mine=0, results=0, masks=1, saliency=2)  # {kind of stage: its lane} in the graph
CURVE_POINTS = 60  # most points of a curve; each is the mean of several iterations


class Chart(NamedTuple):
    """A chart; svg: text for the page; alt: a description in a sentence."""

    svg: str
    title: str
    alt: str


def by_section(experiment: Experiment, found: dict) -> dict[str, list[Chart]]:
    """{section: its charts, without those that have no data}; found: report.gathered's."""
    mined, tried = found["mining"], found["thresholds"]
    thresholds = {f"{kind} {value}": each for threshold, each in tried for kind, value in threshold.items()}
    sizes = found["rows"].get(found["main"], {}).get("by_size")
    done = {stage.name for stage in Graph(experiment).needed()} - set(found["missing"])
    every = dict(
        mining=[
            found["losses"] and loss(found, experiment),
            mined and shares(mined, "Mined regions after each step", "step"),
            tried and shares(thresholds, "Step 1 with other thresholds", "threshold"),
        ],
        wrong=[found["rows"] and wrong(found), sizes and by_size(sizes)],
        made=[stages(experiment, done)],
    )
    return {section: list(filter(None, drawn)) for section, drawn in every.items()}


def _chart(title, alt, draw, width=4.6, height=2.7):
    """The Chart that draw(axes) makes; title: unique on the page."""
    with style.context([STYLE, {"svg.hashsalt": title}]):
        figure = Figure(figsize=(width, height))
        draw(figure.subplots())
        text = io.StringIO()
        tight = dict(bbox_inches="tight", pad_inches=0.05)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None}, **tight)
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # every chart has the same ids
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return Chart(svg, title, alt)


def loss(found: dict, experiment: Experiment) -> Chart:
    """Figure 5a: the classification loss of each step by epoch, the stop rule's bound, the paper's values."""
    settings = experiment.training.classification
    images = found["images"].get("train") or experiment.data.train_images
    bound = experiment.mining.max_converged_loss

    def draw(axes):
        last = 0
        for k, (step, points) in enumerate(found["losses"].items()):
            parts = np.array_split(np.array(points), min(CURVE_POINTS, len(points)))
            x, y = np.array([part.mean(axis=0) for part in parts]).T
            x = x * settings.batch / images
            last = max(last, x[-1])
            axes.plot(x, y, color=STEP_COLOURS[k % len(STEP_COLOURS)], label=f"step {step[len('step') :]}")
            theirs = published.CONVERGED_LOSSES.get(k + 1) if found["paper"] else None
            if theirs:
                axes.plot([last * 1.02], [theirs], marker="<", color=STEP_COLOURS[k % len(STEP_COLOURS)], clip_on=False)
        axes.axhline(bound, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"bound {bound:g}")
        axes.set(xlabel="epoch", ylabel="classification loss", ylim=(0, None), xlim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(**ABOVE)

    alt = "Lines of the classification loss by epoch, one for each step of erasing; the stop rule's bound is dashed"
    alt += "; the paper's converged values are triangles at the right." if found["paper"] else "."
    return _chart("Figure 5a. Classification loss by epoch and step", alt, draw)


def _bars(title, what, rows, colours, xlabel, height, are_parts=False):
    """A Chart of horizontal bars.

    what: the content, for its alt; rows: {label: {kind: percent}}; height: of a row, in inches; are_parts: whether the
    kinds are parts of one bar.
    """

    def draw(axes):
        places, left = np.arange(len(rows)), np.zeros(len(rows))
        for k, (kind, colour) in enumerate(colours.items()):
            values = np.array([row.get(kind) or 0 for row in rows.values()])
            if values.any() and are_parts:
                axes.barh(places, values, 0.62, left=left, color=colour, label=kind)
                left += values
            elif values.any():
                axes.barh(places + 0.27 * (k - 1), values, 0.25, color=colour, label=kind)
        axes.set_yticks(places)
        axes.set_yticklabels(rows)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set(xlabel=xlabel)
        if axes.containers:  # else no bar is longer than 0
            axes.legend(**ABOVE)

    return _chart(title, f"Bars of {what}; the table below has the numbers.", draw, height=0.8 + height * len(rows))


def shares(rows: dict, title: str, label: str) -> Chart:
    """Recall, precision and erased share as bars; rows: {label: {"recall": ..., ...}}, in 0 ... 1."""
    rows = {name: {key: 100 * share for key, share in row.items()} for name, row in rows.items()}
    what = f"recall, precision and erased share for each {label}"
    return _bars(title, what, rows, SHARE_COLOURS, "percent of pixels", 0.35)


def wrong(found: dict) -> Chart:
    """The kinds of wrong pixels of each row, as bars."""
    rows = {name: row["errors"] for name, row in found["rows"].items()}
    what, xlabel = "missed, confused and false pixels, one bar for each row", "percent of the objects' pixels"
    return _bars("Wrong pixels of each row, with CRF", what, rows, WRONG_COLOURS, xlabel, 0.2, are_parts=True)


def by_size(sizes: list[dict]) -> Chart:
    """Wrong pixels by size of object, as bars; sizes: a row's `by_size`."""
    rows = {f"{name}\n{each['objects']} objects": each for name, each in zip(size_names(sizes), sizes)}
    what, xlabel = "missed and confused pixels by size of object", "percent of the pixels of objects of that size"
    return _bars("Wrong pixels by size of object", what, rows, WRONG_COLOURS, xlabel, 0.35, are_parts=True)


def stages(experiment: Experiment, done: set[str]) -> Chart:
    """The graph of the run's stages; those in `done` are filled."""
    needs = needed(experiment)
    places = placed(needs)

    def draw(axes):
        for name, others in needs.items():
            x1, y1 = places[name]
            for x0, y0 in (places[other] for other in others):
                x = x0 if y1 > y0 else x1  # to a lower lane: down first; to the results: along first
                axes.plot([x0, x, x1], [y0, y1 if y1 > y0 else y0, y1], color=FAINT, linewidth=1.2, zorder=1)
        for name, (x, y) in places.items():
            face = dict(facecolor=STEP_COLOURS[1] if name in done else SURFACE, edgecolor=INK, linewidth=0.6)
            text = re.sub(r"(classification|segmentation)\.", "train ", name).replace("segment.val.", "val ")
            colour = "#ffffff" if name in done else INK
            box = dict(boxstyle="round,pad=0.35", **face)
            axes.text(x, y, text.replace(".", " "), ha="center", va="center", fontsize=7, color=colour, bbox=box)
        wide, tall = (max(place[k] for place in places.values()) for k in (0, 1))
        axes.set(xlim=(-0.6, wide + 0.6), ylim=(tall + 0.6, -0.6))
        axes.axis("off")

    alt = f"The {len(needs)} stages from left to right, each linked to those that it needs; filled ones are done."
    if experiment.segmentation_start == "step1":
        alt += " The nets begin with the weights of classification step 1."
    width, height = (max(place[k] for place in places.values()) + 1 for k in (0, 1))
    return _chart("The stages, in their order", alt, draw, 1.05 * width, 0.27 * height + 0.3)


def placed(needs: Needs) -> dict[str, tuple[int, int]]:
    """{stage: (column, lane)}: erasing in the first lanes, then a lane for each row that is segmented, with its net."""
    columns: dict[str, int] = {}
    for name in needs:  # a stage comes after all that it needs
        columns[name] = max([columns[other] + 1 for other in needs[name]], default=0)
    columns["results"] = 1 + max(columns[name] for name in needs if name != "results")  # behind steps of no row too
    lanes = {name: LANES[name.split(".")[0]] for name in needs if name.split(".")[0] in LANES}
    for lane, row in enumerate([name for name in needs if name.startswith("segment.")], 1 + max(LANES.values())):
        line = [row]  # followed by its net, the masks that this learns from, and so on
        for name in line:
            if name not in lanes:
                lanes[name] = lane
                line += needs[name]
    return {name: (columns[name], lanes[name]) for name in needs}


def needed(experiment: Experiment) -> Needs:
    """The stages that take long, and the results, each after the stages that it needs."""
    graph = Graph(experiment)
    needs = {stage.name: stage.needs for stage in [*graph.shown(), graph.stages["results"]]}
    return {name: [other for other in others if other in needs] for name, others in needs.items()}
