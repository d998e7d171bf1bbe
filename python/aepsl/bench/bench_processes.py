"""Measures what a stage does and its bound in turns, in processes of their own."""

import concurrent.futures
import ctypes
import multiprocessing
import os
import re
import resource
import time
from typing import Callable, NamedTuple

import numpy as np

from aepsl.base.errors import InputError
from aepsl.base.files import read_text

ENVIRONMENT = dict(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", GLOG_minloglevel="2")


class Case(NamedTuple):
    """ours: does the work of a stage on `images` images; bound: the least that it needs, on as many.

    Either may return the seconds that count, where those are not all that it took.
    """

    images: int
    ours: Callable
    bound: Callable


def measured(prepare, arguments, folder, repeats, processes=1):
    """(images/s, the bound's images/s, peak MiB of a process) of `processes` at once, medians of `repeats`.

    prepare(folder, *arguments) gives the Case, in each process in a folder of its own; it is found by name. The rates
    of the processes are added up.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    started = []
    for k in range(processes):
        own = os.path.join(folder, str(k))
        arguments_of = (prepare, own, arguments, repeats, barrier, results)
        started.append(context.Process(target=_measure, args=arguments_of))
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)  # as they are when the libraries load
    try:
        for process in started:
            process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise InputError(f"{prepare.__name__}{arguments} could not be measured; the lines above say why")
    rates, bounds, peaks = zip(*(results.get() for _ in started))
    return sum(rates), sum(bounds), max(peaks)


def _measure(prepare, folder, arguments, repeats, barrier, results):
    try:
        os.makedirs(folder)
        case = prepare(folder, *arguments)
        seconds = {work: [] for work in (case.ours, case.bound)}
        for repeat in range(repeats + 1):
            for work, took in seconds.items():
                barrier.wait(timeout=300)
                start = time.perf_counter()
                own = work()
                if repeat:  # the first is there to warm up
                    took.append(own if isinstance(own, float) else time.perf_counter() - start)
        ours, bound = (case.images / np.median(took) for took in seconds.values())
        results.put((float(ours), float(bound), peak_mib()))
    except BaseException:
        barrier.abort()
        raise


def in_a_process(function, *arguments):
    """What the function returns, run in a fresh process, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:  # a Pool's may have no children: no data layer
        return executor.submit(function, *arguments).result()


def peak_mib():
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def blas():
    """{'blas': the library that this process has loaded, 'blas_kernel': which of its kernels it has taken}."""
    found = re.search(r"\s(/\S*/lib(?:openblas|mkl|atlas|blas)[^/\s]*)$", read_text("/proc/self/maps") or "", re.M)
    if not found:
        return dict(blas="unknown")
    named = dict(blas=os.path.basename(os.path.realpath(found[1])))
    with_name = getattr(ctypes.CDLL(found[1]), "openblas_get_corename", None)
    if with_name:
        with_name.restype = ctypes.c_char_p
        named["blas_kernel"] = with_name().decode()
    return named
