"""What a sweep may change, and its table."""

import json
import os
import re

import pytest

from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.evaluation import evaluate
from aepsl.graph.graph import Graph, Start
from aepsl.images.pictures import read_indexed
from aepsl.paper import recipes
from aepsl.run import sweep
from aepsl.settings import experiments
from small_run import Run


def test_changes_are_laid_over_the_settings():
    demo = experiments.load("demo")
    changes = sweep.changes_of(demo, ["psl_start=step1", "training.psl.epochs=48"])
    found = sweep.Variant(demo, changes).experiment
    assert found.psl_start == "step1" and found.training.psl.epochs == 48
    assert found.training.segmentation == demo.training.segmentation
    assert demo.psl_start == "ae_step3" and demo.training.psl.epochs == 24


@pytest.mark.parametrize(
    "change, complaint",
    [
        ("seed=2", "a sweep can change"),
        ("psl_starts=initial", "a sweep can change"),
        ("training.classification.lr=1", "a sweep can change"),
        ("psl_start", "give KEY=VALUE"),
        ("psl_start=ae_step5", "it must be at most ae_step4"),
        ("training.psl.rate=1", "is no setting"),
        ("psl.prohibited=[1", ": not YAML: "),
        ("psl.prohibited=2001-99-99", ": not YAML: "),
        ("training.psl.batch=010", "YAML reads 010 as 8; write it without"),
        ("training.psl.epochs=1:30", "YAML reads 1:30 as 90; write it without"),
        ("crf={iterations: 1, iterations: 2}", "`iterations` is in line 1 already"),
        ("psl.prohibited=!!python/name:os.system", ": not YAML: "),
    ],
)
def test_a_change_that_makes_another_run_is_refused(change, complaint):
    with pytest.raises(InputError, match=complaint):
        sweep.changes_of(experiments.load("demo"), [change])


@pytest.mark.parametrize("second", ["crf.iterations=5", "crf={iterations: 5}"])
def test_a_setting_given_twice_is_refused(second):
    first = "crf.iterations=3"
    for typed in ([first, second], [second, first]):
        with pytest.raises(InputError, match="`crf.* has a value already; give it once"):
            sweep.changes_of(experiments.load("demo"), typed)


def variant(seed=1, *changes):
    demo = experiments.load("demo")
    return sweep.Variant(demo, {**sweep.changes_of(demo, changes), "seed.training": seed})


def test_a_net_is_trained_once_for_each_seed_and_settings():
    """Its folder has its name."""
    net = lambda name, *more: variant(*more).net(name)  # noqa: E731
    start, longer = "psl_start=step1", "training.segmentation.epochs=48"
    assert net("ae_step3", 1, start) == net("ae_step3") == "ae_step3" != net("ae_step3", 2)
    assert net("psl", 1, start, longer) == net("psl", 1, start) != net("psl") == "psl"
    assert net("psl", 1, "psl_start=initial") != net("psl", 1, start)
    assert net("psl", 1, longer) != net("psl")  # what it starts from, ae_step3, is another net
    both = "psl_start=ae_step3+step1"
    assert len({net("psl"), net("psl", 1, both), net("psl", 2, both), net("psl", 1, both, longer)}) == 4
    own = variant(1, both, longer)
    assert own.nets[own.net("psl")].start == own.net("ae_step3") + "+step1" != "ae_step3+step1"


def test_a_row_is_segmented_once_for_each_net_and_settings():
    row = lambda name, *more: variant(*more).row(name)  # noqa: E731
    assert row("psl") == row("psl", 1, "psl.prohibited=0.1") == "psl" != row("psl", 1, "psl.prohibited=0.2")
    assert row("psl", 1, "crf.iterations=5") != row("psl", 2) != row("psl")


def test_a_row_is_not_segmented_anew_for_settings_of_v_that_it_does_not_use():
    """One whose net has no v, or whose maps have no weights; its stage's word is the run's, too."""
    row = lambda name, *more: variant(*more).row(name)  # noqa: E731
    assert row("ae_step3", 1, "psl.v=of_max", "psl.prohibited=0.2") == "ae_step3"
    assert row("psl_no_policy", 1, "psl.prohibited=0.2") == "psl_no_policy"
    assert row("ae_step3", 2, "psl.v=of_max") == row("ae_step3", 2) != "ae_step3"
    assert row("ae_step3", 1, "psl.v=of_max", "crf.iterations=5") == row("ae_step3", 1, "crf.iterations=5")
    for name, change in (("psl", "psl.prohibited=0.2"), ("psl_no_policy", "psl={v: of_max}"), ("psl", "psl.v=of_max")):
        assert row(name, 1, change) != name
    as_it_is, changed = variant(2), variant(2, "psl.v=of_max")
    assert as_it_is.row("ae_step3") == changed.row("ae_step3")
    assert (as_it_is.nets, as_it_is.rows) == (changed.nets, changed.rows) != ({}, {})


def test_a_net_and_a_row_keep_their_own_changes(monkeypatch):
    """Those of an ablation; a sweep's are laid below them, as if experiment.yaml had them."""
    nets, rows = recipes.nets, recipes.rows
    slow = recipes.Net("psl", "merged", "predicted", {"training.psl.lr": 0.001, "psl_start": "step1"})
    finer = recipes.Row("slow", "predicted", changes={"crf.iterations": 5})
    monkeypatch.setattr(recipes, "nets", lambda steps: {**nets(steps), "slow": slow})
    monkeypatch.setattr(recipes, "rows", lambda steps: {**rows(steps), "finer": finer})
    own = variant(2, "training.psl.lr=0.02", "training.psl.epochs=5", "crf={iterations: 3, gaussian: {xy: 1}}")
    row = own.row("finer")
    graph = Graph(own.base.experiment, Start(nets=own.nets, rows=own.rows))
    segment = graph.stages[f"segment.val.{row}"]
    (net,) = [graph.stages[name] for name in segment.needs]
    psl, crf = graph.settings_of(net).training.psl, graph.settings_of(segment).crf
    assert (psl.lr, psl.epochs, crf.iterations, crf.gaussian.xy) == (0.001, 5, 5, 1)
    assert net.needs == ("classification.step1", "masks.ae_step3") and graph.settings_of(net).seed.training == 2


def test_the_nets_and_rows_of_a_sweep_are_stages_beside_those_of_the_tables():
    other = variant(2, "training.psl.lr=0.02", "crf.iterations=5")
    row = other.row("psl")
    graph = Graph(other.base.experiment, Start(nets=other.nets, rows=other.rows))
    segment = graph.stages[f"segment.val.{row}"]
    (net,) = [graph.stages[name] for name in segment.needs]
    assert (graph.settings_of(segment).crf.iterations, graph.settings_of(net).training.psl.lr) == (5, 0.02)
    assert graph.settings_of(net).seed.training == 2 and net.name not in Graph(other.base.experiment).stages
    start, *masks = net.needs  # what psl starts from is another net, too; the masks are the run's
    assert start == f"segmentation.{other.net('ae_step3')}" != "segmentation.ae_step3" and masks == ["masks.ae_step3"]


def test_what_psl_starts_from():
    def weights(net, of="weights", **more):
        return Graph(experiments.changed(experiments.load("demo"), more)).stages[f"segmentation.{net}"].paths.get(of)

    step1 = "runs/demo/step1/classification/final.caffemodel"
    assert weights("psl++") == "runs/demo/segmentation/ae_step3/final.caffemodel"
    assert weights("ae_step3") == weights("psl", psl_start="step1") == step1
    assert weights("psl", psl_start="initial") is None
    assert weights("psl", psl_start=None) == step1
    both = dict(psl_start="ae_step3+step1")
    assert weights("psl", **both) == "runs/demo/segmentation/ae_step3/final.caffemodel"
    assert weights("psl", "classifier", **both) == weights("psl++", "classifier", **both) == step1
    assert weights("ae_step3", "classifier", **both) is weights("psl", "classifier") is None


@pytest.mark.parametrize("typed", [["--seeds", "1,2,1"], ["--rows", "psl,psl"]])
def test_what_is_named_twice_is_refused(typed):
    with pytest.raises(InputError, match=f"{typed[0]}: names one twice"):
        sweep.main(["demo", *typed])


def test_rows_without_the_runs_masks_are_refused():
    for row in ("ae_step3", "ae_step4", "psl", "calibration"):
        variant().row(row)
    for row in ("psl++", "psl+gt"):
        with pytest.raises(InputError, match=f"{re.escape(row)}: learns from masks of another net; a sweep takes rows"):
            variant().row(row)
    with pytest.raises(InputError, match="psl3: no row of tables 3 and 4"):
        variant().row("psl3")


def test_the_table_has_means_ranges_and_differences_by_seed():
    rows = lambda *miou: [dict(miou=each, miou_no_crf=each - 10) for each in miou]  # noqa: E731
    found = dict(seeds=[1, 2], rows=["a", "b"], settings=[dict(changes=[], rows=dict(a=rows(60, 70), b=rows(63, 69)))])
    assert sweep.table(found).text().splitlines()[4].split() == (
        "b 66.0 (63.0 … 69.0) 56.0 (53.0 … 59.0) 1.0 (−1.0 … 3.0)".split()
    )


@pytest.mark.long
def test_a_sweep_with_the_runs_own_settings_and_seed_gives_its_rows(tmp_path):
    run = Run(tmp_path)
    command = ["sweep", "tiny", "--rows", "ae_step1,psl", "--seeds", "1,2", "--set", "training.psl.lr=0.02"]
    done = run.command(*command)
    assert done.returncode == 0, done.stderr
    folder = run.tree / "runs/tiny"
    rows = json.loads((folder / "results.json").read_text())["rows"]
    found = json.loads((folder / "sweep.json").read_text())
    as_it_is, changed = (each["rows"] for each in found["settings"])
    for name in ("ae_step1", "psl"):
        first, second = as_it_is[name]
        assert {key: first[key] for key in rows[name]} == rows[name]
        models = [run.tree / each / "final.caffemodel" for each in (first["folder"], second["folder"])]
        assert models[0].read_bytes() == (folder / "segmentation" / name / "final.caffemodel").read_bytes()
        assert models[0].read_bytes() != models[1].read_bytes()
    expected = json.loads((folder / "start.json").read_text())["seconds"]  # for the time left, and what starts first
    for net in [os.path.basename(row["folder"]) for row in as_it_is["psl"] + changed["psl"]]:
        assert expected[f"segmentation.{net}"] > 0
    assert "relabel.psl" not in expected
    dataset, segmented = Dataset(str(run.data)), run.tree / first["folder"].replace("segmentation/", "val/")
    truths = {image_id: read_indexed(dataset.mask_folder() + f"/{image_id}.png") for image_id in dataset.ids("val")}
    kinds = {"one_class": [], "several_classes": []}
    for image_id, truth in truths.items():
        kinds["one_class" if len(set(truth.ravel()) - {0, 255}) == 1 else "several_classes"].append(image_id)
    names = ["background", *dataset.classes]
    for kind, ids in kinds.items():
        for found, masks in zip(first[kind], ("crf", "plain")):
            given = str(segmented / masks), dataset.mask_folder(), ids, dataset.values, names
            assert found == (evaluate.run(*given)["miou"] if ids else None)
    assert as_it_is["ae_step1"] == changed["ae_step1"] and as_it_is["psl"][0]["folder"] != changed["psl"][0]["folder"]
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.caffemodel")}
    assert sorted(run.command(*command).stdout.splitlines()) == sorted(done.stdout.splitlines())
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.caffemodel")}


def test_the_table_has_means_ranges_and_what_s_hat_keeps():
    def seed(miou, s_hat=None):
        psl = dict(psl=dict(S_hat_objects=s_hat, S_objects=[0.5, 0.25, 0.4])) if s_hat else {}
        parts = dict(one_class=[miou + 5, miou], several_classes=[None, None] if s_hat else [miou - 9, miou])
        return dict(miou=miou, miou_no_crf=miou - 10, **parts, **psl)

    rows = dict(ae_step3=[seed(50), seed(54)], psl=[seed(53, [0.1, 0, 0.2]), seed(52, [0.3, 0, 0.28])])
    found = dict(seeds=[1, 2], rows=["ae_step3", "psl"], settings=[dict(changes=["crf.iterations=5"], rows=rows)])
    lines = [line.split() for line in sweep.table(found).text().splitlines()]
    assert lines[2] == ["crf.iterations=5"]
    assert lines[3] == "ae_step3 52.0 (50.0 … 54.0) 42.0 (40.0 … 44.0) 57.0 / 52.0 43.0 / 52.0".split()
    s_hat = "0.40, then 0.60"
    assert lines[4] == f"psl 52.5 (52.0 … 53.0) 42.5 (42.0 … 43.0) 0.5 (−2.0 … 3.0) 57.5 / 52.5 {s_hat}".split()
