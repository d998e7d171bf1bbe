"""The graph of a run: its stages, what each is made of, and which must be done again.

A stage's identity is one word (Graph.word): a SHA-256 of its settings, of the contents of its inputs, and of the
results of the stages that it needs. A stage is done again (Graph.outdated) if its word differs from its record's, if a
file of its result is damaged, or if a stage that it needs is done again. If its word is then found to be the same, its
result is kept (records.done).
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json, write_text
from aepsl.graph import erasing, segmentation
from aepsl.graph.run_folder import RunFolder
from aepsl.graph.stage import Stage
from aepsl.paper import recipes
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.store import digests, records

Contents = dict[str, Optional[str]]  # {input: SHA-256 of its content, None where it is missing}, see aepsl.run.inputs


class Start(NamedTuple):
    """The options of `aepsl run`, resolved, with the contents of the inputs.

    data: a path; weights, maps: the user's paths, or None; targets: the stages to be done; last: the command after
    them, as words; seconds: {stage: its expected time}; nets, rows: of a sweep, added to those of tables 3 and 4.
    """

    data: str = ""
    weights: Optional[str] = None
    maps: Optional[str] = None
    contents: Contents = {}
    targets: Sequence[str] = ("results",)
    last: Sequence[str] = ()
    gpus: int = 0
    cores: int = 1
    seconds: dict[str, float] = {}
    nets: dict[str, recipes.Net] = {}
    rows: dict[str, recipes.Row] = {}


class Graph:
    """The graph of an experiment's run; root: the folder of all runs. InputError for an experiment's unknown row."""

    def __init__(self, experiment: Experiment, start: Optional[Start] = None, root: Optional[str] = None) -> None:
        start = start or Start()
        self.experiment, self.start, self.run = experiment, start, RunFolder(experiment.name, root)
        steps = experiment.mining.steps
        self.nets, self.rows = {**recipes.nets(steps), **start.nets}, {**recipes.rows(steps), **start.rows}
        self.given = dict(weights=start.weights, maps=start.maps)
        for row in experiment.rows:
            self.checked_row(row)
        declared = {stage.name: stage for stage in (*erasing.stages(self), *segmentation.stages(self))}
        self.stages: dict[str, Stage] = {}  # each after all that it needs
        for name in declared:
            self._add(name, declared)
        self.parts = [f"{k}-{experiment.shards}" for k in range(1, experiment.shards + 1)]

    def _add(self, name: str, declared: dict[str, Stage], waiting: tuple[str, ...] = ()) -> None:
        """Add a stage after all that it needs. InputError if it is not declared, or if stages need each other."""
        if name in waiting or name not in declared:
            why = "waits for it" if name in waiting else "is declared nowhere"
            raise InputError(f"aepsl/paper/recipes.py: {waiting[-1]} needs {name}, which {why}")
        if name in self.stages:
            return
        stage, given = declared[name], self.given
        reads = {argument: source for argument, source in stage.reads.items() if source}
        needs = dict.fromkeys([*(source for source in reads.values() if source not in given), *stage.needs])
        for other in needs:
            self._add(other, declared, (*waiting, name))
        paths = {key: given[each] if each in given else self.stages[each].result for key, each in reads.items()}
        inputs = (*stage.inputs, *(source for source in reads.values() if source in given))
        self.stages[name] = stage._replace(needs=tuple(needs), inputs=inputs, paths=paths)

    def word(self, stage: Stage) -> Optional[str]:
        """Identifies what the stage's result is made of; None where a stage that it needs has no record yet."""
        made = {name: records.contents(self.run.path, self.jobs(name)) for name in stage.needs}
        if None in made.values():
            return None
        experiment = self.settings_of(stage)
        return digests.of_value(
            dict(
                kind=stage.kind,
                settings={key: experiment.value(key) for key in stage.settings},
                inputs={name: self.start.contents[name] for name in stage.inputs},
                stages=made,
                options=stage.options,
            )
        )

    def outdated(
        self, targets: Iterable[str], word_of: Callable[[str, str], Optional[str]] = records.word_of
    ) -> dict[str, list[str]]:
        """{stage: its jobs that must be done again} for `targets`.

        word_of(run, job): the word of the result that is there; None if that is missing, or not complete.
        """
        found: dict[str, list[str]] = {}
        for stage in self.needed(targets):
            word = None if found.keys() & stage.needs else self.word(stage)
            there = {job: word_of(self.run.path, job) for job in self.jobs(stage.name)}
            jobs = [job for job in there if word is None or there[job] != word]
            if jobs:
                found[stage.name] = jobs
        return found

    def undone(self, targets: Iterable[str], dry: bool = False) -> list[str]:
        """The jobs that must be done for `targets`. Repairs damaged results, and removes the marks of these jobs.

        dry: changes no file.
        """
        jobs = sum(self.outdated(targets, functools.partial(records.heal, dry=dry)).values(), [])
        for job in jobs if not dry else ():
            records.unmark(self.run.path, job)
        return jobs

    def settings_of(self, stage: Stage) -> Experiment:
        """The experiment with the changes of the stage's net."""
        return experiments.changed(self.experiment, stage.changes)

    def checked_row(self, row: str) -> str:
        """`row`; InputError if neither tables 3 and 4 nor our additions have such a row."""
        if row not in self.rows:
            fault = f"{row or repr(row)}: no row of tables 3 and 4"
            raise InputError(f"{fault}; `rows` in experiment.yaml and ROW= take {', '.join(self.rows)}")
        return row

    def needed(self, targets: Iterable[str] = ("results",)) -> list[Stage]:
        """`targets` and the stages that they need: each after all that it needs, else in the order of the paper."""
        wanted = list(targets)
        for name in wanted:  # grows in the loop
            wanted += [other for other in self.stages[name].needs if other not in wanted]
        return [stage for name, stage in self.stages.items() if name in wanted]

    def shown(self) -> list[Stage]:
        """The stages of the start that take long: those that train, or process many images."""
        return [stage for stage in self.needed(self.start.targets) if stage.is_training or stage.images]

    def jobs(self, name: str) -> list[str]:
        """The names of a stage's jobs: one for each share of its images."""
        return [f"{name}.{part}" for part in self.parts] if self.stages[name].images else [name]

    def marks(self, names: Iterable[str]) -> list[str]:
        """The marks of all jobs of some stages, as paths from the run's folder."""
        return [records.mark_of("", job) for name in names for job in self.jobs(name)]

    def is_done(self, name: str) -> bool:
        """Whether the marks of all jobs of a stage exist."""
        return all(os.path.exists(os.path.join(self.run.path, mark)) for mark in self.marks([name]))

    def resources(self, stage: Stage) -> tuple[int, int]:
        """(cores, GPUs) that a job of the stage takes."""
        start = self.start
        gpus = min(1, start.gpus) if stage.has_net else 0
        if stage.is_training:
            return self.experiment.data.workers + 1 if gpus else self.experiment.threads, gpus
        if stage.module.endswith("segment"):  # the CRF's processes
            return max(1, start.cores // (start.gpus or len(self.parts))), gpus
        return 1, gpus

    def longest(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """{stage: seconds from its start to the end of the last stage that needs it}; the longest starts first."""
        waits: dict[str, float] = {}
        for stage in reversed(list(self.stages.values())):
            own = seconds.get(stage.name, 0)
            waits[stage.name] = own + max((waits[n] for n in waits if stage.name in self.stages[n].needs), default=0)
        return waits


def write(graph: Graph) -> None:
    """Write the complete settings and the Start into the run's folder, for `read`."""
    name, start = graph.experiment.name, graph.start
    dumped: dict[str, Any] = dict(sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    text = yaml.safe_dump(graph.experiment.settings(), **dumped)
    write_text(graph.run.settings, f"# The settings of the run {name}, whole, as its last start found them.\n{text}")
    more = {key: {name: each._asdict() for name, each in getattr(start, key).items()} for key in ("nets", "rows")}
    write_json(graph.run.start, dict(start._asdict(), name=name, **more))


def read(folder: str, root: Optional[str] = None) -> Graph:
    """The Graph of a run's folder; root: the folder of all runs."""
    told = read_json(os.path.join(folder, "start.json"))
    experiment = experiments.of_file(os.path.join(folder, "experiment.yaml"), told.pop("name"))
    for key, kind in (("nets", recipes.Net), ("rows", recipes.Row)):
        told[key] = {name: kind(**each) for name, each in told[key].items()}
    return Graph(experiment, Start(**told), root)


def of_run(name: str) -> Experiment:
    """The settings of the last start of an experiment's run; before its first start, the experiment's."""
    path = RunFolder(experiments.checked_name(name)).settings
    return experiments.of_file(path, name) if os.path.exists(path) else experiments.load(name)
