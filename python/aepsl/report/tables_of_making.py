"""How a run was made, as tables: its settings, its machine, its costs, and its missing stages."""

import datetime
from typing import Any

from aepsl.base.table import Table, number
from aepsl.graph.graph import Graph
from aepsl.paper import published
from aepsl.run.state import state_of
from aepsl.run.today import flat
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment


def every(experiment: Experiment, found: dict) -> tuple[Table, ...]:
    """The tables of a run; found: report.gathered's."""
    return settings(experiment), host(found), costs(experiment, found)


def settings(experiment: Experiment) -> Table:
    """The settings that differ from the paper's experiment, and the seed."""
    own, base = experiment.settings(), experiments.load(published.PAPERS_EXPERIMENT).settings()
    rows = [["seed", _seeds(own.pop("seed")), _seeds(base.pop("seed"))]]
    for path, value in flat(experiments.difference(own, base)):
        theirs: Any = base
        for key in path:
            theirs = theirs.get(key) if isinstance(theirs, dict) else None
        rows.append([".".join(path), _shown(value), _shown(theirs)])
    caption = f"Settings that differ from {published.PAPERS_EXPERIMENT}'s, and the seed"
    return Table(caption, ["setting", "here", published.PAPERS_EXPERIMENT], rows)


def _seeds(seed):
    """The seeds as text: only '1' if all are 1."""
    values = set(seed.values())
    return str(*values) if len(values) == 1 else _shown(seed)


def _shown(value):
    if isinstance(value, dict):
        return " ".join(f"{key} {each}" for key, each in value.items())
    return "none" if value is None else ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def host(found: dict) -> Table:
    """The machine and the versions that the run was made with."""
    known = dict(found.get("host", {}))
    if "other_commits" in known:
        by = [f"{', '.join(stages)}: {commit}" for commit, stages in known["other_commits"].items()]
        known["other_commits"] = "; ".join(by) or "none"
    rows = [[name.replace("_", " "), str(value)] for name, value in known.items()]
    return Table("Made on", ["what", "which"], rows)


def costs(experiment: Experiment, found: dict) -> Table:
    """Seconds and peak memory of each stage, in the order of the stages."""
    names = [stage.name for stage in Graph(experiment).needed()]
    names += [name for name in found["seconds"] if name not in names]
    rows = []
    for name in [name for name in names if name in found["seconds"]]:
        peak = found["peak_mib"].get(name)
        rows.append([name, number(found["seconds"][name]), number(peak, 0) if peak else ""])
    total = datetime.timedelta(seconds=round(sum(found["seconds"].values())))
    note = f"One after the other {total} (hours:minutes:seconds); shards of a stage are added up, and may have run "
    note += "side by side. Memory: of a stage's largest process."
    return Table("What each stage took", ["stage", "seconds", "peak MiB"], rows, note)


def missing(experiment: Experiment) -> Table:
    """The stages that are not done, and how far each is."""
    graph = Graph(experiment)
    images, left = graph.run.images(), [stage for stage in graph.shown() if not graph.is_done(stage.name)]
    states = [state_of(stage, images) for stage in left]
    rows = [[stage.name, state.counted, state.note] for stage, state in zip(left, states)]
    return Table("Not done yet", ["stage", "done", "note"], rows, "`make status` says the same at any time.")
