"""The one graph of a run: its stages, what each is made of, and which are to be done again.

A stage's identity is one word: a SHA-256 of its settings, of what its inputs hold, and of what the stages that it needs
have made. A stage is done again where its word is another than that of its record, where a file of its result is
damaged, and where a stage that it needs is done again; it keeps what is there when its word proves to be the same.
"""

import os
from typing import NamedTuple, Optional

import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json, write_text
from aepsl.graph import erasing, segmentation
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import recipes
from aepsl.settings import experiments
from aepsl.store import digests, records


class Start(NamedTuple):
    """What `aepsl run` was asked for, resolved, and what that holds.

    data, weights, maps: paths; contents: {input: SHA-256}; targets: the stages that are wanted; last: the command
    behind them, as words; seconds: {stage: how long it is expected to take}; nets, rows: of a sweep, beside those of
    tables 3 and 4.
    """

    data: str
    weights: Optional[str]
    maps: Optional[str]
    contents: dict
    targets: list
    last: list
    gpus: int
    cores: int
    seconds: dict = {}
    nets: dict = {}
    rows: dict = {}


class Graph:
    """The graph of an experiment's run.

    weights, maps: what the user gave, or None; contents: {input: SHA-256 of what it holds, or None where it is not
    there}, see aepsl.run.inputs; root: of the runs' folders; nets, rows: more of them, as aepsl.paper.recipes has them.
    Raises InputError for a row of `rows` that there is not.
    """

    def __init__(self, experiment, weights=None, maps=None, contents=None, root=None, nets=(), rows=()):
        self.experiment, self.contents = experiment, contents or {}
        self.run = RunFolder(experiment.name, root)
        steps = experiment.mining.steps
        self.nets, self.rows = {**recipes.nets(steps), **dict(nets)}, {**recipes.rows(steps), **dict(rows)}
        self.given = dict(weights=weights, maps=maps)
        for row in experiment.rows:
            self.checked_row(row)
        declared = {stage.name: stage for stage in (*erasing.stages(self), *segmentation.stages(self))}
        self.stages = {}  # each after all that it needs
        for name in declared:
            self._add(name, declared)
        self.parts = [f"{k}-{experiment.shards}" for k in range(1, experiment.shards + 1)]

    def _add(self, name, declared, waiting=()):
        """Add a stage behind all that it needs; InputError for one that is not declared, or waits for itself."""
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

    def checked_row(self, row):
        """`row`; InputError if tables 3 and 4 have no such row, and we add none."""
        if row not in self.rows:
            known = ", ".join(self.rows)
            raise InputError(f"{row}: no row of tables 3 and 4; `rows` in experiment.yaml and ROW= take {known}")
        return row

    def needed(self, targets=("results",)):
        """The stages that `targets` need, and those: each after all that it needs, else in the order of the paper."""
        wanted = list(targets)
        for name in wanted:  # grows while it is gone through
            wanted += [other for other in self.stages[name].needs if other not in wanted]
        return [stage for name, stage in self.stages.items() if name in wanted]

    def shown(self):
        """The stages of a whole run that take long: those that train, or go through images."""
        return [stage for stage in self.needed() if stage.is_training or stage.images]

    def jobs(self, name):
        """The names of a stage's jobs: one for each share of its images."""
        return [f"{name}.{part}" for part in self.parts] if self.stages[name].images else [name]

    def marks(self, names):
        """The marks of all jobs of some stages, as paths from the run's folder."""
        return [records.mark_of("", job) for name in names for job in self.jobs(name)]

    def is_done(self, name):
        """Whether the marks of all jobs of a stage are there."""
        return all(os.path.exists(os.path.join(self.run.path, mark)) for mark in self.marks([name]))

    def settings_of(self, stage):
        """The experiment as the stage's net has changed it."""
        return experiments.changed(self.experiment, stage.changes) if stage.changes else self.experiment

    def word(self, stage):
        """What the stage's result is made of; None where a stage that it needs has no record yet."""
        made = {name: records.contents(self.run.path, self.jobs(name)) for name in stage.needs}
        if None in made.values():
            return None
        experiment = self.settings_of(stage)
        return digests.of_value(
            dict(
                kind=stage.kind,
                settings={key: experiment.value(key) for key in stage.settings},
                inputs={name: self.contents[name] for name in stage.inputs},
                stages=made,
                options=stage.options,
            )
        )

    def undone(self, targets, dry=False):
        """The jobs to be done of what `targets` need; what is damaged is put right.

        The marks of those jobs go: a mark says that its job is done, of what is there today. dry: only tells.
        """
        stages, jobs = set(), []
        for stage in self.needed(targets):
            word = None if stages.intersection(stage.needs) else self.word(stage)
            for job in self.jobs(stage.name):
                there = records.heal(self.run.path, job, dry)
                if word is None or there != word:
                    stages.add(stage.name)
                    jobs.append(job)
        for job in jobs if not dry else ():
            records.unmark(self.run.path, job)
        return jobs

    def cores(self, stage, start):
        """How many cores a job of the stage takes."""
        if stage.is_training:
            return self.experiment.data.workers + 1 if start.gpus else self.experiment.threads
        if stage.module.endswith("segment"):  # the CRF's processes
            return max(1, start.cores // (start.gpus or len(self.parts)))
        return 1

    def longest(self, seconds):
        """{stage: seconds from its start to the end of the last that waits for it}: what waits longest starts first."""
        waits = {}
        for stage in reversed(list(self.stages.values())):
            own = seconds.get(stage.name, 0)
            waits[stage.name] = own + max((waits[n] for n in waits if stage.name in self.stages[n].needs), default=0)
        return waits


def write(graph, start):
    """Write what `read` reads into the run's folder: the settings, whole, and the Start."""
    name = graph.experiment.name
    header = f"# The settings of the run {name}, whole, as its last start found them.\n"
    dumped = dict(sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    text = yaml.safe_dump(graph.experiment.settings(), **dumped)
    write_text(graph.run.settings, header + text)
    more = {key: {name: each._asdict() for name, each in getattr(start, key).items()} for key in ("nets", "rows")}
    write_json(graph.run.start, dict(start._asdict(), name=name, **more))


def read(folder, root=None):
    """(Graph, Start) of a run's folder; root: of the runs' folders."""
    told = read_json(os.path.join(folder, "start.json"))
    experiment = experiments.of_file(os.path.join(folder, "experiment.yaml"), told.pop("name"))
    for key, kind in (("nets", recipes.Net), ("rows", recipes.Row)):
        told[key] = {name: kind(**each) for name, each in told[key].items()}
    start = Start(**told)
    graph = Graph(experiment, start.weights, start.maps, start.contents, root, start.nets, start.rows)
    return graph, start


def of_run(name):
    """The settings that the run of an experiment was made with; before its first start, the experiment's."""
    path = RunFolder(experiments.checked_name(name)).settings
    return experiments.of_file(path, name) if os.path.exists(path) else experiments.load(name)
