"""Batches that processes fill ahead of Caffe's solver."""

import contextlib
import itertools
import mmap
import multiprocessing
import os
import signal
from typing import Any

import cv2
import numpy as np

from aepsl.base.errors import InputError

DEPTH = 2  # batches that each worker holds ready


class Prefetch:
    """Batches from iteration `start` on, filled by processes into memory that they share with this one.

    sampler: aepsl.layers.data.Sampler. They are processes, not threads, because Caffe's solver holds the interpreter's
    lock while it computes. Of W workers the w-th fills the iterations start + w, start + w + W, ..., so the order does
    not depend on their speed. The memory is anonymous and mapped before the fork: /dev/shm is not needed.
    """

    def __init__(self, sampler: Any, start: int) -> None:
        self.taken = 0
        self.workers: list[tuple] = []  # (process, pipe, slots)
        context = multiprocessing.get_context("fork")
        try:
            for w in range(sampler.workers):
                slots = [[_shared(shape) for shape in sampler.shapes] for _ in range(DEPTH)]
                pipe, other_end = context.Pipe()
                iterations = itertools.count(start + w, sampler.workers)
                not_its = [pipe, *(each for _, each, _ in self.workers)]
                arguments = (sampler, iterations, slots, other_end, not_its, os.getpid())
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
                other_end.close()  # so that `recv` ends if the worker dies
                self.workers.append((process, pipe, slots))
        except (OSError, ValueError, OverflowError) as error:  # no memory, or no further process
            remedy = "a smaller `batch`, `crop` or fewer `workers` in experiment.yaml need less"
            raise InputError(f"no room for batches that are decoded ahead ({error}); {remedy}") from None

    def next(self, arrays: list[np.ndarray]) -> None:
        """Copy the next batch into `arrays`.

        Raises InputError for an image that cannot be read, and for a process that ended.
        """
        turn, w = divmod(self.taken, len(self.workers))
        process, pipe, slots = self.workers[w]
        try:
            error = pipe.recv()
        except (EOFError, OSError):
            process.join()
            remedy = "out of memory? Fewer `workers` in experiment.yaml need less"
            raise InputError(f"a process that decodes images ended with code {process.exitcode}; {remedy}") from None
        if error:
            raise error
        for array, filled in zip(arrays, slots[turn % DEPTH]):
            array[...] = filled
        with contextlib.suppress(OSError):  # a worker that has ended is noticed at its next batch
            pipe.send("taken")
        self.taken += 1


def _shared(shape):
    return np.frombuffer(mmap.mmap(-1, 4 * int(np.prod(shape))), np.float32).reshape(shape)


def _work(sampler, iterations, slots, pipe, not_its, parent):
    """Fill the slots in turn until the process `parent` has ended; ignore Ctrl-C. not_its: the others' pipes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    for each in not_its:
        each.close()
    with contextlib.suppress(EOFError, OSError):
        for turn, iteration in enumerate(iterations):
            if turn >= DEPTH:  # the slot is free once its last batch was taken
                while not pipe.poll(timeout=5):
                    if os.getppid() != parent:
                        return
                pipe.recv()
            try:
                sampler.fill(iteration, slots[turn % DEPTH])
            except Exception as error:
                pipe.send(error if isinstance(error, InputError) else InputError(repr(error)))
                return
            pipe.send(None)
