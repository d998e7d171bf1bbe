"""ROW=: a run of some rows of tables 3 and 4, and of the stages that they need."""

import functools
from collections.abc import Sequence
from typing import Any

from aepsl.base.errors import InputError
from aepsl.graph.graph import Graph, of_run
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.store import records


def only(graph: Graph, asked: Sequence[str]) -> Experiment:
    """The graph's experiment with the rows `asked`, and the steps of erasing up to the last that they need.

    InputError for an unknown row.
    """
    rows = [row for row in graph.rows if row in map(graph.checked_row, asked)]
    needed = {stage.name for stage in graph.needed([f"segment.val.{row}" for row in rows])}
    mining = graph.experiment.mining
    steps = max(t for t in range(1, mining.steps + 1) if t == 1 or f"mine.step{t}" in needed)
    changes: dict[str, Any] = {"rows": rows, "mining.steps": steps, "mining.merge": min(mining.merge, steps)}
    if graph.experiment.psl_start and all(graph.nets[graph.rows[row].net].task != "psl" for row in rows):
        changes["psl_start"] = None  # it may be a net of a step that is not made
    return experiments.changed(graph.experiment, changes)


def as_last(graph: Graph, targets: Sequence[str]) -> Graph:
    """The graph of the rows that the last start's ROW= chose, if that has all that `targets` need; else `graph`.

    A start of an archive, a calibration or a sweep then leaves the run's settings and results as they are.
    """
    try:
        last = of_run(graph.experiment.name)
    except InputError:  # it is damaged, and a start makes it anew
        return graph
    needed, beyond = graph.needed(targets), range(last.mining.steps + 1, graph.experiment.mining.steps + 1)
    is_chosen = set(last.rows) <= set(graph.rows) and last == only(graph, last.rows)
    if not is_chosen or {f"mine.step{t}" for t in beyond} & {stage.name for stage in needed}:
        return graph
    few = Graph(last, graph.start)
    return few if few.needed(targets) == needed else graph


def with_done(graph: Graph, asked: Sequence[str]) -> list[str]:
    """`asked`, and the rows of the experiment that are done and valid: the tables keep them."""
    needed = {row: {stage.name for stage in graph.needed([f"segment.val.{row}"])} for row in graph.experiment.rows}
    left = graph.outdated(["results"], functools.partial(records.heal, dry=True)).keys()
    return [*asked, *(row for row, names in needed.items() if left.isdisjoint(names))]
