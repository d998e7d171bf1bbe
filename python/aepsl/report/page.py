"""The report of a run: one HTML page without any other file, or its figures as Markdown or text."""

import os
from typing import NamedTuple

import jinja2

from aepsl.base.files import write_text
from aepsl.base.table import BROAD, Table
from aepsl.data.dataset import Dataset
from aepsl.evaluation.by_image import SEARCHED
from aepsl.graph.graph import Graph
from aepsl.graph.run_folder import RunFolder
from aepsl.report import charts, tables
from aepsl.report.pictures import Album

HERE = os.path.dirname(os.path.abspath(__file__))
SECTIONS = "tables erasing mining over-erased predictions wrong missing made".split()  # in the page's order
NARROW = 8  # columns of figures that a terminal shows side by side
PRINTED = 26  # columns that a printed page shows side by side


class Section(NamedTuple):
    """What a section of the page shows; page.html has its title and its text."""

    charts: list
    tables: list
    strips: list


def run(experiment, found, data=None):
    """Write the page of a run and return its path; found: report.gathered; data: root of the data set, or None."""
    album = Album(experiment, Dataset(data, experiment.classes)) if data else None
    path = RunFolder(experiment.name).page
    write_text(path, html(experiment, found, album))
    return path


def html(experiment, found, album):
    """The page as text; album: makes the pictures, None without them."""
    charted, tabled = charts.by_section(experiment, found), tables.by_section(experiment, found)
    strips = album.by_section(found) if album else {}
    sections = {name: Section(*(each.get(name, []) for each in (charted, tabled, strips))) for name in SECTIONS}
    mining = experiment.mining
    return rendered(
        "page.html",
        sections={name: section for name, section in sections.items() if any(section)},
        first=album.first(strips["erasing"][0]) if album else [],
        legend=album.legend() if album else [],
        step_colours=[(f"step {t + 1}", charts.STEP_COLOURS[t]) for t in range(mining.merge + 1)],
        notes=found["notes"],
        missing=len(found["missing"]),
        stages=len(Graph(experiment).needed()),
        last=mining.merge,
        main=found["main"],
        narrow=lambda table: narrow(table, PRINTED, PRINTED - 1),
        searched=SEARCHED,
        **_headline(experiment, found),
    )


def rendered(template, **values):
    """A template of this folder, filled in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def markdown(experiment, found):
    """The same figures as Markdown."""
    about = _headline(experiment, found)
    figures = "; ".join(f"{what}: **{miou or 'not yet known'}**" for what, miou in about["figures"].items())
    shown = tables.by_section(experiment, found).values()
    parts = [f"# AE-PSL: {about['name']}", about["what"], f"mIoU of {figures}. {about['verdict']}"]
    notes = (f"**{note}**" for note in found["notes"])
    return "\n\n".join([*parts, *notes, *(table.markdown() for each in shown for table in each)])


def terminal(experiment, found):
    """The same figures as text, whose end is what a person sees: the last section first, the first figures last."""
    about = _headline(experiment, found)
    figures = "; ".join(f"{what}: {miou or 'not yet known'}" for what, miou in about["figures"].items())
    shown = reversed(list(tables.by_section(experiment, found).values()))
    end = f"mIoU of {figures}. {about['verdict']}"
    parts = (part.text() for each in shown for table in each for part in narrow(table))
    return "\n\n".join([*parts, *found["notes"], end])


def narrow(table, most=BROAD, width=NARROW):
    """A table of more than `most` columns as several, of `width` each, one below the other, with the rows' names."""
    if len(table.columns) <= most:
        return [table]
    lines = [table.columns, *table.rows]
    parts = [[[line[0], *line[k : k + width]] for line in lines] for k in range(1, len(table.columns), width)]
    first, *others, last = [Table("", columns, rows) for columns, *rows in parts]
    return [first._replace(caption=table.caption), *others, last._replace(note=table.note)]


def _headline(experiment, found):
    """The words and figures of the first screen."""
    classes, images = experiment.classes, found["images"]
    kind = "generated images" if experiment.synthetic else "images"
    what = f"Adversarial erasing and prohibitive segmentation learning, trained on {images.get('train', '?')} {kind} "
    what += f"with image labels of {len(classes)} classes; evaluated on {images.get('val', '?')} images of val."
    verdict = "Both on VOC 2012 val, with CRF." if found["paper"] else (
        "The paper's is of other images and classes: only what each part brings compares with it."
    )  # fmt: skip
    return dict(name=experiment.name, what=what, figures=tables.main_figures(found), verdict=verdict)
