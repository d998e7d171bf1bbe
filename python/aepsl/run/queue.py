"""The jobs of a run for the queue of a cluster, which starts each after those that it needs.

A profile with a program `submit`, such as profiles/slurm, is for a queue; any other is a profile of snakemake. `submit`
calls the command that starts the run, gives the queue the jobs in the run's file `queue`, waits for them, and calls the
command again, until no job is left.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, Optional

from aepsl import cli
from aepsl.base import locks
from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.graph.graph import Graph
from aepsl.graph.run_folder import RunFolder


def is_for(profile: Optional[str]) -> bool:
    """Whether a profile is for a queue."""
    return bool(profile) and os.path.exists(os.path.join(str(profile), "submit"))


def check_profile(profile: Optional[str]) -> None:
    """InputError for a folder that is no profile: neither with `submit` nor with snakemake's config.yaml."""
    if profile and not is_for(profile) and not os.path.isfile(os.path.join(profile, "config.yaml")):
        line = "is no folder with a program `submit` or snakemake's config.yaml"
        raise InputError(f"PROFILE={profile}: {line}; give profiles/slurm (docs/cluster.md), or leave it out")


def gpus(asked: Any, options: Sequence[str]) -> int:
    """The number of GPUs that a start may use: of a queue, one for each job.

    asked: with `gpu` and `profile`, as parsed; options: of snakemake. Raises InputError for such options with a queue.
    """
    count = cli.count(asked.gpu or "")
    if not is_for(asked.profile):
        return count
    if options:
        raise InputError(f"{options[0]}: is an option of snakemake, which {asked.profile} does not use; leave it out")
    return min(1, count)


def hold(run: str) -> None:
    """Lock a run's folder (aepsl.base.locks). InputError also if its jobs may be in a queue: they write to it."""
    locks.hold(run)
    path = RunFolder(os.path.basename(run), os.path.dirname(run)).queue
    if os.path.exists(path):
        raise InputError(
            f"{run}: its jobs are in the queue of a cluster, or were when their command was killed; the same command "
            f"with PROFILE= waits for them; if the queue has none of them, delete {path}"
        )


def write(graph: Graph, jobs: Sequence[str]) -> Optional[list[str]]:
    """Write the run's file `queue`, and return None; without a job left, return the command that ends the run.

    The file has a line for each stage with jobs in `jobs`, after the stages that it needs. In a line, with spaces
    between: the stage, its threads, the cores of each job, its GPUs (0 or 1), the stages with a line that it needs, and
    its jobs. The last two have commas; the first of these is - without any stage.
    """
    if not jobs:
        return [sys.executable, "-m", "aepsl", *graph.start.last] if graph.start.last else ["true"]
    lines: dict[str, str] = {}
    for stage in graph.needed(graph.start.targets):
        own = [job for job in graph.jobs(stage.name) if job in jobs]
        if own:
            needs = ",".join(name for name in stage.needs if name in lines) or "-"
            words = [stage.name, graph.experiment.threads, *graph.resources(stage), needs, ",".join(own)]
            lines[stage.name] = " ".join(map(str, words)) + "\n"
    write_text(graph.run.queue, "".join(lines.values()))
    return None
