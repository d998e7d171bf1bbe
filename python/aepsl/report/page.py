"""The report of a run: one HTML page without any other file, or its figures as Markdown."""

import os
from typing import NamedTuple

import jinja2

from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.data.dataset import Dataset
from aepsl.evaluation.by_image import SAMPLE
from aepsl.graph.graph import Graph
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import published
from aepsl.report import charts, tables
from aepsl.report.pictures import Album, chosen

HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 8_000_000  # bytes of a page


class Section(NamedTuple):
    """name: of its link; title; text: a sentence, or ''; charts, tables, strips: what it shows."""

    name: str
    title: str
    text: str = ""
    charts: tuple = ()
    tables: tuple = ()
    strips: tuple = ()


def run(experiment, found, data=None):
    """Write the page of a run and return its path; found: collect.gathered; data: root of the data set, or None."""
    album = Album(experiment, Dataset(data, experiment["classes"])) if data else None
    path = RunFolder(experiment["name"]).page
    write_text(path, html(experiment, found, album))
    return path


def html(experiment, found, album):
    """The page as text; album: makes the pictures, None without them."""
    first = _first_strip(experiment, found, album)
    sections = _sections(experiment, found, album)
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = environment.get_template("page.html").render(
        first=first,
        sections=sections,
        legend=album.legend() if album else [],
        step_colours=[(f"step {t}", charts.STEPS[t - 1]) for t in [*album.steps, len(album.steps) + 1]]
        if album
        else [],
        numeric=numeric,
        **_headline(experiment, found),
    )
    if len(text.encode()) > MOST:
        raise InputError(f"{experiment['name']}: the report would have {len(text.encode()) / 1e6:.0f} MB; report this")
    return text


def markdown(experiment, found):
    """The same figures as Markdown."""
    about = _headline(experiment, found)
    lines = [f"# AE-PSL: {about['name']}", "", about["what"], ""]
    lines += [f"mIoU of {about['main']}: **{about['ours'] or 'not yet known'}**; the paper's: {about['theirs']}; "]
    lines[-1] += f"difference: {about['difference'] or 'none'}. {about['verdict']}"
    for section in _sections(experiment, found, None):
        for table in section.tables:
            head = ["| " + " | ".join(map(_cell, row)) + " |" for row in (table.columns, *table.rows)]
            lines += ["", f"## {table.caption}", "", head[0], "|" + "---|" * len(table.columns), *head[1:]]
            lines += ["", table.note] if table.note else []
    return "\n".join(lines)


def _cell(text):
    return text.replace("\\", "\\\\").replace("|", "\\|")


def numeric(table):
    """The numbers of the columns that hold nothing but figures, or blanks: those stand to the right."""
    columns = range(len(table.columns))
    return {k for k in columns if not any(row[k].strip("0123456789.,+−k:") for row in table.rows)}


def _headline(experiment, found):
    ours, theirs, difference = tables.main_figures(found)
    classes, images = experiment["classes"], found["images"]
    kind = "generated images" if "synthetic" in experiment else "images"
    what = f"Adversarial erasing and prohibitive segmentation learning, trained on {images.get('train', '?')} {kind} "
    what += f"with image labels of {len(classes)} classes; evaluated on {images.get('val', '?')} images of val."
    verdict = "Both on VOC 2012 val, with CRF." if found["paper"] else (
        "The paper's is of VOC 2012; these are other images and classes, so the difference says nothing of the method."
    )  # fmt: skip
    return dict(
        name=experiment["name"],
        what=what,
        main=found["main"],
        ours=ours,
        theirs=theirs,
        difference=difference,
        verdict=verdict,
        compares=found["paper"],
        missing=len(found["missing"]),
        stages=len(Graph(experiment).needed()),
    )


def _first_strip(experiment, found, album):
    return album and album.first(chosen(experiment, album.dataset)[0])


def _sections(experiment, found, album):
    """Those that have something to show."""
    every = [
        _rows(experiment, found),
        _stories(experiment, album),
        _mining(experiment, found),
        _over_erased(experiment, found, album),
        _predictions(found, album),
        _wrong(found),
        _missing(experiment, found),
        _made(experiment, found),
    ]
    return [section for section in every if section.charts or section.tables or section.strips]


def _filled(*found):
    return tuple(table for table in found if table and table.rows)


def _missing(experiment, found):
    rows = (tables.missing(experiment),) if found["missing"] else ()
    return Section("missing", "What is missing", "The run is not finished; the report shows what is there.", (), rows)


def _rows(experiment, found):
    rows = [row for row in found["rows"] if row != "calibration"]
    steps = [row for row in rows if row.startswith("ae_step")]
    shown = [tables.effects(found, experiment["mining"]["merge"]) if found["rows"] else None]
    if found["paper"] and found["rows"]:
        ours = found["rows"][found["main"]]["miou"]
        shown.append(tables.methods(found, "Table 1. Other methods on val", published.TABLE_1, ours))
        shown.append(tables.methods(found, "Table 2. Other methods on test", published.TABLE_2, None))
    for names in (steps, [row for row in rows if row not in steps]):
        shown.append(tables.iou(found, names))
    shown.append(tables.s_hat(found))
    return Section("tables", "Tables", "", (), _filled(*shown))


def _mining(experiment, found):
    charted = [charts.loss(found, experiment)] if found["losses"] else []
    alt = "Bars of recall, precision and erased share for each {}; the table below has the numbers."
    if found["mining"]:
        charted.append(charts.shares(found["mining"], "mining", "Mined regions after each step", alt.format("step")))
    if found["thresholds"]:
        rows = {f"{kind} {value}": each for t, each in found["thresholds"] for kind, value in t.items()}
        title = "Step 1 with other thresholds"
        charted.append(charts.shares(rows, "thresholds", title, alt.format("threshold")))
    shown = _filled(tables.mining(found), tables.thresholds(found), tables.background(found))
    return Section("mining", "Mining, step by step", "", tuple(charted), shown)


def _stories(experiment, album):
    text = "Figures 1, 2 and 6 of the paper, for training images drawn with the run's seed. The masks of PSL know the "
    text += "image's labels, as those that psl++ learns from. Ŝ has the resolution of the net's maps."
    strips = tuple(album.story(image_id) for image_id in chosen(experiment, album.dataset)) if album else ()
    return Section("erasing", "From an image to its mask", text, (), (), strips)


def _over_erased(experiment, found, album):
    examples = found.get("examples", {}).get("over_erased", []) if album else []
    last = experiment["mining"]["merge"]
    text = f"Figure 5b, by a rule: the images that lose most precision from step {last} to step {last + 1}, among at "
    text += f"most {SAMPLE} drawn with the run's seed."
    strips = tuple(album.over_erased(example) for example in examples)
    return Section("over-erased", "Over-erased images", text, (), (), strips)


def _predictions(found, album):
    examples = found.get("examples", {}) if album else {}
    strips = []
    for kind in ("best", "median", "worst"):
        for example in examples.get(kind, []):
            strip = album.prediction(example, found["main"])
            strips.append(strip._replace(title=f"{kind.capitalize()}. {strip.title}"))
    text = f"Figure 4, by a rule: of val's images by the mean IoU of {found['main']} over the classes that truth or "
    text += "prediction has, the first two, the middle two and the last two."
    return Section("predictions", "Best, median and worst predictions", text, (), (), tuple(strips))


def _wrong(found):
    table = tables.by_size(found)
    charted = (charts.wrong(found),) if found["rows"] else ()
    if table.rows:
        charted += (charts.by_size(table, found["rows"][found["main"]]["by_size"]),)
    return Section("wrong", "Wrong pixels", "", charted, _filled(tables.wrong(found), table))


def _made(experiment, found):
    done = {stage.name for stage in Graph(experiment).needed()} - set(found["missing"])
    graph = charts.stages(experiment, done)
    shown = _filled(tables.settings(experiment), tables.host(found), tables.costs(experiment, found))
    return Section("made", "How it was made", "", (graph,), shown)
