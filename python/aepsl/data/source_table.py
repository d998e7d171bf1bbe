"""The table of everything that is downloaded: scripts/sources.yaml, which says what stands in it."""

import os

from aepsl.base.errors import InputError
from aepsl.settings import check, yaml_file

TABLE = os.path.join("scripts", "sources.yaml")
SCHEMA = os.path.join(os.path.dirname(__file__), "sources_schema.yaml")


def load(path=None):
    """The table as nested dicts, with its `path` added. path: None for the one that SOURCES names, or else TABLE."""
    path = path or os.environ.get("SOURCES") or TABLE
    try:
        table = yaml_file.read(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; --sources and SOURCES name a table like {TABLE}") from None
    for error in check.validator(yaml_file.read(SCHEMA)).iter_errors(table):
        name = check.dotted(error.absolute_path) or "it"
        raise InputError(f"{path}: {name}: {' '.join(error.message.split())}; {TABLE} shows the form")
    table["path"] = path
    return table


def entry(table, name):
    """What the table says of the file `name`."""
    if name not in table["files"]:
        raise InputError(f"{table['path']}: does not list {name}; it lists {', '.join(table['files'])}")
    return table["files"][name]


def add_option(parser):
    """--sources of commands that read the table."""
    told = f"another table than {TABLE}; SOURCES in the environment does the same"
    parser.add_argument("--sources", default=os.environ.get("SOURCES") or None, help=told)
