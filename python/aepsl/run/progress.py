"""Prints one line for each job in place of snakemake's own, longer text (snakemake --log-handler-script).

On a terminal another line below them shows the progress of the run (aepsl.run.progress_line).
"""

import contextlib
import os
import signal
import sys
import time
from typing import Any

from snakemake.logging import logger

from aepsl.base.files import read_json
from aepsl.graph import graph, run_folder

logger.log_handler.clear()
START = time.time()
GRAPH = graph.read(os.environ["AEPSL_START"], os.path.abspath(run_folder.ROOT))  # snakemake works elsewhere
state: dict[str, Any] = dict(done=0, total="?", failed=False, interrupted=False, jobs={})


def interrupted(number: int, frame: Any) -> None:
    """Print one line for all: snakemake and every stage get the signal too."""
    if not state["interrupted"]:
        state["interrupted"] = True
        _say("interrupted; type the same command again to continue")
    signal.default_int_handler(number, frame)


signal.signal(signal.SIGINT, interrupted)


def log_handler(message: dict[str, Any]) -> None:
    """Print the part of a message of snakemake that concerns the user."""
    level, text = message["level"], str(message.get("msg"))
    if state["interrupted"]:
        return
    if level == "run_info":
        state["total"] = text.split()[-1]  # it ends with the number of jobs
    elif level == "progress":
        state.update(done=message["done"], total=message["total"])
    elif level == "job_info" and message["name"] == "target":
        if GRAPH.start.last and GRAPH.start.last[0] != "report":
            _say_of(GRAPH.start.last[0])
    elif level == "job_info":
        name = " ".join([message["name"], *map(str, message["wildcards"].values())])
        _say_of(name)
        state["jobs"][message["jobid"]] = name, message["name"]
    elif level == "job_finished" and message["jobid"] in state["jobs"]:
        name, stage = state["jobs"].pop(message["jobid"])
        with contextlib.suppress(*run_folder.DAMAGED):  # only trainings have this file and number
            loss = read_json(os.path.join(GRAPH.stages[stage].out, "train.json"))["converged_loss"]
            _say_of(f"{name}: loss {float(loss):.3f}")
    elif level == "job_error":
        state["failed"] = True
        state["jobs"].pop(message["jobid"], None)
        _say(f"stopped at {message['name']}; the lines above say why. Type the same command again to continue")
    elif text.startswith("Nothing to be done") or level in ("error", "warning") and not state["failed"]:
        _say(text)


def _say_of(job: str) -> None:
    _say(f"{time.time() - START:6.0f} s {state['done']:>4}/{state['total']}  {job}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if GRAPH.start.seconds and sys.stderr.isatty():
    from aepsl.run import progress_line

    progress_line.begin(GRAPH, state)
