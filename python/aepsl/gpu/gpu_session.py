"""What a session on a GPU shows, the most important first: checks, agreement, speed with memory, TF32, a training.

Each step is a command with a log of its own in runs/gpu/NAME/, NAME the experiment whose nets it takes. One that ended
well is not run again; the training goes on from its snapshot. summary.json there holds how each step ended, and what
it measured: `aepsl plan` and `aepsl bench` read that.

    {step: {"ended": "ok", "FAILED", "cut short" or "not begun", "seconds": ..., "last": line of its log,
            "figures": {"card": ..., "rows": [[what, expected, seen], ...], "images_per_second": {task: ...}}}}
"""

import contextlib
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
from aepsl.gpu.check_gpu import GIB
from aepsl.nets import cuda, device
from aepsl.paper import published
from aepsl.run import costs, measured, roofline
from aepsl.settings import experiments
from aepsl.settings.experiments import TASKS
from aepsl.training.stand_ins import trained

PHOTOS = {published.PAPERS_EXPERIMENT: "photos_full"}  # what is trained; another experiment itself
LINE = "{:12}{:46}{:>16}{:>16}"
ITERATIONS = 20  # that speed is measured of
GRACE = 30  # seconds for a step to end by itself after its time


def steps_of(name):
    """{step: (command, changes of the environment, None unsets)} of a session with the nets of an experiment."""
    aepsl = [sys.executable, "-m", "aepsl"]
    part = [*aepsl, "gpu-session", "--experiment", name, "--part"]
    return {
        "check-gpu": ([*aepsl, "check-gpu", "--experiment", name], {}),
        "agreement": ([*part, "agreement"], {}),
        "speed": ([*part, "speed"], {}),
        "speed-tf32": ([*part, "speed-tf32"], dict(TF32="1", NVIDIA_TF32_OVERRIDE=None)),  # 0 would forbid it
        "photos": ([*aepsl, "run", PHOTOS.get(name, name)], {}),
    }


def session(minutes, steps, folder):
    """Run the steps that have not ended well yet, in their order; print and keep what each shows.

    minutes: for all together; what has begun is ended then, and the rest is not begun. Returns whether none failed and
    all were begun.
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
    """How a command ended within that time, its output in `path`.log, with its figures where it leaves them in
    `path`.json.

    After its time it is asked to end, so that snakemake tidies up; at the end all that it has started is killed.
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


def compare(gpu, experiment):
    """{"rows"} of all blobs and gradients of the experiment's nets, at batch 2, against the CPU's."""
    device.use(gpu)  # says at once if it is not there
    rows = []
    for task in TASKS:
        for each in agreement.largest_differences(agreement.net_with_inputs(experiment, task), gpu):
            allowed = agreement.ALLOWED[each.kind]
            what = f"{task}, {each.kind}"
            rows.append([what, f"at most {allowed:g}", f"{each.relative:.1e}" + " TOO MUCH" * (not each.is_allowed)])
            print(f"{task}: {each}", flush=True)
    return dict(rows=rows)


def speed(gpu, experiment):
    """{"rows", "images_per_second"} of the experiment's trainings at their batch, computed and measured; and memory."""
    in_a_process(device.use, gpu)  # says at once if it is not there; a context of this process would count as used
    card, rates, memory = roofline.known(cuda.name(gpu)), {}, []
    for task in TASKS:
        print(f"{task}, {ITERATIONS} iterations", flush=True)
        batch = experiment.training.of(task).batch
        seconds, used = in_a_process(trained, gpu, experiment.name, task, batch, ITERATIONS)  # its memory is its own
        rates[task] = round(ITERATIONS * batch / seconds, 2)
        memory.append([f"{task}, GiB", costs.memory_of_training(experiment, task) / GIB, used / GIB])
    of_another = "" if card else f", expected of a {costs.REFERENCE}"
    rows = [
        [f"{task}, images/s{of_another}", costs.images_per_second(experiment, task, card), rates[task]]
        for task in TASKS
    ]
    rows = [[what, f"{computed:.1f}", f"{seen:.1f}"] for what, computed, seen in rows + memory]
    return dict(rows=rows, images_per_second=rates)


PARTS = {"agreement": compare, "speed": speed, "speed-tf32": speed}


def part(name, experiment, gpu=0):
    """Do a part of a session, and leave its figures for it; InputError if what is seen is not allowed."""
    found = PARTS[name](gpu, experiment)
    write_json(os.path.join(measured.folder(experiment.name), name + ".json"), dict(found, card=cuda.name(gpu)))
    off = [what for what, _, seen in found["rows"] if "TOO MUCH" in seen]
    if off:
        raise InputError(f"{', '.join(off)}: further from the CPU's than allowed; with TF32=1 that is to be expected")


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--minutes", type=cli.number(1, 600), default=15, help="after which all ends (15)")
    parser.add_argument("--experiment", type=experiments.load, default=published.PAPERS_EXPERIMENT, help="whose nets")
    parser.add_argument("--part", choices=PARTS, help="one step of the session")
    asked = parser.parse_args(argv)
    name = asked.experiment.name
    if asked.part:
        part(asked.part, asked.experiment)
    elif not session(asked.minutes, steps_of(name), measured.folder(name)):
        sys.exit(1)
