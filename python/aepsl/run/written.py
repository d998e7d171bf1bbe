"""The files of a run that `status` and `report` show, checked by written.yaml: they may have been edited, or damaged.

What does not fit is not shown, and a line says so. The lines are gathered in `faults`: {path: line}, and of parts of a
file {(path, part): line}.
"""

import functools
import glob
import os

import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_table, sha256
from aepsl.graph.run_folder import stage_of
from aepsl.settings.check import dotted, shown, validator
from aepsl.store import records

REMEDY = "it is left out here, and the run's next start makes it anew"
BY_NAME = ("rows", "mining", "losses", "psl", "seconds", "peak_mib")  # of results.json: each element is left out alone


@functools.cache
def _validators():
    """{name of a file: its validator}."""
    with open(os.path.join(os.path.dirname(__file__), "written.yaml")) as file:
        schemas = yaml.safe_load(file)
    definitions = schemas.pop("definitions")
    return {name: validator(dict(schema, definitions=definitions)) for name, schema in schemas.items()}


def read(path):
    """What a file holds; of a CSV file {column: its numbers}. InputError, in one line, unless it fits its schema."""
    value = read_table(path, ["iteration"]) if path.endswith(".csv") else read_json(path)
    validators = _validators()
    error = next(validators.get(os.path.basename(path), validators["done"]).iter_errors(value), None)
    if error:
        raise InputError(_line(path, error))
    return value


def is_sound(path, faults):
    """Whether a file is there and fits its schema."""
    if os.path.exists(path) and path not in faults:
        try:
            read(path)
            return True
        except InputError as error:
            faults[path] = str(error)
        except OSError as error:
            faults[path] = f"{path}: {error.strerror}; {REMEDY}"
    return False


def took(run, faults):
    """({stage: seconds}, {stage: MiB}) of a RunFolder, without stages that have a mark which does not fit."""
    marks = sorted(glob.glob(os.path.join(glob.escape(run.path), "done", "*.json")))
    unsound = {stage_of(os.path.basename(path)[: -len(".json")]) for path in marks if not is_sound(path, faults)}
    return tuple(
        {stage: value for stage, value in values.items() if stage not in unsound}
        for values in (run.seconds(), run.peaks())
    )


def images(run, faults):
    """RunFolder.images; {} where the mark does not fit."""
    return run.images() if is_sound(os.path.join(run.path, "done", "check.json"), faults) else {}


def results(run, experiment, faults):
    """The parts of results.json that fit. Raises InputError for a file that holds none, or another run's."""
    path, value = run.results, read_json(run.results)
    if not isinstance(value, dict):
        raise InputError(f"{path}: is damaged; type the run's command again, which makes it anew")
    if value.get("experiment", experiment.name) != experiment.name:
        raise InputError(
            f"{path}: is of {shown(value['experiment'])}, not of {experiment.name}; delete it and type the run's "
            "command again, which makes it anew"
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


def _has_removed(value, part):
    """Whether there was such a part of nested dicts; it is removed."""
    for key in part[:-1]:
        value = value.get(key, {})
    return value.pop(part[-1], part) is not part


def _line(path, error):
    """One line about what jsonschema found."""
    where = dotted(error.absolute_path)
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        names = ", ".join(f"`{dotted([*error.absolute_path, key])}`" for key in missing)
        return f"{path}: {names}: missing; {REMEDY}"
    what = f"`{where}` is {shown(error.instance)}" if where else f"holds {shown(error.instance)}"
    return f"{path}: {what}, which its stage never writes; {REMEDY}"
