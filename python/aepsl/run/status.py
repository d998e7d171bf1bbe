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
    """A table of the stages of a run's last start: the progress and time of each, as text."""
    found = _last_start(experiment)
    run, seconds, images = found.run, found.run.seconds(), found.run.images()
    run.check_begun()
    rows = []
    for stage in found.shown():
        is_done, state = found.is_done(stage.name), state_of(stage, images)
        took = datetime.timedelta(seconds=round(seconds[stage.name])) if is_done and stage.name in seconds else ""
        rows.append([stage.name, state.counted, str(took), state.note * (not is_done)])
    changed = written.changed(run)
    notes = [*changed.values(), *today.lines(experiment, os.environ.get("DATA"))[0]]
    if os.path.exists(run.results) and run.results not in changed:
        try:
            notes = [*written.results(run, experiment)[1], *notes]
        except InputError as error:
            notes.append(str(error))
    is_done = all(map(found.is_done, found.start.targets))
    if not os.path.exists(run.start):  # a copy of results.json
        is_done = os.path.exists(run.results)
    last = "Finished" + "; `make report` prints its tables" * os.path.exists(run.results) if is_done else "Not finished"
    return "\n".join([Table("", [run.path, "done", "time", ""], rows).text(), *notes, f"{last}."])


def _last_start(experiment: Experiment) -> graph.Graph:
    """The Graph of a run's last start; of a whole run before the first, or if start.json is damaged."""
    try:
        found = graph.read(RunFolder(experiment.name).path)
        return found if found.needed(found.start.targets) else graph.Graph(experiment)
    except DAMAGED:
        return graph.Graph(experiment)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("experiment", type=graph.of_run, help="the experiment")
    print(report(parser.parse_args(argv).experiment))
