"""What the fake GPU must catch: each fault of fake_gpu_faults.cu ends as it says here (docs/fake_gpu.md)."""

import os
import re
import signal
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = os.path.join(HERE, "..", "docker", "fake_cuda")
LIBRARIES = "/opt/cuda/lib"
pytestmark = pytest.mark.skipif(not os.path.exists(LIBRARIES), reason="is for an image with a fake GPU")

ABORTED, FAULTED = -signal.SIGABRT, -signal.SIGSEGV
FAULTS = {  # case: (exit code, what it says, settings)
    "nothing": (0, "^1\nnot caught\n$", {}),
    "host pointer to a kernel": (ABORTED, r"Fill.* is given 0x\w+, which is not a GPU's memory", {}),
    "host pointer to cuBLAS": (ABORTED, r"cublasSaxpy is given 0x\w+, which is not a GPU's memory", {}),
    "host pointer to cuRAND": (ABORTED, r"cuRAND is given 0x\w+, which is not a GPU's memory", {}),
    "host touches a GPU's memory": (FAULTED, "the host reads or writes memory of GPU 0", {}),
    "memory of another GPU": (ABORTED, "Fill.* on GPU 1 is given memory of GPU 0", dict(FAKECUDA_GPUS="2")),
    "handle of another GPU": (0, "GPU 1 is given a handle of GPU 0\n(.*\n)*status 13", dict(FAKECUDA_GPUS="2")),
    "write beyond": (FAULTED, "Fill.* reads or writes outside of what is allocated on GPU 0", {}),
    "write just beyond": (ABORTED, "something was written beside an allocation of 400 bytes", {}),
    "read beyond": (FAULTED, "Copy.* reads or writes outside of what is allocated on GPU 0", {}),
    "read just beyond": (0, "^1 nan\n", {}),
    "use after free": (ABORTED, r"Fill.* is given 0x\w+, where nothing is allocated", {}),
    "matrix beyond its allocation": (ABORTED, r"cublasSgemm takes 400 bytes from 0x\w+ on, beyond what is", {}),
    "leading dimension too small": (0, "cublasSgemm of 10 x 10 x 10 is given lda 9(.*\n)*status 7", {}),
    "not initialised": (0, "^nan\n", {}),
    "pinned memory not initialised": (0, "^nan\n", {}),
    "call after a fork": (0, "forked after CUDA had started\n(.*\n)*initialization error", {}),
    "pinned memory after a fork": (0, f"^signal {int(signal.SIGSEGV)}\n", {}),
    "memory is finite": (0, "^no error\nno error\nout of memory\n", dict(FAKECUDA_GIB="1")),
    "memory is counted in pieces": (0, "^4\n", {}),
    "unknown kernel with __syncthreads": (ABORTED, "Waits.* calls __syncthreads: has_syncthreads in launch.cpp", {}),
    "no blocks": (0, "Fill.* is launched with 0 x 1 x 1 blocks(.*\n)*invalid configuration", {}),
    "too many threads": (0, "blocks of 1025 x 1 x 1 threads(.*\n)*invalid configuration", {}),
    "copy another way": (0, "goes another way than it says(.*\n)*invalid argument", {}),
    "copy beyond": (0, "cudaMemcpy of 404 bytes .* goes beyond(.*\n)*invalid argument", {}),
    "free twice": (0, "cudaFree of 0x.*, which is not allocated(.*\n)*invalid argument", {}),
    "event that was destroyed": (0, "is not a stream or an event(.*\n)*invalid resource handle", {}),
    "odd count of normal numbers": (0, "status 105", {}),
    "driver is gone": (0, "status 1", dict(FAKECUDA_EXIT="strict")),
}


def translated(source, target):
    return subprocess.run(
        [sys.executable, os.path.join(FAKE, "cu_to_cpp.py"), source, target], capture_output=True, text=True
    )


def compiled(source, target):
    flags = ["-std=c++17", "-O1", "-w", f"-I{FAKE}", f"-I{FAKE}/include", "-include", "kernels.hpp"]
    libraries = [f"-L{LIBRARIES}", "-l:libcudart.so.11.0", "-l:libcublas.so.11", "-l:libcurand.so.10"]
    return subprocess.run(["g++", *flags, source, "-o", target, *libraries], capture_output=True, text=True)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """faulty(case, **settings): how fake_gpu_faults.cu ends with it."""
    folder = tmp_path_factory.mktemp("faults")
    source, program = str(folder / "faults.cpp"), str(folder / "faults")
    assert translated(os.path.join(HERE, "fake_gpu_faults.cu"), source).returncode == 0
    made = compiled(source, program)
    assert made.returncode == 0, made.stderr

    def run(case, **settings):
        environment = {**os.environ, "FAKECUDA_GPUS": "1", **settings}
        return subprocess.run([program, case], env=environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_caught(faulty, case):
    code, words, settings = FAULTS[case]
    done = faulty(case, **settings)
    assert done.returncode == code and re.search(words, done.stderr + done.stdout), done


def test_a_race_changes_what_comes_out(faulty):
    assert faulty("race").stdout.startswith("999\n")
    assert not faulty("race", FAKECUDA_ORDER="shuffled").stdout.startswith("999\n")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("__global__ void Alone(int n) { n = threadIdx.x; }", "Alone: this kernel has no CUDA_KERNEL_LOOP"),
        ("void f() { Fill<<<1, 512, 4 * n>>>(n); }", r"Fill<<<1, 512, 4 \* n>>>: only a number of blocks and one of"),
        ("void f() { kernels[0]<<<1, 512>>>(n); }", "an unknown form of a launch: .*<<<1, 512>>>"),
    ],
)
def test_device_code_that_is_not_known_is_refused_by_name(tmp_path, text, complaint):
    (tmp_path / "new.cu").write_text(text)
    done = translated(str(tmp_path / "new.cu"), str(tmp_path / "new.cpp"))
    assert done.returncode == 1 and re.match(complaint, done.stderr)
    assert not (tmp_path / "new.cpp").exists()


def test_a_call_that_is_not_known_is_refused_by_name(tmp_path):
    (tmp_path / "new.cpp").write_text("int main() { cudaMallocManaged(0, 1); }")
    assert "cudaMallocManaged" in compiled(str(tmp_path / "new.cpp"), str(tmp_path / "new")).stderr
