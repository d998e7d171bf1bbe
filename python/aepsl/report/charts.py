"""The report's charts as SVG, in colours that the page sets for light and dark."""

import io
import os
import re
import subprocess
from typing import NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aepsl.evaluation.evaluate import WRONG_KINDS
from aepsl.graph.graph import Graph
from aepsl.paper import published
from aepsl.report.tables import SHARES, of_sizes, of_thresholds
from aepsl.settings.typed import Experiment

STYLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "charts.mplstyle")
# The colours that matplotlib draws with, also in STYLE, and the page's variables that replace them.
INK, FAINT, SURFACE = "#010203", "#040506", "#070809"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", SURFACE: "var(--page)"}
# Of the steps of erasing, of which schema.yaml allows so many.
STEP_COLOURS = ["#3b6fb6", "#2a9d8f", "#d18b1d", "#b5476b", "#7a5bb0", "#6b7280", "#8c6d46", "#4d8c57", "#9a9a2b"]
SHARE_COLOURS = dict(zip(SHARES, STEP_COLOURS))
WRONG_COLOURS = dict(zip(WRONG_KINDS, (STEP_COLOURS[2], STEP_COLOURS[4], STEP_COLOURS[3])))
ABOVE = dict(ncol=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # a legend above its axes
# The graph of stages, in Graphviz's language.
STAGES_GRAPH = f"""digraph {{
bgcolor=transparent; rankdir=LR; nodesep=0.08; ranksep=0.2
node [shape=box, style="rounded,filled", color="{INK}", fontname="sans-serif", fontsize=9, height=0.22, margin="0.08,0"]
edge [arrowhead=none, color="{FAINT}"]
%s
}}"""
CURVE_POINTS = 60  # most points of a curve; each is the mean of several iterations


class Chart(NamedTuple):
    """A chart; svg: text for the page; alt: a description in a sentence."""

    svg: str
    title: str
    alt: str


def by_section(experiment: Experiment, found: dict) -> dict[str, list[Chart]]:
    """{section: its charts, without those that have no data}; found: report.gathered's."""
    errors = {name: row["errors"] for name, row in found["rows"].items()}
    by_size = {f"{size}\n{each['objects']} objects": each for size, each in of_sizes(found).items()}
    done = {stage.name for stage in Graph(experiment).needed()} - set(found["missing"])
    of_each, each_size = "missed, confused and false pixels, one bar for each row", "the pixels of objects of that size"
    every = dict(
        mining=[
            found["losses"] and loss(found, experiment),
            _shares("Mined regions after each step", "step", found["mining"]),
            _shares("Step 1 with other thresholds", "threshold", of_thresholds(found)),
        ],
        wrong=[
            _bars("Wrong pixels of each row, with CRF", of_each, errors, "the objects' pixels", 0.2),
            _bars("Wrong pixels by size of object", "missed and confused pixels by size of object", by_size, each_size),
        ],
        made=[stages(experiment, done)],
    )
    return {section: list(filter(None, drawn)) for section, drawn in every.items()}


def _chart(title, alt, draw, height=2.7):
    """The Chart that draw(axes) makes; title: unique on the page."""
    with style.context([STYLE, {"svg.hashsalt": title}]):
        figure = Figure(figsize=(4.6, height))
        draw(figure.subplots())
        text = io.StringIO()
        tight = dict(bbox_inches="tight", pad_inches=0.05)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None}, **tight)
    return Chart(_for_page(text.getvalue()), title, alt)


def _for_page(svg):
    """An SVG file as an element of the page, in the page's colours."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # every chart has the same ids
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg


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
            colour = STEP_COLOURS[k % len(STEP_COLOURS)]
            axes.plot(x, y, color=colour, label=f"step {step[len('step') :]}")
            theirs = published.CONVERGED_LOSSES.get(k + 1) if found["paper"] else None
            if theirs:
                axes.plot([last * 1.02], [theirs], marker="<", color=colour, clip_on=False)
        axes.axhline(bound, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"bound {bound:g}")
        axes.set(xlabel="epoch", ylabel="classification loss", ylim=(0, None), xlim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(**ABOVE)

    alt = "Lines of the classification loss by epoch, one for each step of erasing; the stop rule's bound is dashed"
    alt += "; the paper's converged values are triangles at the right." if found["paper"] else "."
    return _chart("Figure 5a. Classification loss by epoch and step", alt, draw)


def _bars(title, what, rows, of, height=0.35, colours=WRONG_COLOURS, are_parts=True):
    """A Chart of horizontal bars; None without rows.

    what: the content, for its alt; rows: {label: {kind: percent}}; of: what 100 percent are; height: of a row, in
    inches; are_parts: whether the kinds are parts of one bar.
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
        axes.set(xlabel=f"percent of {of}")
        if axes.containers:  # else no bar is longer than 0
            axes.legend(**ABOVE)

    alt = f"Bars of {what}; the table below has the numbers."
    return _chart(title, alt, draw, height=0.8 + height * len(rows)) if rows else None


def _shares(title, label, rows):
    """A Chart of SHARES; rows: {label: {"recall": ..., ...}}, in 0 ... 1."""
    rows = {name: {key: 100 * share for key, share in row.items()} for name, row in rows.items()}
    what = f"recall, precision and erased share for each {label}"
    return _bars(title, what, rows, "pixels", colours=SHARE_COLOURS, are_parts=False)


def stages(experiment: Experiment, done: set[str]) -> Chart:
    """The stages that take long, and the results, as Graphviz places them; those in `done` are filled."""
    graph = Graph(experiment)
    shown = {stage.name: stage.needs for stage in [*graph.shown(), graph.stages["results"]]}
    lines = []
    for name, needs in shown.items():
        label = re.sub(r"(classification|segmentation)\.", "train ", name).replace("segment.val.", "val ")
        fill, ink = (STEP_COLOURS[1], "#ffffff") if name in done else (SURFACE, INK)
        lines.append(f'"{name}" [label="{label.replace(".", " ")}" fillcolor="{fill}" fontcolor="{ink}"]')
        lines += [f'"{other}" -> "{name}"' for other in needs if other in shown]
    graph_of = STAGES_GRAPH % "\n".join(lines)
    svg = subprocess.run(["dot", "-Tsvg"], input=graph_of, stdout=subprocess.PIPE, text=True, check=True).stdout
    alt = f"The {len(shown)} stages from left to right, each linked to those that it needs; filled ones are done."
    if experiment.segmentation_start == "step1":
        alt += " The nets begin with the weights of classification step 1."
    return Chart(_for_page(svg), "The stages, in their order", alt)
