"""An experiment: the settings of prototxt/NAME/experiment.yaml, the only place where they stand."""

import os
import re

from aepsl.base.errors import InputError
from aepsl.settings import check, yaml_file
from aepsl.settings.typed import Experiment, typed

FOLDER = "prototxt"
TASKS = ("classification", "segmentation", "psl")
SEEDS = ("data", "training", "report")
WHOLE = ("threshold",)  # the dicts that take the place of the base's: each has one of several keys


def load(name):
    """The Experiment of that name. Raises InputError for a name that is none, and for the first fault in the file."""
    name = checked_name(name)
    path = _path(name)
    try:
        return of_file(path, name)
    except FileNotFoundError:
        raise InputError(f"{path}: no such experiment; {_known()}; DATA= makes one for your data") from None


def of_file(path, name):
    """The Experiment of a file; name: of its run."""
    return of_settings(yaml_file.read(path), path, name)


def of_settings(settings, path, name):
    """The Experiment that the file `path` with these settings means; InputError, with `path`, for a fault."""
    return typed(Experiment, dict(complete(settings, path), name=name))


def changed(experiment, changes):
    """The Experiment with other values: {'training.psl.lr': 0.01}, {'data': {'crop': 65}}. InputError for a fault."""
    settings = experiment.settings()
    for key, value in changes.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = laid_over(settings, _with_seeds(value))
    return of_settings(settings, f"{experiment.name}, {', '.join(changes)}", experiment.name)


def complete(settings, path, above=()):
    """What the file `path` with these settings means: those of its `base`, with these laid over them, checked.

    above: the names of the experiments that have it as their base. Raises InputError, with `path`, for a fault.
    """
    settings = _with_seeds(settings)
    base = _base(settings.pop("base"), path, above) if "base" in settings else {}
    settings = laid_over(base, settings)
    fault = check.fault(settings)
    if fault:
        raise InputError(f"{path}: {fault}")
    return settings


def _with_seeds(settings):
    """One number as `seed` is that of everything that is drawn."""
    one = settings.get("seed")
    return dict(settings, seed=dict.fromkeys(SEEDS, one)) if type(one) is int else dict(settings)


def _base(name, path, above):
    """The complete settings of the experiment `name`, which the file `path` has as its base."""
    if not _is_name(name) or not os.path.exists(_path(name)):
        shown = check.shown(name)
        raise InputError(f"{path}: `base` is {shown}; it must be the name of an experiment; {_known()}")
    above = (*above, os.path.basename(os.path.dirname(path)))
    if name in above:
        raise InputError(f"{path}: `base` goes in a circle: {', '.join([*above[above.index(name) :], name])}")
    try:
        return complete(yaml_file.read(_path(name)), _path(name), above)
    except InputError as error:
        raise InputError(f"{error} (the base of {above[-1]})") from None


def laid_over(base, changes):
    """The settings of `base` with `changes`: dicts key by key, anything else as a whole; null removes base's key."""
    settings = _copied(base)
    for key, value in changes.items():
        if value is None and key in base:
            del settings[key]
        elif _is_merged(key, value, base):
            settings[key] = laid_over(base[key], value)
        else:
            settings[key] = _copied(value)
    return settings


def difference(settings, base):
    """The least changes that laid_over `base` give `settings`."""
    changes = {key: None for key in base if key not in settings}
    for key, value in settings.items():
        if key not in base or value != base[key]:
            changes[key] = difference(value, base[key]) if _is_merged(key, value, base) else _copied(value)
    return changes


def _is_merged(key, value, base):
    return isinstance(value, dict) and isinstance(base.get(key), dict) and key not in WHOLE


def _copied(value):
    """A copy in which nothing is shared, as YAML's anchors share."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def checked_name(name):
    """`name` as text, if it can be an experiment's, which is a folder's too. Raises InputError otherwise."""
    if not _is_name(str(name)):
        raise InputError(f"{name!r}: no name of an experiment; letters, digits and . _ + - make one, as voc12")
    return str(name)


def _is_name(name):
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name)) and ".." not in name


def known():
    """The names of the experiments that there are."""
    folders = os.listdir(FOLDER) if os.path.isdir(FOLDER) else []
    return sorted(name for name in folders if os.path.exists(_path(name)))


def _known():
    return f"known are {', '.join(known()) or 'none here'}"


def _path(name):
    return os.path.join(FOLDER, name, "experiment.yaml")


def iterations(epochs, images, batch):
    """How many batches `epochs` are, rounded to the nearest."""
    return max(1, int(round(epochs * images / batch)))
