"""Does one job of a run: a stage, or a share of its images; what snakemake starts. Its settings are the run's."""

import importlib
import inspect
import os
import resource
import time

import psutil

from aepsl import cli
from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.graph.run_folder import stage_of
from aepsl.settings.typed import Only
from aepsl.store import records
from aepsl.store.result import RECORD

# What every stage may read besides: what these mean stands in the contents of its inputs, or changes no result.
FREE = ("name", "classes", "data.train", "data.val", "data.workers")


def run(folder, name, workers=1, patience=0):
    """Do the job `name` of the run that the folder describes, unless it is done: its mark says so then.

    workers: processes for what a stage does beside its net; patience: seconds to wait for what the job needs, which a
    network disk may show late.
    """
    found, start = graph.read(folder)
    stage = found.stages.get(stage_of(name))
    if stage is None or name not in found.jobs(stage.name):
        raise InputError(f"{name}: {found.run.path} has no such job; `aepsl status` lists its stages")
    word, until = found.word(stage), time.monotonic() + patience
    while word is None and time.monotonic() < until:
        time.sleep(1)
        word = found.word(stage)
    if word is None:
        raise InputError(f"{name}: needs {', '.join(stage.needs)}, which are not done; `aepsl run` does them first")
    make = lambda: _measured(_call, found, start, stage, name, word, workers)  # noqa: E731
    if not records.done(found.run.path, name, word, make):
        print(f"{name}: is there already, made of the same", flush=True)


def _call(found, start, stage, name, word, workers):
    """The Made of the stage's run(...), and beside it the word that the stage keeps in a folder."""
    function = importlib.import_module(stage.module).run
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


def _measured(function, *arguments):
    """(what the function returns, what that took: see RunFolder.took).

    started: when this process began, before its libraries were loaded; cpu_seconds: of cores, with the processes that
    it started, also those that still run; peak_mib: of memory, of it or of the largest of those.
    """
    code = commit.of_code()  # before the work: it may be changed meanwhile
    own, begun, used = psutil.Process(), time.time(), _cpu_seconds()
    made = function(*arguments)
    ended = time.time()
    # psutil adds the boot time, in whole seconds, to what Linux says of the process
    started = ended - time.clock_gettime(time.CLOCK_BOOTTIME) + own.create_time() - psutil.boot_time()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    took = dict(seconds=round(ended - begun, 1), peak_mib=round(peak), started=started, ended=ended)
    took.update(cpu_seconds=_cpu_seconds() - used)
    return made, dict({name: round(value, 2) for name, value in took.items()}, commit=code)


def _cpu_seconds():
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (own, *own.children()))


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("folder", help="with the run's experiment.yaml and start.json")
    parser.add_argument("name", help="of the job: mine.step2.1-4")
    parser.add_argument("--workers", type=cli.number(1, 256), default=1)
    parser.add_argument("--patience", type=cli.number(0), default=0, help="seconds to wait for what the job needs")
    run(**vars(parser.parse_args(argv)))
