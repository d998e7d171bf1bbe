"""On a GPU: the same results as on the CPU. Without one: clear words in place of Caffe ending the process."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.gpu import agreement, check_gpu
from aepsl.nets import cuda, device
from aepsl.run import costs
from aepsl.settings import experiments

needs_gpu = pytest.mark.skipif(not cuda.count(), reason="no GPU is visible, or Caffe is built without CUDA")
needs_fake = pytest.mark.skipif(not hasattr(cuda._caffe, "fakecuda_counted"), reason="needs a fake GPU's memory")
no_gpu = pytest.mark.skipif(cuda.count() > 0, reason="a GPU is visible")


@needs_gpu
@pytest.mark.parametrize("name", ["demo", "rehearsal", pytest.param("voc12", marks=pytest.mark.long)])
@pytest.mark.parametrize("task", experiments.TASKS)
def test_gpu_agrees_with_cpu(name, task):
    """Every blob and gradient: LargeFOV and SqueezeNet, the losses and the prohibitive mask."""
    net = agreement.net_with_inputs(experiments.load(name), task, batch=1 if name == "voc12" else 2)
    for each in agreement.largest_differences(net, 0):
        assert each.is_allowed, str(each)


COMPARED = """
import sys
import numpy as np
from aepsl.gpu import agreement
from aepsl.settings import experiments
gpu = int(sys.argv[3]) if sys.argv[3:] else None
found = agreement.arrays(agreement.net_with_inputs(experiments.load("rehearsal"), sys.argv[1]), gpu)
np.savez(sys.argv[2], **{" | ".join(key): value for key, value in found.items()})
"""


def elsewhere(path, task, *arguments, **environment):
    """`agreement.arrays` of the rehearsal's net, computed by a process with another environment."""
    command = [sys.executable, "-c", COMPARED, task, str(path), *arguments]
    subprocess.run(command, env=dict(os.environ, **environment), check=True)
    with np.load(path) as file:
        return {tuple(key.split(" | ")): file[key] for key in file}


def test_other_last_digits_are_allowed(tmp_path):
    """Those of two of OpenBLAS' kernels on the CPU, which add in another order: single gradients are far off."""
    kernels = ("Haswell", "Sandybridge")
    ours, theirs = (elsewhere(tmp_path / f"{each}.npz", "psl", OPENBLAS_CORETYPE=each) for each in kernels)
    for each in agreement.largest(ours, theirs):
        assert each.relative > 0 and each.is_allowed, str(each)
    moved = [np.abs(theirs[key] - ours[key]).max() / np.abs(ours[key]).max() for key in ours if ours[key].any()]
    assert max(moved) > 10 * agreement.ALLOWED["data"]


def test_a_gradient_that_is_wrong_is_not_allowed():
    """A twentieth of it missing, a factor, no number; a single one may go elsewhere, whole."""
    gradient = np.random.RandomState(1).randn(1000)
    expected = {("data", "fc7"): np.ones(3), ("gradient", "fc6"): np.ones(3), ("gradient", "fc7"): gradient}
    for wrong in (gradient * (np.arange(1000) % 20 > 0), 0.9 * gradient, np.where(gradient > 3, np.nan, gradient)):
        data, found = agreement.largest(expected, {**expected, ("gradient", "fc7"): wrong})
        assert data.is_allowed and not found.is_allowed
    moved = np.where(np.arange(1000) == np.abs(gradient).argmin(), 1, gradient)
    assert agreement.largest(expected, {**expected, ("gradient", "fc7"): moved})[1].is_allowed
    data, found = agreement.largest(expected, {**expected, ("data", "fc7"): np.full(3, 1.0002)})
    assert found.is_allowed and not data.is_allowed


@pytest.mark.parametrize("task", experiments.TASKS)
def test_the_compared_net_has_gradients_and_no_randomness(task):
    net = agreement.net_with_inputs(experiments.load("demo"), task)
    assert [each.relative for each in agreement.largest_differences(net, None)] == [0, 0]
    assert all(blob.diff.any() for blobs in net.params.values() for blob in blobs)


def test_the_comparison_sees_what_differs(net_of):
    net = net_of(
        'layer { name: "same" type: "DummyData" top: "same" dummy_data_param { shape { dim: 4 } } }\n'
        'layer { name: "other" type: "DummyData" top: "other" dummy_data_param { shape { dim: 4 } '
        'data_filler { type: "gaussian" } } }\n'
    )
    data, gradient = agreement.largest_differences(net, None)
    assert data.name == "other" and data.relative > 0.01 and gradient.relative == 0


@needs_gpu
@pytest.mark.skipif(cuda.count() and cuda.capability(0) < (8, 0), reason="this GPU has no TF32")
def test_tf32_is_not_allowed(tmp_path, monkeypatch):
    """It rounds factors to 10 bits: what is wrong by as much must be seen."""
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    cpu, gpu = elsewhere(tmp_path / "cpu.npz", "psl"), elsewhere(tmp_path / "gpu.npz", "psl", "0", TF32="1")
    assert [each.is_allowed for each in agreement.largest(cpu, gpu)] == [False, False]


TRAINED = """
from aepsl.gpu import check_gpu
from aepsl.settings import experiments
from aepsl.training import stand_ins
if __name__ == "__main__":
    try:
        print(check_gpu.memory(0, experiments.load("voc12")), flush=True)
    finally:
        stand_ins.trained(0, "voc12", "psl", 30, 1)
        print("trained", flush=True)
"""


@needs_fake
def test_a_training_fits_where_its_memory_is_said_to_be_enough(tmp_path):
    """voc12's psl at batch 30 on GPUs of other sizes, computing nothing; a fiftieth less is not enough."""
    needed = costs.memory_of_training(experiments.load("voc12"), "psl") / check_gpu.GIB
    assert 11.5 < needed < 11.8
    (tmp_path / "trained.py").write_text(TRAINED)
    for size, fits in ((needed + 0.001, True), (0.98 * needed, False)):
        environment = dict(os.environ, FAKECUDA_NOOP="1", FAKECUDA_GIB=str(size))
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        done = subprocess.run([sys.executable, str(tmp_path / "trained.py")], **pipes)
        assert (done.returncode == 0, "takes about" in done.stdout, "trained" in done.stdout) == (fits,) * 3, (
            done.stderr
        )
        assert fits or "out of memory" in done.stderr


def test_a_gpu_that_is_not_there_is_refused_and_not_fatal():
    with pytest.raises(InputError, match="GPU 99: "):
        device.use(99)


with open("docker/Dockerfile") as file:
    IMAGE = re.search("echo '(compute_.*)' > /caffe/architectures", file.read())[1].split()
RUNS_AS = dict(binary="Caffe has a binary for it", PTX="the driver compiles Caffe for it, once (kept in .cuda-cache)")


def cards():
    """(capability, 'binary' or 'PTX') of each line of the table in docs/gpu.md."""
    with open("docs/gpu.md") as file:
        return re.findall(r"^\| [^|]+ \| (\d+\.\d) \| (binary|PTX) \| computed \|$", file.read(), re.MULTILINE)


@pytest.mark.parametrize("capability, kind", cards())
def test_code_for_a_gpu(capability, kind):
    assert check_gpu.code_for(tuple(map(int, capability.split("."))), IMAGE) == RUNS_AS[kind]


def test_the_table_of_cards_is_from_the_papers_to_blackwell():
    table = dict(cards())
    assert table["5.2"] == table["12.0"] == "PTX" and table["7.0"] == "binary" and len(table) > 8


def test_a_gpu_older_than_the_code_is_refused():
    with pytest.raises(InputError, match="compute capability 5.0"):
        check_gpu.code_for((5, 0), IMAGE)


def test_a_caffe_without_the_images_list_of_architectures_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(check_gpu, "ARCHITECTURES", str(tmp_path / "architectures"))
    with pytest.raises(InputError, match="architectures: is missing; .* `make image-cuda` builds"):
        check_gpu.architectures()
    (tmp_path / "architectures").write_text("compute_80 sm_70\n")
    assert check_gpu.architectures() == ["compute_80", "sm_70"]


def test_a_check_that_ends_its_process_fails_with_a_line(capfd):
    assert not check_gpu.report("abort", os.abort)
    assert "abort             FAILED  Caffe ended the process" in capfd.readouterr().out


@no_gpu
def test_check_gpu_without_a_gpu_says_what_to_do():
    process = subprocess.run([sys.executable, "-m", "aepsl", "check-gpu"], stdout=subprocess.PIPE, text=True)
    assert process.returncode == 1
    lines = process.stdout.splitlines()
    if cuda.BUILT_IN:
        assert f"code for {' '.join(IMAGE)}" in lines[0]
        assert "FAILED" in lines[1] and "GPU=0" in lines[1]
    else:
        assert "built without CUDA" in lines[0]
    assert "was not run" in lines[-1]
