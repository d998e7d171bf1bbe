"""Snakemake's output as one line a job, in place of its own, longer text (snakemake --log-handler-script)."""

import signal
import sys
import time

from snakemake.logging import logger

logger.log_handler.clear()
START = time.time()
state = dict(done=0, total="?", failed=False, interrupted=False)


def interrupted(number, frame):
    """Say so once: snakemake and every stage get the signal too."""
    if not state["interrupted"]:
        state["interrupted"] = True
        _say("interrupted; typed again, the command goes on from there")
    signal.default_int_handler(number, frame)


signal.signal(signal.SIGINT, interrupted)


def log_handler(message):
    """Print what a user wants to see of one of snakemake's messages."""
    level, text = message["level"], str(message.get("msg"))
    if state["interrupted"]:
        return
    if level == "run_info":
        before, state["total"] = state["total"], text.split()[-1]  # it ends with the number of jobs
        if state["total"] == "1" and "\nall " in text and before == "?":  # a dry run says it twice
            _say("every stage is done already")
    elif level == "progress":
        state.update(done=message["done"], total=message["total"])
    elif level == "job_info" and message["name"] != "all":
        name = " ".join([message["name"], *map(str, message["wildcards"].values())])
        _say(f"{time.time() - START:6.0f} s {state['done']:>4}/{state['total']}  {name}")
    elif level == "job_error":
        state["failed"] = True
        _say(f"stopped at {message['name']}; the lines above say why. Typed again, the command goes on from there")
    elif text.startswith("Nothing to be done") or level in ("error", "warning") and not state["failed"]:
        _say(text)


def _say(line):
    print(line, file=sys.stderr, flush=True)
