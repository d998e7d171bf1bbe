"""The one graph: what each stage is made of, in which order, and that a stage reads no other settings."""

import pickle

import pytest

from aepsl.base.errors import InputError
from aepsl.graph.graph import Graph
from aepsl.paper import recipes
from aepsl.run.job import FREE
from aepsl.settings import check, experiments
from aepsl.settings.typed import Only

# What the graph itself reads: which stages there are, and what they need or are given; or what its inputs hold.
OF_THE_GRAPH = {
    "segmentation_start",
    "psl_start",
    "shards",
    "initial_weights",
    "synthetic.train",
    "synthetic.val",
    "seed.data",
    "data.test",
    "data.train_images",
    "background.detector",
}


@pytest.fixture
def demo():
    return experiments.load("demo")


def test_every_setting_is_one_that_a_stage_is_made_of_or_the_graph(demo):
    known = {key for stage in Graph(demo).stages.values() for key in stage.settings} | set(FREE) | OF_THE_GRAPH
    leaves = {check.dotted(path) for path in check.all_settings(check.schema(), ())}
    leaves -= {key for key in leaves if any(other.startswith(key + ".") for other in leaves)}  # groups
    covered = {leaf for leaf in leaves if any(leaf == key or leaf.startswith(key + ".") for key in known)}
    of_thresholds = {leaf for leaf in leaves if leaf.startswith("mining.threshold.")}
    assert leaves - covered - of_thresholds == set()


def test_a_stage_can_read_what_it_names_and_nothing_else(demo):
    own = Only(demo, ("data.scale", "crf", "training.psl", "name"))
    assert (own.data.scale, own.crf.bilateral.xy, own.training.of("psl").lr, own.name) == (0.75, 31, 0.03, "demo")
    for read in (
        lambda: own.data.crop,
        lambda: own.mining,
        lambda: own.training.of("segmentation"),
        lambda: own.training.segmentation.lr,
        lambda: own.data.list_of("val"),
        lambda: own.value,  # it, and the next, would read any
        lambda: own.settings,
    ):
        with pytest.raises(AttributeError, match="does not declare that it reads"):
            read()


def test_a_frozen_setting_cannot_be_assigned(demo):
    with pytest.raises(AttributeError):
        demo.data.scale = 1
    with pytest.raises(AttributeError):
        demo.mining.threshold["of_max"] = 1
    again = pickle.loads(pickle.dumps(demo))
    assert again == demo and again.settings() == experiments.load("demo").settings()


@pytest.mark.parametrize("name", experiments.known())
def test_every_stage_stands_behind_all_that_it_needs(name):
    seen = set()
    for stage in Graph(experiments.load(name)).needed():
        assert set(stage.needs) <= seen, stage.name
        seen.add(stage.name)
    assert "results" in seen


def test_what_waits_longest_starts_first(demo):
    graph = Graph(demo)
    waits = graph.longest(dict.fromkeys(graph.stages, 1))
    assert waits["relabel.psl"] > max(waits["segmentation.psl_labels"], waits["segmentation.psl_none"])
    assert waits["classification.step1"] == max(waits.values()) and waits["results"] == 1


def test_a_net_of_other_settings_is_another_stage_and_leaves_the_others_alone(demo, monkeypatch):
    before = dict(Graph(demo).stages)
    nets, rows = recipes.nets, recipes.rows
    slow = recipes.Net("psl", "merged", "predicted", changes={"training.psl.lr": 0.001})
    monkeypatch.setattr(recipes, "nets", lambda steps: {**nets(steps), "slow": slow})
    finer = recipes.Row("slow", "predicted", changes={"crf.iterations": 5})
    monkeypatch.setattr(recipes, "rows", lambda steps: {**rows(steps), "slow": finer})
    graph = Graph(demo)
    assert {name: graph.stages[name] for name in before} == before
    assert graph.settings_of(graph.stages["segmentation.slow"]).training.psl.lr == 0.001
    changed = graph.settings_of(graph.stages["segment.val.slow"])
    assert (changed.crf.iterations, changed.training.psl.lr) == (5, 0.001)
    assert graph.settings_of(graph.stages["segmentation.psl"]) is demo


@pytest.mark.parametrize("masks", ["step9", "mergde", "ae_step1"])
def test_an_unknown_source_of_masks_is_one_line(demo, monkeypatch, masks):
    nets = recipes.nets
    added = recipes.Net("segmentation", masks, None)
    monkeypatch.setattr(recipes, "nets", lambda steps: {**nets(steps), "new": added})
    with pytest.raises(InputError, match=f"the net new learns from the masks '{masks}'; there are step1, step2, "):
        Graph(demo)


def test_a_net_may_stand_before_those_that_it_needs(demo, monkeypatch):
    nets = recipes.nets
    first = {"early": recipes.Net("psl", "psl", "predicted")}
    monkeypatch.setattr(recipes, "nets", lambda steps: {**first, **nets(steps)})
    graph = Graph(demo)
    names = list(graph.stages)
    assert all(names.index(other) < names.index(name) for name in names for other in graph.stages[name].needs)
    assert "relabel.psl" in graph.stages["segmentation.early"].needs


def test_a_net_that_waits_for_itself_is_one_line(demo, monkeypatch):
    nets = recipes.nets
    monkeypatch.setattr(recipes, "nets", lambda steps: {**nets(steps), "loop": recipes.Net("psl", "loop", "labels")})
    with pytest.raises(InputError, match="relabel.loop needs segmentation.loop, which waits for it"):
        Graph(demo)


def test_a_start_that_is_no_net_is_one_line(demo, monkeypatch):
    nets = recipes.nets
    begun = recipes.Net("psl", "merged", "labels", start="nothing")
    monkeypatch.setattr(recipes, "nets", lambda steps: {**nets(steps), "begun": begun})
    with pytest.raises(InputError, match="segmentation.begun needs segmentation.nothing, which is declared nowhere"):
        Graph(demo)
