"""The table of everything that is downloaded: scripts/sources.yaml, which says what stands in it."""

import os

import yaml

from aepsl.errors import InputError

TABLE = os.path.join("scripts", "sources.yaml")


def load(path=None):
    """The table as nested dicts, with its `path` added. path: None for the one that SOURCES names, or else TABLE."""
    path = path or os.environ.get("SOURCES") or TABLE
    try:
        with open(path) as file:
            table = yaml.safe_load(file)
        table["files"].items()
    except OSError:
        raise InputError(f"{path}: cannot be read; --sources and SOURCES name a table like {TABLE}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except (TypeError, KeyError, AttributeError):
        raise InputError(f"{path}: has no `files`; {TABLE} shows the form") from None
    table["path"] = path
    return table


def entry(table, name):
    """What the table says of the file `name`."""
    if name not in table["files"]:
        raise InputError(f"{table['path']}: does not list {name}; it lists {', '.join(table['files'])}")
    return table["files"][name]
