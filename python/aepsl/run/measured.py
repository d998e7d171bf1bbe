"""What gpu-session has measured on this GPU, for those who compute or compare."""

import os

from aepsl.base.files import read_json
from aepsl.graph import run_folder
from aepsl.nets import cuda
from aepsl.paper import published


def folder(name):
    """Where gpu-session of the nets of the experiment `name` writes."""
    return os.path.join(run_folder.ROOT, "gpu", name)


def summary(name):
    """{step: how it ended and what it measured, see aepsl.gpu.gpu_session}; {} before the first session."""
    path = os.path.join(folder(name), "summary.json")
    return read_json(path) if os.path.exists(path) else {}


def images_per_second(gpu=0):
    """{task: images/s} of trainings of the paper's experiment, TF32 as it is set now.

    {} where that was not measured, or on a GPU of another name.
    """
    step = "speed-tf32" if cuda.is_tf32_asked_for() else "speed"
    found = summary(published.PAPERS_EXPERIMENT).get(step, {}).get("figures", {})
    return found["images_per_second"] if found and cuda.count() and found["card"] == cuda.name(gpu) else {}
