"""What every command has in common: its options, its mark, and how it ends with bad input."""

import argparse
import contextlib
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback

from aepsl import experiments, made, run_folder
from aepsl.errors import InputError
from aepsl.files import FULL, no_room

INTERRUPTED = "interrupted; typed again, the command goes on from there\n"
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
    """Call `main`; whatever ends it before its time becomes one line on stderr and an exit code that is not 0."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
        sys.stdout.flush()
        return
    except InputError as error:
        line = str(error)
    except KeyboardInterrupt:
        _end("" if os.environ.get("AEPSL_RUN") else INTERRUPTED, 128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read our output, as `| head`, has seen enough
        _end("", 128 + signal.SIGPIPE)
    except OSError as error:  # no permission, no room
        if error.filename:
            line = f"{error.filename}: {error.strerror}"
        else:
            line = str(no_room(os.getcwd())) if error.errno in FULL else _fault(error)
    except MemoryError:
        line = "there is not enough memory; fewer CORES, or a smaller `batch` in experiment.yaml, need less"
    except Exception as error:
        line = _fault(error)
    line = "".join(c if c >= " " else repr(c)[1:-1] for c in line)  # a name may hold a line break
    _end(f"error: {line}\n", 1)


def _end(text, code):
    """End this process at once: Caffe's and OpenBLAS' threads may still run, and nothing is left to clean up."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
    os._exit(code)


def _fault(error):
    """The line for an error that nobody has foreseen; its traceback goes to a file."""
    folder = run_folder.ROOT if os.access(run_folder.ROOT, os.W_OK) else None  # a container's /tmp goes with it
    name = "unknown"
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(".log", "fault-", folder)
        with open(handle, "w") as file:
            traceback.print_exception(type(error), error, error.__traceback__, file=file)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"a fault of ours: {what}; the traceback is in {name}: please report it with that file"
