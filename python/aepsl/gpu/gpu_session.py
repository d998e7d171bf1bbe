"""What the first session on a GPU shows, step by step within a time: checks, tests, speed, TF32, and photos.

Each step is a command with a log of its own in runs/gpu/. One that ended well is not run again; the training goes on
from its snapshot. runs/gpu/summary.json holds how each step ended.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import read_json, read_text, write_json
from aepsl.bench.processes import in_a_process
from aepsl.gpu import agreement
from aepsl.gpu.check_gpu import GIB, trained
from aepsl.graph.run_folder import ROOT
from aepsl.nets import cuda, device
from aepsl.paper import published
from aepsl.run import costs
from aepsl.settings import experiments

FOLDER = os.path.join(ROOT, "gpu")
AEPSL = [sys.executable, "-m", "aepsl"]
STEPS = {  # name: (command, what it adds to the environment)
    "check-gpu": ([*AEPSL, "check-gpu"], {}),
    "agreement": ([*AEPSL, "gpu-session", "--part", "agreement"], {}),
    "tests": ([sys.executable, "-m", "pytest", "-q", "-m", "not long", "tests"], {}),
    "speed": ([*AEPSL, "gpu-session", "--part", "speed"], {}),
    "speed-tf32": ([*AEPSL, "gpu-session", "--part", "speed"], dict(NVIDIA_TF32_OVERRIDE="1")),
    "photos_full": ([*AEPSL, "run", "photos_full", "all"], {}),
}
GRACE = 30  # seconds for a step to end by itself after its time


def session(minutes, steps=None, folder=FOLDER):
    """Run the steps that have not ended well yet, in their order, and print and keep how each ended.

    minutes: for all together; what has begun is ended then, and the rest is not begun. Returns whether all ended well.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "summary.json")
    summary = read_json(path) if os.path.exists(path) else {}
    end = time.time() + 60 * minutes
    for name, (command, environment) in (steps or STEPS).items():
        if summary.get(name, {}).get("ended") != "ok":
            left = end - time.time()
            if left > 0:
                summary[name] = _run(command, environment, os.path.join(folder, name + ".log"), left)
            else:
                summary.setdefault(name, dict(ended="not begun", seconds=0, last=""))
            write_json(path, summary)
        print("{:12}{ended:12}{seconds:8.0f} s  {last}".format(name, **summary[name]), flush=True)
    return all(each["ended"] == "ok" for each in summary.values())


def _run(command, environment, log, seconds):
    """How a command ended within that time, its output in the file `log`: {"ended", "seconds", "last" line}.

    After its time it is asked to end, so that snakemake tidies up; at the end all that it has started is killed.
    """
    begun = time.time()
    with open(log, "a") as file:
        output = dict(stdout=file, stderr=subprocess.STDOUT)
        process = subprocess.Popen(command, env=dict(os.environ, **environment), start_new_session=True, **output)
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
    return dict(ended=ended, seconds=round(time.time() - begun, 1), last="".join(last))


def compare(gpu):
    """Compare every blob and gradient of voc12's nets with the CPU's; InputError if one is further off than allowed."""
    device.use(gpu)  # says at once if it is not there
    off = []
    for task in experiments.TASKS:
        net = agreement.net_with_inputs(experiments.load(published.PAPERS_EXPERIMENT), task)
        name, difference = agreement.largest_difference(net, gpu)
        print(f"{task:16}{difference:.1e}  {name}", flush=True)
        off += [task] * (not difference <= agreement.TOLERANCE)
    if off:
        raise InputError(f"{', '.join(off)}: further from the CPU's than {agreement.TOLERANCE:g}")


def speed(gpu, iterations=20):
    """Print images/s and memory of voc12's trainings at their batch, beside plan's, and `{"speed": ...}` as JSON."""
    experiment = experiments.load(published.PAPERS_EXPERIMENT)
    operations, told = costs.speed(1, os.cpu_count())
    print(f"TF32 {os.environ.get('NVIDIA_TF32_OVERRIDE')}. {told}", flush=True)
    figures = {}
    for task in experiments.TASKS:
        print(f"{task}, {iterations} iterations", flush=True)
        batch = experiment.training.of(task).batch
        rate, used = in_a_process(trained, gpu, task, batch, iterations)  # its memory is its own
        figures[task] = dict(
            images_per_second=round(rate, 2),
            computed_images_per_second=round(operations / 6 / costs.multiply_adds(costs.net_of(experiment, task)), 2),
            gib=round(used / GIB, 2),
            computed_gib=round(costs.memory_of_training(experiment, task) / GIB, 2),
        )
    print(json.dumps(dict(card=cuda.name(gpu), speed=figures)), flush=True)


PARTS = dict(agreement=compare, speed=speed)


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--minutes", type=cli.number(1, 600), default=25, help="after which all ends (25)")
    parser.add_argument("--part", choices=PARTS, help="one step of the session")
    asked = parser.parse_args(argv)
    if asked.part:
        PARTS[asked.part](0)
    elif not session(asked.minutes):
        sys.exit(1)
