"""What all commands share: options, and how a command ends after bad input."""

import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Optional

from aepsl import places
from aepsl.base.errors import BrokenFile, FullDisk, InputError, NoRight
from aepsl.base.files import FULL
from aepsl.graph import run_folder
from aepsl.settings import experiments

INTERRUPTED = "interrupted; type the same command again to continue\n"
LONGEST = 2000  # characters of a line: a name or a damaged file can be long
REMEDIES = {  # of errors that are raised where the command is not known
    FullDisk: " (`make reproduce-dry` says how much a run takes) and type the same command again",
    NoRight: "; name a file in runs/, or mount its folder with WRITABLE=",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "experiment": dict(required=True, type=experiments.load, metavar="NAME", help="settings and nets: prototxt/NAME"),
    "data": dict(required=True, metavar="DIR", help="root of the data set, in VOC layout"),
    "list": dict(dest="list_name", required=True, help="a list of the data set, or the path of a list of ids"),
    "model": dict(required=True, help="caffemodel of the trained net"),
    "saliency": dict(required=True, help="folder of saliency maps"),
    "out": dict(required=True, help="folder to write to"),
    "shard": dict(dest="part", metavar="K/N", help="only that share of the images, for example 1/4"),
    "gpu": dict(
        type=lambda text: [int(number) for number in text.split(",")] if count(text) else None,
        metavar="N[,N...]",
        help="numbers of GPUs, of which a free one is used; the CPU without it",
    ),
}

GIVEN = dict(  # make's settings, DATA= and so on: the environment has the defaults of these options
    data="a folder in VOC layout",
    weights="a caffemodel with ImageNet weights",
    saliency="a folder of saliency maps; without it they are computed",
    row="rows of tables 3 and 4, psl,psl++, to make with what they need alone; or what submission packs",
    gpu="numbers of GPUs, for example 0 or 0,1; the CPU without it",
    cores="how many cores to use (all)",
    profile="a profile of snakemake, for clusters",
)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that refuses empty values: `--data "$UNSET"` is a mistake. Names of experiments are exempt.

    It also refuses an output that is an input (aepsl.places). places: a function of the parsed options, which returns
    {option: path} of what the command reads or writes without naming it in an option; it overrides the options.
    """

    def __init__(self, *arguments: Any, places: Callable[[Any], dict[str, Any]] = lambda asked: {}, **options: Any):
        super().__init__(*arguments, **options)
        self.places = places

    def parse_known_args(self, *arguments: Any, **options: Any) -> tuple[Any, list[str]]:
        found, rest = super().parse_known_args(*arguments, **options)
        for action in [each for each in self._actions if each.option_strings or each.nargs]:
            values = getattr(found, action.dest, None)
            if "" in (values if isinstance(values, list) else [values]) and action.default != "":
                name = "/".join(action.option_strings) or action.dest
                self.error(f"argument {name}: is empty; give it a value, or leave it out")
        names = {action.dest: "/".join(action.option_strings) for action in self._actions}
        places.check_seen(dict(vars(found)))
        places.check_nets(vars(found))
        places.check_apart({**vars(found), **self.places(found)}, names)
        return found, rest


def number(least: int, most: int = 10**9 - 1) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` to `most`."""

    def number(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {least} to {most}")
        return int(text)

    return number


def pair(text: str) -> tuple[str, str]:
    """(NAME, VALUE) of an option's NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"is {text!r}; give NAME=VALUE")
    return name, value


def parser(doc: Optional[str], options: str = "", given: Sequence[str] = (), **more: Any) -> Parser:
    """A Parser with the first line of the docstring `doc`, the OPTIONS that `options` names, and those of GIVEN."""
    result = Parser(description=(doc or "").partition("\n")[0], **more)
    for name in options.split():
        result.add_argument("--" + name, **OPTIONS[name])
    for name in given:
        result.add_argument("--" + name, default=os.environ.get(name.upper()) or None, help=GIVEN[name])
    return result


def count(gpus: str) -> int:
    """How many GPUs a text like '0,1' lists; 0 for ''. InputError for any other text."""
    if gpus and not re.fullmatch(r"\d+(,\d+)*", gpus):
        raise InputError(f"GPU={gpus}: give nvidia-smi's numbers: GPU=0 or GPU=0,1")
    numbers = gpus.split(",") if gpus else []
    if len({int(number) for number in numbers}) < len(numbers):
        raise InputError(f"GPU={gpus}: names a GPU twice; each trains one net at a time")
    return len(numbers)


def command(main: Callable[[], object]) -> None:
    """Call `main`. Any error in it becomes one line on stderr and an exit code that is not 0."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.stdout:  # None where the shell has closed it
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names may not be UTF-8
    try:
        main()
        if sys.stdout:
            sys.stdout.flush()
        _leave(0)
        return
    except SystemExit as asked:
        if isinstance(asked.code, (int, type(None))):  # Python prints a text, and ends with 1
            _leave(asked.code or 0)
        raise
    except InputError as error:
        line = remedied(error)
    except KeyboardInterrupt:
        _end("" if os.environ.get("AEPSL_START") else INTERRUPTED, 128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has ended, as `| head` does
        _end("", 128 + signal.SIGPIPE)
    except OSError as error:  # no permission, full disk
        if error.filename:
            line = f"{error.filename}: {error.strerror}"
        elif error.errno in FULL:
            line = f"{error.strerror} for a result, or for what is printed; make room and type the same command again"
        elif error.errno:  # raised by the system, not by our code
            line = f"{error.strerror}; look at the disk, at `ulimit -a` and at what the command was given"
        else:
            line = _fault(error)
    except MemoryError:
        line = "there is not enough memory; fewer CORES, or a smaller `batch` in experiment.yaml, need less"
    except ImportError as error:
        line = f"a library cannot be loaded: {error}; is this the image, and is there memory (`ulimit -a`)?"
    except Exception as error:
        line = _fault(error)
    line = line if len(line) < LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    line = "".join(c if c >= " " else repr(c)[1:-1] for c in line)  # a name may hold a line break
    _end(f"error: {line}\n", 1)


def remedied(error: InputError) -> str:
    """The line of an InputError, with the remedy."""
    if isinstance(error, BrokenFile) and run_folder.is_in_a_run(error.args[0]):
        path, fault, _ = error.args
        return f"{path}: {fault}; type the run's command again, which makes it anew"
    return f"{error}{REMEDIES.get(type(error), '')}"


def _leave(code: int) -> None:
    """If Caffe was loaded, end this process at once.

    At a normal exit Caffe may free its cuBLAS handle after CUDA's driver was unloaded, and abort.
    """
    if "caffe" in sys.modules:
        with contextlib.suppress(OSError, AttributeError):  # what argparse has printed
            sys.stdout.flush()
        _end("", code)


def _end(text: str, code: int) -> NoReturn:
    """End this process at once: threads of Caffe and OpenBLAS may still run, and nothing is left to clean up."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()
    os._exit(code)


def _fault(error: Exception) -> str:
    """The line for an unexpected error; its traceback is written to a file."""
    folder = run_folder.ROOT if os.access(run_folder.ROOT, os.W_OK) else None  # a container's /tmp is deleted with it
    name = "unknown"
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(".log", "fault-", folder)
        with open(handle, "w") as file:
            traceback.print_exception(type(error), error, error.__traceback__, file=file)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"a fault of ours: {what}; the traceback is in {name}: please report it with that file"
