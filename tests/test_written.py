"""Files of a run that were edited, or damaged: `status` and `report` say so in a line, and show the rest."""

import json
import os

import pytest

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json, write_text
from aepsl.graph import run_folder
from aepsl.report import page, report
from aepsl.run import status, written
from aepsl.settings import experiments
from aepsl.store import records
from aepsl.store.result import Made
from test_report import results_of_voc12

HUGE = 10**400


@pytest.fixture
def voc12(tmp_path, monkeypatch):
    """Settings of voc12, whose run has a finished training, and one that is under way."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    root = tmp_path / "voc12"
    write_json(f"{root}/done/check.json", dict(seconds=1, value=dict(train=10582, val=1449)))
    write_json(f"{root}/done/classification.step1.json", dict(seconds=3600, peak_mib=100, value=None))
    for step in (1, 2):
        write_text(f"{root}/step{step}/classification/solver.prototxt", "max_iter: 300")
    write_text(f"{root}/step1/classification/final.caffemodel", "")
    write_text(f"{root}/step1/classification/log.csv", "iteration,loss\n0,0.7\n9,0.3\n")
    write_json(f"{root}/step1/classification/train.json", dict(converged_loss=0.04))
    write_json(f"{root}/step1/regions.json", dict(erased=0.2, recall=0.4321, precision=0.5))
    shares = dict(erased=0.2, recall=0.5, precision=0.25)
    write_json(f"{root}/step1/thresholds.json", [[dict(of_max=0.2), shares]])
    write_json(f"{root}/step2/classification/snapshot.json", dict(iteration=100, rows=[[98, 0.5], [99, 0.25]]))
    return experiments.load("voc12")


def shown(experiment):
    """What `status` and `report` print."""
    return status.report(experiment), page.terminal(experiment, report.gathered(experiment))


def times(path, text):
    """How often a path is in a text, whose lines may break it."""
    return "".join(text.split()).count(str(path))


UNFINISHED = {
    "done/classification.step1.json": [dict(seconds=float("nan")), dict(seconds=float("inf")), dict(seconds=1e30)],
    "done/check.json": [dict(value=dict(train=HUGE)), dict(value=None), []],
    "step1/classification/log.csv": ["iteration,loss\n", "iteration,loss\n0,nan\n", "", "iteration,loss\n0,1e99\n"],
    "step1/classification/train.json": [dict(converged_loss=None), dict(converged_loss=float("inf")), {}],
    "step1/regions.json": [dict(erased=HUGE), dict(erased="half"), {}],
    "step1/thresholds.json": [[1], [[dict(of_max=1), 2]], [[{}, {}]], "text"],
    "step2/classification/snapshot.json": [dict(iteration=3, rows=[]), dict(iteration="3", rows=[[1, 2]]), []],
    "step2/classification/progress.json": [dict(iteration=3, loss=float("nan")), dict(iteration=3), 1],
}


@pytest.mark.parametrize("stage", ["results", "thresholds", "background", "regions", "train", "snapshot", "check", "x"])
def test_the_mark_of_a_stage_is_not_taken_for_the_file_that_it_wrote(voc12, tmp_path, stage):
    """done/results.json has the time of the stage `results`, and results.json the figures."""
    value = dict(train=10582, val=1449) if stage == "check" else None
    write_json(f"{tmp_path}/voc12/done/{stage}.json", dict(seconds=2, peak_mib=100, started=1.5, value=value))
    for text in shown(voc12):
        assert f"done/{stage}.json" not in "".join(text.split())


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_results_that_are_no_file_are_one_line_with_the_remedy(voc12, tmp_path, make):
    path = f"{tmp_path}/voc12/results.json"
    make(path)
    assert f"{path}: is no file, but a folder, a pipe or a device; it is left out here" in status.report(voc12)


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_file_that_does_not_fit_is_one_line_and_the_rest_is_shown(voc12, tmp_path, name):
    path = tmp_path / "voc12" / name
    is_in_both, is_in_status = name.startswith("done"), name.startswith("step2")
    for content in UNFINISHED[name]:
        write_text(str(path), content if name.endswith(".csv") else json.dumps(content))
        text, printed = shown(voc12)
        assert times(path, printed) == 1 and times(path, text) == int(is_in_both or is_in_status), content
        assert "segmentation.psl++" in text and "Not done yet" in printed
        assert ("43.2" in printed) == (name not in ("step1/regions.json", "step1/classification/train.json"))


RESULTS = {
    "rows.psl.miou": HUGE,
    "rows.psl.iou": dict(background=50.0),
    "rows.psl": None,
    "rows": "text",
    "seconds.mine.step1": float("nan"),
    "mining.step2.recall": "half",
    "mining": {"step1x": {}},
    "losses.step1": [],
    "psl": dict(psl=dict(r=[])),
    "thresholds": [1],
    "background": dict(cue=None),
    "examples": dict(best=[1]),
    "main": None,
    "host": 7,
}


def damaged(key):
    """Figures of which one is as RESULTS says."""
    figures = results_of_voc12()
    inner, last = figures, key
    if key.startswith("seconds."):
        inner, last = figures["seconds"], key[len("seconds.") :]
    while "." in last and inner is not figures["seconds"]:
        first, _, last = last.partition(".")
        inner = inner[first]
    inner[last] = RESULTS[key]
    return figures


@pytest.mark.parametrize("key", RESULTS)
def test_a_figure_of_results_that_does_not_fit_is_one_line_and_the_rest_is_shown(voc12, tmp_path, key):
    path, first = str(tmp_path / "voc12/results.json"), key.split(".")[0]
    missing = results_of_voc12()
    del missing[first]
    for figures in (damaged(key), missing):
        write_json(path, figures)
        text, printed = shown(voc12)
        line = next(line for line in printed.splitlines() if path in line)
        assert f"`{first}" in line and line.endswith(written.REMEDY) and times(path, printed) == times(path, text) == 1
        assert "Made on" in printed or first == "host"
        assert ("57.0" in printed.splitlines()[-1]) == (first != "rows" or "psl++" in figures.get("rows", {}))


def test_the_page_and_its_charts_say_so_too(voc12, tmp_path):
    """Of a log without a row; of results that lack all that a chart shows."""
    path = f"{tmp_path}/voc12/step1/classification/log.csv"
    write_text(path, "iteration,loss\n")
    assert path in page.html(voc12, report.gathered(voc12), None)
    path = f"{tmp_path}/voc12/results.json"
    write_json(path, dict(experiment="voc12", rows=dict(psl=1), losses=dict(step1=[[0, float("inf")]])))
    found = report.gathered(voc12)
    html, markdown = page.html(voc12, found, None), page.markdown(voc12, found)
    assert html.count(path) == markdown.count(path) == 3  # the row, the loss, and all that is missing
    assert "`main`, `mining`, `psl`" in markdown


def test_figures_that_were_edited_are_said(voc12, tmp_path):
    """Also where they fit the schema: the run's record knows what its stage wrote."""
    path = f"{tmp_path}/voc12/results.json"
    figures = results_of_voc12()
    write_json(path, figures)
    records.keep(f"{tmp_path}/voc12", "results", "word", Made([], [path], dict(sha256="")), dict(seconds=1))
    assert times(path, "".join(shown(voc12))) == 0
    figures["rows"]["psl++"]["miou"] = 99.0
    write_json(path, figures)
    for text in shown(voc12):
        assert "results.json: was changed since its stage wrote it" in " ".join(text.split())


def test_results_of_another_experiment_are_not_shown_as_this_ones(voc12, tmp_path):
    write_json(f"{tmp_path}/voc12/results.json", results_of_voc12("mine"))
    with pytest.raises(InputError, match="is of 'mine', not of voc12; give the run's folder its name again; or,"):
        report.gathered(voc12)


@pytest.mark.parametrize("name", ["demo", "rehearsal", "photos"])
def test_what_real_runs_wrote_fits(tmp_path, monkeypatch, name):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    write_json(f"{tmp_path}/{name}/results.json", read_json(f"docs/results/{name}.json"))
    write_json(f"{tmp_path}/{name}/done/check.json", dict(value={}))
    assert report.gathered(experiments.load(name))["notes"] == []
