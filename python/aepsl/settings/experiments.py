"""An experiment: the settings of prototxt/NAME/experiment.yaml, which is their only source."""

import os
import re
from typing import Any

from aepsl.base.errors import InputError
from aepsl.settings import check, yaml_file
from aepsl.settings.typed import Experiment, typed

FOLDER = "prototxt"
TASKS = ("classification", "segmentation", "psl")
SEEDS = ("data", "training", "report")
TAKEN = dict(legacy="prototxt/legacy has the baselines", baselines="runs/baselines has the results of the baselines")
WHOLE = ("threshold",)  # dicts that replace the base's: each has one of several keys


def load(name: str) -> Experiment:
    """The Experiment of that name. Raises InputError for an invalid name, and for the first fault in the file."""
    name = checked_name(name)
    path = _path(name)
    try:
        return of_file(path, name)
    except FileNotFoundError:
        raise InputError(f"{path}: no such experiment; {_known()}; DATA= makes one for your data") from None


def of_file(path: str, name: str) -> Experiment:
    """The Experiment of a file; name: of its run."""
    return of_settings(yaml_file.read(path), path, name)


def of_settings(settings: dict[str, Any], path: str, name: str) -> Experiment:
    """The Experiment of these settings of the file `path`. Raises InputError, which names `path`, for a fault."""
    return typed(Experiment, dict(complete(settings, path), name=name))


def changed(experiment: Experiment, changes: dict[str, Any]) -> Experiment:
    """The Experiment with other values: {'training.psl.lr': 0.01}, {'data': {'crop': 65}}. InputError for a fault."""
    if not changes:
        return experiment
    settings = experiment.settings()
    for key, value in changes.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = laid_over(settings, _with_seeds(value))
    return of_settings(settings, f"{experiment.name}, {', '.join(changes)}", experiment.name)


def complete(settings: dict[str, Any], path: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The checked settings of the file `path`: those of its `base`, with `settings` laid over them.

    above: the names of the experiments that have it as their base. Raises InputError, which names `path`, for a fault.
    """
    settings = _with_seeds(settings)
    base = _base(settings.pop("base"), path, above) if "base" in settings else {}
    settings = laid_over(base, settings)
    fault = check.fault(settings)
    if fault:
        raise InputError(f"{path}: {fault}")
    return settings


def _with_seeds(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with three seeds. If `seed` is one number, each of the three is that number."""
    one = settings.get("seed")
    return dict(settings, seed=dict.fromkeys(SEEDS, one)) if type(one) is int else dict(settings)


def _base(name: Any, path: str, above: tuple[str, ...]) -> dict[str, Any]:
    """The complete settings of the experiment `name`, which the file `path` has as its base."""
    if not _is_name(name) or not os.path.exists(_path(name)):
        shown = check.shown(name)
        raise InputError(f"{path}: `base` is {shown}; it must be the name of an experiment; {_known()}")
    above = (*above, os.path.basename(os.path.dirname(path)))
    if name in above:
        raise InputError(f"{path}: `base` refers back to itself: {', '.join([*above[above.index(name) :], name])}")
    try:
        return complete(yaml_file.read(_path(name)), _path(name), above)
    except InputError as error:
        raise InputError(f"{error} (the base of {above[-1]})") from None


def laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`. Dicts are merged key by key, any other value is replaced; null removes a key of `base`."""
    settings: dict[str, Any] = _copied(base)
    for key, value in changes.items():
        if value is None and key in base:
            del settings[key]
        elif _is_merged(key, value, base):
            settings[key] = laid_over(base[key], value)
        else:
            settings[key] = _copied(value)
    return settings


def difference(settings: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The fewest changes for which laid_over(base, changes) is `settings`."""
    changes: dict[str, Any] = {key: None for key in base if key not in settings}
    for key, value in settings.items():
        if key not in base or value != base[key]:
            changes[key] = difference(value, base[key]) if _is_merged(key, value, base) else _copied(value)
    return changes


def _is_merged(key: str, value: Any, base: dict[str, Any]) -> bool:
    return isinstance(value, dict) and isinstance(base.get(key), dict) and key not in WHOLE


def _copied(value: Any) -> Any:
    """A deep copy in which no two places share an object, as they do after an alias of YAML."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def checked_name(name: object) -> str:
    """`name` as text. Raises InputError unless it is valid as the name of an experiment and of its folder.

    A new name must differ from those of the known experiments by more than case.
    """
    name = str(name)
    if not _is_name(name):
        raise InputError(f"{name!r}: no name of an experiment; use letters, digits and . _ + -, as in voc12")
    if name in TAKEN:
        raise InputError(f"{name}: no name of an experiment, since {TAKEN[name]}; take another EXPERIMENT=NAME")
    there = known()
    other = next((each for each in there if each.casefold() == name.casefold()), name)
    if name not in there and other != name:
        line = f"differs from the experiment {other} by case alone, and some disks take the two for one"
        raise InputError(f"{name}: {line}; take EXPERIMENT={other}, or another name")
    return name


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name)) and ".." not in name


def known() -> list[str]:
    """The names of all experiments, sorted."""
    folders = os.listdir(FOLDER) if os.path.isdir(FOLDER) else []
    return sorted(name for name in folders if os.path.exists(_path(name)))


def _known() -> str:
    return f"known are {', '.join(known()) or 'none here'}"


def _path(name: str) -> str:
    return os.path.join(FOLDER, name, "experiment.yaml")


def iterations(epochs: float, images: int, batch: int) -> int:
    """The number of batches in `epochs`, rounded to the nearest integer, at least 1."""
    return max(1, int(round(epochs * images / batch)))
