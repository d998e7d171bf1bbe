"""What the stages of a run wrote, for `status` and `report`: a file may have been edited or damaged since.

The record of a job (aepsl.store.records) has the text of its small files, and its mark. A file without a record, as a
copied results.json is, is taken as it is.
"""

import json
import os
from typing import Any

from aepsl.base.errors import InputError
from aepsl.base.files import read_json
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.settings import check
from aepsl.settings.typed import Experiment
from aepsl.store import records
from aepsl.store.result import read


def changed(run: RunFolder) -> dict[str, str]:
    """{path: a line} of the marks and small files of finished stages that are not as recorded."""
    paths = []
    for job in run.marked():
        mark, record = records.mark_of(run.path, job), records.read_record(run.path, job)
        if record:
            paths += [mark] * (read(mark) != record["mark"])
            paths += [os.path.join(run.path, name) for name in records.differing(run.path, record, record["texts"])]
    return {path: f"{path}: was changed since its stage wrote it; the run's next start puts it back" for path in paths}


def results(run: RunFolder, experiment: Experiment) -> tuple[dict[str, Any], list[str]]:
    """(the figures of results.json as its stage wrote them, a line for each row that is left out).

    Raises InputError for a damaged file without a record, and for the figures of another run.
    """
    path, record = run.results, records.read_record(run.path, "results")
    text = record["texts"].get(os.path.relpath(path, run.path)) if record else None
    try:
        value = json.loads(text) if text else read_json(path)
        theirs = value.get("experiment", experiment.name)
        rows, names = value.get("rows", {}), ["background", *experiment.classes]
        kept = {row: [name for name in names if name not in each["absent"]] for row, each in rows.items()}
        others = [row for row, each in rows.items() if list(each["iou"]) != kept[row]]
    except DAMAGED:
        raise InputError(f"{path}: is damaged; type the run's command again, which makes it anew") from None
    if theirs != experiment.name:
        raise InputError(
            f"{path}: is of {check.shown(theirs)}, not of {experiment.name}; give the run's folder its name again; or, "
            "where the run is a copy, delete this file and start the run"
        )
    for row in others:
        del rows[row]
    what = "is of other classes than experiment.yaml's; it is left out here, and the run's next start makes it anew"
    return value, [f"{path}: `rows.{row}` {what}" for row in others]
