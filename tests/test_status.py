"""Where a run is, and what it will cost."""

import os

import pytest

from aepsl import experiments
from aepsl.errors import InputError
from aepsl.files import write_json, write_text
from aepsl.tools import plan, status


@pytest.fixture
def run(tmp_path):
    """A run of voc12, half done: saliency, a training and a shard of mining are; another training goes on."""
    names = ("name", "kind", "folder", "images")
    stages = [
        ("saliency", "saliency", "saliency", "train"),
        ("classification.step1", "classification", "step1/classification", None),
        ("mine.step1", "mine", "step1/regions", "train"),
        ("segmentation.ae_step1", "segmentation", "segmentation/ae_step1", None),
        ("segment.val.ae_step1", "segment", "val/ae_step1", "val"),
    ]
    write_json(f"{tmp_path}/settings/stages.json", [dict(zip(names, stage)) for stage in stages])
    write_json(f"{tmp_path}/checked", dict(train=10, val=4))
    for name, seconds in (
        ("saliency.1-2", 5),
        ("saliency.2-2", 6),
        ("classification.step1", 3600),
        ("mine.step1.1-2", 7),
    ):
        write_text(f"{tmp_path}/seconds/{name}.tsv", f"s\th:m:s\n{seconds}\t0\n")
    for folder, images, shards in (("saliency", 10, ["1-2", "2-2"]), ("step1/regions", 6, ["1-2"])):
        for k in range(images):
            write_text(f"{tmp_path}/{folder}/{k}.png", "")
        for shard in shards:
            write_text(f"{tmp_path}/{folder}.done/{shard}", "")
    for folder in ("step1/classification", "segmentation/ae_step1"):
        write_text(f"{tmp_path}/{folder}/solver.prototxt", "max_iter: 300")
    write_text(f"{tmp_path}/step1/classification/final.caffemodel", "")
    write_json(f"{tmp_path}/segmentation/ae_step1/snapshot.json", dict(iteration=100, rows=[[98, 0.5], [99, 0.25]]))
    return str(tmp_path)


def test_status_tells_what_is_done_what_goes_on_and_how_long_it_took(run):
    lines = {line.split()[0]: line.split()[1:] for line in status.report(run).splitlines()[1:]}
    assert lines["saliency"] == ["10/10", "0:00:11"]
    assert lines["classification.step1"] == ["300/300", "1:00:00"]
    assert lines["mine.step1"][:2] == ["6/10", "newest"]
    assert lines["segmentation.ae_step1"][:3] == ["100/300", "loss", "0.375;"]
    assert lines["segment.val.ae_step1"] == []
    assert lines["Not"] == ["finished."]
    write_text(f"{run}/results.json", "{}")
    assert status.report(run).splitlines()[-1].startswith("Finished")


def test_no_run_is_one_line(tmp_path):
    with pytest.raises(InputError, match="is no run that has begun"):
        status.report(str(tmp_path))


def test_multiply_adds_are_those_of_the_definition(net_of):
    """A dilated, strided convolution and a fully connected layer, counted by hand."""
    net = net_of(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 11 } } }'
        'layer { name: "a" type: "Convolution" bottom: "data" top: "a"'
        " convolution_param { num_output: 5 kernel_size: 3 stride: 2 pad: 1 } }"
        'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 7 } }'
    )
    assert plan.multiply_adds(net) == 5 * 3 * 9 * (5 * 6) + 7 * (5 * 5 * 6)
    assert plan.parameters(net) == 5 * 27 + 5 + 7 * 150 + 7


def hours(text):
    """{stage: hours} of a report."""
    rows = [line.split() for line in text.splitlines() if " GB" in line and "downloaded" not in line]
    return {row[0]: float(row[1]) for row in rows if row[0] != "one"}


def test_the_plan_is_work_over_speed_and_learns_from_the_runs_own_trainings(run):
    voc12 = experiments.load("voc12")
    os.unlink(f"{run}/checked")
    os.rename(f"{run}/seconds", f"{run}/later")
    computed = hours(plan.report(voc12, run, gpus=1, cores=8))
    images = 5291 * 30
    work = 6 * images * plan.multiply_adds(plan.net_of("voc12", "segmentation"))
    seconds = work / (plan.SUSTAINED * plan.PEAKS[plan.REFERENCE] * 1e12)
    assert computed["segmentation.ae_step1"] == pytest.approx(seconds / 3600, abs=0.01)
    os.rename(f"{run}/later", f"{run}/seconds")
    text = plan.report(voc12, run, gpus=1, cores=8)
    assert "no GPU is visible here" in text and "VOCtrainval" in text
    assert hours(text)["classification.step1"] == 1  # as it was
    assert hours(text)["segmentation.ae_step1"] == pytest.approx(1, abs=0.02)  # the same work
