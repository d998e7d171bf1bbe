"""Settings that are wrong are told before any work, in one line."""

import pytest
import yaml

from aepsl import experiments
from aepsl.errors import InputError


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda e: e.pop("shards"), "has no `shards`"),
        (lambda e: e.clear(), "has no `net`"),
        (
            lambda e: e["mining"].update(threshold={"of_maximum": 0.2}),
            "`threshold` is of_maximum; it can be one of of_max",
        ),
        (
            lambda e: e["mining"].update(sensitivity=[{"top": 1}]),
            "`threshold` is top; it can be one of of_max, top_pix",
        ),
        (
            lambda e: e.update(segmentation_start="imagenet"),
            "`segmentation_start` is imagenet; it can be one of initial",
        ),
    ],
)
def test_a_slip_in_the_settings_is_named(tmp_path, monkeypatch, change, complaint):
    settings = experiments.load("demo")
    change(settings)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/experiment.yaml").write_text(yaml.safe_dump(settings) if settings else "")
    monkeypatch.setattr(experiments, "FOLDER", str(tmp_path))
    with pytest.raises(InputError) as error:
        experiments.load("mine")
    assert complaint in str(error.value) and "\n" not in str(error.value)
