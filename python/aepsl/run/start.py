"""Runs an experiment: all of it, calibrate, or submission; what is there and still valid stays.

`make demo`, `make rehearsal` and `make reproduce` are this command. What it is not told it takes from the environment:
DATA, WEIGHTS, SALIENCY, ROW, GPU, CORES, PROFILE, make's settings. Options that it does not know are snakemake's.
"""

import os
import re
import shutil
import sys

from aepsl import cli
from aepsl.base import doors
from aepsl.base.errors import InputError
from aepsl.base.locks import hold
from aepsl.data import check, synthetic
from aepsl.graph import graph
from aepsl.nets import build
from aepsl.run import costs, inputs, new_experiment, queue, rows
from aepsl.settings import experiments
from aepsl.store import digests, records
from aepsl.store.result import Made

TARGETS = ("all", "calibrate", "submission")
CLUSTER_CORES = 8  # of one job at most, where CORES= does not say
SNAPSHOTS = 4  # that lie beside a training's weights, in their size: two, each with the solver's state
CLEARLY = 4  # times the free disk: an estimate, made of photos, is not further off
DONE = "every stage is done already"
HANDLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "progress.py")
# Marks alone say what is done, and jobs write them whole: what snakemake notes of its own does not count.
OPTIONS = ["--nolock", "--drop-metadata", "--ignore-incomplete", "--rerun-triggers", "mtime"]
OPTIONS += ["--log-handler-script", HANDLER]


def main(argv=None):
    parser = cli.parser(__doc__, places=places)
    parser.add_argument("name", help="the experiment: a folder of prototxt/, or a new name for the data of --data")
    parser.add_argument("target", nargs="?", choices=TARGETS, default="all")
    for option, what in (
        ("data", "a folder in VOC layout"),
        ("weights", "a caffemodel with ImageNet weights"),
        ("saliency", "a folder of saliency maps; without it they are computed"),
        (
            "row",
            "rows of tables 3 and 4, psl,psl++, to make with what they need alone; or what submission packs",
        ),
        ("gpu", "numbers of GPUs, for example 0 or 0,1; the CPU without it"),
        ("cores", "how many cores to use (all)"),
        ("profile", "a profile of snakemake, for clusters"),
    ):
        parser.add_argument("--" + option, default=os.environ.get(option.upper()) or None, help=what)
    parser.add_argument("--missing", action="store_true", help="print what must be downloaded first, and end")
    asked, options = parser.parse_known_args(argv)
    if asked.missing:
        print(*inputs.missing(asked.name, asked.data, asked.weights), sep="\n")
        return
    command = prepared(asked, options)
    if command:
        os.execvp(command[0], command)


def places(asked):
    """What a run writes, and the data that it reads: not those that the demo draws there itself (aepsl.places)."""
    folder = graph.RunFolder(asked.name)
    is_own = asked.data and os.path.realpath(asked.data) == os.path.realpath(folder.data)
    return dict(
        written=[folder.path, os.path.join(experiments.FOLDER, asked.name)], data=None if is_own else asked.data
    )


def prepared(asked, options=(), **more):
    """Bring what can be made here, write what the run's stages read, and return the command of snakemake for the rest.

    asked: what `main` parsed; options: further ones of snakemake; more: of graph.Start. With -n among the options no
    file is written, what would be done is printed, and None returned; None also where a queue does the rest
    (aepsl.run.queue). Raises InputError for whatever is wrong with what is asked.
    """
    dry, others = _parted(options)
    gpus, cores = cli.count(asked.gpu or ""), cores_of(asked.cores)
    is_queue = queue.checked(asked.profile, others)
    if is_queue:
        gpus = min(1, gpus)  # of a job
    if not dry:
        new_experiment.run(asked.name, asked.data)
    experiment = new_experiment.settings(asked.name, asked.data)
    row = asked.row or "psl++"
    chosen = row.split(",") if asked.row and asked.target == "all" else []
    for each in chosen or [row]:
        graph.Graph(experiment).checked_row(each)
    data = inputs.data_of(experiment, asked.data)
    given = dict(weights=inputs.weights_of(experiment, asked.weights), maps=inputs.maps_of(data, asked.saliency))
    run = graph.RunFolder(asked.name).path
    if not dry:
        _check(experiment, given["maps"])
        os.makedirs(run, exist_ok=True)
        hold(run)  # as long as this process lives, and snakemake after it
        queue.check_empty(run)
        records.remove_leftovers(run)
        _draw(experiment, run, data)
    contents = inputs.contents_of(experiment, data, **given)
    found = graph.Graph(experiment, contents=contents, **given, **{key: more.get(key, ()) for key in ("nets", "rows")})
    if chosen:
        few = rows.only(found, rows.with_done(found, chosen))
        found = graph.Graph(few, contents=contents, **given)
    targets, last = _wanted(asked.target, row, found, data)
    targets = more.pop("targets", targets)
    if dry:
        return _tell(found.undone(targets, dry=True))
    digests.remember()
    _check_data(experiment, run, data, contents)
    cores = cores or (CLUSTER_CORES if asked.profile else len(os.sched_getaffinity(0)))
    seconds = costs.expected(found, gpus, cores)
    start = graph.Start(data, *given.values(), contents, targets, last, gpus, cores, seconds, **more)
    return _command(found, start, asked.profile, others)


def _parted(options):
    """(those that ask what would be done, the others); InputError for both at once."""
    dry, others = [], []
    for option in options:
        (dry if option.startswith(("-n", "--dry")) else others).append(option)
    if dry and others:
        raise InputError(f"{dry[0]}: tells what would be done, and takes no {others[0]} beside it; leave one out")
    return dry, others


def _check(experiment, maps):
    """InputError for what cannot begin."""
    if not maps:
        doors.load(doors.DETECTORS, experiment.background.detector).ready()
    build.check(experiment)


def _draw(experiment, run, data):
    """Have the data drawn, of an experiment that draws its own."""
    if experiment.synthetic:
        settings = dict(experiment.synthetic.settings(), seed=experiment.seed.data)
        records.done(run, "data", digests.of_value(settings), lambda: (_drawn(data, settings), {}))


def _drawn(data, settings):
    shutil.rmtree(data, ignore_errors=True)
    synthetic.run(data, **settings)
    return Made(sorted(os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names))


def _check_data(experiment, run, data, contents):
    """Have the data checked, once for what they hold."""
    word = digests.of_value({name: value for name, value in contents.items() if name.split(".")[0] in inputs.PARTS})
    records.done(run, "check", word, lambda: (Made([], value=check.run(experiment, data)), {}))


def _wanted(target, row, found, data):
    """(the stages that a target is for, the command that ends it, as words)."""
    common = ["--experiment", found.experiment.name, "--data", data]
    if target == "calibrate":
        return ["segment.val.calibration"], ["calibrate", *common]
    if target == "submission":
        stage = found.stages[f"segment.test.{row}"]
        masks = ["--list", stage.options["list_name"], "--masks", f"{stage.out}/crf"]
        return [stage.name], ["submission", *common, *masks, "--out", found.run.submission(row)]
    return ["results"], ["report", found.experiment.name, "--data", data] if target == "all" else []


def _tell(jobs):
    """Print what would be done."""
    print(f"{len(jobs)} jobs would be done:" if jobs else DONE)
    for job in jobs:
        print(f"  {job}")


def _command(found, start, profile, options):
    """Write what the run's stages read; returns snakemake's command."""
    jobs = found.undone(start.targets)
    if not jobs:
        print(DONE, file=sys.stderr, flush=True)
    _check_disk(found, start.targets)
    graph.write(found, start)
    if queue.checked(profile):
        return queue.write(found, start, jobs)
    folder = os.environ["AEPSL_START"] = os.path.abspath(found.run.path)
    where = ["--directory", folder, "--snakefile", os.path.abspath("Snakefile")]
    if profile:
        where += ["--profile", os.path.abspath(profile)]
    else:
        where += ["--cores", str(start.cores), "--resources", f"gpu={start.gpus}"]
    return ["snakemake", *OPTIONS, *where, *options]


def _check_disk(found, targets):
    """Say that the disk may be too small for what is left to make; InputError where it clearly is."""
    images = costs.images_of(found)
    left = [stage for stage in found.needed(targets) if not found.is_done(stage.name)]
    sizes = [costs.disk_of(found, stage, images) for stage in left]
    needed, free = sum(sizes) + SNAPSHOTS * max(sizes, default=0), shutil.disk_usage(found.run.path).free / 1e9
    line = f"{found.run.path}: what is left to make takes about {needed:.2f} GB, and {free:.2f} GB of the disk are free"
    if needed > CLEARLY * free:
        raise InputError(f"{line}; make room first")
    if needed > free:
        print(f"warning: {line}; it ends early where that is not enough", file=sys.stderr, flush=True)


def cores_of(text):
    """The number that CORES= or --cores says; None for all."""
    if text in (None, "all"):
        return None
    if not re.fullmatch(r"[1-9]\d*", text):
        raise InputError(f"CORES={text}: give a number from 1 on, or all")
    return int(text)
