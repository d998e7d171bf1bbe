"""On what a run was made: the commit, versions of what computes, the processor, cores and GPUs."""

import json
import os
import platform
import re

import cv2
import numpy as np

from aepsl.files import read_text

REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..", "..")


def made_on():
    """{name: text}. Cores and GPUs are those that `aepsl run` was asked for, where it started this process."""
    asked = json.loads(os.environ.get("AEPSL_RUN") or "{}")
    return dict(
        commit=commit(REPOSITORY) or "unknown",
        processor=processor(),
        cores=asked.get("cores", len(os.sched_getaffinity(0))),
        gpus=asked.get("gpus", 0),
        system=platform.platform(terse=True),
        blas_kernel=os.environ.get("OPENBLAS_CORETYPE") or "chosen by OpenBLAS",
        python=platform.python_version(),
        numpy=np.__version__,
        opencv=cv2.__version__,
    )


def commit(repository):
    """What HEAD of a git repository is, without git; None where there is none."""
    folder = os.path.join(repository, ".git")
    head = read_text(os.path.join(folder, "HEAD")) if os.path.isdir(folder) else None
    if not head or not head.startswith("ref: "):
        return head and head.strip()
    name = head[len("ref: ") :].strip()
    found = read_text(os.path.join(folder, name))
    packed = re.search(rf"^(\w+) {re.escape(name)}$", read_text(os.path.join(folder, "packed-refs")) or "", re.M)
    return found.strip() if found else packed and packed[1]


def processor():
    """The processor's name, as Linux gives it."""
    found = re.search(r"^(?:model name|Model|CPU part)\s*: (.*)$", read_text("/proc/cpuinfo") or "", re.M)
    return found[1].strip() if found else platform.machine()
