"""Reads what gpu-session has measured on this GPU."""

import os
from typing import Any

from aepsl.base.files import read_json
from aepsl.graph import run_folder
from aepsl.nets import cuda
from aepsl.paper import published


def folder(name: str) -> str:
    """The folder that gpu-session writes for the experiment `name`."""
    return os.path.join(run_folder.ROOT, "gpu", name)


def summary(name: str) -> dict[str, Any]:
    """{step: how it ended and what it measured, see aepsl.gpu.gpu_session}; {} before the first session."""
    path = os.path.join(folder(name), "summary.json")
    return read_json(path) if os.path.exists(path) else {}


def images_per_second(gpu: int = 0) -> dict[str, float]:
    """{task: images/s} of trainings of the paper's experiment, with or without TF32 as is set now.

    {} where it was not measured, or measured on a GPU of another name.
    """
    step = "speed-tf32" if cuda.is_tf32_asked_for() else "speed"
    found = summary(published.PAPERS_EXPERIMENT).get(step, {}).get("figures", {})
    return found["images_per_second"] if found and cuda.count() and found["card"] == cuda.name(gpu) else {}
