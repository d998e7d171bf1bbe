"""Where a run is, and what it will cost."""

import os

import pytest

from aepsl.base.errors import InputError
from aepsl.base.files import write_json, write_text
from aepsl.graph import run_folder
from aepsl.run import costs, plan, status
from aepsl.settings import experiments


@pytest.fixture
def voc12(tmp_path, monkeypatch):
    """Settings of voc12 in two shards, whose run is half done: saliency, a training and a shard of mining are."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    root = tmp_path / "voc12"
    write_json(f"{root}/done/check.json", dict(seconds=1, value=dict(train=10582, val=1449)))
    marks = {"saliency.1-2": 5, "saliency.2-2": 6, "classification.step1": 3600, "mine.step1.1-2": 7}
    for name, seconds in marks.items():
        write_json(f"{root}/done/{name}.json", dict(seconds=seconds))
    for folder, images in (("saliency", 10), ("step1/regions", 6)):
        for k in range(images):
            write_text(f"{root}/{folder}/{k}.png", "")
    for folder in ("step1/classification", "segmentation/ae_step1"):
        write_text(f"{root}/{folder}/solver.prototxt", "max_iter: 300")
    write_text(f"{root}/step1/classification/final.caffemodel", "")
    write_json(f"{root}/segmentation/ae_step1/snapshot.json", dict(iteration=100, rows=[[98, 0.5], [99, 0.25]]))
    return experiments.changed(experiments.load("voc12"), {"shards": 2})


def test_status_tells_what_is_done_what_goes_on_and_how_long_it_took(voc12, tmp_path):
    lines = {line.split()[0]: line.split()[1:] for line in status.report(voc12).splitlines()[1:]}
    assert lines["saliency"] == ["10/10582", "0:00:11"]
    assert lines["classification.step1"] == ["300/300", "1:00:00"]
    assert lines["mine.step1"][:2] == ["6/10582", "newest"]
    assert lines["segmentation.ae_step1"][:3] == ["100/300", "loss", "0.375;"]
    assert lines["segment.val.ae_step1"] == []
    write_json(f"{tmp_path}/voc12/segmentation/ae_step1/progress.json", dict(iteration=120, loss=0.25))
    assert "120/300" in status.report(voc12) and "loss 0.250 0:00:00 ago; snapshot 0:00:0" in status.report(voc12)
    assert lines["Not"] == ["finished."]
    write_text(f"{tmp_path}/voc12/results.json", "{}")
    assert status.report(voc12).splitlines()[-1].startswith("Finished")


def test_no_run_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    with pytest.raises(InputError, match="is no run that has begun"):
        status.report(experiments.load("voc12"))


def test_multiply_adds_are_those_of_the_definition(net_of):
    """A dilated, strided convolution and a fully connected layer, counted by hand."""
    net = net_of(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 11 } } }'
        'layer { name: "a" type: "Convolution" bottom: "data" top: "a"'
        " convolution_param { num_output: 5 kernel_size: 3 stride: 2 pad: 1 } }"
        'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 7 } }'
    )
    assert costs.multiply_adds(net) == 5 * 3 * 9 * (5 * 6) + 7 * (5 * 5 * 6)
    assert costs.parameters(net) == 5 * 27 + 5 + 7 * 150 + 7


def hours(text):
    """{stage: hours} of a report."""
    rows = [line.split() for line in text.splitlines() if " GB" in line and "downloaded" not in line]
    return {row[0]: float(row[1]) for row in rows if row[0] != "one"}


def test_the_plan_is_work_over_speed_and_learns_from_the_runs_own_trainings(voc12, tmp_path):
    """5,291 batches of 30 crops; three passes of two operations for each multiply-add, on a V100 at a fifth of its 14
    TFLOPS; 10,582 images, .3 s of one core each, on 8 cores."""
    os.rename(tmp_path / "voc12", tmp_path / "later")
    computed = hours(plan.report(voc12, gpus=1, cores=8))
    assert computed["segmentation.ae_step1"] == 4.81
    assert computed["saliency"] == 0.11
    os.rename(tmp_path / "later", tmp_path / "voc12")
    text = plan.report(voc12, gpus=1, cores=8)
    assert "no GPU is visible here" in text and "VOCtrainval" in text
    assert hours(text)["classification.step1"] == 1  # as it was
    assert hours(text)["segmentation.ae_step1"] == pytest.approx(1, abs=0.02)  # the same work
