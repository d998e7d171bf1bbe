"""What a run must survive, at length: kills, full disks, damaged files. `make torture` prints the figures.

    python3 tests/torture.py parts [PART...]  those of PARTS, or all
    python3 tests/torture.py prepare R        makes R/tree, a copy of the repository for tests/power_cuts
    python3 tests/torture.py compare A B      whether two folders runs/torture hold the same

One experiment with every kind of stage, small enough to be run a hundred times. It is run once undisturbed; whatever
happens to others, typed again they must end with the same bytes.
"""

import contextlib
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

import standins
import variations
from conftest import copy_of_repository
from small_run import state

NAME = "torture"
STEP = dict(batch=3, lr=0.01, epochs=3, lr_step_epochs=2, momentum=0.9, decay=0.0005)
SETTINGS = dict(
    base="demo",
    channels=[4, 4, 4, 4, 4],
    fc=8,
    shards=1,
    synthetic=dict(train=6, val=3),
    segmentation_start="initial",
    psl_start=None,
    rows=["ae_step1", "psl++"],
    data=dict(train_images=6, scale=0.5, crop=57),
    training=dict(classification=STEP, segmentation=STEP, psl=STEP),
    mining=dict(steps=1, merge=1, sensitivity=[dict(of_max=0.5)]),
)
POWER_CUTS = "runs/power_cuts.txt"  # the row that tests/power_cuts leaves
ROWS = "runs/torture.json"  # {part: its row}
SAME = "all files have the same bytes"
TARGETS = ("all", "submission")
JOB = re.compile(r"^ *\d+ s +\d+/\S+  (.*)$", re.MULTILINE)
START = "start"  # what comes before the first job: the drawing of the data and their check
BAD = ("Traceback", "a fault of ours", "Check failed", "Aborted", "Segmentation fault", "core dumped")

# Kills on purpose, in the order in which a run comes past them: just before a file gets this name, or goes.
MOMENTS = {
    "the data get their name": "rename data",
    "the data are there, what they hold is not kept": "rename made/data.json",
    "that is kept, unmarked": "rename done/data.json",
    "the contents of the inputs": "rename ../.digests.json",
    "the check is done, unmarked": "rename done/check.json",
    "the settings, whole": "rename experiment.yaml",
    "what the start was asked for": "rename start.json",
    "a saliency map": "rename saliency/train_000001.png",
    "the initial weights": "rename initial.caffemodel",
    "the initial weights are there, unrecorded": "rename made/surgery.json",
    "recorded, unmarked": "rename done/surgery.json",
    "one of a snapshot's two files": "half step1/classification/snapshot_iter_2.caffemodel",
    "a snapshot, not yet named": "rename step1/classification/snapshot.json",
    "the log": "rename step1/classification/log.csv",
    "the final weights": "rename step1/classification/final.caffemodel",
    "between final weights and clean-up": "remove step1/classification/snapshot.json",
    "snapshot.json is gone, snapshots are not": "remove step1/classification/snapshot_iter_4.caffemodel",
    "a region": "rename step1/regions/train_000004.png",
    "the regions are there, unmarked": "rename done/mine.step1.1-1.json",
    "a mask": "rename masks/ae_step1/train_000004.png",
    "relabelled without CRF, not with it": "rename relabelled/psl/crf/train_000002.png",
    "a segmentation": "rename val/psl++/crf/val_000002.png",
    "the results": "rename results.json",
    "the results, unmarked": "rename done/results.json",
    "the archive": "rename submission/psl++.tgz",
}
# Put before the path of python: ends this process and all that were started with it when the moment comes.
HOOK = """
import os, signal, sys
what, _, name = os.environ["KILL_AT"].partition(" ")
def end():
    os.killpg(0, signal.SIGKILL)
def is_it(path):
    return os.path.relpath(str(path), "runs/torture") == name
def hook(event, arguments):
    if what == "rename" and event == "os.rename" and is_it(arguments[1]):
        end()
    if what == "remove" and event == "os.remove" and is_it(arguments[0]):
        end()
    if what == "half" and event == "open" and is_it(arguments[0]):
        state = os.fspath(arguments[0]).replace(".caffemodel", ".solverstate")
        if os.path.exists(state):
            os.unlink(state)
            end()
sys.addaudithook(hook)
"""


class Tree:
    """A copy of the repository in `root`, with the experiment, and its run."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.tree = self.root / "tree"
        self.run = self.tree / "runs" / NAME
        self.weights = self.root / "vgg.caffemodel"
        self.output = pathlib.Path(tempfile.mkdtemp()) / "output.txt"  # not on a disk that is full

    def prepare(self):
        copy_of_repository(self.tree)
        path = self.tree / "prototxt" / NAME / "experiment.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(SETTINGS))
        standins.write_vgg(str(self.weights), SETTINGS["channels"], fc=4 * SETTINGS["fc"], outputs=4)
        command = [sys.executable, "-m", "aepsl", "build", NAME]
        subprocess.run(command, cwd=self.tree, env=self._environment(), check=True)
        (self.root / "hook").mkdir()
        (self.root / "hook" / "sitecustomize.py").write_text(HOOK)
        return self

    def _environment(self, kill_at=None):
        unset = ("GPU", "ROW", "PROFILE", "DATA", "SALIENCY")
        environment = {key: value for key, value in os.environ.items() if key not in unset}
        path = [str(self.root / "hook")] * bool(kill_at) + [str(self.tree / "python")]
        environment.update(WEIGHTS=str(self.weights), CORES="2", PYTHONPATH=":".join(path))
        return dict(environment, KILL_AT=kill_at) if kill_at else environment

    def start(self, kill_at=None):
        """Type the commands; returns their process, which leads a session of its own."""
        commands = " && ".join(f"{sys.executable} -m aepsl run {NAME} {target}" for target in TARGETS)
        with open(self.output, "wb") as file:
            return subprocess.Popen(
                ["sh", "-c", commands],
                cwd=self.tree,
                env=self._environment(kill_at),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def said(self):
        return self.output.read_text(errors="replace")

    def jobs(self):
        """The names of the jobs that have begun."""
        return JOB.findall(self.said())

    def reaches(self, process, job):
        """Wait until a job of that name, or beginning, has begun, or START; whether it has before the process ended."""
        while job != START and not any(begun.startswith(job) for begun in self.jobs()):
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        return process.poll() is None

    def ends(self, process, code=0):
        """Wait for the end; what was said must be lines of ours alone."""
        assert process.wait(600) == code or code is None, self.said()
        assert not [word for word in BAD if word in self.said()], self.said()
        return self.said()

    def finish(self):
        return self.ends(self.start())


def kill(process):
    """SIGKILL for all that was started with it, at one moment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def differing(run, expected):
    """Names of files that are not as expected, too many or missing."""
    found = state(run)
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


def undisturbed(root):
    """(the tree with its finished run, what the run holds, [(job, how many seconds it took)])."""
    tree = Tree(root).prepare()
    begun, seen, times = time.time(), [START], [0]
    process = tree.start()
    while process.poll() is None:
        for job in tree.jobs()[len(seen) - 1 :]:
            seen.append(job)
            times.append(time.time() - begun)
        time.sleep(0.01)
    tree.ends(process)
    times.append(time.time() - begun)
    return tree, state(tree.run), list(zip(seen, (after - before for before, after in zip(times, times[1:]))))


def kills_at_random(tree, expected, jobs, count, seed=1):
    """{kind of stage: kills}: in each stage in turn, and again, until `count`; each time the command is typed again."""
    rng, done = random.Random(seed), {}
    while sum(done.values()) < count:
        shutil.rmtree(tree.run, ignore_errors=True)
        for job, seconds in jobs:
            if sum(done.values()) == count:
                break
            process = tree.start()
            if tree.reaches(process, job):
                time.sleep(rng.random() * seconds)
                if process.poll() is None:
                    kill(process)
                    kind = re.match(r"\w+", job).group()
                    done[kind] = done.get(kind, 0) + 1
                    continue
            tree.ends(process)
        tree.finish()
        assert differing(tree.run, expected) == []
    return done


def kills_on_purpose(tree, expected, moments=MOMENTS):
    """Kill at each of the moments, one after the other, and go on; returns how many."""
    shutil.rmtree(tree.run, ignore_errors=True)
    for name, moment in moments.items():
        process = tree.start(kill_at=moment)
        if process.wait(600) != -signal.SIGKILL:  # the run was past it already
            tree.ends(process)
            assert differing(tree.run, expected) == []
            shutil.rmtree(tree.run)
            process = tree.start(kill_at=moment)
            assert process.wait(600) == -signal.SIGKILL, name
    tree.finish()
    assert differing(tree.run, expected) == []
    return len(moments)


# The files of a run's folder, one of each kind.
KINDS = (
    "data/JPEGImages/train_000002.jpg",
    "data/SegmentationClassAug/val_000001.png",
    "data/ImageSets/Segmentation/val.txt",
    "data/image_labels.txt",
    "data/classes.txt",
    "saliency/train_000001.png",
    "saliency/made_of.json",
    "initial.caffemodel",
    "step1/classification/final.caffemodel",
    "step1/classification/log.csv",
    "step1/classification/train.json",
    "step1/classification/train.prototxt",
    "step1/classification/solver.prototxt",
    "step1/classification/made_of.json",
    "step1/regions/train_000002.png",
    "step1/regions/heat/*.png",
    "step1/regions.json",
    "step1/thresholds.json",
    "masks/ae_step1/train_000003.png",
    "background.json",
    "segmentation/psl/final.caffemodel",
    "segmentation/psl/psl.csv",
    "segmentation/psl++/snapshot.json",
    "segmentation/psl++/snapshot_iter_4.caffemodel",
    "segmentation/psl++/snapshot_iter_4.solverstate",
    "relabelled/psl/crf/train_000004.png",
    "relabelled/psl/s_hat/*.png",
    "val/psl++/plain/val_000001.png",
    "val/psl++/crf/val_000002.png",
    "test/psl++/crf/val_000003.png",
    "results.json",
    "submission/psl++.tgz",
    "report/index.html",
    "done/check.json",
    "done/saliency.1-1.json",
    "done/results.json",
    "done/segmentation.psl.json",
    "made/data.json",
    "made/masks.ae_step1.json",
    "experiment.yaml",
    "start.json",
    "../.digests.json",
)
DAMAGES = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "deleted": os.unlink,
}
TOGETHER = 11  # damages between two starts


def damages(tree, expected, count=None, seed=1):
    """{damage: cases}: each kind of file cut, emptied, deleted in the finished run of the tree, `TOGETHER` at a time.

    count: of cases, None for all. In the end each file is as it was, or has been made anew, of the same.
    """
    kept, done = tree.root / "kept", {}
    shutil.copytree(tree.run, kept)
    for cases in _cases(tree.run, count, seed):
        for kind, damage in cases:
            DAMAGES[damage](_one(tree.run, kind))
            done[damage] = done.get(damage, 0) + 1
        tree.finish()
        assert differing(tree.run, expected) == [], cases
        shutil.rmtree(tree.run)
        shutil.copytree(kept, tree.run)
    shutil.rmtree(kept)
    return done


def interrupt(tree):
    """Run the tree anew, and end it in its last training, which has two snapshots."""
    shutil.rmtree(tree.run, ignore_errors=True)
    process = tree.start(kill_at="rename segmentation/psl++/log.csv")
    process.wait(600)
    assert process.returncode == -signal.SIGKILL and (tree.run / "segmentation/psl++/snapshot.json").exists()


def _cases(run, count, seed):
    """Groups of (kind, damage) of those kinds that the run has, at random; no kind twice in a group."""
    rng, names = random.Random(seed), list(DAMAGES)
    kinds = [kind for kind in KINDS if _one(run, kind)]
    groups = []
    for turn in range(len(names)):  # each kind gets each damage once
        cases = [(kind, names[(k + turn) % len(names)]) for k, kind in enumerate(kinds)]
        rng.shuffle(cases)
        groups += [cases[k : k + TOGETHER] for k in range(0, len(cases), TOGETHER)]
    return groups if count is None else groups[: -(-count // TOGETHER)]


def _one(run, kind):
    """The first file of the kind, or None."""
    return next(iter(sorted(path for path in run.glob(kind) if path.is_file())), None)


# When the disk is full: with room for a share of what a run takes, or from the begin of a job on.
FULL_AT = (0.02, 0.1, 0.2, 0.35, 0.65, "saliency", "mine", "masks", "relabel", "segment.val", "results", "submission")
FULL = re.compile(r"^error: .*: (the disk is full: .* are free|what is left to make takes .*); make room", re.MULTILINE)


def in_memory():
    """A folder on a small disk in memory that may be filled; None where there is none, as outside of a container."""
    small = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").total <= 2**31
    return tempfile.TemporaryDirectory(dir="/dev/shm") if small else None


def full_disks(tree, expected, moments=FULL_AT):
    """{moment: the line that ended the run}: the disk of the tree is full, again and again a little later.

    The tree lies in memory (/dev/shm), which a file fills up to what the run may take. Of jobs, which may end before
    they need room, those count that ended in the line.
    """
    takes = sum(path.lstat().st_blocks * 512 for path in shared()[0].run.rglob("*"))
    ballast, lines, free = tree.root / "ballast", {}, shutil.disk_usage(tree.root).free
    for moment in moments:
        if isinstance(moment, str):
            process = tree.start()
            tree.reaches(process, moment)
            _fill(ballast, 0)
        else:
            taken = free - shutil.disk_usage(tree.root).free
            _fill(ballast, max(0, int(moment * takes - taken)))
            process = tree.start()
        said = tree.ends(process, code=None)
        ballast.unlink()
        found = FULL.search(said)
        assert found or process.returncode == 0, said
        if found:
            lines[moment] = found.group(0)
    tree.finish()
    assert differing(tree.run, expected) == []
    return lines


def _fill(path, left):
    """Make the file so large that only `left` bytes of its disk stay free."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, shutil.disk_usage(path.parent).free - left))


CORPUS = "bad_nets damage data_check docker download endings experiments names".split()
TEXT = """# What a run survives

`make torture` prints these figures and writes this page. It runs the smallest experiment that has every kind of stage,
from the drawing of the data to the archive for VOC's server. It kills the run, cuts its power, fills its disk, and
damages its files. It then types the same command again until the run ends, and compares the files, byte by byte, with
those of an undisturbed run. Only `done/` and `made/` may differ, since they have the times of the jobs.
`tests/torture.py` and `tests/power_cuts` say exactly what is done. A short version belongs to `make test-long`.

"""


def named_inputs():
    """How many inputs with names, each with what must come of it, the tests of `make test` have."""
    files = [os.path.join(os.path.dirname(__file__), f"test_{name}.py") for name in CORPUS]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(line.rstrip().endswith("]") for line in listed.splitlines())


@functools.lru_cache
def shared():
    """`undisturbed`, once for all parts."""
    return undisturbed(tempfile.mkdtemp())


def random_kills():
    tree, expected, jobs = shared()
    kills = kills_at_random(tree, expected, jobs, 60)
    where = ", ".join(f"{kind} {count}" for kind, count in kills.items())
    return f"SIGKILL of all processes at random moments: {where}", sum(kills.values()), SAME


def chosen_kills():
    tree, expected, _ = shared()
    return "SIGKILL at moments chosen on purpose", kills_on_purpose(tree, expected), SAME


def finished_damaged():
    tree, expected, _ = shared()
    tree.finish()
    return "files of a finished run cut, emptied, deleted", sum(damages(tree, expected).values()), SAME


def interrupted_damaged():
    tree, expected, _ = shared()
    interrupt(tree)
    return "files of an interrupted run cut, emptied, deleted", sum(damages(tree, expected).values()), SAME


def too_small_disks():
    with in_memory() as root:
        tree = Tree(root).prepare()
        full = full_disks(tree, shared()[1])
    places = ", ".join(at if isinstance(at, str) else f"{100 * at:.0f}% of a run" for at in full)
    return f"a full disk, at {places}", len(full), f"a line that says so; with room again {SAME}"


def power_cuts():
    return tuple(pathlib.Path(POWER_CUTS).read_text().strip(" |\n").split(" | "))


def inputs():
    return "inputs with a name in the tests", named_inputs(), "what the table says: a result, one line, a healed run"


def varied_inputs():
    found = [vary() for vary in variations.ALL]
    count, said = map(sum, zip(*found))
    return "inputs made by varying those", count, f"a line for {said}, a result for the others"


PARTS = dict(random_kills=random_kills, chosen_kills=chosen_kills, power_cuts=power_cuts, full_disks=too_small_disks)
PARTS.update(finished=finished_damaged, interrupted=interrupted_damaged, inputs=inputs, varied=varied_inputs)


def torture(parts):
    """Do these parts, print a row of the table for each, and write the page of all that were ever done here."""
    rows = json.loads(pathlib.Path(ROWS).read_text()) if os.path.exists(ROWS) else {}
    for name in parts or PARTS:
        begun = time.time()
        rows[name] = "| {} | {} | {} |".format(*PARTS[name]())
        print(f"{rows[name]}  ({time.time() - begun:.0f} s)", flush=True)
        pathlib.Path(ROWS).write_text(json.dumps(rows))
    head = ["| what is done | how often | what comes of it |", "|---|---|---|"]
    table = [*head, *(rows[name] for name in PARTS if name in rows)]
    pathlib.Path("docs/robustness.md").write_text(TEXT + "\n".join(table) + "\n")


def main():
    command, *arguments = sys.argv[1:] or ["parts"]
    if command == "prepare":
        Tree(*arguments).prepare()
    elif command == "compare":
        ours, theirs = arguments
        differ = differing(ours, state(theirs))
        sys.exit("\n".join(f"{ours}/{name} differs" for name in differ) or None)
    else:
        torture(arguments)


if __name__ == "__main__":
    main()
