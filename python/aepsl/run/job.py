"""Does one job of a run: a stage, or a share of its images. snakemake starts it; its settings are the run's."""

import functools
import importlib
import inspect
import os
import resource
import time
from collections.abc import Callable
from typing import Any, Optional

import psutil

from aepsl import cli
from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.graph.run_folder import stage_of
from aepsl.graph.stage import Stage
from aepsl.settings.typed import Only
from aepsl.store import records
from aepsl.store.result import RECORD, Made

# Settings that every stage may read: they change no result, or the contents of its inputs depend on them.
FREE = ("name", "classes", "data.train", "data.val", "data.workers")


def run(folder: str, name: str, workers: int = 1, patience: int = 0) -> None:
    """Do the job `name` of the run that the folder describes, unless its record shows that it is done.

    workers: processes for the work of a stage without its net. patience: seconds to wait for the stages that it needs:
    a network disk may show late what another machine has written.
    """
    found = graph.read(folder)
    stage = found.stages.get(stage_of(name))
    if stage is None or name not in found.jobs(stage.name):
        raise InputError(f"{name}: {found.run.path} has no such job; `aepsl status` lists its stages")
    word, until = found.word(stage), time.monotonic() + patience
    while word is None and time.monotonic() < until:
        time.sleep(1)
        word = found.word(stage)
    if word is None:
        raise InputError(f"{name}: needs {', '.join(stage.needs)}, which are not done; `aepsl run` does them first")
    make = functools.partial(_measured, _call, found, stage, name, word, workers)
    if not records.done(found.run.path, name, word, make):
        print(f"{name}: is there already, made of the same", flush=True)


def _call(found: graph.Graph, stage: Stage, name: str, word: str, workers: int) -> Made:
    """Call the stage's run(...). Returns its Made, with the file in which the stage keeps the word."""
    function, start = importlib.import_module(stage.module).run, found.start
    offered = dict(
        experiment=Only(found.settings_of(stage), (*stage.settings, *stage.stood_for, *FREE)),
        data=start.data,
        out=stage.out,
        word=word,
        part=name[len(stage.name) + 1 :].replace("-", "/") or None,
        gpu=list(range(start.gpus)) or None,
        workers=workers,
        machine=dict(cores=start.cores, gpus=start.gpus),
    )
    taken = {key: value for key, value in offered.items() if key in inspect.signature(function).parameters}
    made = function(**taken, **stage.paths, **stage.options)
    kept = os.path.join(stage.out, RECORD)
    return made._replace(beside=[*made.beside, kept]) if os.path.exists(kept) else made


def _measured(function: Callable[..., Made], *arguments: Any) -> tuple[Made, dict[str, Any]]:
    """(the function's result, what it took: the mark of the job).

    started: when this process began, before its libraries were loaded; cpu_seconds: of this process and of those that
    it started, also if they still run; peak_mib: the peak memory of the largest of these.
    """
    code = commit.of_code()  # before the work, during which the code may be changed
    own, begun, used = psutil.Process(), time.time(), _cpu_seconds()
    made = function(*arguments)
    ended = time.time()
    # psutil adds the boot time, in whole seconds, to what Linux says of the process
    started = ended - time.clock_gettime(time.CLOCK_BOOTTIME) + own.create_time() - psutil.boot_time()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    took: dict[str, float] = dict(seconds=round(ended - begun, 1), peak_mib=round(peak), started=started, ended=ended)
    took.update(cpu_seconds=_cpu_seconds() - used)
    return made, dict({name: round(value, 2) for name, value in took.items()}, commit=code)


def _cpu_seconds() -> float:
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (own, *own.children()))


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("folder", help="the run's, with experiment.yaml and start.json")
    parser.add_argument("name", help="the job, for example mine.step2.1-4")
    parser.add_argument("--workers", type=cli.number(1, 256), default=1)
    parser.add_argument("--patience", type=cli.number(0), default=0, help="seconds to wait for what the job needs")
    run(**vars(parser.parse_args(argv)))
