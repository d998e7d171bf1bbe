"""What every command has in common: its options, its mark, and how it ends with bad input."""

import argparse
import os
import re
import resource
import sys
import time

from aepsl import experiments, made
from aepsl.errors import InputError

OPTIONS = {
    "experiment": dict(required=True, type=experiments.load, metavar="NAME", help="settings and nets: prototxt/NAME"),
    "data": dict(required=True, metavar="DIR", help="root of the data set, in VOC layout"),
    "shard": dict(dest="part", metavar="K/N", help="only that share of the images, for example 1/4"),
    "gpu": dict(
        type=lambda text: [int(number) for number in text.split(",")],
        metavar="N[,N...]",
        help="numbers of the GPUs of which a free one is taken; the CPU without it",
    ),
    "done": dict(metavar="FILE", help="a mark to write when all is done: what was made"),
}


def parser(doc, options=""):
    """An ArgumentParser with the first line of the docstring `doc`, and those of OPTIONS that `options` names."""
    result = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name in options.split():
        result.add_argument("--" + name, **OPTIONS[name])
    return result


def count(gpus):
    """How many GPUs a text like '0,1' numbers; 0 for ''. InputError for anything else."""
    if gpus and not re.fullmatch(r"\d+(,\d+)*", gpus):
        raise InputError(f"GPU={gpus}: give nvidia-smi's numbers: GPU=0 or GPU=0,1")
    return len(gpus.split(",")) if gpus else 0


def run_stage(run, arguments):
    """Call `run` with parsed arguments and leave the mark that `--done` names; run returns what a mark holds."""
    arguments = vars(arguments)
    done = arguments.pop("done")
    begun = time.time()
    contents = run(**arguments)
    if done:
        made.mark(done, contents, time.time() - begun, _peak_mib())


def _peak_mib():
    """Peak memory of this process, or of the largest one that it started."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def command(main):
    """Call `main`; an InputError or a refusal of the system becomes one line on stderr and exit code 1."""
    try:
        main()
        return
    except InputError as error:
        line = str(error)
    except OSError as error:  # no permission, no room
        if not error.filename:
            raise
        line = f"{error.filename}: {error.strerror}"
    line = "".join(c if c >= " " else repr(c)[1:-1] for c in line)  # a name may hold a line break
    sys.stderr.write(f"error: {line}\n")
    sys.stderr.flush()
    # Not sys.exit: Caffe's and OpenBLAS' threads may still run, and nothing is left to clean up.
    os._exit(1)
