"""Runs an experiment: all of it, calibrate, or submission. Results that are still valid are kept.

`make demo`, `make rehearsal` and `make reproduce` call this command. The defaults of its options are the environment's
DATA, WEIGHTS, SALIENCY, ROW, GPU, CORES, PROFILE, make's settings. Unknown options are passed to snakemake.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Optional

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder
from aepsl.data import synthetic
from aepsl.data.dataset import Dataset
from aepsl.graph import graph
from aepsl.run import checked, costs, inputs, new_experiment, queue, rows, today
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.store import digests, records
from aepsl.store.result import Made

TARGETS = ("all", "calibrate", "submission")
CLUSTER_CORES = 8  # of one job at most, without CORES=
DONE = "every stage is done already"
HANDLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "progress.py")
# A job is done if its mark is there, and jobs write marks whole: snakemake's own records are not needed.
OPTIONS = ["--nolock", "--drop-metadata", "--ignore-incomplete", "--rerun-triggers", "mtime"]
OPTIONS += ["--log-handler-script", HANDLER]


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, given=list(cli.GIVEN), places=places)
    parser.add_argument("name", help="the experiment: a folder of prototxt/, or a new name for the data of --data")
    parser.add_argument("target", nargs="?", choices=TARGETS, default="all")
    parser.add_argument("--missing", action="store_true", help="print what must be downloaded first, and end")
    parser.add_argument("-n", "--dry-run", "--dryrun", action="store_true", help="print what would be done, and end")
    asked, options = parser.parse_known_args(argv)
    if asked.missing:
        print(*inputs.missing(asked.name, asked.data, asked.weights), sep="\n")
        return
    queue.check_profile(asked.profile)
    command = prepared(asked, options, asked.dry_run)
    if command:
        os.execvp(command[0], command)


def places(asked: Any) -> dict[str, Any]:
    """The places of a run (aepsl.places). Its data are an input, but not the demo's, drawn in the run's own folder."""
    folder = graph.RunFolder(asked.name)
    is_own = asked.data and os.path.realpath(asked.data) == os.path.realpath(folder.data)
    written = [folder.path, os.path.join(experiments.FOLDER, asked.name)]
    return dict(written=written, data=None if is_own else asked.data)


def prepared(asked: Any, options: Sequence[str] = (), dry: bool = False, **more: Any) -> Optional[list[str]]:
    """Draw and check the data, write the files that the run's stages read, and return snakemake's command.

    asked: of `main`; options: of snakemake; dry: print what would be done, and change no file; more: of graph.Start.
    Returns None if dry, or if a queue has the jobs (queue.py).
    """
    if dry and options:
        raise InputError(f"-n: tells what would be done, and cannot be combined with {options[0]}; leave one out")
    gpus, cores = queue.gpus(asked, options), cores_of(asked.cores)
    experiment = new_experiment.settings(asked.name, asked.data)
    named = _named_rows(asked, experiment)
    chosen = named if asked.row and asked.target == "all" else []
    data = inputs.data_of(experiment, asked.data)
    given: dict[str, Any] = dict(weights=inputs.weights_of(experiment, asked.weights))
    given.update(maps=inputs.maps_of(data, asked.saliency))
    run = graph.RunFolder(asked.name).path
    if not dry:
        checked.nets(experiment, given["maps"])
        make_folder(run)
        queue.hold(run)  # as long as this process lives, and snakemake after it
        records.remove_leftovers(run)
        _draw(experiment, run, data)
    contents = inputs.contents_of(experiment, data, **given)
    found = graph.Graph(experiment, graph.Start(data, contents=contents, **given, **more))
    if chosen:
        found = graph.Graph(rows.only(found, rows.with_done(found, chosen)), found.start)
    targets, last = _wanted(asked.target, named[0], found)
    if "results" not in targets:
        found = rows.as_last(found, targets)
    if dry:
        jobs = found.undone(targets, dry=True)
        print("\n  ".join([f"{len(jobs)} jobs would be done:" if jobs else DONE, *jobs]))
        return None
    digests.remember()
    checked.run(experiment, run, data, contents, given["maps"])
    new_experiment.run(asked.name, asked.data)  # not before: a wrong one would stay
    cores = cores or (CLUSTER_CORES if asked.profile else len(os.sched_getaffinity(0)))
    found.start = found.start._replace(targets=targets, last=last, gpus=gpus, cores=cores)
    found.start = found.start._replace(seconds=costs.expected(found, gpus, cores))
    return _command(found, asked.profile, options)


def _named_rows(asked: Any, experiment: Experiment) -> list[str]:
    """The rows of ROW=, or the headline; a submission has one. InputError for an unknown row."""
    row = asked.row or "psl++"
    named = [row] if asked.target == "submission" else row.split(",")
    for each in named:
        graph.Graph(experiment).checked_row(each)
    return named


def _draw(experiment: Experiment, run: str, data: str) -> None:
    """Have the data drawn, if the experiment draws its own."""
    if not experiment.synthetic:
        return
    settings = dict(experiment.synthetic.settings(), seed=experiment.seed.data)

    def drawn() -> tuple[Made, dict[str, Any]]:
        shutil.rmtree(data, ignore_errors=True)
        synthetic.run(data, **settings)
        return Made(sorted(os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names)), {}

    records.done(run, "data", digests.of_value(settings), drawn)


def _wanted(target: str, row: str, found: graph.Graph) -> tuple[Sequence[str], list[str]]:
    """(the stages that a target needs, the last command of the run, as words)."""
    name, data = found.experiment.name, found.start.data
    common = ["--experiment", name, "--data", data]
    if target == "calibrate":
        return ["segment.val.calibration"], ["calibrate", *common]
    if target == "submission":
        stage = found.stages[f"segment.test.{row}"]
        if os.path.isdir(data):
            Dataset(data).ids(stage.options["list_name"])  # InputError before anything is trained for it
        masks = ["--list", stage.options["list_name"], "--masks", stage.result]
        return [stage.name], ["submission", *common, *masks, "--out", found.run.submission(row)]
    return found.start.targets, ["report", name, "--data", data] if target == "all" else []


def _command(found: graph.Graph, profile: Optional[str], options: Sequence[str]) -> Optional[list[str]]:
    """Write the files that the run's stages read; returns snakemake's command, or None: see `prepared`."""
    start = found.start
    today.tell_anew(found)
    jobs = found.undone(start.targets)
    if not jobs:
        print(DONE, file=sys.stderr, flush=True)
    checked.disk(found, start.targets)
    graph.write(found)
    if queue.is_for(profile):
        return queue.write(found, jobs)
    folder = os.environ["AEPSL_START"] = os.path.abspath(found.run.path)
    where = ["--directory", folder, "--snakefile", os.path.abspath("Snakefile")]
    if profile:
        where += ["--profile", os.path.abspath(profile)]
    else:
        where += ["--cores", str(start.cores), "--resources", f"gpu={start.gpus}"]
    return ["snakemake", *OPTIONS, *where, *options]


def cores_of(text: Optional[str]) -> Optional[int]:
    """The number in CORES= or --cores; None for all."""
    if text is None or text == "all":
        return None
    if not re.fullmatch(r"[1-9]\d*", text):
        raise InputError(f"CORES={text}: give a number from 1 on, or all")
    return int(text)
