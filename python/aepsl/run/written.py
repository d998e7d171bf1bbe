"""Reads the files of a run that `status` and `report` show, which may have been edited or damaged.

written.yaml has their schemas. An invalid file, or part of one, is not shown. A line about each is added to `faults`:
{path: line}, and for a part {(path, part): line}.
"""

import functools
import os
from typing import Any, Union

import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_table, sha256
from aepsl.graph.run_folder import RunFolder, stage_of
from aepsl.settings.check import dotted, shown, validator
from aepsl.settings.typed import Experiment
from aepsl.store import records

Faults = dict[Union[str, tuple[str, str]], str]
REMEDY = "it is left out here, and the run's next start makes it anew"
BY_NAME = ("rows", "mining", "losses", "psl", "seconds", "peak_mib")  # of results.json: one element can be left out


@functools.cache
def _validators() -> dict[str, Any]:
    """{name of a file: its validator}."""
    with open(os.path.join(os.path.dirname(__file__), "written.yaml")) as file:
        schemas = yaml.safe_load(file)
    definitions = schemas.pop("definitions")
    return {name: validator(dict(schema, definitions=definitions)) for name, schema in schemas.items()}


def read(path: str) -> Any:
    """The value of a JSON file; of a CSV file {column: its numbers}. InputError if it is invalid by its schema."""
    value = read_table(path, ["iteration"]) if path.endswith(".csv") else read_json(path)
    validators, name = _validators(), os.path.basename(path)
    is_mark = os.path.basename(os.path.dirname(path)) == "done"  # done/results.json is the mark of results.json's stage
    kind = name if name in validators and is_mark == (name == "check.json") else "done"
    error = next(validators[kind].iter_errors(value), None)
    if error:
        raise InputError(_line(path, error))
    return value


def is_sound(path: str, faults: Faults) -> bool:
    """Whether a file exists and is valid by its schema."""
    if os.path.exists(path) and path not in faults:
        try:
            read(path)
            return True
        except InputError as error:
            faults[path] = str(error)
        except OSError as error:
            faults[path] = f"{path}: {error.strerror}; {REMEDY}"
    return False


def took(run: RunFolder, faults: Faults) -> tuple[dict[str, float], dict[str, float]]:
    """({stage: seconds}, {stage: MiB}), without stages that have an invalid mark."""
    unsound = {stage_of(job) for job in run.marked() if not is_sound(records.mark_of(run.path, job), faults)}
    seconds, peaks = (
        {stage: value for stage, value in values.items() if stage not in unsound}
        for values in (run.seconds(), run.peaks())
    )
    return seconds, peaks


def images(run: RunFolder, faults: Faults) -> dict[str, int]:
    """RunFolder.images; {} where the mark is invalid."""
    return run.images() if is_sound(os.path.join(run.path, "done", "check.json"), faults) else {}


def results(run: RunFolder, experiment: Experiment, faults: Faults) -> dict[str, Any]:
    """The valid parts of results.json. Raises InputError for a file that has no such parts, or is another run's."""
    path, value = run.results, read_json(run.results)
    if not isinstance(value, dict):
        raise InputError(f"{path}: is damaged; type the run's command again, which makes it anew")
    if value.get("experiment", experiment.name) != experiment.name:
        raise InputError(
            f"{path}: is of {shown(value['experiment'])}, not of {experiment.name}; give the run's folder its name "
            "again; or, where the run is a copy, delete this file and start the run"
        )
    for error in list(_validators()["results.json"].iter_errors(value)):
        part = tuple(error.absolute_path)
        part = part[: 2 if part[:1] and part[0] in BY_NAME else 1]
        if not part or _has_removed(value, part):  # one line for each part
            line = _line(path, error)
            faults[path, line] = line
    record = records.read_record(run.path, "results")
    if record and record["files"].get(os.path.relpath(path, run.path)) not in (None, sha256(path)):
        faults[path, "changed"] = f"{path}: was changed since its stage wrote it; the run's next start puts it back"
    rows, names = value.get("rows", {}), ["background", *experiment.classes]
    absent = next(iter(rows.values()))["absent"] if rows else []
    for name in [name for name, row in rows.items() if list(row["iou"]) != [n for n in names if n not in absent]]:
        del rows[name]
        faults[path, f"rows.{name}"] = f"{path}: `rows.{name}` is of other classes than experiment.yaml's; {REMEDY}"
    return value


def _has_removed(value: dict[str, Any], part: tuple[Any, ...]) -> bool:
    """Remove a part of nested dicts. Returns whether it existed."""
    for key in part[:-1]:
        value = value.get(key, {})
    return value.pop(part[-1], part) is not part


def _line(path: str, error: Any) -> str:
    """One line about a fault that jsonschema found."""
    where = dotted(error.absolute_path)
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        names = ", ".join(f"`{dotted([*error.absolute_path, key])}`" for key in missing)
        return f"{path}: {names}: missing; {REMEDY}"
    what = f"`{where}` is {shown(error.instance)}" if where else f"holds {shown(error.instance)}"
    return f"{path}: {what}, which its stage never writes; {REMEDY}"
