"""The report of a run: one HTML page without any other file, or its figures as Markdown or text."""

import os
from typing import NamedTuple

import jinja2

from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.data.dataset import Dataset
from aepsl.evaluation.by_image import SEARCHED
from aepsl.graph.graph import Graph
from aepsl.graph.run_folder import RunFolder
from aepsl.report import charts, tables
from aepsl.report.pictures import Album, chosen

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE_BYTES = 8_000_000  # that a page has at most


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
    album = Album(experiment, Dataset(data, experiment.classes)) if data else None
    path = RunFolder(experiment.name).page
    write_text(path, html(experiment, found, album))
    return path


def html(experiment, found, album):
    """The page as text; album: makes the pictures, None without them."""
    steps = [*album.steps, len(album.steps) + 1] if album else []
    first, sections = _first_strip(experiment, found, album), _sections(experiment, found, album)
    text = rendered(
        "page.html",
        first=first,
        sections=sections,
        legend=album.legend() if album else [],
        step_colours=[(f"step {t}", charts.STEP_COLOURS[t - 1]) for t in steps],
        missing=len(found["missing"]),
        stages=len(Graph(experiment).needed()),
        **_headline(experiment, found),
    )
    if len(text.encode()) > PAGE_BYTES:
        raise InputError(f"{experiment.name}: the report would have {len(text.encode()) / 1e6:.0f} MB; report this")
    return text


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
    return "\n\n".join([*parts, *(table.markdown() for each in shown for table in each)])


def terminal(experiment, found):
    """The same figures as text, whose end is what a person sees: the last section first, the first figures last."""
    about = _headline(experiment, found)
    figures = "; ".join(f"{what}: {miou or 'not yet known'}" for what, miou in about["figures"].items())
    shown = reversed(list(tables.by_section(experiment, found).values()))
    end = f"mIoU of {figures}. {about['verdict']}"
    return "\n\n".join([*(table.text() for each in shown for table in each), end])


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


def _first_strip(experiment, found, album):
    return album and album.first(chosen(experiment, album.dataset)[0])


def _sections(experiment, found, album):
    """Those that have something to show."""
    shown = tables.by_section(experiment, found)
    unfinished = "The run is not finished; the report shows what is there."
    every = [
        Section("tables", "Tables", tables=shown["tables"]),
        _stories(experiment, album),
        Section("mining", "Mining, step by step", "", _mining_charts(experiment, found), shown["mining"]),
        _over_erased(experiment, found, album),
        _predictions(found, album),
        Section("wrong", "Wrong pixels", "", _wrong_charts(found), shown["wrong"]),
        Section("missing", "What is missing", unfinished, tables=shown["missing"]),
        Section("made", "How it was made", "", [_stages_chart(experiment, found)], shown["made"]),
    ]
    return [section for section in every if section.charts or section.tables or section.strips]


def _mining_charts(experiment, found):
    charted = [charts.loss(found, experiment)] if found["losses"] else []
    alt = "Bars of recall, precision and erased share for each {}; the table below has the numbers."
    if found["mining"]:
        charted.append(charts.shares(found["mining"], "mining", "Mined regions after each step", alt.format("step")))
    if found["thresholds"]:
        rows = {f"{kind} {value}": each for t, each in found["thresholds"] for kind, value in t.items()}
        title = "Step 1 with other thresholds"
        charted.append(charts.shares(rows, "thresholds", title, alt.format("threshold")))
    return charted


def _stories(experiment, album):
    text = "Figures 1, 2 and 6 of the paper, for training images drawn with the run's seed. The masks of PSL know the "
    text += "image's labels, as those that psl++ learns from. Ŝ has the resolution of the net's maps."
    strips = tuple(album.story(image_id) for image_id in chosen(experiment, album.dataset)) if album else ()
    return Section("erasing", "From an image to its mask", text, (), (), strips)


def _over_erased(experiment, found, album):
    examples = found.get("examples", {}).get("over_erased", []) if album else []
    last = experiment.mining.merge
    text = f"Figure 5b, by a rule: the images that lose most precision from step {last} to step {last + 1}, among at "
    text += f"most {SEARCHED} drawn with the run's seed."
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


def _wrong_charts(found):
    sizes = found["rows"].get(found["main"], {}).get("by_size")
    charted = [charts.wrong(found)] if found["rows"] else []
    return [*charted, charts.by_size(tables.by_size(found), sizes)] if sizes else charted


def _stages_chart(experiment, found):
    done = {stage.name for stage in Graph(experiment).needed()} - set(found["missing"])
    return charts.stages(experiment, done)
