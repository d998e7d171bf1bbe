"""One GPU for each job: of those that a run may use, a job takes one that no other job has."""

import fcntl
import os
import tempfile
import time

_held = []  # keeps the lock files open, and so the GPU ours, until this process ends


def claimed(numbers):
    """The first of the GPUs `numbers` that no other process of this user has claimed, claimed; waits for one.

    One alone needs no claim: snakemake, or the cluster under whose numbers it may be another GPU, sees to it.
    """
    if len(numbers) == 1:
        return numbers[0]
    while True:
        for number in numbers:
            file = open(os.path.join(tempfile.gettempdir(), f"aepsl-{os.getuid()}-gpu{number}.lock"), "w")  # noqa: SIM115
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _held.append(file)
            return number
        time.sleep(1)
