"""Asks CUDA for its versions and for the GPUs, through the same libraries that Caffe is linked with."""

import ctypes
import os

import caffe

from aepsl.base.errors import InputError

_caffe = ctypes.CDLL(caffe._caffe.__file__)  # also has the symbols of the libraries that it depends on
BUILT_IN = hasattr(_caffe, "cudaGetDeviceCount")  # whether Caffe is built with CUDA

# cudaDeviceAttr
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
TF32_TENSOR_OP_MATH = 3  # cublasMath_t


def count() -> int:
    """How many GPUs Caffe can compute on; 0 without CUDA, a driver, or a GPU."""
    number = ctypes.c_int()
    if BUILT_IN and _caffe.cudaGetDeviceCount(ctypes.byref(number)) == 0:
        return number.value
    return 0


def _asked(function, *arguments):
    """The number that a function of CUDA writes through its first argument."""
    value = ctypes.c_int()
    function(ctypes.byref(value), *arguments)
    return value.value


def versions() -> dict[str, tuple[int, ...]]:
    """{"driver": (12, 2), "runtime": (11, 8), "cuBLAS": (11, 11, 3)}; "driver": the newest CUDA that it can run.

    Without a driver, "driver" and "runtime" are (0, 0).
    """
    driver, runtime = _asked(_caffe.cudaDriverGetVersion), _asked(_caffe.cudaRuntimeGetVersion)
    cublas = [ctypes.c_int() for _ in range(3)]
    for part, value in enumerate(cublas):
        _caffe.cublasGetProperty(part, ctypes.byref(value))
    pair = lambda version: (version // 1000, version % 1000 // 10)  # noqa: E731
    return {"driver": pair(driver), "runtime": pair(runtime), "cuBLAS": tuple(value.value for value in cublas)}


def driver_release() -> str:
    """The driver's release, for example '535.104.05'; '' if NVML does not give it."""
    text = ctypes.create_string_buffer(96)
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return ""
    nvml.nvmlInit_v2()
    nvml.nvmlSystemGetDriverVersion(text, len(text))
    return text.value.decode()


def name(gpu: int) -> str:
    """The GPU's model, for example 'NVIDIA A100-SXM4-80GB'."""
    text = ctypes.create_string_buffer(256)
    count()  # starts the driver, which gives no name before
    ctypes.CDLL("libcuda.so.1").cuDeviceGetName(text, len(text), gpu)
    return text.value.decode()


def capability(gpu: int) -> tuple[int, ...]:
    """The compute capability, for example (8, 6)."""
    return tuple(_asked(_caffe.cudaDeviceGetAttribute, each, gpu) for each in (CAPABILITY_MAJOR, CAPABILITY_MINOR))


def memory(gpu: int) -> tuple[int, int]:
    """(free, total) in bytes; (0, 0) if CUDA does not start on the GPU."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _caffe.cudaSetDevice(gpu)
    _caffe.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


def is_tf32_asked_for() -> bool:
    """Whether the environment has TF32=1."""
    return os.environ.get("TF32") == "1"


def allow_tf32() -> None:
    """Let cuBLAS round factors to TF32 in Caffe's products, in this thread, on the GPU that it has chosen.

    cublasSetMathMode allows TF32; NVIDIA_TF32_OVERRIDE=0 forbids it whatever a program sets (NVIDIA's documentation).
    The handle is the first member of the class Caffe (include/caffe/common.hpp); each thread has one object of it.
    Raises InputError if the environment or cuBLAS forbids it.
    """
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        raise InputError("TF32=1: NVIDIA_TF32_OVERRIDE=0 forbids it; unset that")
    this_threads = _caffe["_ZN5caffe5Caffe3GetEv"]  # caffe::Caffe::Get()
    this_threads.restype = ctypes.POINTER(ctypes.c_void_p)
    status = _caffe.cublasSetMathMode(ctypes.c_void_p(this_threads()[0]), TF32_TENSOR_OP_MATH)
    if status:
        raise InputError(f"TF32=1: cuBLAS refuses it (status {status}); leave TF32 out")
