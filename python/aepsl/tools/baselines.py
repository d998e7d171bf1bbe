"""Compares the baselines that were run with AE-PSL's runs on the same images, in one table with intervals."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.base.table import Table, number
from aepsl.baselines import folder, profile, tables
from aepsl.data.dataset import Dataset, in_folder
from aepsl.evaluation import bootstrap
from aepsl.graph import graph, run_folder
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
    runs = [text for text, masks in _runs(dataset).items() if _has(text, masks, ids)]
    names = [name for name in folder.known() if _has(name, folder.masks(name), ids) and _is_of(name, dataset, ids)]
    if len(runs) + len(names) < 2:
        remedy = "`make baseline` runs a baseline, `make reproduce` AE-PSL"
        raise InputError(f"{data}: {', '.join([*runs, *names]) or 'nothing'} was run on its {list_name}; {remedy}")
    result = compare.run([], runs, list_name, data, draws, baselines=names)
    table = _table(result, {name: folder.results(name) for name in names})
    write_text(PAGE, page.rendered("compare.html", reference=result["reference"], tables=[table]))
    return table


def _runs(dataset: Dataset) -> dict[str, str]:
    """{runs/NAME:ROW: the folder of its masks} of the runs with the data set's classes."""
    found = {}
    names = sorted(os.listdir(run_folder.ROOT)) if os.path.isdir(run_folder.ROOT) else []
    for run in filter(lambda run: os.path.exists(run.settings), map(run_folder.RunFolder, names)):
        try:
            experiment = graph.of_run(os.path.basename(run.path))
        except InputError as error:
            _say(str(error))
            continue
        if list(experiment.classes) == dataset.classes:
            row = recipes.main_row(experiment.rows)
            found[f"{run.path}:{row}"] = run.segmented("val", row) + "/crf"
        else:
            _say(f"{run.path}: has other classes")
    return found


def _has(name: str, masks: str, ids: Sequence[str]) -> bool:
    missing = [path for path in in_folder(masks, ids) if not os.path.exists(path)]
    if missing:
        _say(f"{name}: has no {missing[0]}")
    return not missing


def _is_of(name: str, dataset: Dataset, ids: Sequence[str]) -> bool:
    try:
        folder.check([name], dataset, ids)
    except InputError as error:
        _say(str(error))
        return False
    return True


def _say(line: str) -> None:
    print(f"{line}; it is left out", file=sys.stderr)


def _table(result: dict[str, Any], baselines: Mapping[str, dict[str, Any]]) -> Table:
    """result: of compare.compared; baselines: {name: its results.json}."""
    rows = []
    for name, row in result["methods"].items():
        known = baselines.get(name, dict(published=[]))
        cells = difference_cells(result["differences"].get(name, {}).get("miou"))
        rows.append([name, number(row["miou"], 2), *cells, "; ".join(tables.shown(known["published"]))])
    note = f"mIoU with CRF where the profile has one. {meaning(result)}"
    return Table(f"{result['images']} images", ["method", "mIoU", *DIFFERENCE, "published"], rows, note)


def _places(asked: Any) -> dict[str, Any]:
    return dict(places.of_run(), written=PAGE)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=_places)
    data = os.environ.get("DATA") or None
    parser.add_argument("--data", default=data, help="root of the data set, in VOC layout")
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
