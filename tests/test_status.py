"""Where a run is, and what it will cost."""

import os
import re
from unittest import mock

import pytest
from caffe import NetSpec
from caffe import layers as L

from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json, write_text
from aepsl.data.dataset import Dataset
from aepsl.graph import graph, run_folder
from aepsl.graph.graph import Graph, Start
from aepsl.nets import caffemodel, cuda
from aepsl.paper import recipes
from aepsl.run import costs, plan, roofline, status
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
    return {row[0]: float(row[1]) for row in rows if row[0] not in ("one", "all,")}


@pytest.fixture
def card(monkeypatch, tmp_path):
    """card(name): a GPU that CUDA calls so is visible, and runs/ is empty; without a name none is."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))

    def set_up(name=None):
        monkeypatch.setattr(cuda, "count", lambda: int(name is not None))
        monkeypatch.setattr(cuda, "name", lambda gpu: name)

    set_up()
    return set_up


def test_the_plan_is_work_over_speed_and_learns_from_the_runs_own_trainings(voc12, tmp_path, card):
    """5,291 batches of 30 crops, three passes each; 10,582 images, .55 s of one core each, on 8 cores."""
    os.rename(tmp_path / "voc12", tmp_path / "later")
    computed = hours(plan.report(voc12, gpus=1, cores=8))
    seconds = 5291 * 30 * 3 * roofline.seconds(costs.net_of(voc12, "segmentation"), roofline.CARDS["V100"])
    assert computed["segmentation.ae_step1"] == pytest.approx((seconds + costs.STARTING_GPU) / 3600, abs=0.005)
    assert computed["saliency"] == 0.2
    os.rename(tmp_path / "later", tmp_path / "voc12")
    text = plan.report(voc12, gpus=1, cores=8)
    assert "Computed, not measured: an NVIDIA V100 at 41% of its peak" in text and "no GPU is visible here" in text
    assert "VOCtrainval" in text
    assert hours(text)["classification.step1"] == 1  # as it was
    assert hours(text)["segmentation.ae_step1"] == pytest.approx(1, abs=0.02)  # the same work


def test_the_plan_is_of_as_many_cores_as_cores_says(card, monkeypatch, capsys):
    for text in ("16", "all"):
        monkeypatch.setenv("CORES", text)
        plan.main(["voc12", "--gpu", "0"])
    sixteen, every = re.findall(r"and (\d+) cores", capsys.readouterr().out)
    assert sixteen == "16" and every == str(len(os.sched_getaffinity(0)))
    monkeypatch.setenv("CORES", "many")
    with pytest.raises(InputError, match="CORES=many: give a number from 1 on, or all"):
        plan.main(["voc12"])


def test_the_plan_of_an_own_data_set_counts_its_images(voc12, tmp_path, card, data):
    counted = {key: len(Dataset(data).ids(name)) for key, name in (("train", "train_aug"), ("val", "val"))}
    text, others = plan.report(voc12, cores=8, data=data), plan.report(voc12, cores=8)
    assert f"{counted['train']} training and {counted['val']} validation images. " in text
    assert "10582 training and 1449 validation images. " in others
    assert hours(text)["segment.val.psl"] < 0.02 < hours(others)["segment.val.psl"]


@pytest.mark.parametrize("change", [{"training.psl": dict(batch=1000)}, {"data.crop": 4001}, {"channels": [9000] * 5}])
def test_the_plan_of_a_net_that_caffe_cannot_hold_is_one_line(voc12, card, change):
    """Caffe would end the process."""
    with pytest.raises(InputError, match="Caffe takes 2147483647 at most; make"):
        plan.report(experiments.changed(voc12, change))


def test_the_plan_is_of_the_gpu_that_is_there_for_one_and_for_several(voc12, tmp_path, card):
    os.rename(tmp_path / "voc12", tmp_path / "elsewhere")
    card("NVIDIA H200")
    text = plan.report(voc12, gpus=1, cores=8)
    one, two, four, eight = (float(re.search(rf"{each}  +([\d.]+)", text)[1]) for each in TOTALS)
    longest = 3 * hours(text)["classification.step1"]
    assert "an NVIDIA H200" in text and one > two == pytest.approx(one / 2, abs=0.01) and four >= eight > longest
    card("NVIDIA H300")
    assert "NVIDIA H300, is not in aepsl/run/roofline.py" in " ".join(plan.report(voc12, gpus=1, cores=8).split())


TOTALS = ("all, on one GPU", *(f"on {n} GPUs, at best" for n in plan.SEVERAL))


def test_only_what_a_start_needs_is_expected(voc12):
    of_calibration = Graph(voc12, Start(targets=["segment.val.calibration"]))
    expected = costs.expected(of_calibration, gpus=1, cores=8)
    assert list(expected) == ["segmentation.calibration", "segment.val.calibration"]
    assert len(costs.expected(Graph(voc12), gpus=1, cores=8)) > 20


def test_a_stage_with_settings_of_its_own_is_expected_to_take_their_time(voc12, card):
    """The net of a sweep, or of an ablation."""
    longer = recipes.nets(4)["psl"]._replace(changes={"training.psl": dict(epochs=45, batch=10)})
    start = Start(targets=["segmentation.psl", "segmentation.longer"], nets=dict(longer=longer))
    expected = costs.expected(Graph(voc12, start), gpus=1, cores=8)
    alone, triple = (expected[f"segmentation.{net}"] - costs.STARTING_GPU for net in ("psl", "longer"))
    assert triple == pytest.approx(3 * alone, rel=1e-3)


def test_the_stages_of_a_sweep_are_shown_while_it_works(voc12, tmp_path):
    """They are those of the last start; the rows of the tables that it does not need are not shown."""
    contents = dict.fromkeys([name for stage in Graph(voc12).stages.values() for name in stage.inputs], "")
    rows = dict(other=recipes.rows(4)["ae_step1"])
    started = Start(targets=["segment.val.other"], rows=rows, contents=contents)
    graph.write(Graph(voc12, started))
    lines = {line.split()[0]: line.split()[1:] for line in status.report(voc12).splitlines()[1:]}
    assert "segment.val.other" in lines and lines["segmentation.ae_step1"][0] == "100/300"
    assert "segment.val.ae_step1" not in lines and "segmentation.psl" not in lines and lines["Not"] == ["finished."]
    for part in ("1-2", "2-2"):
        write_json(f"{tmp_path}/voc12/done/segment.val.other.{part}.json", dict(seconds=1))
    assert status.report(voc12).splitlines()[-1] == "Finished."
    sound = read_json(f"{tmp_path}/voc12/start.json")
    for damaged in ([], dict(sound, targets=["nothing"])):
        write_json(f"{tmp_path}/voc12/start.json", damaged)
        assert "segment.val.psl++" in status.report(voc12) and "segment.val.other" not in status.report(voc12)


def test_each_job_of_a_stage_takes_time_to_begin(voc12, card):
    few, many = (experiments.changed(voc12, {"shards": shards}) for shards in (1, 257))
    took = [costs.expected(Graph(each), gpus=1, cores=8)["mine.step1"] for each in (few, many)]
    assert took[1] - took[0] == pytest.approx(256 * costs.STARTING_GPU)


@pytest.mark.parametrize(
    "name, key",
    [
        ("NVIDIA RTX A4000", "RTX A4000"),
        ("NVIDIA A40", "A40"),
        ("NVIDIA A40-48Q", None),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("NVIDIA A100-PCIE-40GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200 MIG 1g.18gb", None),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 3090", "RTX 3090"),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA GeForce GTX TITAN X", "GTX TITAN X"),
        ("NVIDIA TITAN X (Pascal)", None),
    ],
)
def test_a_card_is_known_by_its_whole_name(name, key):
    assert roofline.known(name) == key


def test_the_roofline_is_near_what_caffe_was_measured_at():
    """VGG-A, 64 images forward and backward on a GTX TITAN X: 1068 ms (github.com/soumith/convnet-benchmarks)."""
    n = NetSpec()
    n.data = top = L.Input(input_param=dict(shape=dict(dim=[64, 3, 224, 224])))
    for k, width in enumerate([64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0]):
        if width:
            n[f"conv{k}"] = conv = L.Convolution(top, num_output=width, kernel_size=3, pad=1)
            n[f"relu{k}"] = top = L.ReLU(conv, in_place=True)
        else:
            n[f"pool{k}"] = top = L.Pooling(top, kernel_size=2, stride=2)
    for width in (4096, 4096, 1000):
        n[f"fc{width}{top.fn}"] = top = L.InnerProduct(top, num_output=width)
    net = caffemodel.net_of(str(n.to_proto()))
    assert 3 * roofline.seconds(net, roofline.CARDS["GTX TITAN X"]) == pytest.approx(1.068, rel=0.1)


def test_a_convolutions_seconds_are_its_products_and_what_is_read_and_written(net_of):
    """Where arithmetic costs nothing: columns of 27 x 4 x 4, written and read; a layer of 1 x 1 has none."""
    net = net_of(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }'
        'layer { name: "a" type: "Convolution" bottom: "x" top: "a"'
        " convolution_param { num_output: 5 kernel_size: 3 pad: 1 } }"
        'layer { name: "b" type: "Convolution" bottom: "a" top: "b"'
        " convolution_param { num_output: 2 kernel_size: 1 } }"
        'layer { name: "c" type: "ReLU" bottom: "b" top: "b" }'
    )
    x, a, b, columns = 3 * 16, 5 * 16, 2 * 16, 27 * 16
    floats = x + (x + columns) + (columns + 5 * 27 + a) + 2 * a + (a + 10 + b) + 2 * b + 2 * b
    assert roofline.seconds(net, roofline.Card(1e9, 1e-9)) == pytest.approx(4 * floats)
    operations = 2 * 16 * (5 * 27 + 2 * 5)
    assert roofline.seconds(net, roofline.Card(1e-12, 1e9)) == pytest.approx(operations / roofline.SHARE)


def test_what_gpu_session_measured_takes_the_place_of_the_computed(voc12, tmp_path, card):
    """Half the computed speed: twice the hours; on another GPU, or with TF32, it does not count."""
    os.rename(tmp_path / "voc12", tmp_path / "elsewhere")
    card("NVIDIA A100-SXM4-40GB")
    computed = hours(plan.report(voc12, gpus=1, cores=8))["segmentation.ae_step1"]
    rates = {task: costs.images_per_second(voc12, task, "A100") / 2 for task in experiments.TASKS}
    figures = dict(card="NVIDIA A100-SXM4-40GB", images_per_second=rates, rows=[])
    write_json(f"{tmp_path}/gpu/voc12/summary.json", dict(speed=dict(figures=figures)))
    text = plan.report(voc12, gpus=1, cores=8)
    assert hours(text)["segmentation.ae_step1"] == pytest.approx(2 * computed, abs=0.02)
    assert "By what gpu-session measured" in text
    with mock.patch.dict(os.environ, TF32="1"):
        assert "Computed" in plan.report(voc12, gpus=1, cores=8)
    card("NVIDIA A100-PCIE-40GB")
    assert "Computed" in plan.report(voc12, gpus=1, cores=8)


@pytest.mark.parametrize("task, gib", [("classification", 10.76), ("segmentation", 10.78), ("psl", 11.18)])
def test_the_memory_of_a_training_is_what_caffe_allocates(task, gib):
    """Of the paper's nets at batch 30, as a fake GPU counted it."""
    computed = costs.memory_of_training(experiments.load("voc12"), task) - costs.CONTEXT - costs.LIBRARIES
    assert computed / 2**30 == pytest.approx(gib, abs=0.03)
