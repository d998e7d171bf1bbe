"""What only a GPU shows, real or fake: how commands end, TF32, a run on two, what is asked before downloads."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from aepsl.nets import cuda
from aepsl.stages import train
from conftest import killed_after, tiny_experiment
from small_run import Run, results_of

pytestmark = pytest.mark.skipif(not cuda.count(), reason="no GPU is visible, or Caffe is built without CUDA")
fake_gpu = pytest.mark.skipif(
    not os.environ.get("FAKECUDA_GPUS", "0").strip("0"), reason="needs what a fake GPU can be told"
)
USE = "from aepsl import cli; from aepsl.nets import device; "


def ended(text, **environment):
    environment = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run([sys.executable, "-c", USE + text], env=environment, capture_output=True, text=True)


# The driver goes before Caffe's last destructors, which abort where it answers nothing.


@fake_gpu
def test_a_process_that_ends_as_others_do_aborts_where_the_driver_is_gone():
    assert ended("device.use(0)", FAKECUDA_EXIT="strict").returncode == -signal.SIGABRT


@fake_gpu
@pytest.mark.parametrize("gpu", [0, None])  # on the CPU Caffe has a handle too
def test_a_command_ends_well_whether_or_not_the_driver_is_gone(gpu):
    done = ended(f"cli.command(lambda: print(device.use({gpu})))", FAKECUDA_EXIT="strict")
    assert (done.returncode, done.stdout) == (0, "None\n")
    done = ended(f"cli.command(lambda: (device.use({gpu}), exit(3)))", FAKECUDA_EXIT="strict")
    assert (done.returncode, done.stderr) == (3, "")


# TF32

AGREES = """
from aepsl.gpu import agreement; from aepsl.settings import experiments
net = agreement.net_with_inputs(experiments.load("demo"), "psl")
print(all(each.is_allowed for each in agreement.largest_differences(net, 0)))
"""


@fake_gpu
@pytest.mark.parametrize("tf32, override, agrees", [("1", None, False), (None, None, True), (None, "1", True)])
def test_tf32_is_taken_only_where_it_is_asked_for(tf32, override, agrees):
    """A value of the variable that NVIDIA does not document changes nothing."""
    assert ended(AGREES, TF32=tf32, NVIDIA_TF32_OVERRIDE=override).stdout == f"{agrees}\n"


def test_tf32_that_is_asked_for_and_forbidden_is_one_line():
    done = ended("cli.command(lambda: device.use(0))", TF32="1", NVIDIA_TF32_OVERRIDE="0")
    assert done.returncode == 1 and done.stderr == "error: TF32=1: NVIDIA_TF32_OVERRIDE=0 forbids it; unset that\n"


# A training, and a run


def test_a_training_that_is_killed_ends_with_the_same_bytes(data, tmp_path):
    tiny, masks = tiny_experiment(), os.path.join(data, "SegmentationClassAug")
    train_psl = lambda out: train.run(tiny, "psl", data, str(out), masks=masks, word="word", gpu=0)  # noqa: E731
    train_psl(tmp_path / "whole")
    with killed_after(6):
        train_psl(tmp_path / "broken")
    assert (tmp_path / "broken/snapshot.json").exists()
    train_psl(tmp_path / "broken")
    whole, broken = ((tmp_path / name / "final.caffemodel").read_bytes() for name in ("whole", "broken"))
    assert broken == whole


@pytest.mark.long
@pytest.mark.skipif(cuda.count() < 2, reason="needs two GPUs")
def test_a_run_on_two_gpus_that_is_killed_ends_with_the_same_bytes(tmp_path):
    run = Run(tmp_path, GPU="0,1")
    whole, folder = results_of(run), run.tree / "runs/tiny"
    shutil.rmtree(folder)
    for training in ("step1/classification", "segmentation/ae_step1"):
        process = run.begin("run", "tiny", "all")
        while not (folder / training / "train.prototxt").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (folder / training / "final.caffemodel").exists()
    run.start()
    assert results_of(run) == whole


# Before downloads


@fake_gpu
@pytest.mark.parametrize(
    "settings, line",
    [
        (dict(FAKECUDA_CAPABILITY="3.5"), "compute capability 3.5"),
        (dict(FAKECUDA_GIB="4"), "end what else runs on it"),
        (dict(FAKECUDA_DRIVER="10.2"), "upgrade it to version"),
        (dict(FAKECUDA_GPUS="0"), "no driver, so no GPU is visible"),
    ],
)
def test_reproduce_asks_the_gpu_before_it_downloads(settings, line):
    environment = {name: value for name, value in os.environ.items() if name not in ("DATA", "WEIGHTS", "MAKEFLAGS")}
    environment.update(GPU="0", SOURCES="/no/such/folder", **settings)
    done = subprocess.run(["scripts/reproduce", "voc12"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and line in done.stdout
    assert done.stderr == "error: GPU=0: not ready, as the lines above say; without GPU= the CPU is taken\n"
