"""The verdict on a set-up."""

import pytest

from aepsl.paper import published
from aepsl.stages import calibrate


@pytest.mark.parametrize(
    "plain, with_crf, verdict",
    [(62.4, 66.0, "Sound"), (70.0, 70.0, "Sound"), (61.0, 62.0, "its CRF is not"), (58.0, 66.5, "Not sound: 4.2")],
)
def test_verdict_of_the_papers_experiment(plain, with_crf, verdict):
    text = calibrate.report(published.PAPERS_EXPERIMENT, plain, with_crf)
    assert verdict in text
    assert "62.25  67.64" in text


def test_other_data_have_no_published_figure():
    text = calibrate.report("demo", 80.0, 90.0)
    assert "67.64" not in text and "upper bound" in text
