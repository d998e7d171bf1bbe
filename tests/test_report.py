"""The report of a run: its figures, what is shown of single images, and a page that needs nothing else."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from html import unescape
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.base.files import write_json, write_text
from aepsl.data.dataset import IGNORE, Dataset
from aepsl.evaluation import by_image
from aepsl.graph import run_folder
from aepsl.graph.graph import Graph
from aepsl.images.pictures import write_colour, write_grey, write_mask
from aepsl.paper import published
from aepsl.report import charts, page, pictures, report, tables, tables_of_making
from aepsl.settings import experiments
from aepsl.stages import mine
from conftest import copy_of_repository

KINDS = ("node", "edge")  # of a graph in Graphviz's SVG
NAME = "<script>alert(1)</script>&\"'"  # of a class: data


def test_errors_by_size_are_those_of_each_piece_counted_pixel_by_pixel(small_set):
    """Two cats of 2% and 25% of an image, and a dog of 9%; truth that is ignored belongs to none."""
    dataset = Dataset(str(small_set))
    truth = np.zeros((20, 20), np.uint8)
    truth[:2, :4], truth[10:, 10:], truth[4:10, :6], truth[0, 3] = 1, 1, 2, IGNORE
    predicted = np.zeros((20, 20), np.uint8)
    predicted[0, :3], predicted[10:, 10:15], predicted[4:7, :6], predicted[7, :2] = 1, 1, 1, 2
    for folder, mask in ((dataset.mask_folder(), truth), (f"{small_set}/predicted", predicted)):
        write_mask(f"{folder}/image0.png", mask)
    sizes, ious = by_image.of_row(f"{small_set}/predicted", dataset, ["image0"])
    assert [each["objects"] for each in sizes] == [0, 1, 1, 1]
    assert sizes[0]["missed"] is None
    assert sizes[1]["missed"] == pytest.approx(100 * 4 / 7) and sizes[1]["confused"] == 0
    assert sizes[2]["missed"] == pytest.approx(100 * 16 / 36) and sizes[2]["confused"] == pytest.approx(100 * 18 / 36)
    assert sizes[3]["missed"] == 50
    cat, dog = 53 / (53 + 54 + 18), 2 / 36  # hits, missed and false pixels
    background = 256 / (256 + 4 + 50 + 16)
    assert ious["image0"] == pytest.approx(100 * np.mean([background, cat, dog]))


def test_examples_are_the_first_middle_and_last():
    found = by_image.examples({f"i{k}": float(k) for k in range(9)})
    ids = {kind: [each["id"] for each in found[kind]] for kind in found}
    assert ids == dict(best=["i8", "i7"], median=["i5", "i4"], worst=["i1", "i0"])
    assert found["best"][0]["miou"] == 8


def test_over_erased_are_those_that_lose_most_precision(small_set, tmp_path):
    dataset = Dataset(str(small_set))
    ids = dataset.ids("train_aug")
    for image_id in ids:
        truth = np.zeros((40, 40), np.uint8)
        truth[:20] = 2 if "dog" in dataset.classes[int(dataset.labels([image_id])[0].argmax())] else 1
        write_mask(f"{dataset.mask_folder()}/{image_id}.png", truth)
        grown = dict(image1=40, image4=30).get(image_id, 20)
        for folder, rows in (("before", 20), ("after", grown)):
            bits = np.zeros((40, 40), np.uint16)
            bits[: 0 if image_id == "image5" else rows] = 1
            write_grey(f"{tmp_path}/{folder}/{image_id}.png", bits)
    found = by_image.over_erased(f"{tmp_path}/before", f"{tmp_path}/after", dataset, ids, seed=1)
    assert [each["id"] for each in found[:2]] == ["image1", "image4"]
    assert found[0] == dict(id="image1", before=1, after=0.5)
    assert found[1]["after"] == pytest.approx(2 / 3) and "image5" not in [each["id"] for each in found]


def test_heat_is_each_labels_map_in_shares_of_its_maximum():
    maps = np.array([[[0, 2, 4]], [[1, 0.5, -3]], [[-1, -1, -1]]], np.float32)
    np.testing.assert_array_equal(mine.heat(maps), [[255, 128, 255]])


def row(miou, iou, **more):
    wrong = dict(missed=1.25, confused=2.5, false=3.75)
    sizes = [dict(most=most, objects=3, missed=50.0, confused=None) for most in by_image.OBJECT_SIZES]
    return dict(miou=miou, iou=iou, miou_no_crf=miou - 1, absent=[], errors=wrong, by_size=sizes, **more)


def results_of_voc12(name="voc12"):
    names = ["background", *experiments.load("voc12").classes]
    iou = dict.fromkeys(names, 50.0)
    rows = {each: row(50.0 + k, iou) for k, each in enumerate(experiments.load("voc12").rows)}
    steps = [f"step{t}" for t in range(1, 5)]
    return dict(
        experiment=name,
        main="psl++",
        rows=rows,
        mining={step: dict(erased=0.2, recall=0.5, precision=0.25, converged_loss=0.05) for step in steps},
        losses={step: [[0, 0.7], [100, 0.1]] for step in steps},
        psl={},
        thresholds=[[{"of_max": 0.2}, dict(erased=0.2, recall=0.5, precision=0.25)]],
        background=dict(cue=dict(precision=0.875), masks=dict(ignored=0.3125)),
        success=3,
        examples={},
        seconds={"mine.step1": 7.0},
        peak_mib={"mine.step1": 321},
        host=dict(commit="abcdef"),
    )


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def voc12(runs):
    write_json(f"{runs}/voc12/results.json", results_of_voc12())
    write_json(f"{runs}/voc12/done/check.json", dict(value=dict(train=10582, val=1449)))
    return experiments.load("voc12")


class Page(HTMLParser):
    """What a browser would find in a page: its tags with attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, text):
        if not {"script", "style"} & set(self.inside):
            self.words.append(text.strip())


def figures_of(text):
    """{label: figure} of a page's first screen."""
    shown = re.search(r'<dl class="figures">(.*?)</dl>', text, re.DOTALL)[1]
    return dict(re.findall(r'<dt>(.*?)</dt><dd class="figure">(.*?)</dd>', shown))


def test_the_papers_tables_are_complete_with_ours_and_the_differences(voc12):
    found = report.gathered(voc12)
    text = page.html(voc12, found, None)
    seen = Page(text).words
    for table in (published.TABLE_1, published.TABLE_2):
        for method in table:
            assert method.name.replace("(ours)", "(the paper)") in seen and f"{method.miou:.1f}" in seen
    for title in published.TABLES_3_AND_4:
        assert all(f"{number:.1f}" in seen for number in published.TABLES_3_AND_4[title])
    shown = tables.by_section(voc12, found)
    psl = next(table for table in shown["tables"] if table.caption.startswith("Table 4"))
    k = [cells[0] for cells in psl.rows].index("psl")
    assert psl.rows[k][-2:] == ["54.0", "53.0"]
    assert psl.rows[k + 1][:2] == ["  the paper: w/ PSL", "83.3"] and psl.rows[k + 2][1] == "−33.3"
    assert psl.rows[k + 2][-2] == "−0.1"  # 54.0 against 54.1
    assert "  the paper, about" in [cells[0] for cells in psl.rows]  # of psl_none: only the mean
    first_screen = {"this run, psl++, with CRF": "57.0", "the paper": "55.0", "difference": "+2.0"}
    assert figures_of(text) == first_screen
    assert "Both on VOC 2012 val, with CRF." in text


def test_what_is_not_known_is_blank_and_what_is_left_out_is_named(voc12):
    """Training images need no masks; val's may lack a class."""
    found = report.gathered(voc12)
    for row in found["rows"].values():
        row["absent"] = ["sofa"]
    found["mining"] = dict(step1=dict(erased=0.2, converged_loss=0.05))
    lines = page.terminal(voc12, found).splitlines()
    assert lines.count("Left out of the means, as val's masks do not have them: sofa.") == 2
    assert ["step1", "20.0", "0.050", "0.05"] in [line.split() for line in lines]
    assert ["psl_none", "1.2", "2.5", "3.8", "7.5"] in [line.split() for line in lines]


def test_another_experiment_says_that_it_does_not_compare(voc12, runs):
    own = dataclasses.replace(voc12, name="mine")
    write_json(f"{runs}/mine/results.json", results_of_voc12("mine"))
    found = report.gathered(own)
    seen = Page(page.html(own, found, None)).words
    assert "SEC (ECCV 2016)" not in seen and "the paper" in seen  # a column of differences within the run
    assert sum(tables.NO_COMPARISON in words for words in seen) == 2
    assert any("only what each part brings compares" in words for words in seen)
    ours = {"this run, psl++, with CRF": "57.0"}
    assert figures_of(page.html(own, found, None)) == ours
    for shown in (page.markdown(own, found), page.terminal(own, found)):
        assert "57.0" in shown and "the paper: " not in shown and "difference: " not in shown


def test_names_are_text_and_nothing_comes_from_outside(voc12):
    found = report.gathered(voc12)
    rows = found["rows"]
    for name in rows:
        rows[name]["iou"] = {NAME if key == "sofa" else key: value for key, value in rows[name]["iou"].items()}
    text = page.html(voc12, found, None)
    seen = Page(text)
    assert NAME in seen.words and sum(tag == "script" for tag, _ in seen.tags) == 1
    linked = [value for _, each in seen.tags for name, value in each.items() if name in ("src", "href", "xlink:href")]
    assert linked and all(value.startswith(("#", "data:")) for value in linked)
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest|WebSocket", text)
    assert "javascript:" not in text and "default-src 'none'" in text
    assert all(attributes.get("alt") for tag, attributes in seen.tags if tag == "img")


def test_markdown_and_terminal_have_every_table_of_the_page(voc12):
    found = report.gathered(voc12)
    markdown, text = page.markdown(voc12, found), page.terminal(voc12, found)
    html = page.html(voc12, found, None)
    for section in tables.by_section(voc12, found).values():
        for table in section:
            assert table.html() in html and table.markdown() in markdown
            assert table.caption in text and all(part.text() in text for part in page.narrow(table))
            shown = [cell for part in page.narrow(table) for row in (part.columns, *part.rows) for cell in row[1:]]
            assert sorted(shown) == sorted(cell for row in (table.columns, *table.rows) for cell in row[1:])
    assert max(map(len, text.splitlines())) <= 120
    assert "| cue precision | 87.5 |" in markdown and "**57.0**" in markdown
    end = text.splitlines()[-1]
    assert "this run, psl++, with CRF: 57.0; the paper: 55.0; difference: +2.0" in end  # what a person sees


def test_a_run_that_is_not_finished_shows_what_it_has(voc12, runs):
    (runs / "voc12/results.json").unlink()
    write_json(f"{runs}/voc12/step1/classification/train.json", dict(converged_loss=0.04))
    write_text(f"{runs}/voc12/step1/classification/log.csv", "iteration,loss_cls\n0,0.7\n9,0.3\n")
    write_json(f"{runs}/voc12/step1/regions.json", dict(erased=0.2, recall=0.4321, precision=0.5))
    text = page.html(voc12, report.gathered(voc12), None)
    seen = Page(text).words
    assert "voc12: not finished yet" in seen and "43.2" in seen and "What is missing" in seen
    assert "segmentation.psl++" in seen and "Figure 5a. Classification loss by epoch and step" in seen
    with pytest.raises(InputError, match="is no run that has begun"):
        report.gathered(dataclasses.replace(voc12, name="none"))


def test_in_print_no_table_is_broader_than_the_page(voc12):
    """150 classes, of names that mathematics, a legend or a font would take otherwise; on the screen they scroll."""
    names = ["cost $^$", "_hidden", "\u732b", *(f"class{k}" for k in range(147))]
    found = report.gathered(voc12)
    for each in found["rows"].values():
        each["iou"] = dict.fromkeys(["background", *names], 50.0)
    own = dataclasses.replace(voc12, name="mine", classes=names)
    html = page.html(own, dict(found, paper=False), None)
    printed = re.findall(r'<div class="in-print">(.*?)</table>', html, re.DOTALL)
    columns = [Page(each).words for each in re.findall(r"<thead>(.*?)</thead>", "".join(printed), re.DOTALL)]
    shown = [word for each in columns for word in each if word]
    assert max(map(len, columns)) <= 1 + page.PRINTED and set(names) | {"mIoU", "no CRF"} <= set(shown)
    assert shown.count("mIoU") == 2 and html.count('<div class="on-screen">') == 2  # tables 3 and 4
    style = html[: html.index("</style>")]
    assert ".in-print { display: none; }" in style and ".on-screen { display: none; }" in style.split("@media print")[1]


CLASSES = {
    "2": ["cat", "dog"],
    "60": [f"class {k}" for k in range(60)],
    "150": [f"class {k}" for k in range(150)],
    "254": [f"class {k}" for k in range(254)],
    "long": [f"{k} a very long name of a class that somebody took from a catalogue of products" for k in range(30)],
    "words": ["Donaudampfschifffahrtsgesellschaftskapitaen" + "x" * k for k in range(12)],
    "HTML": ["<b>bold</b>", "<!--", "</table>", "&amp;", "a & b", '"q"', "a<b"],
    "templates": ["%s", "100%", "{x}", "{{ 7*7 }}", "{% if %}", "${HOME}", "\\n"],
    "LaTeX": ["$x^2$", "cost $^$", "\\alpha", "$$", "_x", "x_"],
    "emoji": ["\U0001f431", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\u00e9"],
    "right to left": ["\u05d7\u05ea\u05d5\u05dc", "\u0642\u0637\u0629", "\u05db\u05dc\u05d1 cat"],
    "numbers": ["1", "2", "-1", "1e3", "nan", "\u0663"],
    "alike once escaped": ["a&lt;b", "a<b", "a|b", "a\\|b"],
    "columns": ["mIoU", "no CRF", "row", "difference"],
}


def own_classes(voc12, names, runs, **changes):
    """An experiment with classes of these names, and what report.gathered finds of its run."""
    own = dataclasses.replace(voc12, name="mine", classes=names)
    found = results_of_voc12("mine")
    for each in found["rows"].values():
        each["iou"] = dict.fromkeys(["background", *names], 50.0)
    write_json(f"{runs}/mine/results.json", dict(found, **changes))
    return own, report.gathered(own)


@pytest.mark.parametrize("case", CLASSES)
def test_every_face_shows_classes_of_any_name_and_number(voc12, runs, case):
    names = CLASSES[case]
    own, found = own_classes(voc12, names, runs)
    html, text = Page(page.html(own, found)), page.terminal(own, found)
    assert set(names) <= set(html.words) and sum(tag == "script" for tag, _ in html.tags) == 1
    parts = [part.text() for table in tables.by_section(own, found)["tables"] for part in page.narrow(table)]
    assert all(part in text for part in parts)
    assert max(len(line) for part in parts for line in part.splitlines()) <= max(120, 30 + max(map(len, names)))
    cells = [row for row in page.markdown(own, found).splitlines() if row.startswith("| row | background | ")]
    assert cells and all(len(re.findall(r"(?<!\\)\|", row)) == len(names) + 5 for row in cells)


MARKUP = {"<b>x</b>": r"\<b>x\</b>", "$x^2$": r"\$x^2\$", "*x*": r"\*x\*", "`x`": r"\`x\`", "[a](b)": r"\[a](b)"}
MARKUP.update({"_x_ y": r"\_x\_ y", "~~x~~": r"\~\~x\~\~", "&lt;": r"\&lt;", "a|b": r"a\|b", "a\\": r"a\\"})
MARKUP.update({"ae_step1": "ae_step1", "v < r": "v < r", "a & b": "a & b", "50%": "50%", "2 - 1": "2 - 1"})


@pytest.mark.parametrize("name", MARKUP)
def test_markdown_shows_a_name_as_it_is(voc12, runs, name):
    own, found = own_classes(voc12, [name, "dog"], runs)
    assert f"| row | background | {MARKUP[name]} | dog | mIoU | no CRF |" in page.markdown(own, found).splitlines()


def test_a_run_without_any_object_in_val_has_its_page_without_a_word_of_matplotlib(voc12, runs, caplog):
    own, found = own_classes(voc12, ["cat", "dog"], runs)
    for each in found["rows"].values():
        each["errors"] = dict.fromkeys(each["errors"], 0.0)
        each["by_size"] = [dict(size, objects=0, missed=None, confused=None) for size in each["by_size"]]
    assert "Wrong pixels by size of object" in Page(page.html(own, found)).words and not caplog.records


SHAPES = {  # of the images, and their masks
    "one": ([(40, 60)], "whole"),
    "one pixel": ([(1, 1), (1, 9), (9, 1)], "whole"),
    "strips": ([(3, 3000), (3000, 3)], "of another size"),
    "huge": ([(3000, 4500)], "whole"),
    "many": ([(40, 60)] * 30, "missing"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_images_of_any_size_and_number_have_their_pictures(voc12, runs, tmp_path, case):
    """Each of at most PICTURE_SIDE; a mask that the run does not have is told in its place."""
    shapes, masks = SHAPES[case]
    ids = [f"i{k}" for k in range(len(shapes))]
    for image_id, (height, width) in zip(ids, shapes):
        write_colour(f"{tmp_path}/data/JPEGImages/{image_id}.png", np.full((height, width, 3), 99, np.uint8))
        write_mask(f"{tmp_path}/data/SegmentationClass/{image_id}.png", np.ones((height, width), np.uint8))
        if masks != "missing":
            shape = (height, width) if masks == "whole" else (5, 5)
            write_mask(f"{runs}/mine/val/psl++/crf/{image_id}.png", np.ones(shape, np.uint8))
    write_text(f"{tmp_path}/data/image_labels.txt", "".join(f"{each} cat\n" for each in ids))
    write_text(f"{tmp_path}/data/classes.txt", "cat\ndog\n")
    write_text(f"{tmp_path}/data/ImageSets/Segmentation/train_aug.txt", "".join(f"{each}\n" for each in ids))
    examples = {kind: [dict(id=ids[0], miou=50.0)] for kind in ("best", "median", "worst")}
    own, found = own_classes(voc12, ["cat", "dog"], runs, examples=examples)
    album = pictures.Album(own, Dataset(f"{tmp_path}/data", own.classes))
    seen = Page(page.html(own, found, album))
    drawn = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert drawn and all(each["alt"] for each in drawn) and "Best. i0 (cat): mIoU 50.0" in seen.words
    assert sum("with CRF of i0: cat 100%" in each["alt"] for each in drawn) == 3 * (masks != "missing")
    strips = [each for strips in album.by_section(found).values() for each in strips]
    shown = [each.pixels for strip in strips for each in strip.pictures if each.pixels is not None]
    assert max(max(each.shape[:2]) for each in shown) <= pictures.PICTURE_SIDE
    assert pictures.NO_PICTURE in seen.words


def test_every_stage_is_right_of_those_that_it_needs_and_none_on_another():
    few = [["ae_step1"], ["ae_step1", "psl++"]]  # the last steps are of no row; psl is no row
    few = [experiments.changed(experiments.load("voc12"), {"rows": rows}) for rows in few]
    for experiment in (*map(experiments.load, ("voc12", "demo", "rehearsal")), *few):
        stages = Graph(experiment).stages
        shown = {stage.name for stage in Graph(experiment).shown()} | {"results"}
        svg = charts.stages(experiment, {"saliency", "mine.step1"}).svg
        kinds = {kind: re.findall(rf'class="{kind}">\n<title>(.*?)</title>\n(.*?)</g>', svg, re.S) for kind in KINDS}
        boxes = {unescape(name): drawn for name, drawn in kinds["node"]}
        places = {name: re.search('x="(.*?)" y="(.*?)"', drawn).groups() for name, drawn in boxes.items()}
        links = {tuple(unescape(title).split("->")) for title, _ in kinds["edge"]}
        assert set(boxes) == shown and len(set(places.values())) == len(shown)
        assert links == {(other, name) for name in shown for other in stages[name].needs if other in shown}
        assert all(float(places[other][0]) < float(places[name][0]) for other, name in links)
        assert {name for name, drawn in boxes.items() if charts.STEP_COLOURS[1] in drawn} == {"saliency", "mine.step1"}
        assert "var(--ink)" in svg and charts.INK not in svg
    assert {other for other, name in links if name == "segmentation.psl++"} == {"relabel.psl"}
    assert {other for other, name in links if name == "results"} >= {"segment.val.psl++", "segment.val.ae_step1"}


@pytest.mark.parametrize("steps, merge", [(1, 1), (4, 3), (9, 8), (9, 9)])
def test_each_step_has_a_colour_of_its_own(voc12, monkeypatch, steps, merge):
    """The merged ones and the next, which the over-erased images show; as many as experiment.yaml may have."""
    told = {}
    monkeypatch.setattr(page, "rendered", lambda template, **values: told.update(values))
    own = experiments.changed(voc12, {"mining.steps": steps, "mining.merge": merge, "rows": ["ae_step1"]})
    page.html(own, report.gathered(own))
    names, colours = zip(*told["step_colours"])
    assert names == tuple(f"step {t}" for t in range(1, min(merge + 1, steps) + 1))
    assert len(set(colours)) == len(colours)


def test_settings_show_what_differs():
    rows = {cells[0]: cells[1:] for cells in tables_of_making.settings(experiments.load("demo")).rows}
    assert rows["data.crop"] == ["97", "321"] and rows["initial_weights"][0] == "none"
    assert rows["seed"] == ["1", "1"] and "crf.iterations" not in rows


def test_the_commit_is_gits_and_tells_what_was_changed_since(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    import git

    root = tmp_path / "tree"
    assert commit.of_code(str(root)) == commit.UNKNOWN
    for each in ("objects", "refs/heads"):
        (root / ".git" / each).mkdir(parents=True)
    write_text(str(root / ".git/HEAD"), "ref: refs/heads/main\n")
    assert commit.of_code(str(root)) == commit.UNKNOWN  # nothing is committed yet
    names = ["a.py", "b.py", "c/d.py", "e.py", "link"]
    for each in names[:4]:
        write_text(str(root / each), f"{each}\n")
    (root / "link").symlink_to("a.py")
    index = git.Repo(root, odbt=git.GitDB).index
    index.add(names)
    hexsha = index.commit("all", skip_hooks=True).hexsha
    assert len(hexsha) == 40 and commit.of_code(str(root)) == hexsha
    write_text(str(root / "new.py"), "git does not have it\n")
    assert commit.of_code(str(root)) == hexsha and commit.of_code(str(root / "c")) == commit.UNKNOWN

    write_text(str(root / "c/d.py"), "c/d.py\n\n")
    assert commit.of_code(str(root)) == f"{hexsha}, changed: c/d.py"
    index.add(["c/d.py"])
    assert commit.of_code(str(root)) == f"{hexsha}, changed: c/d.py", "staged, not committed"
    (root / "link").unlink()
    (root / "link").symlink_to("b.py")
    (root / "a.py").unlink()
    assert commit.of_code(str(root)) == f"{hexsha}, changed: a.py, link, c/d.py"
    write_text(str(root / "b.py"), "")
    assert commit.of_code(str(root)) == f"{hexsha}, changed: a.py, b.py, link and 1 more"
    for each in (root / ".git/objects").glob("*/*"):
        each.chmod(0o600)
        each.write_bytes(b"")
    assert commit.of_code(str(root)) == commit.UNKNOWN
    shutil.rmtree(root / ".git")
    write_text(str(root / ".git"), "gitdir: /of/a/worktree\n")
    assert commit.of_code(str(root)) == commit.UNKNOWN


def test_a_page_says_which_stages_other_code_made():
    known = dict(commit="c1", cores=2, other_commits={"c0": ["mine.step1", "masks.ae_step1"], "b9": ["saliency"]})
    assert tables_of_making.host(dict(host=known)).rows == [
        ["commit", "c1"],
        ["cores", "2"],
        ["other commits", "mine.step1, masks.ae_step1: c0; saliency: b9"],
    ]
    assert tables_of_making.host(dict(host=dict(other_commits={}))).rows == [["other commits", "none"]]


@pytest.mark.long
def test_at_the_papers_full_size_a_page_takes_less_than_a_gigabyte(tmp_path):
    """10,582 + 1,449 images of 500 x 375, as links to a few."""
    tree = copy_of_repository(tmp_path / "tree")
    train, val = [f"2007_{k:06}" for k in range(10582)], [f"2008_{k:06}" for k in range(1449)]
    data = linked_set(tmp_path / "data", train, val)
    folder = tree / "runs/voc12"
    write_json(f"{folder}/results.json", dict(results_of_voc12(), examples=examples_of(train, val)))
    write_json(f"{folder}/done/check.json", dict(value=dict(train=len(train), val=len(val))))
    masks = data / "SegmentationClassAug"
    places = ["masks/ae_step3", *(f"relabelled/psl/{kind}" for kind in ("plain", "crf", "s_hat"))]
    for place, ids in [(place, train) for place in places] + [(f"val/psl++/{kind}", val) for kind in ("plain", "crf")]:
        (folder / place).mkdir(parents=True)
        for image_id in ids:
            os.link(masks / f"{image_id}.png", folder / place / f"{image_id}.png")
    bits = np.zeros((375, 500), np.uint16)
    bits[100:200, 100:300] = 1
    write_grey(f"{tmp_path}/bits.png", bits)
    for t in range(1, 5):
        (folder / f"step{t}/regions").mkdir(parents=True)
        for image_id in train:
            os.link(tmp_path / "bits.png", folder / f"step{t}/regions/{image_id}.png")
    command = [sys.executable, "-m", "aepsl", "report", "voc12", "--data", str(data)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "python")}
    begun = time.time()
    process = subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took, peak = time.time() - begun, usage.ru_maxrss / 1024
    size = (folder / "report/index.html").stat().st_size / 1e6
    print(f"{took:.0f} s, {peak:.0f} MiB, {size:.1f} MB")
    assert status == 0 and peak < 1e9 / 2**20 and size < 8


def examples_of(train, val):
    found = by_image.examples({image_id: float(k) for k, image_id in enumerate(val)})
    return dict(found, over_erased=[dict(id=each, before=0.5, after=0.25) for each in train[:4]])


def linked_set(root, train, val):
    """Root of a data set in VOC layout whose images are links to eight, of noise as a photo has it."""
    random = np.random.RandomState(1)
    for folder in ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for k in range(8):
        image = cv2.resize(random.randint(0, 256, (75, 100, 3)).astype(np.uint8), (500, 375))
        cv2.imwrite(f"{root}/image{k}.jpg", image)
        mask = np.zeros((375, 500), np.uint8)
        mask[50 + 10 * k : 250, 100:300], mask[:5] = 15, 255
        write_mask(f"{root}/mask{k}.png", mask)
    for k, image_id in enumerate(train + val):
        os.link(root / f"image{k % 8}.jpg", root / "JPEGImages" / f"{image_id}.jpg")
        os.link(root / f"mask{k % 8}.png", root / "SegmentationClassAug" / f"{image_id}.png")
    write_text(f"{root}/image_labels.txt", "".join(f"{each} person\n" for each in train + val))
    for name, ids in (("train_aug", train), ("val", val)):
        write_text(f"{root}/ImageSets/Segmentation/{name}.txt", "".join(f"{each}\n" for each in ids))
    return root
