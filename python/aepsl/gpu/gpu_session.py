"""A session on a GPU, the most important step first: checks, agreement, speed with memory, TF32, a training.

Each step is a command with its own log in runs/gpu/NAME/; NAME is the experiment whose nets are used. A step that ended
well is not run again; the training continues from its snapshot. summary.json there has how each step ended, and what
it measured, for `aepsl plan` and `aepsl bench`:

    {step: {"ended": "ok", "FAILED", "cut short" or "not begun", "seconds": ..., "last": line of its log,
            "figures": {"card": ..., "rows": [[what, expected, seen], ...], "images_per_second": {task: ...}}}}
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Optional

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_text, write_json
from aepsl.bench.processes import in_a_process
from aepsl.gpu import agreement
from aepsl.gpu.check_gpu import GIB
from aepsl.nets import cuda, device
from aepsl.paper import published
from aepsl.run import costs, measured, roofline
from aepsl.settings import experiments
from aepsl.settings.experiments import TASKS
from aepsl.settings.typed import Experiment
from aepsl.training.stand_ins import trained

Step = tuple[list[str], dict[str, Optional[str]]]  # a command, and changes of the environment, where None unsets

PHOTOS = {published.PAPERS_EXPERIMENT: "photos_full"}  # the experiment that is trained instead of this one
LINE = "{:12}{:46}{:>16}{:>16}"
ITERATIONS = 20  # whose speed is measured
GRACE = 30  # seconds for a step to end by itself after its time


def steps_of(name: str) -> dict[str, Step]:
    """{step: Step} of a session with the nets of the experiment `name`."""
    aepsl = [sys.executable, "-m", "aepsl"]
    part = [*aepsl, "gpu-session", "--experiment", name, "--part"]
    return {
        "check-gpu": ([*aepsl, "check-gpu", "--experiment", name], {}),
        "agreement": ([*part, "agreement"], {}),
        "speed": ([*part, "speed"], {}),
        "speed-tf32": ([*part, "speed-tf32"], dict(TF32="1", NVIDIA_TF32_OVERRIDE=None)),  # 0 would forbid it
        "photos": ([*aepsl, "run", PHOTOS.get(name, name)], {}),
    }


def session(minutes: float, steps: dict[str, Step], folder: str) -> bool:
    """Run the steps that have not ended well yet, in their order; print the results, and keep them in `folder`.

    minutes: for all steps together. Then a running step is ended, and the others are not begun. Returns whether all
    steps were begun and none failed.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "summary.json")
    summary = read_json(path) if os.path.exists(path) else {}
    end = time.time() + 60 * minutes
    print(LINE.format("step", "", "expected", "seen"))
    for name, (command, environment) in steps.items():
        if summary.get(name, {}).get("ended") != "ok":
            left = end - time.time()
            if left > 0:
                summary[name] = _run(command, environment, os.path.join(folder, name), left)
            else:
                summary.setdefault(name, dict(ended="not begun", seconds=0, last=""))
            write_json(path, summary)
        found = summary[name]
        for row in found.get("figures", {}).get("rows", []):
            print(LINE.format(name, *row))
        print(LINE.format(name, f"{found['seconds']:.0f} s", "ok", found["ended"]), "", found["last"], flush=True)
    return all(each["ended"] in ("ok", "cut short") for each in summary.values())


def _run(command, environment, path, seconds):
    """Run a command for at most `seconds`. Returns how it ended, with the figures of `path`.json if it wrote them.

    Its output is in `path`.log. After its time it gets SIGINT, so that snakemake can clean up; then all processes that
    it started are killed.
    """
    begun, log, figures = time.time(), path + ".log", path + ".json"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(figures)  # of the last session
    environment = {key: value for key, value in dict(os.environ, **environment).items() if value is not None}
    with open(log, "a") as file:
        output = dict(stdout=file, stderr=subprocess.STDOUT)
        process = subprocess.Popen(command, env=environment, start_new_session=True, **output)
    try:
        ended = "FAILED" if process.wait(seconds) else "ok"
    except subprocess.TimeoutExpired:
        ended = "cut short"
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    last = [line.split("\r")[-1].strip() for line in read_text(log).split("\n") if line.strip()][-1:]
    more = dict(figures=read_json(figures)) if os.path.exists(figures) else {}
    return dict(ended=ended, seconds=round(time.time() - begun, 1), last="".join(last), **more)


def compare(gpu: int, experiment: Experiment) -> dict:
    """{"rows"} that compare all blobs and gradients of the experiment's nets, at batch 2, with the CPU's."""
    device.use(gpu)  # fails at once if it is missing
    rows = []
    for task in TASKS:
        for each in agreement.largest_differences(agreement.net_with_inputs(experiment, task), gpu):
            allowed = agreement.ALLOWED[each.kind]
            what = f"{task}, {each.kind}"
            rows.append([what, f"at most {allowed:g}", f"{each.relative:.1e}" + " TOO MUCH" * (not each.is_allowed)])
            print(f"{task}: {each}", flush=True)
    return dict(rows=rows)


def speed(gpu: int, experiment: Experiment) -> dict:
    """{"rows", "images_per_second"} of the experiment's trainings: speed and memory, computed and measured."""
    in_a_process(device.use, gpu)  # fails at once if it is missing; a context of this process would count as used
    card = roofline.known(cuda.name(gpu))
    of_another = "" if card else f", expected of a {costs.REFERENCE}"
    rates: dict[str, float] = {}
    speeds, memory = [], []
    for task in TASKS:
        print(f"{task}, {ITERATIONS} iterations", flush=True)
        batch = experiment.training.of(task).batch
        seconds, used = in_a_process(trained, gpu, experiment.name, task, batch, ITERATIONS)  # with no other's memory
        rates[task] = round(ITERATIONS * batch / seconds, 2)
        computed = costs.images_per_second(experiment, task, card), costs.memory_of_training(experiment, task) / GIB
        speeds.append([f"{task}, images/s{of_another}", f"{computed[0]:.1f}", f"{rates[task]:.1f}"])
        memory.append([f"{task}, GiB", f"{computed[1]:.1f}", f"{used / GIB:.1f}"])
    return dict(rows=speeds + memory, images_per_second=rates)


PARTS = {"agreement": compare, "speed": speed, "speed-tf32": speed}


def part(name: str, experiment: Experiment, gpu: int = 0) -> None:
    """Do a part of a session, and write its figures; InputError for a difference that is not allowed."""
    found = PARTS[name](gpu, experiment)
    write_json(os.path.join(measured.folder(experiment.name), name + ".json"), dict(found, card=cuda.name(gpu)))
    off = [what for what, _, seen in found["rows"] if "TOO MUCH" in seen]
    if off:
        raise InputError(f"{', '.join(off)}: further from the CPU's than allowed; with TF32=1 that is to be expected")


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--minutes", type=cli.number(1, 600), default=15, help="for all steps together (15)")
    parser.add_argument("--experiment", type=experiments.load, default=published.PAPERS_EXPERIMENT, help="whose nets")
    parser.add_argument("--part", choices=PARTS, help="one step of the session")
    asked = parser.parse_args(argv)
    name = asked.experiment.name
    if asked.part:
        part(asked.part, asked.experiment)
    elif not session(asked.minutes, steps_of(name), measured.folder(name)):
        sys.exit(1)
