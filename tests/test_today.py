"""What differs today from what a run was made of: whatever prints its figures says so; `compare` refuses it."""

import os
import shutil

import numpy as np
import pytest
import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_text, write_json, write_text
from aepsl.graph import graph, run_folder
from aepsl.images.pictures import read_indexed, write_mask
from aepsl.report import report
from aepsl.run import inputs, rows, start, status, today
from aepsl.settings import experiments
from aepsl.store import records
from aepsl.store.result import Made
from aepsl.tools import compare, export, infer, picture
from conftest import tiny_experiment


@pytest.fixture
def made(small_set, tmp_path, monkeypatch):
    """made(name): a run of that name is as if done, with an experiment.yaml of its own; returns its Graph."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path / "runs"))
    monkeypatch.setattr(experiments, "FOLDER", str(tmp_path / "prototxt"))
    shutil.copytree("prototxt/voc12", tmp_path / "prototxt/voc12")
    settings = SETTINGS.settings()
    settings.pop("synthetic")

    def make(name):
        write_text(f"{tmp_path}/prototxt/{name}/experiment.yaml", yaml.safe_dump(settings))
        own = experiments.load(name)
        contents = inputs.contents_of(own, str(small_set), None, None)
        found = graph.Graph(own, graph.Start(str(small_set), contents=contents))
        graph.write(found)
        write_json(f"{found.run.path}/done/check.json", dict(value=dict(train=6, val=3)))
        for stage in found.needed():
            for job in found.jobs(stage.name):
                records.keep(found.run.path, job, found.word(stage), Made([]), {})
        write_json(found.run.results, dict(experiment=name))
        return found

    return make


SETTINGS = tiny_experiment(**{"classes": ["cat", "dog"], "rows": ["ae_step1"], "data.train": "train_aug"})


def zeros(root, k):
    """A mask of background alone, of an image's size."""
    return np.zeros_like(read_indexed(f"{root}/SegmentationClassAug/image{k}.png"))


def said(experiment, data=None):
    """What `status` says behind its table, and the report's notes but for those of a results.json without figures."""
    text = status.report(experiment)
    notes = [note for note in report.gathered(experiment, data)["notes"] if "never writes" not in note]
    return text[text.index("segment.val.ae_step1") :], [note for note in notes if "missing" not in note]


STARTS = [None, 7, {}, dict(nets=1), dict(rows=dict(x={})), dict(targets=5), dict(targets=["x"]), dict(contents={})]


@pytest.mark.parametrize("changes", STARTS, ids=str)
def test_a_damaged_start_json_is_one_line_at_most_and_the_stages_are_shown(made, changes):
    found = made("mine")
    told = dict(read_json(found.run.start), **changes) if changes and changes != 7 else changes
    write_json(found.run.start, told)
    text, notes = said(found.experiment)
    assert "classification.step1" in status.report(found.experiment) and len(notes) <= 1
    if changes in STARTS[:5]:
        assert notes == [f"{found.run.start}: is damaged; the run's next start makes it anew"] and notes[0] in text


def test_settings_that_differ_today_are_named_with_the_stages_of_a_new_start(made, tmp_path):
    own = made("mine").experiment
    assert said(own)[1] == [] and said(own)[0].endswith("prints its tables.")
    path = tmp_path / "prototxt/mine/experiment.yaml"
    changed = yaml.safe_load(path.read_text())
    changed["training"]["segmentation"]["lr"] = 0.5
    path.write_text(yaml.safe_dump(changed))
    text, (note,) = said(graph.of_run("mine"))
    assert "`training.segmentation.lr` of experiment.yaml differ" in note and note in text
    assert note.endswith("make anew: segmentation.ae_step1, segment.val.ae_step1, results")
    assert graph.of_run("mine").training.segmentation.lr != 0.5


@pytest.mark.parametrize("asked", [["ae_step1"], ["ae_step2", "psl"]], ids=str)
def test_a_run_of_some_rows_alone_differs_in_nothing(made, asked):
    """Also if they are all rows of the experiment, which has more steps of erasing than they need."""
    found = made("mine")
    graph.write(graph.Graph(rows.only(found, asked), found.start))
    own = graph.of_run("mine")
    assert own.mining.steps < found.experiment.mining.steps
    assert [line for line in today.lines(own)[0] if "differ" in line] == []


def test_a_run_of_rows_that_the_experiment_no_longer_has_differs(made, tmp_path):
    found = made("mine")
    graph.write(graph.Graph(rows.only(found, ["ae_step4"]), found.start))
    path = tmp_path / "prototxt/mine/experiment.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["mining"].update(steps=3)
    path.write_text(yaml.safe_dump(settings))
    (line,) = [line for line in today.lines(graph.of_run("mine"))[0] if "differ" in line]
    assert "of experiment.yaml differ" in line and "rows" in line and "mining.steps" in line


def test_a_start_says_first_which_finished_stages_it_makes_anew(made, monkeypatch, capsys):
    """With what they took; stages that were not done are no loss."""
    found = made("mine")
    today.tell_anew(found)
    assert capsys.readouterr().err == ""
    for job, seconds in (("segmentation.ae_step1", 3600), ("classification.step1", 50)):
        records.keep(found.run.path, job, found.word(found.stages[job]), Made([]), dict(seconds=seconds))
    changed = experiments.changed(found.experiment, {"training.segmentation.lr": 0.5})
    records.unmark(found.run.path, "results")
    today.tell_anew(graph.Graph(changed, found.start))
    line = capsys.readouterr().err
    assert "data: segmentation.ae_step1, segment.val.ae_step1; what is there of these took 1:00:00" in line
    called = []
    monkeypatch.setattr(today, "tell_anew", lambda found: called.append(found.is_done("segmentation.ae_step1")))
    start._command(graph.Graph(changed, graph.read(found.run.path).start), None, [])
    assert called == [True] and not found.is_done("segmentation.ae_step1")


def test_a_data_set_where_the_command_is_typed_is_not_taken_for_one_that_is_named(made, tmp_path, monkeypatch):
    own = made("mine").experiment
    (tmp_path / "image_labels.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    assert today.lines(own) == ([], [])


USERS = {  # of what a run has made; each ends later, as nothing of this run was really made
    "export": lambda own, out: export.run(own, "png", out),
    "picture": lambda own, out: picture.run(own, out, "image0", "ae_step1"),
    "infer": lambda own, out: infer.run(own, [], "no.caffemodel", out),
}


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_what_uses_a_run_says_what_differs_today(made, tmp_path, capsys, user):
    made("mine")
    path = tmp_path / "prototxt/mine/experiment.yaml"
    changed = yaml.safe_load(path.read_text())
    changed["training"]["segmentation"]["lr"] = 0.5
    path.write_text(yaml.safe_dump(changed))
    with pytest.raises(InputError):
        user(graph.of_run("mine"), str(tmp_path / "out.png"))
    assert "of experiment.yaml differ; a start would make anew: " in capsys.readouterr().err


REPLACED = {  # a file of a run, the stage that wrote it, and what reads it
    "a training mask": (
        "masks/ae_step3/image0.png",
        "masks.ae_step3",
        lambda own, data: export.run(own, "png", "out", data=data),
    ),
    "the net of the heat maps": (
        "step1/classification/final.caffemodel",
        "classification.step1",
        lambda own, data: export.run(own, "irn", "out", data=data),
    ),
    "the regions of the step before": (
        "step1/regions/image3.png",
        "mine.step1",
        lambda own, data: export.run(own, "irn", "out", step=2, data=data),
    ),
    "the net that segments": (
        "segmentation/ae_step1/final.caffemodel",
        "segmentation.ae_step1",
        lambda own, data: infer.run(own, [], "runs/mine/segmentation/ae_step1/final.caffemodel", "out"),
    ),
    "a region": (
        "step1/regions/image0.png",
        "mine.step1",
        lambda own, data: picture.run(own, "out.png", "image0", "ae_step1", data),
    ),
    "the mask of a picture": (
        "masks/ae_step1/image0.png",
        "masks.ae_step1",
        lambda own, data: picture.run(own, "out.png", "image0", "ae_step1", data),
    ),
}


@pytest.mark.parametrize("case", REPLACED)
def test_a_file_of_the_run_that_was_changed_is_not_used(made, small_set, tmp_path, monkeypatch, case):
    found = made("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "ROOT", "runs")
    name, job, user = REPLACED[case]
    path = f"runs/mine/{name}"
    for k in range(6):
        write_mask(f"runs/mine/masks/ae_step3/image{k}.png", zeros(small_set, k))
    write_text(path, "as the stage wrote it")
    records.keep("runs/mine", job, found.word(found.stages[job]), Made([path]), {})
    write_text(path, "changed")
    with pytest.raises(InputError, match=f"{path}: of the run's files that are read, 1 were changed since its stages"):
        user(graph.of_run("mine"), str(small_set))
    assert not [each for each in os.listdir() if each.startswith("out")]


def test_data_that_differ_are_named_and_no_picture_is_of_them(made, small_set, tmp_path, monkeypatch, capsys):
    own = made("mine").experiment
    other = shutil.copytree(small_set, tmp_path / "other")
    write_mask(f"{other}/SegmentationClassAug/image0.png", zeros(small_set, 0))
    monkeypatch.setenv("DATA", str(other))
    text, (note,) = said(own, str(other))
    assert "val.masks of the data differ" in note and note in text and "results" in note.split("make anew: ")[1]
    assert "classification" not in note.split("make anew: ")[1]
    report.run(own, data=str(other))
    assert "The page is without pictures" in capsys.readouterr().err


def test_results_of_an_earlier_start_are_not_finished(made):
    found = made("mine")
    records.unmark(found.run.path, "results")
    text, (note,) = said(found.experiment)
    assert text.endswith("Not finished.") and "made before the last start" in note and note.endswith("anew: results")


def test_runs_of_other_truths_are_not_compared(made, small_set, capsys):
    one, two = made("one"), made("two")
    for each in (one, two):
        for k in range(3):
            write_mask(f"{each.run.segmented('val', 'ae_step1')}/crf/image{k}.png", zeros(small_set, k))
    runs = ["runs/one:ae_step1", "runs/two:ae_step1"]
    assert set(compare.run([], runs, data=str(small_set), draws=3)["methods"])
    assert capsys.readouterr().err.count("warning") == 1  # of the same figures
    (small_set / "classes.txt").write_text("dog\ncat\n")
    compare.run([], runs, data=str(small_set), draws=3)
    said = capsys.readouterr().err  # the names of the figures would be exchanged
    assert "2 of 3 masks do not have the classes of the labels (image0, image1); compare classes.txt with" in said
    (small_set / "classes.txt").write_text("cat\ndog\n")
    job = two.jobs("segment.val.ae_step1")[0]
    mask = f"{two.run.segmented('val', 'ae_step1')}/crf/image1.png"
    records.keep(two.run.path, job, "word", Made([mask]), {})
    compare.run([], runs, data=str(small_set), draws=3)
    write_mask(mask, zeros(small_set, 1) + 1)
    with pytest.raises(InputError, match="image1.png: of the run's files that are read, 1 were changed"):
        compare.run([], runs, data=str(small_set), draws=3)
    records.unmark(two.run.path, job)
    with pytest.raises(InputError, match="two: ae_step1 is not segmented, or not of the run's last start"):
        compare.run([], runs, data=str(small_set), draws=3)
    write_mask(f"{small_set}/SegmentationClassAug/image2.png", zeros(small_set, 2))
    with pytest.raises(InputError, match="has other true masks of val than those of .*one; name its own"):
        compare.run([], runs, data=str(small_set), draws=3)


def without(path, begin):
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(begin)))


UNFIT = {
    "an image without its label": (lambda root: without(root / "image_labels.txt", "image0"), "no label for image0"),
    "no labels": (lambda root: os.unlink(root / "image_labels.txt"), "image_labels.txt: "),
    "no list": (lambda root: os.unlink(root / "ImageSets/Segmentation/train_aug.txt"), "train_aug.txt: "),
    "another set": (lambda root: (root / "classes.txt").write_text("cow\nemu\n"), "classes.txt: does not name cat"),
    "no folder": (shutil.rmtree, "is not there, or is no data set. EXPERIMENT=mine DATA="),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_report_without_the_images_of_its_run_still_shows_its_figures(made, small_set, capsys, case):
    experiment = made("mine").experiment
    change, fault = UNFIT[case]
    change(small_set)
    report.run(experiment, data=str(small_set))
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "The page is without pictures: " in shown.err and fault in shown.err
    assert "The same to look at: " in shown.out and "<img" not in read_text(run_folder.RunFolder("mine").page)


def test_a_report_with_a_damaged_file_of_its_run_still_shows_its_figures(made, small_set, capsys):
    """The command that makes the file anew is the run's, not the report's."""
    found = made("mine")
    for k in range(6):
        write_text(f"{found.run.masks(found.experiment.mining.merge)}/image{k}.png", "PNG")
    report.run(found.experiment, data=str(small_set))
    shown = capsys.readouterr()
    assert "The same to look at: " in shown.out and shown.err.count("\n") == 1
    assert "cannot be decoded; type the run's command again, which makes it anew" in shown.err
