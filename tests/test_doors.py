"""What is behind the doors: found by a file's name, asked without importing it, and complete."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from aepsl.base import doors
from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.settings import check, experiments

DETECTORS, RULES = doors.names(doors.DETECTORS), doors.names(doors.ERASING)


def imported_after(statement):
    """The modules of aepsl that a new process has imported after a statement."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps([n for n in sys.modules if n.startswith('aepsl')]))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout))


def test_names_are_those_of_the_files_and_none_is_imported():
    for package, known in ((doors.DETECTORS, DETECTORS), (doors.ERASING, RULES)):
        folder = os.path.join("python", *package.split("."))
        files = {name[: -len(".py")] for name in os.listdir(folder) if name.endswith(".py")}
        assert known == sorted(files - {"__init__"}) and len(known) > 1
    loaded = imported_after(f"from aepsl.base import doors\nassert len(doors.names({doors.DETECTORS!r})) > 1")
    assert loaded == {"aepsl", "aepsl.base", "aepsl.base.doors", "aepsl.base.errors", "aepsl.saliency"}


def test_settings_know_the_detectors_without_importing_one():
    loaded = imported_after("from aepsl.settings import check\nassert check.schema()")
    assert not [name for name in loaded if name.startswith((doors.DETECTORS, "aepsl.saliency."))]


def test_rules_of_erasing_import_nothing_of_ours():
    loaded = imported_after("\n".join(f"import {doors.ERASING}.{name}" for name in RULES))
    assert loaded == {"aepsl", doors.ERASING, *(f"{doors.ERASING}.{name}" for name in RULES)}


@pytest.mark.parametrize("package", [doors.DETECTORS, doors.ERASING])
@pytest.mark.parametrize("name", ["of_maximum", "", "os.path", "__init__", "../errors"])
def test_an_unknown_name_is_one_line_with_the_known_ones(package, name):
    with pytest.raises(InputError) as error:
        doors.load(package, name)
    assert str(error.value) == f"{name!r}: no module of {package}; known are {', '.join(doors.names(package))}"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_bounds_each_map_by_itself(name, rng):
    """And what its schema allows can be a setting."""
    rule = doors.load(doors.ERASING, name)
    maps = rng.randn(3, 20, 30)
    bound = rule.bound(maps, 0.3)
    assert bound.shape == (3, 1, 1)
    for k in range(3):
        np.testing.assert_array_equal(rule.bound(maps[k : k + 1], 0.3), bound[k : k + 1])
    settings = experiments.load("voc12").settings()
    settings["mining"] = dict(settings["mining"], threshold={name: 0.3}, sensitivity=[{name: 0.5}])
    assert check.fault(settings) is None


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_says_what_it_costs_and_needs_and_draws_maps(name, data):
    detector = doors.load(doors.DETECTORS, name)
    assert 0 < detector.SECONDS < 60
    json.dumps(detector.settings())
    for each, path in detector.INPUTS.items():
        assert os.path.isfile(path) if path else each in ("train.labels", "train.masks")
    detector.ready()
    dataset = Dataset(data)
    image_id = dataset.ids("val")[0]
    saliency = detector.maps(dataset, [image_id])(image_id)
    assert saliency.shape == dataset.image(image_id).shape[:2] and saliency.dtype == np.float32
    assert saliency.min() >= 0 and saliency.max() <= 1
