"""The order of the package's folders: each imports only those below it."""

import ast
import graphlib
import pathlib

import pytest

PACKAGE = pathlib.Path("python/aepsl")
# From the lowest to the highest. cli and places are files.
FLOORS = (
    "base erasing store paper settings graph places cli images data layers nets legacy saliency training evaluation"
    " stages run report baselines bench gpu tools"
).split()


def imported(path):
    """The rooms, or files of the package, that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "aepsl":
            _, *inside = node.module.split(".")
            yield from inside[:1] or [each.name for each in node.names]
        elif isinstance(node, ast.Import):
            yield from (each.name.split(".")[1] for each in node.names if each.name.startswith("aepsl."))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].replace(".py", "")


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in FLOORS]


def test_every_room_has_its_floor_and_says_what_lives_there():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(FLOORS) - {"places", "cli"}
    for room in rooms:
        first = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())).splitlines()[0]
        assert "Imports " in first and first.endswith("."), room


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_no_room_above_its_own(path):
    room = room_of(path)
    above = {each for each in imported(path) if FLOORS.index(each) > FLOORS.index(room)}
    assert not above


def test_no_stage_knows_another_but_for_what_they_share():
    """mine's `mined` and `shown` are used to evaluate regions and to keep pictures."""
    known = {}
    for path in (PACKAGE / "stages").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aepsl.stages."):
                known.setdefault(path.stem, set()).add(node.module.split(".")[2])
    graphlib.TopologicalSorter(known).prepare()  # no circle
    assert set().union(*known.values()) <= {"mine", "masks", "results"}
