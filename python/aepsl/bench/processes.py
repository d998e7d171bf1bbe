"""Measures a stage's work and its bound in turns, in their own processes."""

import multiprocessing
import os
import resource
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, NamedTuple
from unittest import mock

import numpy as np

from aepsl.base.errors import InputError

ENVIRONMENT = dict(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # as in a stage with one thread
SPAWN = multiprocessing.get_context("spawn")


class Case(NamedTuple):
    """ours: does the work of a stage on `images` images; bound: does the necessary part of it, on as many.

    Either may return the seconds that count, if these are not all that it took.
    """

    images: int
    ours: Callable
    bound: Callable


def measured(
    prepare: Callable[..., Case], arguments: tuple, repeats: int, processes: int = 1
) -> tuple[float, float, float]:
    """(images/s, the bound's images/s, peak MiB of a process) of `processes` at once, medians of `repeats`.

    prepare(folder, *arguments), a function of a module, gives the Case; each process has its own folder. The rates of
    the processes are added up. Raises InputError if one of them fails; its traceback is printed before.
    """
    one_thread = mock.patch.dict(os.environ, ENVIRONMENT)  # the libraries read it as they load
    try:
        with one_thread, SPAWN.Manager() as manager, ProcessPoolExecutor(processes, SPAWN) as pool:
            barrier = manager.Barrier(processes)
            started = [pool.submit(_measure, prepare, arguments, repeats, barrier) for _ in range(processes)]
            rates, bounds, peaks = zip(*(each.result() for each in started))
    except Exception:
        message = f"{prepare.__name__}{arguments} could not be measured; the lines above say why"
        raise InputError(message) from None
    return sum(rates), sum(bounds), max(peaks)


def _measure(prepare, arguments, repeats, barrier):
    try:
        with tempfile.TemporaryDirectory() as folder:
            ours, bound = _in_turns(prepare(folder, *arguments), repeats, barrier)
    except BaseException:
        traceback.print_exc()
        barrier.abort()
        raise
    return ours, bound, peak_mib()


def _in_turns(case, repeats, barrier):
    """Images/s of a Case's work and bound; the processes begin each turn together."""
    seconds = {work: [] for work in (case.ours, case.bound)}
    for repeat in range(repeats + 1):
        for work, took in seconds.items():
            barrier.wait(timeout=300)
            start = time.perf_counter()
            own = work()
            if repeat:  # the first is a warm-up
                took.append(own if isinstance(own, float) else time.perf_counter() - start)
    return [case.images / float(np.median(took)) for took in seconds.values()]


def in_a_process(function: Callable, *arguments: Any) -> Any:
    """The result of the function, run in a new process, so that its memory is its own.

    Raises InputError if Caffe ends that process.
    """
    with ProcessPoolExecutor(1, SPAWN) as pool:  # a process of multiprocessing.Pool could have no data layer's workers
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise InputError("Caffe ended the process; its message is above") from None


def peak_mib() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
