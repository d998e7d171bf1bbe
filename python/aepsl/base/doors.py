"""Doors: things of one kind are the modules of one package, each found by its file's name and listed nowhere else."""

import importlib
import importlib.util
import pkgutil
from types import ModuleType

from aepsl.base.errors import InputError

DETECTORS = "aepsl.saliency.detectors"  # what `background.detector` names
TRUNKS = "aepsl.nets.trunks"  # what `net` names
ERASING = "aepsl.erasing"  # the rules of `mining.threshold` and `mining.sensitivity`


def names(package: str) -> list[str]:
    """The names of the modules in `package`, 'aepsl.erasing', sorted; they are not imported."""
    spec = importlib.util.find_spec(package)
    assert spec, package
    return sorted(module.name for module in pkgutil.iter_modules(spec.submodule_search_locations))


def load(package: str, name: str) -> ModuleType:
    """The module `name` of `package`. Raises InputError for a name that the package does not have."""
    known = names(package)
    if name not in known:
        raise InputError(f"{name!r}: no module of {package}; known are {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")
