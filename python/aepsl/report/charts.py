"""The report's charts as SVG, in colours that the page sets for light and dark."""

import io
import re
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aepsl.evaluation.evaluate import WRONG_KINDS
from aepsl.graph.graph import Graph
from aepsl.paper import published

# Stand-ins that matplotlib draws with, and what the page takes for them.
INK, FAINT, SURFACE = "#010203", "#040506", "#070809"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", SURFACE: "var(--page)"}
STEP_COLOURS = ["#3b6fb6", "#2a9d8f", "#d18b1d", "#b5476b", "#7a5bb0", "#6b7280", "#8c6d46", "#4d8c57"]
SHARE_COLOURS = {"recall": STEP_COLOURS[0], "precision": STEP_COLOURS[1], "erased": STEP_COLOURS[2]}
WRONG_COLOURS = dict(zip(WRONG_KINDS, (STEP_COLOURS[2], STEP_COLOURS[4], STEP_COLOURS[3])))
ABOVE = dict(ncol=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # a legend over its axes
LANES = dict(classification=0, mine=0, results=0, masks=1, saliency=2)  # of the graph of the stages
SHORT_LABEL = 6  # characters: eight such stand side by side below their bars
CURVE_POINTS = 60  # of a curve at most: each the mean of its share of the iterations
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


class Chart(NamedTuple):
    """svg: text for the page; title; alt: what it shows, in a sentence."""

    svg: str
    title: str
    alt: str


def _drawn(name, draw, width=4.6, height=2.7):
    """The SVG that `draw`, given axes, makes; name: a word of its own among the charts of a page."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height))
        draw(figure.subplots())
        text = io.StringIO()
        tight = dict(bbox_inches="tight", pad_inches=0.05)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None}, **tight)
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font:[^;\"]*;?|font-family:[^;\"]*;?", _font, svg)
    svg = re.sub(r"<svg [^>]*>", lambda head: re.sub(r' (width|height)="[^"]*"', "", head[0]), svg, count=1)
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg


def _font(match):
    size = re.search(r"[\d.]+px", match[0])
    return f"font-size:{size[0]};" if size else ""


def loss(found, experiment):
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
    return Chart(_drawn("loss", draw), "Figure 5a. Classification loss by epoch and step", alt)


def shares(rows, name, title, alt):
    """Recall, precision and erased share as groups of bars; rows: {label: {"recall": ..., ...}}, in 0 ... 1."""

    def draw(axes):
        for k, (key, colour) in enumerate(SHARE_COLOURS.items()):
            values = [100 * row.get(key, 0) for row in rows.values()]
            axes.bar(np.arange(len(rows)) + 0.27 * (k - 1), values, 0.25, color=colour, label=key)
        axes.set_xticks(range(len(rows)))
        aslant = dict(rotation=35, ha="right", rotation_mode="anchor") if max(map(len, rows)) > SHORT_LABEL else {}
        axes.set_xticklabels(rows, fontsize=8, **aslant)
        axes.set(ylabel="percent of pixels", ylim=(0, 100))
        axes.tick_params(axis="x", length=0)
        axes.grid(False, axis="x")
        axes.legend(**ABOVE)

    return Chart(_drawn(name, draw), title, alt)


def _stacked(rows, xlabel):
    """draw(axes) of horizontal bars in parts; rows: {label: {kind: percent}}."""

    def draw(axes):
        left = np.zeros(len(rows))
        for kind, colour in WRONG_COLOURS.items():
            values = np.array([row.get(kind) or 0 for row in rows.values()])
            if values.any():
                axes.barh(range(len(rows)), values, 0.62, left=left, color=colour, label=kind)
                left += values
        axes.set_yticks(range(len(rows)))
        axes.set_yticklabels(rows)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set(xlabel=xlabel)
        axes.legend(**ABOVE)

    return draw


def wrong(found):
    rows = {name: row["errors"] for name, row in found["rows"].items()}
    svg = _drawn("wrong", _stacked(rows, "percent of the objects' pixels"), height=0.8 + 0.2 * len(rows))
    alt = "Bars of missed, confused and false pixels, one bar for each row; the table below has the numbers."
    return Chart(svg, "Wrong pixels of each row, with CRF", alt)


def by_size(table, sizes):
    """table: tables.by_size; sizes: the row's `by_size`."""
    rows = {f"{cells[0]}\n{cells[1]} objects": each for cells, each in zip(table.rows, sizes)}
    svg = _drawn("sizes", _stacked(rows, "percent of the pixels of objects of that size"), height=2.2)
    alt = "Bars of missed and confused pixels by size of object; the table below has the numbers."
    return Chart(svg, "Wrong pixels by size of object", alt)


def stages(experiment, done):
    """The graph of the run's stages, those of the set `done` filled."""
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
    return Chart(_drawn("stages", draw, 1.05 * width, 0.27 * height + 0.3), "The stages, in their order", alt)


def placed(needs):
    """{stage: (column, lane)}: erasing in the first lanes, then one for each row that is segmented, with its net."""
    columns = {}
    for name in needs:  # each after all that it needs
        columns[name] = max([columns[other] + 1 for other in needs[name]], default=0)
    lanes = {name: LANES[name.split(".")[0]] for name in needs if name.split(".")[0] in LANES}
    for lane, row in enumerate([name for name in needs if name.startswith("segment.")], 1 + max(LANES.values())):
        line = [row]  # then its net, what that learns from, and so on
        for name in line:
            if name not in lanes:
                lanes[name] = lane
                line += needs[name]
    return {name: (columns[name], lanes[name]) for name in needs}


def needed(experiment):
    """{stage: stages whose results it needs}, each after those: of the stages that take long, and the results."""
    graph = Graph(experiment)
    needs = {stage.name: stage.needs for stage in [*graph.shown(), graph.stages["results"]]}
    return {name: [other for other in others if other in needs] for name, others in needs.items()}
