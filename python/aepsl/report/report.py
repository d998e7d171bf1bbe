"""Prints a run's tables, the paper's rows beside ours, and writes its page, runs/NAME/report/index.html."""

import os
import sys

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.report import collect, page
from aepsl.run.inputs import data_of


def run(experiment, form="text", data=None):
    """Print the figures of a run; write its page too, but for the form 'md', which is Markdown. See page.

    data: root of the data set; without it and without the experiment's own the page has no pictures. Raises InputError
    for a run that has not begun, and for files that are damaged.
    """
    found, printed = _read(experiment, page.markdown if form == "md" else page.terminal)
    if form == "md":
        print(printed)
        return
    try:
        data = data_of(experiment, data)
    except InputError as error:
        data = None
        print(f"The page is without pictures: {error}", file=sys.stderr)
    path = page.run(experiment, found, data)
    print(f"{printed}\n\nThe same to look at: {path}")


def _read(experiment, shown):
    """(what there is, its tables as `shown` makes them)."""
    folder = RunFolder(experiment.name)
    try:
        found = collect.gathered(experiment)
        return found, shown(experiment, found)
    except InputError:
        raise
    except (*DAMAGED, AttributeError, ValueError):
        path = folder.results if os.path.exists(folder.results) else folder.path
        raise InputError(f"{path}: is damaged; type the run's command again, which makes it anew") from None


def _places(asked):
    """What it writes: see aepsl.places."""
    return dict(written=os.path.dirname(RunFolder(asked.experiment.name).page))


def main(argv=None):
    parser = cli.parser(__doc__, places=_places)
    parser.add_argument("experiment", type=graph.of_run, help="whose run, finished or not")
    parser.add_argument(
        "--data", default=os.environ.get("DATA") or None, help="a folder in VOC layout, for the pictures"
    )
    parser.add_argument("--format", dest="form", choices=("text", "md"), default="text", help="md: Markdown, no page")
    run(**vars(parser.parse_args(argv)))
