"""Prints a run's tables, the paper's rows beside ours, and writes its page, runs/NAME/report/index.html."""

import os
import sys
from typing import Optional

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.paper import published, recipes
from aepsl.report import page
from aepsl.run import today, written
from aepsl.run.inputs import data_of
from aepsl.settings.typed import Experiment
from aepsl.stages import results


def run(experiment: Experiment, form: str = "text", data: Optional[str] = None) -> None:
    """Print the figures of a run; form: 'text', which also writes the page, or 'md', Markdown. See page.

    data: root of the data set, None for the experiment's own; without either the page has no pictures. Raises
    InputError for a run that has not begun, and for files that are damaged.
    """
    folder = RunFolder(experiment.name)
    try:
        found = gathered(experiment, data)
        if form == "md":
            print(page.markdown(experiment, found))
        else:
            printed = page.terminal(experiment, found)
            print(f"{printed}\n\nThe same to look at: {_written_page(experiment, found, data)}")
    except (InputError, OSError):
        raise
    except DAMAGED:
        path = folder.results if os.path.exists(folder.results) else folder.path
        raise InputError(f"{path}: is damaged; type the run's command again, which makes it anew") from None


def _written_page(experiment: Experiment, found: dict, data: Optional[str]) -> str:
    """Write the page, without pictures where the data are not those of the run; returns its path."""
    try:
        data = data_of(experiment, data)
        if found["others"]:
            raise InputError(f"{data}: the run was made of other {', '.join(found['others'])}")
        return page.run(experiment, found, data)
    except InputError as error:
        print(f"The page is without pictures: {cli.remedied(error)}", file=sys.stderr)
        return page.run(experiment, found)


def gathered(experiment: Experiment, data: Optional[str] = None) -> dict:
    """The content of results.json, or as much of it as is known yet, with these keys added:

    'paper'     whether the paper's figures compare
    'images'    {"train": n, "val": n}
    'missing'   names of the stages that are not done
    'notes'     a line for each file that was changed since its stage wrote it, for each row of other classes
                (aepsl.run.written), and for each input that has changed since the run (aepsl.run.today)
    'others'    the parts of the data that have changed

    Raises InputError for a run that has not begun.
    """
    stages_of = graph.Graph(experiment)
    folder = stages_of.run
    folder.check_begun()
    changed, lines = written.changed(folder), list[str]()
    if os.path.exists(folder.results) or folder.results in changed:
        there, lines = written.results(folder, experiment)
    else:
        is_there = lambda path: os.path.exists(path) and path not in changed  # noqa: E731
        there = results.erasing(folder, range(1, experiment.mining.steps + 1), is_there)
        there.update(seconds=folder.seconds(), peak_mib=folder.peaks())
    found: dict = {part: {} for part in "rows mining losses psl background examples seconds peak_mib".split()}
    found.update(dict(thresholds=[], main=recipes.main_row(experiment.rows)), **there)
    missing = [stage.name for stage in stages_of.needed() if not stages_of.is_done(stage.name)]
    paper = experiment.name == published.PAPERS_EXPERIMENT
    of_today, others = today.lines(experiment, data)
    notes = [*changed.values(), *lines, *of_today]
    return dict(found, paper=paper, images=folder.images(), missing=missing, notes=notes, others=others)


def main(argv: Optional[list[str]] = None) -> None:
    written = lambda asked: dict(written=os.path.dirname(RunFolder(asked.experiment.name).page))  # noqa: E731
    parser = cli.parser(__doc__, places=written)
    parser.add_argument("experiment", type=graph.of_run, help="whose run, finished or not")
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="root of the data set, for pictures")
    parser.add_argument("--format", dest="form", choices=("text", "md"), default="text", help="md: Markdown, no page")
    run(**vars(parser.parse_args(argv)))
