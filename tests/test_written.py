"""Files of a run that were edited, or damaged: `status` and `report` say so in a line, and show no other figure."""

import json
import os
import re

import pytest

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json, write_text
from aepsl.graph import run_folder
from aepsl.report import page, report
from aepsl.run import status
from aepsl.settings import experiments
from aepsl.store import records
from aepsl.store.result import Made
from test_report import results_of_voc12

HUGE = 10**400
WRITTEN = {  # stage: its small files
    "classification.step1": {
        "step1/classification/log.csv": "iteration,loss\n0,0.7\n9,0.3\n",
        "step1/classification/train.json": dict(converged_loss=0.04),
    },
    "shares.step1": {"step1/regions.json": dict(erased=0.2, recall=0.4321, precision=0.5)},
    "thresholds": {"step1/thresholds.json": [[dict(of_max=0.2), dict(erased=0.2, recall=0.5, precision=0.25)]]},
}


def put(path, content):
    """Write a text as it is, anything else as JSON."""
    (write_text if isinstance(content, str) else write_json)(str(path), content)


def finish(root, stage, files, value=None):
    """Write a stage's files, its record and its mark; it took an hour."""
    for name, content in files.items():
        put(root / name, content)
    records.keep(str(root), stage, "word", Made([], [str(root / name) for name in files], value), dict(seconds=3600))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder of a run of voc12, in which the first step is done, and a training is under way."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    root = tmp_path / "voc12"
    finish(root, "check", {}, dict(train=10582, val=1449))
    for stage, files in WRITTEN.items():
        finish(root, stage, files)
    for step in (1, 2):
        write_text(f"{root}/step{step}/classification/solver.prototxt", "max_iter: 300")
    write_text(f"{root}/step1/classification/final.caffemodel", "")
    write_json(f"{root}/step2/classification/snapshot.json", dict(iteration=100, rows=[[98, 0.5], [99, 0.25]]))
    return root


@pytest.fixture
def voc12():
    return experiments.load("voc12")


def shown(experiment):
    """What `status` and `report` print."""
    return status.report(experiment), page.terminal(experiment, report.gathered(experiment))


def times(path, text):
    """How often a path is in a text, whose lines may break it."""
    return "".join(text.split()).count(str(path))


CONTENTS = [
    "",
    "text",
    "{}",
    "[]",
    "[1]",
    "null",
    "NaN",
    json.dumps(HUGE),
    '{"seconds": 1e30, "erased": 7}',
    "[" * 10**5,
]


@pytest.mark.parametrize(
    "name", ["done/classification.step1.json", "done/check.json", *sum(map(list, WRITTEN.values()), [])]
)
@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_a_changed_file_of_a_finished_stage_is_one_line_and_its_content_is_not_shown(voc12, root, name, content):
    write_text(str(root / name), content)
    text, printed = shown(voc12)
    line = f"{root / name}: was changed since its stage wrote it; the run's next start puts it back"
    assert line in text and line in printed and times(root / name, text) == times(root / name, printed) == 1
    assert "1:00:00" in text and "segmentation.psl++" in text and "Not done yet" in printed
    assert report.gathered(voc12)["images"]["train"] == 10582
    assert ("43.2" in printed) == (name not in ("step1/regions.json", "step1/classification/train.json"))


@pytest.mark.parametrize("make", [os.unlink, lambda path: (os.unlink(path), os.mkdir(path))])
def test_a_missing_file_of_a_finished_stage_is_said_too(voc12, root, make):
    make(root / "step1/regions.json")
    for text in shown(voc12):
        assert f"{root}/step1/regions.json: was changed since its stage wrote it" in text


UNDER_WAY = [[], 1, "text", {}, dict(iteration="x", loss=1, rows=[[1, 2]]), dict(iteration=3, rows=[], loss=None)]


@pytest.mark.parametrize("name", ["snapshot.json", "progress.json"])
@pytest.mark.parametrize("content", [*UNDER_WAY, dict(iteration=HUGE, rows=[[1, HUGE]], loss=HUGE)], ids=str)
def test_a_damaged_file_of_a_training_under_way_is_one_line(voc12, root, name, content):
    put(root / "step2/classification" / name, content)
    text = status.report(voc12)
    assert re.search(r"^classification.step2 +\?/\? ", text, re.M) and times(root / "step2/classification", text) == 1


@pytest.mark.parametrize("stage", ["results", "thresholds", "background", "regions", "train", "snapshot", "check", "x"])
def test_the_mark_of_a_stage_is_not_taken_for_the_file_that_it_wrote(voc12, root, stage):
    """done/results.json has the time of the stage `results`, and results.json the figures."""
    value = dict(train=10582, val=1449) if stage == "check" else None
    write_json(f"{root}/done/{stage}.json", dict(seconds=3600, peak_mib=100, started=1.5, value=value))
    records.keep(str(root), stage, "word", Made([], [], value), dict(seconds=2))
    for text in shown(voc12):
        assert f"done/{stage}.json" not in "".join(text.split())


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e30, HUGE, "long", None, -1])
def test_a_mark_of_an_older_run_without_a_time_is_left_out(voc12, root, seconds):
    """It has no record."""
    os.unlink(records.path_of(str(root), "classification.step1"))
    write_json(f"{root}/done/classification.step1.json", dict(seconds=seconds))
    text, printed = shown(voc12)
    assert re.search(r"^classification.step1 +300/300$", text, re.M) and "43.2" in printed


# results.json.
CASES = {  # a key, and its value
    "rows.psl++.miou": HUGE,
    "rows.psl.iou": dict(background=50.0),
    "rows.psl": None,
    "rows": "text",
    "seconds": {"mine.step1": float("nan")},
    "mining": {"step1x": {}},
    "losses.step1": [],
    "psl": dict(psl=dict(r=[])),
    "thresholds": [1],
    "background": dict(cue=None),
    "examples": dict(best=[1]),
    "main": None,
    "host": 7,
}


def edited(key):
    """Figures of which one is as CASES says."""
    figures = results_of_voc12()
    *above, last = key.split(".")
    inner = figures
    for each in above:
        inner = inner[each]
    inner[last] = CASES[key]
    return figures


@pytest.mark.parametrize("key", [*CASES, "all", "of another run", "no file"])
def test_of_changed_results_the_recorded_figures_are_shown(voc12, root, key):
    path = root / "results.json"
    finish(root, "results", {"results.json": results_of_voc12()}, dict(sha256=""))
    before = shown(voc12)
    assert times(path, "".join(before)) == 0
    if key == "no file":
        path.unlink()
    else:
        others = {"all": "text", "of another run": results_of_voc12("mine")}
        put(path, edited(key) if key in CASES else others[key])
    text, printed = shown(voc12)
    line = f"{path}: was changed since its stage wrote it; the run's next start puts it back"
    assert line in text and printed == before[1].replace("\n\nmIoU of", f"\n\n{line}\n\nmIoU of")


@pytest.mark.parametrize("key", CASES)
@pytest.mark.parametrize("form", ["text", "md"])
def test_damaged_results_without_a_record_are_one_line_or_shown_without_that_part(voc12, root, key, form, capsys):
    """As a copy of results.json alone is. No content ends `status` or `report` in another way."""
    put(root / "results.json", edited(key))
    status.report(voc12)
    try:
        report.run(voc12, form)
        assert "55" in capsys.readouterr().out
    except InputError as error:
        assert str(error) == f"{root}/results.json: is damaged; type the run's command again, which makes it anew"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_results_that_are_no_file_are_one_line_with_the_remedy(voc12, root, make):
    make(root / "results.json")
    line = f"{root}/results.json: is damaged; type the run's command again"
    assert line in status.report(voc12)
    with pytest.raises(InputError, match=line):
        report.gathered(voc12)


def test_the_page_says_so_too(voc12, root):
    path = root / "step1/classification/log.csv"
    write_text(str(path), "iteration,loss\n")
    found = report.gathered(voc12)
    assert str(path) in page.html(voc12, found, None) and str(path) in page.markdown(voc12, found)


def test_results_of_another_experiment_are_not_shown_as_this_ones(voc12, root):
    write_json(f"{root}/results.json", results_of_voc12("mine"))
    line = "is of 'mine', not of voc12; give the run's folder its name again; or,"
    assert line in status.report(voc12)
    with pytest.raises(InputError, match=line):
        report.gathered(voc12)


def test_rows_of_other_classes_are_left_out_in_one_line_each(voc12, root):
    figures = results_of_voc12()
    figures["rows"]["psl"]["iou"] = dict(background=50.0, cow=50.0)
    figures["rows"]["ae_step1"].update(iou=dict.fromkeys(["background", *voc12.classes[1:]], 50.0))
    figures["rows"]["ae_step1"]["absent"] = [voc12.classes[0]]  # not in val: no fault
    write_json(f"{root}/results.json", figures)
    found = report.gathered(voc12)
    assert "psl" not in found["rows"] and {"ae_step1", "psl++"} <= set(found["rows"])
    for text in (status.report(voc12), *found["notes"]):
        assert f"{root}/results.json: `rows.psl` is of other classes than experiment.yaml's" in text


@pytest.mark.parametrize("name", ["demo", "rehearsal", "photos"])
def test_what_real_runs_wrote_is_shown(tmp_path, monkeypatch, name):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    write_json(f"{tmp_path}/{name}/results.json", read_json(f"docs/results/{name}.json"))
    write_json(f"{tmp_path}/{name}/done/check.json", dict(value={}))
    assert report.gathered(experiments.load(name))["notes"] == []
