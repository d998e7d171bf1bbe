"""The report of a run: one HTML page without any other file, or its figures as Markdown or text."""

import math
import os
from typing import Any, Optional

import jinja2

from aepsl.base.files import write_text
from aepsl.base.table import BROAD, CELL_WIDTH, NOTE_WIDTH, Table
from aepsl.data.dataset import Dataset
from aepsl.evaluation.by_image import SEARCHED
from aepsl.graph.graph import Graph
from aepsl.graph.run_folder import RunFolder
from aepsl.report import charts, tables
from aepsl.report.pictures import Album
from aepsl.settings.typed import Experiment

HERE = os.path.dirname(os.path.abspath(__file__))
SECTIONS = "tables erasing mining over-erased predictions wrong missing made".split()  # in the page's order
NARROW = 8  # columns of figures that fit on a terminal
PRINTED = 26  # columns that fit on a printed page


def run(experiment: Experiment, found: dict, data: Optional[str] = None) -> str:
    """Write the page of a run, and return its path; found: report.gathered's; data: root of the data set, or None."""
    album = Album(experiment, Dataset(data, experiment.classes)) if data else None
    path = RunFolder(experiment.name).page
    write_text(path, html(experiment, found, album))
    return path


def html(experiment: Experiment, found: dict, album: Optional[Album] = None) -> str:
    """The page as text; album: makes the pictures, None for a page without pictures."""
    strips = album.by_section(found) if album else {}
    charted, tabled = charts.by_section(experiment, found), tables.by_section(experiment, found)
    shown: Any = dict(charts=charted, tables=tabled, strips=strips)  # as page.html names them
    sections = {name: {kind: each.get(name, []) for kind, each in shown.items()} for name in SECTIONS}
    mining = experiment.mining
    return rendered(
        "page.html",
        sections={name: section for name, section in sections.items() if any(section.values())},
        first=album.first(strips["erasing"][0]) if album else [],
        legend=album.legend() if album else [],
        step_colours=[(f"step {t + 1}", charts.STEP_COLOURS[t]) for t in range(min(mining.merge + 1, mining.steps))],
        notes=found["notes"],
        missing=len(found["missing"]),
        stages=len(Graph(experiment).needed()),
        last=mining.merge,
        main=found["main"],
        narrow=lambda table: narrow(table, PRINTED, PRINTED - 1, math.inf),
        searched=SEARCHED,
        **_headline(experiment, found),
    )


def rendered(template: str, **values: Any) -> str:
    """A template of this folder, with its values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def markdown(experiment: Experiment, found: dict) -> str:
    """The same figures as Markdown."""
    about = _headline(experiment, found)
    figures = "; ".join(f"{what}: **{miou or 'not yet known'}**" for what, miou in about["figures"].items())
    shown = tables.by_section(experiment, found).values()
    parts = [f"# AE-PSL: {about['name']}", about["what"], f"mIoU of {figures}. {about['verdict']}"]
    notes = (f"**{note}**" for note in found["notes"])
    return "\n\n".join([*parts, *notes, *(table.markdown() for each in shown for table in each)])


def terminal(experiment: Experiment, found: dict) -> str:
    """The same figures as text, the last section first, since a terminal shows the end."""
    about = _headline(experiment, found)
    figures = "; ".join(f"{what}: {miou or 'not yet known'}" for what, miou in about["figures"].items())
    shown = reversed(list(tables.by_section(experiment, found).values()))
    end = f"mIoU of {figures}. {about['verdict']}"
    parts = (part.text() for each in shown for table in each for part in narrow(table))
    return "\n\n".join([*parts, *found["notes"], end])


def narrow(table: Table, most: int = BROAD, width: int = NARROW, letters: float = NOTE_WIDTH) -> list[Table]:
    """A table of figures as several with the rows' names, if it has more than `most` columns or is too wide.

    width: the most columns of such a part beside the names; letters: how wide it may be, if two columns fit in.
    """
    lines = [table.columns, *table.rows]
    widths = [2 + max(min(len(line[k]), CELL_WIDTH) for line in lines) for k in range(len(table.columns))]
    if len(widths) <= most and (sum(widths) <= letters or not all(table.figures()[1:])):
        return [table]
    parts: list[list[int]] = []
    for k in range(1, len(widths)):
        if not parts or len(parts[-1]) == width or widths[0] + sum(widths[j] for j in [*parts[-1], k]) > letters:
            parts.append([])
        parts[-1].append(k)
    if len(parts) == 1:
        return [table]
    cut = [[[line[k] for k in (0, *part)] for line in lines] for part in parts]
    first, *others, last = [Table("", columns, rows) for columns, *rows in cut]
    return [first._replace(caption=table.caption), *others, last._replace(note=table.note)]


def _headline(experiment, found):
    """The values of the first screen's texts and figures."""
    classes, images = experiment.classes, found["images"]
    kind = "generated images" if experiment.synthetic else "images"
    what = f"Adversarial erasing and prohibitive segmentation learning, trained on {images.get('train', '?')} {kind} "
    what += f"with image labels of {len(classes)} classes; evaluated on {images.get('val', '?')} images of val."
    verdict = "Both on VOC 2012 val, with CRF." if found["paper"] else (
        "The paper's is of other images and classes: only what each part brings compares with it."
    )  # fmt: skip
    return dict(name=experiment.name, what=what, figures=tables.main_figures(found), verdict=verdict)
