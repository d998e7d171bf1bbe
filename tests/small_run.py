"""One small experiment, run once, for tests of what is done again."""

import json
import os
import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import yaml

import standins
from aepsl.data import synthetic
from aepsl.graph.run_folder import stage_of
from aepsl.images.pictures import write_grey
from aepsl.stages.results import OF_THE_MACHINE
from conftest import copy_of_repository

NO_PAGE = ("--until", "results")  # all but the report
STEP = dict(batch=4, lr=0.01, epochs=1, lr_step_epochs=1, momentum=0.9, decay=0.0005)
TINY = dict(
    base="demo",
    channels=[4, 4, 4, 4, 4],
    fc=8,
    synthetic=None,
    segmentation_start="initial",
    psl_start=None,
    rows=["ae_step1", "psl", "psl++", "psl+gt"],
    data=dict(train_images=8, scale=0.5, crop=57),
    training=dict(classification=STEP, segmentation=STEP, psl=STEP),
    mining=dict(steps=2, merge=2, sensitivity=[dict(of_max=0.5)]),
)


class Run:
    """A copy of the repository with the run of an experiment `tiny` on small data, saliency maps and weights."""

    def __init__(self, root, **environment):
        self.tree = copy_of_repository(root / "tree")
        self.yaml = self.tree / "prototxt/tiny/experiment.yaml"
        self.yaml.parent.mkdir()
        self.yaml.write_text(yaml.safe_dump(TINY))
        self.data, self.maps = root / "data", root / "maps"
        synthetic.run(str(self.data), train=8, val=4, seed=3)
        for path in (self.data / "JPEGImages").iterdir():
            height, width = cv2.imread(str(path)).shape[:2]
            ramp = np.linspace(0, 255, width).astype(np.uint8)
            write_grey(str(self.maps / f"{path.stem}.png"), np.tile(ramp, (height, 1)))
        self.weights = root / "vgg.caffemodel"
        standins.write_vgg(str(self.weights), TINY["channels"], fc=4 * TINY["fc"], outputs=4)
        self.environment = {key: value for key, value in os.environ.items() if key not in ("GPU", "ROW", "PROFILE")}
        given = dict(DATA=str(self.data), WEIGHTS=str(self.weights), SALIENCY=str(self.maps), CORES="2")
        self.environment.update(given, **environment)
        self.command("build", "tiny")
        self.output = self.start()
        self.settled()

    def command(self, *arguments, **environment):
        command = [sys.executable, "-m", "aepsl", *arguments]
        environment = {**self.environment, "PYTHONPATH": str(self.tree / "python"), **environment}
        return subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, text=True)

    def begin(self, *arguments):
        """As `command`, but it returns the process that works: its output in one pipe."""
        environment = {**self.environment, "PYTHONPATH": str(self.tree / "python")}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        command = [sys.executable, "-m", "aepsl", *arguments]
        return subprocess.Popen(command, cwd=self.tree, env=environment, start_new_session=True, **pipes)

    def start(self, *options, **environment):
        done = self.command("run", "tiny", "all", *options, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def planned(self, **environment):
        """{stage} of what would be done: 'mine.step1', 'segment.val.psl', ..."""
        output = self.start("-n", **environment)
        return {stage_of(job) for job in re.findall(r"^  (\S+)$", output, re.MULTILINE)}

    def settled(self):
        """Wait until no file counts as just written (aepsl.store.digests)."""
        subprocess.run(["sleep", "2.1"])
        self.start(*NO_PAGE)

    def files(self):
        """{path: (bytes, time)} of the whole tree."""
        paths = [path for path in self.tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def results_of(run):
    """{path: bytes} of what the run has computed; what it took, and paths in train.json and prototxts, may differ."""
    names = ("*.png", "*.caffemodel", "*.csv", "step*/regions.json", "step1/thresholds.json")
    return {path: path.read_bytes() for name in names for path in (run.tree / "runs/tiny").rglob(name)}


def state(folder):
    """{path: contents} of all that a run's folder holds; what it took, where, and the report may differ."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith((".snakemake", "made/", "report", "start.json")):
            is_mark = name.startswith("done/")
            found[name] = [json.loads(path.read_bytes())["value"]] if is_mark else path.read_bytes()
    if "results.json" in found:
        results = json.loads(found["results.json"])
        found["results.json"] = {key: value for key, value in results.items() if key not in OF_THE_MACHINE}
    return found
