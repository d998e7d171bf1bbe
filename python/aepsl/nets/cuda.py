"""What CUDA says of itself and of the GPUs, asked through the very libraries that Caffe is linked with."""

import ctypes
import os

import caffe

from aepsl.base.errors import InputError

_caffe = ctypes.CDLL(caffe._caffe.__file__)  # symbols of whatever it depends on are found in it too
BUILT_IN = hasattr(_caffe, "cudaGetDeviceCount")  # whether Caffe is built with CUDA

# cudaDeviceAttr
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
TF32_TENSOR_OP_MATH = 3  # cublasMath_t


def count():
    """How many GPUs Caffe can compute on; 0 without CUDA, a driver, or a GPU."""
    number = ctypes.c_int()
    if BUILT_IN and _caffe.cudaGetDeviceCount(ctypes.byref(number)) == 0:
        return number.value
    return 0


def versions():
    """{"driver": (12, 2), "runtime": (11, 8), "cuBLAS": (11, 11, 3)}: the driver's is the newest CUDA that it can run.

    Where there is no driver, it and the runtime say (0, 0).
    """
    driver, runtime = ctypes.c_int(), ctypes.c_int()
    _caffe.cudaDriverGetVersion(ctypes.byref(driver))
    _caffe.cudaRuntimeGetVersion(ctypes.byref(runtime))
    cublas = [ctypes.c_int() for _ in range(3)]
    for part, value in enumerate(cublas):
        _caffe.cublasGetProperty(part, ctypes.byref(value))
    pair = lambda version: (version.value // 1000, version.value % 1000 // 10)  # noqa: E731
    return {"driver": pair(driver), "runtime": pair(runtime), "cuBLAS": tuple(value.value for value in cublas)}


def driver_release():
    """The driver's own number, for example '535.104.05'; '' where NVML does not say."""
    text = ctypes.create_string_buffer(96)
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return ""
    nvml.nvmlInit_v2()
    nvml.nvmlSystemGetDriverVersion(text, len(text))
    return text.value.decode()


def name(gpu):
    text = ctypes.create_string_buffer(256)
    count()  # starts the driver, which tells nothing before
    ctypes.CDLL("libcuda.so.1").cuDeviceGetName(text, len(text), gpu)
    return text.value.decode()


def capability(gpu):
    """The compute capability, for example (8, 6)."""
    parts = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        value = ctypes.c_int()
        _caffe.cudaDeviceGetAttribute(ctypes.byref(value), attribute, gpu)
        parts.append(value.value)
    return tuple(parts)


def memory(gpu):
    """(free, total) in bytes; (0, 0) where CUDA does not start on it."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _caffe.cudaSetDevice(gpu)
    _caffe.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


def is_tf32_asked_for():
    return os.environ.get("TF32") == "1"


def allow_tf32():
    """Let cuBLAS multiply with factors rounded to TF32, for Caffe, in this thread, on the GPU that it has chosen.

    NVIDIA documents both: cublasSetMathMode allows it, NVIDIA_TF32_OVERRIDE=0 forbids it whatever a program sets. The
    handle is the first member of Caffe's class Caffe (include/caffe/common.hpp), of which each thread has one.
    """
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        raise InputError("TF32=1: NVIDIA_TF32_OVERRIDE=0 forbids it; unset that")
    this_threads = _caffe["_ZN5caffe5Caffe3GetEv"]  # caffe::Caffe::Get()
    this_threads.restype = ctypes.POINTER(ctypes.c_void_p)
    status = _caffe.cublasSetMathMode(ctypes.c_void_p(this_threads()[0]), TF32_TENSOR_OP_MATH)
    if status:
        raise InputError(f"TF32=1: cuBLAS refuses it (status {status}); leave TF32 out")
