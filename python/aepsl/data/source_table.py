"""The table of everything that is downloaded, scripts/sources.yaml; comments there explain its fields."""

import argparse
import os
from typing import Optional

from aepsl.base.errors import InputError
from aepsl.settings import check, yaml_file

TABLE = os.path.join("scripts", "sources.yaml")
SCHEMA = os.path.join(os.path.dirname(__file__), "sources_schema.yaml")


def load(path: Optional[str] = None) -> dict:
    """The table as nested dicts, with its `path` added; path: None for the one that SOURCES names, else for TABLE."""
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


def entry(table: dict, name: str) -> dict:
    """The table's entry for the file `name`; InputError if it has none."""
    if name not in table["files"]:
        raise InputError(f"{table['path']}: does not list {name}; it lists {', '.join(table['files'])}")
    return table["files"][name]


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --sources, for commands that read the table."""
    told = f"another table than {TABLE}; SOURCES in the environment does the same"
    parser.add_argument("--sources", default=os.environ.get("SOURCES") or None, help=told)
