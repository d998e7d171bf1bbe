"""`aepsl bench`: rows of every part at tiny sizes, the JSON and the table, and what a run made of its cores."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.base.files import write_json
from aepsl.bench import bench, cases, processes, sizes
from aepsl.bench import run as bench_run
from aepsl.graph.run_folder import RunFolder
from aepsl.nets import cuda
from aepsl.run import job
from aepsl.settings import experiments
from aepsl.store.result import Made
from aepsl.training import stand_ins

TINY = dict(
    training=("demo", "psl", 2, 1),
    mining=("demo", 2),
    segmentation=("demo", 2),
    data=("demo", True, 2),
    saliency=("rbd", 1),
    crf=(1, 1),
    evaluation=(1,),
)


@pytest.mark.parametrize("name", bench.parts())
def test_every_part_compares_equal_work_with_its_bound(name, tmp_path):
    """Its function makes a case whose two sides run, on as many images as it says."""
    case = bench.parts()[name].prepare(str(tmp_path), *TINY[name])
    assert case.images > 0
    case.ours()
    seconds = case.bound()
    assert name != "training" or 0 < seconds < 60


def test_each_part_has_its_stages_once():
    """As docs/speed.md lists them; on a GPU also voc12's nets."""
    for gpu, nets in ((None, 3), (0, 4)):
        counts = {name: len(part.stages) for name, part in bench.parts(gpu).items()}
        assert counts == dict(
            training=3 * nets, mining=nets, segmentation=nets, data=6, saliency=2, crf=2, evaluation=1
        )


def test_the_bound_of_mining_sees_the_pixels_that_mining_sees(tmp_path):
    case = cases.mining(str(tmp_path), "demo", 2)
    case.ours()
    (net,) = [cell.cell_contents for cell in case.bound.__closure__ if hasattr(cell.cell_contents, "cam")]
    after_ours = {name: blob.data.copy() for name, blob in net.net.blobs.items()}
    case.bound()
    for name, blob in net.net.blobs.items():
        np.testing.assert_array_equal(blob.data, after_ours[name])


def sleeper(folder, seconds):
    """A case of two images whose bound says itself that it took a hundredth of a second."""
    return processes.Case(2, lambda: time.sleep(seconds), lambda: 0.01)


NAMES = ("net", "sleep", "bound")


def test_a_row_has_rates_ratio_and_scaling():
    row = bench.row(bench.Part("", sleeper, {NAMES: (0.05,)}, wanted=0.7), NAMES, repeats=2)
    assert (row["net"], row["stage"], row["bound"]) == NAMES
    assert 25 < row["images_per_second"] <= 40
    assert row["bound_images_per_second"] == 200
    assert row["ratio"] == row["images_per_second"] / 200 and row["wanted"] == 0.7
    if row["scaling"]:
        assert row["scaling"] == row["two_images_per_second"] / row["images_per_second"]
        assert row["two_ratio"] == row["two_images_per_second"] / 400
    assert row["peak_mib"] > 20


def test_what_a_gpu_does_is_measured_in_one_process_at_a_time(tmp_path, monkeypatch):
    row = bench.row(bench.Part("", sleeper, {NAMES: (0.05,)}, gpu=0), NAMES, repeats=1)
    assert row["two_images_per_second"] is row["scaling"] is None
    on_gpu = {name for name, part in bench.parts(0).items() if part.gpu == 0}
    assert on_gpu == {"training", "mining", "segmentation"}
    assert on_gpu == {name for name, part in bench.parts(0).items() if part.title.endswith(", GPU 0")}
    monkeypatch.setattr(stand_ins, "solver", None)  # beside caffe time's net, here, there is none
    case = cases.training(str(tmp_path), *TINY["training"], gpu=0)
    if cuda.count():
        assert case.ours() > 0 and case.bound() > 0


def test_a_gpus_training_is_set_beside_what_is_published_and_what_was_measured(monkeypatch):
    rates = dict.fromkeys(experiments.TASKS, 20.0)
    monkeypatch.setattr(bench.measured, "images_per_second", lambda gpu: rates)
    monkeypatch.setattr(bench, "row", lambda part, names: dict(stage=names[1], images_per_second=10.0, ratio=1.0))
    rows = list(bench.rows_of(bench.parts(0)["training"]))
    found = [(row.get("bound"), row["ratio"]) for row in rows][-3:]
    assert found == [(None, 1.0), ("published", 10 / bench.PUBLISHED), ("gpu-session", 0.5)]
    assert len(rows) == 12 + 2 * 3 and len(list(bench.rows_of(bench.parts(0)["mining"]))) == 4


def broken(folder):
    raise ValueError("broken on purpose")


def test_a_measurement_that_fails_ends_in_one_line():
    with pytest.raises(InputError, match="broken.* could not be measured"):
        bench.row(bench.Part("", broken, {NAMES: ()}), NAMES)


def test_the_json_holds_what_the_table_says(tmp_path, capsys):
    rows = [
        dict(net="demo", stage="mine", images_per_second=56.789, wanted=None, two_ratio=0.5, peak_mib=209.4),
        dict(net="rehearsal", stage="mine", images_per_second=1234.5, wanted=0.91, two_ratio=0.25, peak_mib=88.0),
    ]
    path = str(tmp_path / "bench.json")
    bench.publish("data", "Other", rows[:1], path)
    capsys.readouterr()
    bench.publish("mining", "Mining", rows, path)
    with open(path) as file:
        found = json.load(file)
    assert list(found) == ["data", "mining"] and found["mining"]["rows"] == rows
    assert {"commit", "processor", "numpy", "blas", "blas_kernel"} <= set(found["mining"]["host"])
    assert "blas" in found["mining"]["host"]["blas"] and ".so" in found["mining"]["host"]["blas"]
    title, head, *lines = capsys.readouterr().out.strip().splitlines()
    assert title == "Mining"
    assert re.split("  +", head.strip()) == ["net", "stage", "images/s", "wanted", "their ratio", "peak MiB"]
    assert lines[0].split() == ["demo", "mine", "56.79", "0.50", "209"]
    assert lines[1].split() == ["rehearsal", "mine", "1234", "0.91", "0.25", "88.00"]
    assert len({len(line) for line in lines}) == 1


def test_full_size_nets_are_measured_with_their_data_layer():
    rows = sizes.full_size("demo")
    assert [row["stage"] for row in rows] == list(experiments.TASKS)
    assert all(0 < value < 60 for row in rows for key, value in row.items() if key.endswith("_s"))
    assert all(50 < row["peak_mib"] < 2000 for row in rows)


@pytest.mark.long
def test_memory_is_measured_of_each_stage_that_goes_through_images():
    rows = sizes.memory((2, 3))
    assert {row["stage"] for row in rows} == {"saliency", "mine", "masks", "segment", "evaluate", "evaluate-regions"}
    assert all(20 < row["peak_mib_of_2"] < 2000 and 0.8 < row["ratio"] < 1.25 for row in rows)


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match="no part speed; there are training, mining"):
        bench.main(["speed"])


# A whole run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The demo's folder below tmp_path, as a run leaves it."""
    monkeypatch.setattr("aepsl.graph.run_folder.ROOT", str(tmp_path))
    folder = RunFolder("demo")
    write_json(folder.results, dict(host=dict(cores=2)))
    return folder


def took(run, stage, started, starting, seconds, cpu):
    value = dict(seconds=seconds, peak_mib=1, started=started, ended=started + starting + seconds, cpu_seconds=cpu)
    write_json(os.path.join(run.path, "done", stage + ".json"), value)


def test_a_runs_share_is_its_bounds_over_cores_and_wall_clock(run):
    """100 s on 2 cores: a training of 60 s of a core, two shards of 20 s, 1 s of start-up each, an hour's pause."""
    took(run, "classification.step1", 1000, 1, 69, 60)
    took(run, "mine.step1.1-2", 1070, 1, 29, 20)
    took(run, "mine.step1.2-2", 4700, 1, 29, 20)
    measured = dict(
        training=dict(rows=[dict(net="demo", stage="classification", bound="caffe time", ratio=0.9, two_ratio=0.8)]),
        mining=dict(rows=[dict(net="voc12", stage="mine", bound="forward pass", ratio=0.1, two_ratio=0.1)]),
    )
    rows = {row["what"]: row for row in bench_run.rows("demo", measured)}
    assert rows["classification"]["bound_core_seconds"] == pytest.approx(60 * 0.8)
    assert rows["mine"]["jobs"] == 2 and rows["mine"]["core_seconds"] == 40
    assert rows["mine"]["bound_core_seconds"] == 40, "no ratio of the demo is known"
    assert rows["starting the jobs"]["core_seconds"] == pytest.approx(3)
    whole = rows["2 cores, 130 s"]
    assert whole["core_seconds"] == pytest.approx(260)
    assert rows["no job's"]["core_seconds"] == pytest.approx(260 - 60 - 40 - 3)
    assert whole["ratio"] == pytest.approx((48 + 40) / 260)
    assert sum(row["share"] for name, row in rows.items() if row is not whole) == pytest.approx(1)


def test_a_run_without_times_is_refused(run):
    with pytest.raises(InputError, match="no stage is done"):
        bench_run.rows("demo", {})
    write_json(os.path.join(run.path, "done", "mine.step1.1-2.json"), dict(seconds=1))
    with pytest.raises(InputError, match="mine.step1 does not say when its job began"):
        bench_run.rows("demo", {})


def test_a_job_keeps_when_it_began_and_what_it_used():
    def busy():
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        time.sleep(0.2)
        return Made([], value=1)

    before = time.time()
    made, found = job._measured(busy)
    assert made.value == 1
    assert found["cpu_seconds"] == pytest.approx(0.2, abs=0.05)
    assert found["seconds"] >= 0.4
    assert before + 0.35 < found["ended"] <= time.time() + 0.01
    assert os.stat(f"/proc/{os.getpid()}").st_ctime - 60 < found["started"] < before


def test_what_a_process_that_still_runs_has_used_counts():
    code = "import time\nwhile time.process_time() < 0.4:\n    pass\nprint(flush=True)\ninput()"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    children = []

    def starts():
        children.append(subprocess.Popen([sys.executable, "-c", code], **pipes))
        children[0].stdout.readline()
        return Made([], value=1)

    found = job._measured(starts)[1]
    children[0].communicate(b"\n")
    assert 0.39 <= found["cpu_seconds"] < 1


def test_a_stand_in_training_does_not_diverge(tmp_path):
    """Caffe's max pooling writes beyond its memory where there are no numbers."""
    experiment = experiments.load("demo")
    steep = dataclasses.replace(experiment.training.segmentation, lr=1e9)
    experiment = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, segmentation=steep))
    solver = stand_ins.solver(experiment, "segmentation", str(tmp_path))
    solver.step(3)
    assert np.isfinite(solver.net.blobs["loss_seg"].data).all()


def test_no_snapshot_is_written_while_stand_ins_are_measured(tmp_path):
    """Of the paper's net one is 164 MB: it would be most of what is timed, and fill /tmp."""
    stand_ins.solver(experiments.load("demo"), "segmentation", str(tmp_path), batch=30).step(3)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*")]
    assert not list(tmp_path.rglob("*.caffemodel")) and 0 < sum(sizes) < 10**7
