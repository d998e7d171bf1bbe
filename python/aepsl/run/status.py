"""Shows the progress of a run, also while it runs."""

import datetime
import os
from typing import Optional

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.table import Table
from aepsl.graph import graph
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.run import today, written
from aepsl.run.state import state_of
from aepsl.settings.typed import Experiment


def report(experiment: Experiment) -> str:
    """A table of a run's stages, and of its last start's: the progress and time of each, as text."""
    found = _with_last_start(experiment)
    run = found.run
    run.check_begun()
    faults: written.Faults = {}
    (seconds, _), images = written.took(run, faults), written.images(run, faults)
    rows = []
    for stage in found.shown("results"):
        is_done, took = found.is_done(stage.name), seconds.get(stage.name)
        state = state_of(stage, images)
        clock = str(datetime.timedelta(seconds=round(took))) if is_done and took is not None else ""
        rows.append([stage.name, state.counted, clock, state.note * (not is_done)])
    finished = os.path.exists(run.results)
    if finished:
        try:
            written.results(run, experiment, faults)
        except InputError as error:
            faults[run.results] = str(error)
        except OSError as error:
            faults[run.results] = f"{run.results}: {error.strerror}; {written.REMEDY}"
    notes, _ = today.lines(experiment, os.environ.get("DATA"))
    is_old = os.path.exists(run.start) and not found.is_done("results")  # results.json is of an earlier start
    last = "Finished; `make report` prints its tables." if finished and not is_old else "Not finished."
    return "\n".join([Table("", [run.path, "done", "time", ""], rows).text(), *faults.values(), *notes, last])


def _with_last_start(experiment: Experiment) -> graph.Graph:
    """The run's graph, with the nets and targets of its last start if there is a sound one."""
    try:
        found = graph.Graph(experiment, graph.read(RunFolder(experiment.name).path).start)
        found.shown()
        return found
    except DAMAGED:
        return graph.Graph(experiment)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("experiment", type=graph.of_run, help="the experiment")
    print(report(parser.parse_args(argv).experiment))
