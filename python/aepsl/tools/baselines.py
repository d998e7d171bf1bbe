"""Compares the baselines that were run with AE-PSL's runs on the same images, in one table with intervals."""

import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.base.table import Table, number
from aepsl.baselines import folder, profile, tables
from aepsl.data.dataset import Dataset, in_folder
from aepsl.evaluation import bootstrap
from aepsl.graph import graph, run_folder
from aepsl.graph.run_folder import RunFolder
from aepsl.paper import recipes
from aepsl.report import page
from aepsl.tools import compare
from aepsl.tools.comparison_tables import DIFFERENCE, difference_cells, meaning

PAGE = os.path.join(folder.ROOT, "index.html")


def run(data: str, list_name: str = "val", draws: int = bootstrap.DRAWS) -> Table:
    """The table, which is also written to PAGE; data: root of the data set; list_name: one of its lists, or a path.

    A run of AE-PSL is represented by its main row. Runs and baselines without masks of these images, or with other
    classes, are left out; a line on stderr names them. Raises InputError where fewer than two are left.
    """
    dataset = Dataset(data)
    ids = dataset.ids(list_name)

    def of_run(name):
        run, experiment = RunFolder(name), graph.of_run(name)
        if list(experiment.classes) != dataset.classes:
            raise InputError(f"{run.path}: has other classes")
        row = recipes.main_row(experiment.rows)
        return _with_masks(f"{run.path}:{row}", run.segmented("val", row) + "/crf", ids)

    def of_baseline(name):
        folder.check([_with_masks(name, folder.masks(name), ids)], dataset, ids)
        return name

    folders = sorted(path.name for path in pathlib.Path(run_folder.ROOT).glob("*"))
    runs = _found(of_run, [name for name in folders if os.path.exists(RunFolder(name).settings)])
    names = _found(of_baseline, folder.known())
    if len(runs) + len(names) < 2:
        remedy = "`make baseline` runs a baseline, `make reproduce` AE-PSL"
        raise InputError(f"{data}: {', '.join([*runs, *names]) or 'nothing'} was run on its {list_name}; {remedy}")
    result = compare.run([], runs, list_name, data, draws, baselines=names)
    table = _table(result, {name: folder.results(name) for name in names})
    write_text(PAGE, page.rendered("compare.html", reference=result["reference"], tables=[table]))
    return table


def _found(find: Callable[[str], str], names: Iterable[str]) -> list[str]:
    """find(name) of each name. A line on stderr tells each InputError, and that what it is of is left out."""
    found = []
    for name in names:
        try:
            found.append(find(name))
        except InputError as error:
            print(f"{error}; it is left out", file=sys.stderr)
    return found


def _with_masks(name: str, masks: str, ids: Sequence[str]) -> str:
    """The name; InputError if the folder `masks` lacks one of the images."""
    missing = next((path for path in in_folder(masks, ids) if not os.path.exists(path)), None)
    if missing:
        raise InputError(f"{name}: has no {missing}")
    return name


def _table(result: dict[str, Any], baselines: Mapping[str, dict[str, Any]]) -> Table:
    """result: of compare.compared; baselines: {name: its results.json}."""
    rows = []
    for name, row in result["methods"].items():
        known = baselines.get(name, dict(published=[]))
        cells = difference_cells(result["differences"].get(name, {}).get("miou"))
        rows.append([name, number(row["miou"], 2), *cells, "; ".join(tables.shown(known["published"]))])
    note = f"mIoU with CRF where the profile has one. {meaning(result)}"
    return Table(f"{result['images']} images", ["method", "mIoU", *DIFFERENCE, "published"], rows, note)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=lambda asked: dict(places.of_run(), written=PAGE))
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="root of the data set, in VOC layout")
    parser.add_argument("--list", dest="list_name", default="val", help="its name, or the path of a list of ids (val)")
    parser.add_argument("--draws", type=cli.number(1), default=bootstrap.DRAWS, help="of the bootstrap (%(default)s)")
    parser.add_argument("--profiles", action="store_true", help="print a table of all profiles, as Markdown")
    asked = parser.parse_args(argv)
    if asked.profiles:
        print(tables.of_profiles(map(profile.load, profile.known())).markdown())
        return
    if not asked.data:
        parser.error("--data is needed, or DATA=")
    print(run(asked.data, asked.list_name, asked.draws).text())
    print(f"\nThe same as a page: {PAGE}")
