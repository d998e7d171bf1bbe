"""The small experiment for tests/engines/slurm: `small.py prepare ROOT` makes a tree and what a local run gives;
`small.py compare ROOT` says whether the tree's run now gives the same bytes. In the image."""

import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import small_run  # noqa: E402

LOCAL, HERE = ("expected", "tree/runs/tiny")


def prepare(root):
    run = small_run.Run(root)
    run.tree.joinpath("runs/tiny").rename(root / LOCAL)


def compare(root):
    local, here = (small_run.state(root / folder) for folder in (LOCAL, HERE))
    here = {name: value for name, value in here.items() if not name.startswith("slurm/")}
    differing = sorted(name for name in {*local, *here} if local.get(name) != here.get(name))
    if differing or len(local) < 100:
        sys.exit(f"{len(differing)} of {len(local)} files differ from the local run's: {differing[:5]}")
    print(f"{len(local)} files, as of the local run")


if __name__ == "__main__":
    dict(prepare=prepare, compare=compare)[sys.argv[1]](pathlib.Path(sys.argv[2]))
