"""AE-PSL in Caffe. Each command has a --help of its own; --version prints the version."""

import ast
import importlib
import os
import signal
import sys

if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # until the libraries are loaded, which takes a second
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))

try:
    from aepsl import __version__, cli
except ImportError as problem:
    sys.exit(
        f"error: a library cannot be loaded: {problem}; is there enough memory (`ulimit -a`), and is this the image?"
    )

COMMANDS = {  # room: its commands, each a module with main(argv); the stages in their order
    "stages": "saliency surgery train mine evaluate-regions masks evaluate-background segment results calibrate"
    " submission",
    "evaluation": "evaluate",
    "report": "report",
    "baselines": "baseline",
    "data": "check voc synthetic download",
    "nets": "build",
    "run": "run job sweep plan status new-experiment",
    "tools": "picture stages infer confidence compare baselines export drfi",
    "bench": "bench",
    "gpu": "check-gpu gpu-session",
}
MODULES = {name: f"aepsl.{room}.{name.replace('-', '_')}" for room in COMMANDS for name in COMMANDS[room].split()}
MODULES["run"] = "aepsl.run.start"


def summary(module: str) -> str:
    """The first line of a module's docstring, without importing it."""
    path = os.path.join(os.path.dirname(__file__), *module.split(".")[1:]) + ".py"
    with open(path) as file:
        return (ast.get_docstring(ast.parse(file.read())) or "").partition("\n")[0]


def main() -> None:
    arguments = sys.argv[1:]
    name = arguments[0] if arguments else "--help"
    if name in MODULES:
        sys.argv[0] = f"aepsl {name}"  # what argparse calls itself
        cli.command(lambda: importlib.import_module(MODULES[name]).main(arguments[1:]))
        return
    lines = [__doc__, ""] + [f"  {each:20}{summary(module)}" for each, module in MODULES.items()]
    if name == "--version":
        cli.command(lambda: print(f"aepsl {__version__}"))
    elif name in ("-h", "--help"):
        cli.command(lambda: print("\n".join(lines)))
    else:
        sys.exit(f"aepsl: there is no command {name!r}; `aepsl --help` lists them")


if __name__ == "__main__":
    main()
