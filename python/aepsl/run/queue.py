"""The jobs of a run for the queue of a cluster, which starts each behind those that it needs.

A profile with a program `submit`, as profiles/slurm, is of this kind; any other is snakemake's. `submit` calls a
command that prepares a run, gives the queue what that has left to do, waits, and calls it again, until nothing is left.
"""

import os
import sys

from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.graph.run_folder import RunFolder


def checked(profile, options=()):
    """Whether a profile is of a queue; InputError for options of snakemake, which does not run then."""
    is_queue = bool(profile) and os.path.exists(os.path.join(profile, "submit"))
    if is_queue and options:
        raise InputError(f"{options[0]}: is an option of snakemake, which {profile} does not use; leave it out")
    return is_queue


def check_empty(run):
    """InputError where jobs of the run's folder may be in the queue: they write what a start would make anew."""
    path = RunFolder(os.path.basename(run), os.path.dirname(run)).queue
    if os.path.exists(path):
        raise InputError(
            f"{run}: its jobs are in a cluster's queue, or were when their command was killed; the same command with "
            f"PROFILE= waits for them; where the queue has none of them, delete {path}"
        )


def write(graph, start, jobs):
    """Write the run's file `queue`; returns the command that ends the run where no job is left, else None.

    A line for each stage that has jobs among `jobs`, behind the stages that it needs, and in it, between spaces: the
    stage, its threads, the cores of each of its jobs, the GPUs (0 or 1), those of the stages it needs that have a line,
    and the names of its jobs; these two with commas, the former `-` where there is none.
    """
    if not jobs:
        return [sys.executable, "-m", "aepsl", *start.last] if start.last else ["true"]
    lines, listed = [], []
    for stage in graph.needed(start.targets):
        own = [job for job in graph.jobs(stage.name) if job in jobs]
        if own:
            needs = [name for name in stage.needs if name in listed]
            gpus = min(1, start.gpus) if stage.has_net else 0
            words = [stage.name, graph.experiment.threads, graph.cores(stage, start), gpus, ",".join(needs) or "-"]
            lines.append(" ".join(map(str, [*words, ",".join(own)])) + "\n")
            listed.append(stage.name)
    write_text(graph.run.queue, "".join(lines))
    return None
