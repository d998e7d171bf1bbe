"""On what a run was made: our version and commit, the libraries' versions, the processor, cores and GPUs."""

import os
import platform
import re
from typing import Any, Optional

import cv2
import numpy as np

import aepsl
from aepsl.base import commit
from aepsl.base.files import digest, read_text

PACKAGES = "/usr/share/aepsl/packages.txt"  # what the image has installed, see docker/Dockerfile


def made_on(cores: Optional[int] = None, gpus: int = 0) -> dict[str, Any]:
    """{name: value}; cores, gpus: the numbers that the run was given, None for all cores.

    packages: the SHA-256 of PACKAGES, in hexadecimal.
    """
    processor = re.search(r"^(?:model name|Model|CPU part)\s*: (.*)$", read_text("/proc/cpuinfo") or "", re.M)
    return dict(
        aepsl=aepsl.__version__,
        commit=commit.of_code(),
        processor=processor[1].strip() if processor else platform.machine(),
        cores=cores or len(os.sched_getaffinity(0)),
        gpus=gpus,
        system=platform.platform(terse=True),
        blas_kernel=os.environ.get("OPENBLAS_CORETYPE") or "chosen by OpenBLAS",
        python=platform.python_version(),
        numpy=np.__version__,
        opencv=cv2.__version__,
        packages=digest(PACKAGES) if os.path.exists(PACKAGES) else commit.UNKNOWN,
    )
