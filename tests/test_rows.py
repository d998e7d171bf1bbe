"""ROW=: a run of some rows of the paper's tables. What it leaves of other rows is in test_identity."""

import pytest

from aepsl.base.errors import InputError
from aepsl.graph import graph, run_folder
from aepsl.graph.graph import Graph
from aepsl.run import rows
from aepsl.settings import experiments


@pytest.fixture(scope="module")
def voc12():
    return experiments.load("voc12")


def needed(experiment):
    return [stage.name for stage in Graph(experiment).needed() if stage.is_training]


def test_the_headline_needs_five_of_twelve_trainings(voc12):
    assert len(needed(voc12)) == 12
    steps = [f"classification.step{t}" for t in (1, 2, 3)]
    for row in ("psl++", "psl+gt", "psl++_no_policy"):
        assert needed(rows.only(Graph(voc12), [row])) == [*steps, "segmentation.psl", "segmentation.psl++"]
    assert needed(rows.only(Graph(voc12), ["ae_step1"])) == [steps[0], "segmentation.ae_step1"]


def test_rows_keep_their_order_and_what_they_are_made_of(voc12):
    few = rows.only(Graph(voc12), ["psl", "ae_step2"])
    assert few.rows == ("ae_step2", "psl") and few.mining.steps == few.mining.merge == 3
    assert rows.only(Graph(voc12), voc12.rows) == voc12
    ours, theirs = Graph(few).stages, Graph(voc12).stages
    assert all(ours[name] == theirs[name] for name in ours if name != "results")


@pytest.mark.parametrize("name", experiments.known())
def test_each_row_of_each_experiment_can_be_made_alone(name):
    graph = Graph(experiments.load(name))
    for row in graph.rows:
        alone = Graph(rows.only(graph, [row]))
        assert {stage.name for stage in alone.needed([f"segment.val.{row}"])} == {
            stage.name for stage in graph.needed([f"segment.val.{row}"])
        }


def test_a_row_that_there_is_not_is_refused(voc12):
    with pytest.raises(InputError, match=r"psl\+: no row of tables 3 and 4"):
        rows.only(Graph(voc12), ["psl", "psl+"])


@pytest.mark.parametrize(
    "name, asked, target, stays",
    [
        ("voc12", ["psl++"], "segment.test.psl++", True),
        ("voc12", ["psl++"], "segment.val.calibration", True),
        ("voc12", ["psl++"], "segment.test.ae_step4", False),  # it needs a step more
        ("rehearsal", ["ae_step3"], "segment.test.ae_step2", True),
        ("rehearsal", ["ae_step3"], "segment.test.psl", False),  # of psl_start, which ae_step3 does not use
        ("rehearsal", ["ae_step1"], "segment.test.ae_step3", False),
    ],
)
def test_an_archive_or_a_calibration_leaves_the_rows_of_the_run(tmp_path, monkeypatch, name, asked, target, stays):
    """Else its results would seem to be of an earlier start, and its report would be of steps that it does not have."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    whole = Graph(experiments.load(name))
    few = rows.only(whole, asked)
    assert rows.as_last(whole, [target]).experiment == whole.experiment  # no run yet
    graph.write(Graph(few))
    found = rows.as_last(whole, [target])
    assert found.experiment == (few if stays else whole.experiment)
    assert found.needed([target]) == whole.needed([target])
    other = Graph(experiments.changed(whole.experiment, {"crf.iterations": 5}))
    assert rows.as_last(other, [target]).experiment == other.experiment
    (tmp_path / name / "experiment.yaml").write_text("rows: [")
    assert rows.as_last(whole, [target]).experiment == whole.experiment
