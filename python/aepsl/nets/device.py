"""Where Caffe computes: on the CPU, or on a GPU that no other job uses."""

import contextlib
import os
import tempfile
import time
from typing import Union

import caffe

from aepsl.base import locks
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder
from aepsl.nets import cuda

Gpu = Union[int, list[int], None]  # a number, several of which a free one is taken, or None for the CPU


def use(gpu: Gpu) -> None:
    """Compute on `gpu`. TF32=1 in the environment allows TF32.

    Raises InputError if that GPU is missing; Caffe itself would end the process.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        return
    numbers = gpu if isinstance(gpu, list) else [gpu]
    visible = [number for number in numbers if 0 <= number < cuda.count()]
    if not cuda.BUILT_IN:
        raise InputError(f"GPU {numbers[0]}: this Caffe is built without CUDA; GPU=0 takes the image that has it")
    if not visible:
        count = f"{cuda.count()} GPUs are visible here, counted from 0"
        raise InputError(f"GPU {numbers[0]}: {count}; `make check-gpu` says more")
    caffe.set_device(claimed(visible) if isinstance(gpu, list) else gpu)
    caffe.set_mode_gpu()
    if cuda.is_tf32_asked_for():
        cuda.allow_tf32()


def claimed(numbers: list[int]) -> int:
    """Claim the first of the GPUs `numbers` that no other process of this user has claimed; waits until one is free.

    A single GPU needs no claim: snakemake, or the cluster, gives it to one job at a time. On a cluster the same number
    may be another GPU in another job.
    """
    if len(numbers) == 1:
        return numbers[0]
    while True:
        for number in numbers:
            folder = os.path.join(tempfile.gettempdir(), f"aepsl-{os.getuid()}-gpu{number}")
            make_folder(folder)
            with contextlib.suppress(InputError):  # another process has it
                locks.hold(folder)
                return number
        time.sleep(1)
