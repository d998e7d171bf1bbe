"""What a stage's word depends on: seeds, and the changes of a net or a row."""

import pytest

from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.graph import graph
from aepsl.nets import build
from aepsl.paper.recipes import Net, Row
from aepsl.run import job, start
from aepsl.settings import experiments
from aepsl.stages import train
from aepsl.store import digests, records

DEMO = experiments.load("demo")
CONTENTS = {f"{key}.{part}": "a" for key in ("train", "val", "test") for part in ("images", "labels", "masks")}
CONTENTS.update({f"net.{task}": "a" for task in experiments.TASKS}, weights=None, fc6_fc7=None, detector="a")


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """Each stage has made what its name says."""
    monkeypatch.setattr(records, "contents", lambda run, jobs: jobs[0])


def words(experiment=DEMO, nets=(), rows=()):
    """{stage: its word}."""
    found = graph.Graph(experiment, graph.Start(contents=CONTENTS, nets=dict(nets), rows=dict(rows)))
    return {name: found.word(stage) for name, stage in found.stages.items()}


def differing(one, other):
    """The stages of another word."""
    assert one.keys() == other.keys()
    return {name for name in one if one[name] != other[name]}


def test_each_seed_is_of_its_own_stages():
    """seed.data changes the images, and words have the images' contents."""
    stages = graph.Graph(DEMO).stages
    expected = {
        "seed.data": set(),
        "seed.training": {name for name, stage in stages.items() if stage.is_training},
        "seed.report": {name for name, stage in stages.items() if stage.kind in ("mine", "relabel", "results")},
    }
    for key, names in expected.items():
        assert differing(words(), words(experiments.changed(DEMO, {key: 2}))) == names
    assert len(expected["seed.training"]) > 8 and len(expected["seed.report"]) > 4


def test_each_seed_draws_what_it_is_named_for(tmp_path):
    """Training: the order of images, dropout, new layers, all from the solver's; data: the images. See also mine."""
    small = experiments.changed(DEMO, {"synthetic": dict(train=3, val=2)})
    drawn, solvers = {}, {}
    for key in ("seed.report", "seed.training", "seed.data"):
        experiment = experiments.changed(small, {key: 2})
        start._draw(experiment, str(tmp_path / key), str(tmp_path / key / "data"))
        dataset = Dataset(str(tmp_path / key / "data"))
        drawn[key] = digests.of(map(dataset.image_path, dataset.ids("train_aug")))
        solvers[key] = build.solver(experiment, "psl", "net", 6, "prefix"), build.train_net(experiment, "psl")
    assert drawn["seed.report"] == drawn["seed.training"] != drawn["seed.data"]
    assert solvers["seed.report"] == solvers["seed.data"] != solvers["seed.training"]
    assert "random_seed: 2" in solvers["seed.training"][0] and "random_seed: 1" in solvers["seed.data"][0]


@pytest.mark.parametrize(
    "changes, names",
    [
        ({"training.psl.lr": 0.001}, {"segmentation.mine"}),
        ({"training.psl": dict(epochs=2, batch=3)}, {"segmentation.mine"}),
        ({"training.segmentation.lr": 0.001}, set()),
        ({"psl_start": "initial"}, {"segmentation.mine"}),
        ({"psl.prohibited": 0.3}, {"relabel.mine", "segment.val.mine", "segment.test.mine"}),
        ({"psl.v": "of_max"}, {"segmentation.mine", "relabel.mine", "segment.val.mine", "segment.test.mine"}),
        ({"seed.training": 2, "crf.iterations": 1}, {"segmentation.mine", "relabel.mine"}),
    ],
)
def test_the_changes_of_a_net_are_of_its_stages_alone(changes, names):
    rows = dict(mine=Row("mine", "predicted"))
    nets = [dict(mine=Net("psl", "merged", "predicted", each)) for each in ({}, changes)]
    found = differing(words(nets=nets[0], rows=rows), words(nets=nets[1], rows=rows))
    assert names <= found <= {"segmentation.mine", "relabel.mine", "segment.val.mine", "segment.test.mine"}
    if len(changes) == 1:
        assert found == names


def test_the_changes_of_a_row_are_of_its_stages_alone():
    rows = [dict(mine=Row("psl", "predicted", changes=each)) for each in ({}, {"crf.iterations": 1})]
    found = differing(*(words(rows=each) for each in rows))
    assert found == {"segment.val.mine", "segment.test.mine"}


def test_a_stage_runs_with_the_settings_of_its_net_and_row(tmp_path, monkeypatch):
    """Also as the run's folder has them: a job reads what its start has written."""
    nets = dict(mine=Net("psl", "merged", "predicted", {"training.psl.lr": 0.001, "psl_start": "initial"}))
    rows = dict(mine=Row("mine", "predicted", changes={"crf.iterations": 1}))
    written = graph.Graph(DEMO, graph.Start("data", contents=CONTENTS, nets=nets, rows=rows), str(tmp_path))
    graph.write(written)
    found = graph.read(written.run.path, str(tmp_path))
    settings = {name: found.settings_of(stage) for name, stage in found.stages.items()}
    assert experiments.changed(DEMO, nets["mine"].changes) == settings["segmentation.mine"] == settings["relabel.mine"]
    assert settings["segment.val.mine"] == experiments.changed(settings["relabel.mine"], rows["mine"].changes)
    assert all(each == DEMO for name, each in settings.items() if not name.endswith(".mine"))
    assert not [name for name in found.stages["segmentation.mine"].needs if name.startswith("segmentation.")]
    assert "segmentation.ae_step3" in found.stages["segmentation.psl"].needs  # the demo's psl_start, of PSL alone
    assert found.stages["segmentation.ae_step4"].needs == ("classification.step1", "masks.ae_step4")
    monkeypatch.setattr(train, "run", lambda experiment, word, **more: (experiment, word))
    for name in ("segmentation.mine", "segmentation.psl"):
        given, word = job._call(found, found.stages[name], name, "word", 1)
        assert given.training.psl == settings[name].training.psl and word == "word"
        with pytest.raises(AttributeError, match="mining"):
            str(given.mining.threshold)  # what no word of the stage knows


@pytest.mark.parametrize("key", ["data.train", "seed", "mining.threshold", "channels", "data", "training_"])
def test_a_change_that_a_word_does_not_know_is_one_line(key):
    for nets, rows in (
        (dict(mine=Net("psl", "merged", "none", {key: 1})), {}),
        ({}, dict(mine=Row("psl", "none", changes={key: 1}))),
    ):
        with pytest.raises(InputError) as error:
            words(nets=nets, rows=rows)
        assert str(error.value).startswith(f"aepsl/paper/recipes.py: mine changes `{key}`; it may change ")


@pytest.mark.parametrize("source", ["step9", "mergd", "ae_step1", "calibration", ""])
def test_an_unknown_source_of_masks_is_one_line(source):
    with pytest.raises(InputError) as error:
        words(nets=dict(mine=Net("segmentation", source, None)))
    known = "step1, step2, step3, step4, merged, truth, psl, psl_labels, psl_none, psl++"
    line = f"aepsl/paper/recipes.py: the net mine learns from the masks {source!r}; there are {known}"
    assert str(error.value) == line
