"""How well a finished run used its cores: its stages' work and its bounds, against cores times wall clock."""

from collections.abc import Iterable
from typing import Optional

from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.graph.graph import Graph
from aepsl.graph.run_folder import RunFolder
from aepsl.settings import experiments

OTHERS = ("published", "gpu-session")  # figures that a training is compared with, and that are not bounds
PAUSE = 60  # seconds without a job after which the run counts as interrupted
# {kind of stage: (part of bench.json, stage in it) with the ratio of its work to its bound}
MEASURED = {**{task: ("training", task) for task in experiments.TASKS}, "mine": ("mining", "mine")}
TITLE = "The run {}: core-seconds, and what they are of its cores times its wall clock"


def rows(name: str, bench: dict) -> list[dict]:
    """[{'what': ..., 'jobs': ..., 'core_seconds': ..., 'ratio': ..., 'bound_core_seconds': ..., 'share': ...}]

    One for each kind of stage, one for starting the jobs, one for the time without a job, and the sum. The sum's share
    is that of the bounds in cores times wall clock. bench: the content of bench.json; a stage without a ratio in it is
    its own bound. Raises InputError for a run without the times when its jobs began.
    """
    graph = Graph(experiments.load(name))
    jobs = jobs_of(graph.run)
    kinds = {stage.name: stage.kind for stage in graph.stages.values()}
    used: dict[str, list[float]] = {}
    for stage, took in jobs:
        used.setdefault(kinds.get(stage, stage.split(".")[0]), []).append(took["cpu_seconds"])
    found: list[tuple] = []
    for kind, each in used.items():
        seconds, ratio = float(sum(each)), ratio_of(bench, name, kind)
        found.append((kind, len(each), seconds, ratio, seconds * (ratio or 1)))
    cores, clock = read_json(graph.run.results)["host"]["cores"], wall_clock([took for _, took in jobs])
    whole, bounds = cores * clock, sum(bound for *_, bound in found)
    starting = sum(took["ended"] - took["seconds"] - took["started"] for _, took in jobs)
    found.append(("starting the jobs", len(jobs), float(starting), None, 0.0))
    found.append(("no job's", None, whole - sum(seconds for _, _, seconds, *_ in found), None, 0.0))
    found.append((f"{cores} cores, {clock:.0f} s", len(jobs), whole, bounds / whole, bounds))
    keys = ("what", "jobs", "core_seconds", "ratio", "bound_core_seconds")
    return [dict(zip(keys, row), share=row[2] / whole) for row in found]


def jobs_of(run: RunFolder) -> list[tuple[str, dict]]:
    """[(stage, its times)] of every job; a shard is a job."""
    found = [(stage, mark) for stage, marks in run.took().items() for mark in marks]
    for stage, took in found:
        if "started" not in took:
            raise InputError(f"{run.path}: {stage} does not say when its job began; a run made anew does")
    if not found:
        raise InputError(f"{run.path}: no stage is done; `make demo` or `make rehearsal` fills a run")
    return found


def wall_clock(jobs: Iterable[dict]) -> float:
    """Seconds from the first job's start to the last one's end, without pauses of more than PAUSE."""
    total, last = 0.0, 0.0
    for started, ended in sorted((took["started"], took["ended"]) for took in jobs):
        if started - last > PAUSE:
            last = started
        total += max(0.0, ended - last)
        last = max(last, ended)
    return total


def ratio_of(bench: dict, name: str, kind: str) -> Optional[float]:
    """The ratio of a kind of stage to its bound, with two processes at once, by bench.json; None if unknown."""
    part, stage = MEASURED.get(kind, (None, None))
    for row in bench.get(part, {}).get("rows", []):
        if (row["net"], row["stage"]) == (name, stage) and row["bound"] not in OTHERS:
            return row["two_ratio"] or row["ratio"]
    return None
