"""`make reproduce` from the first download to the report, on stand-ins, and what goes wrong on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

import standins
from aepsl.data import archives
from aepsl.data.dataset import VOC_CLASSES

NARROW = dict(channels=[4, 8, 16, 16, 16], fc=16)
ROOT = os.path.join(os.path.dirname(__file__), "..")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository whose voc12 has a narrow net and a short schedule, by experiment.yaml alone."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("python", "prototxt", "scripts", "docker", "profiles"):
        shutil.copytree(os.path.join(ROOT, name), tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "Snakefile"):
        shutil.copy(os.path.join(ROOT, name), tree)
    path = tree / "prototxt/voc12/experiment.yaml"
    settings = yaml.safe_load(path.read_text())
    settings.update(NARROW)
    settings["data"].update(crop=65, workers=1)
    for task in ("classification", "segmentation", "psl"):
        settings["training"][task] = dict(settings["training"][task], batch=2, epochs=1)
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    subprocess.run([sys.executable, "-m", "aepsl", "build", "voc12"], cwd=tree, check=True)
    return tree


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Stand-ins for everything that is downloaded."""
    made = standins.make(tmp_path_factory.mktemp("served") / "archives")
    standins.write_vgg(f"{made.folder}/{standins.VGG}", NARROW["channels"], fc=4 * NARROW["fc"], outputs=4)
    return made


def make(tree, *arguments, **environment):
    """Type `make ARGUMENTS` in the tree: a process, its output in one pipe."""
    ours = {name: value for name, value in os.environ.items() if name not in ("DATA", "WEIGHTS", "MAKEFLAGS")}
    return subprocess.Popen(
        ["make", "CORES=1", *arguments],
        cwd=tree,
        env={**ours, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_from_nothing_to_the_tables(tree, made):
    run = tree / "runs/voc12"
    val = tree / "data/voc12/VOC2012/ImageSets/Segmentation/val.txt"
    missing = tree / f"data/voc12/VOC2012/JPEGImages/{made.ids['train'][0]}.jpg"
    faults = {standins.VOC: [("cut", 2000)], standins.SBD: [("corrupt", 3000)], standins.VGG: [("cut", 5000), "503"]}
    with standins.Server(made.folder, faults) as server:
        start = lambda *more: make(tree, "reproduce", *more, SOURCES=made.sources(server.url))  # noqa: E731

        def stops(*words):
            """This start ends with one line that holds the words."""
            process = start()
            output = process.communicate()[0]
            errors = [line for line in output.splitlines() if line.startswith("error: ")]
            assert process.returncode and len(errors) == 1, output
            assert all(word in errors[0] for word in words) and "Traceback" not in output

        stops("benchmark.tgz", "has the sha256")
        whole = val.read_text()
        val.write_text("".join(whole.splitlines(keepends=True)[1:]))
        stops("val", f"{len(made.ids['val'])}")
        val.write_text(whole)
        os.rename(missing, str(missing) + ".elsewhere")
        stops(f"{missing.name}: no such file")
        os.rename(str(missing) + ".elsewhere", missing)

        process = start()
        while not (run / "step1/regions.json").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        first = run / "step1/classification/final.caffemodel"
        before = first.stat().st_mtime_ns
        process = start()
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert first.stat().st_mtime_ns == before
        sizes = {name: os.path.getsize(f"{made.folder}/{name}") for name in (standins.VOC, standins.VGG)}
        assert {name: server.sent[name] for name in sizes} == sizes

    results = json.loads((run / "results.json").read_text())
    rows = yaml.safe_load((tree / "prototxt/voc12/experiment.yaml").read_text())["rows"]
    assert list(results["rows"]) == rows and len(rows) == 11
    for row in results["rows"].values():
        assert list(row["iou"]) == [name for name in ["background", *VOC_CLASSES] if name in row["iou"]]
        assert 0 <= row["miou"] <= 100 and 0 <= row["miou_no_crf"] <= 100
    assert len(results["losses"]["step4"]) == len(made.ids["train_aug"]) // 2
    for row in rows:
        assert row in output
    assert "the paper" in output


def test_a_name_and_a_data_set_are_all_that_another_experiment_needs(tree, made, small_set):
    weights = f"{made.folder}/{standins.VGG}"
    for again in (False, True):
        process = make(tree, "reproduce", "ARGS=--until check", EXPERIMENT="pets", DATA=str(small_set), WEIGHTS=weights)
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert ("prototxt/pets: written, voc12's settings for 2 classes and 6 training images" in output) != again
    assert yaml.safe_load((tree / "prototxt/pets/experiment.yaml").read_text()) == dict(
        base="voc12",
        classes=["cat", "dog"],
        data=dict(test=None, train_images=6),
        background=dict(indoor_classes=[]),
    )
    assert len(list((tree / "prototxt/pets").iterdir())) == 10
    assert (tree / "runs/pets/checked").exists()


def test_voc_as_it_was_unpacked_is_completed_and_only_read(tree, made, tmp_path):
    """DATA names a folder VOC2012 without SBD's masks, lists and image labels."""
    own = tmp_path / "VOC2012"
    archives.unpack(f"{made.folder}/{standins.VOC}", str(own), "VOCdevkit/VOC2012")
    before = sorted(own.rglob("*"))
    settings = dict(DATA=str(own), WEIGHTS=f"{made.folder}/{standins.VGG}")
    with standins.Server(made.folder) as server:
        process = make(tree, "reproduce", "ARGS=--until check", SOURCES=made.sources(server.url), **settings)
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert standins.VOC not in server.sent and sorted(own.rglob("*")) == before
    image = tree / f"data/voc12/JPEGImages/{made.ids['train'][0]}.jpg"
    assert os.readlink(image) == str(own / f"JPEGImages/{image.name}")
    assert (tree / "data/voc12/ImageSets/Segmentation/train_aug.txt").read_text().split() == made.ids["train_aug"]
    assert (tree / "runs/voc12/checked").exists()


def test_an_unknown_experiment_without_data_is_one_line(tree):
    process = make(tree, "reproduce", EXPERIMENT="pest")
    output = process.communicate()[0]
    assert process.returncode and "error: prototxt/pest/experiment.yaml: no such experiment; known are " in output
    assert "Traceback" not in output and not (tree / "prototxt/pest").exists()


def test_one_class_is_no_experiment(tree, made, small_set):
    (small_set / "classes.txt").write_text("cat\n")
    process = make(tree, "reproduce", EXPERIMENT="cats", DATA=str(small_set))
    assert "classes.txt: names one class" in process.communicate()[0] and not (tree / "prototxt/cats").exists()


def commands(tree, cores=1):
    """{output folder or file: command line} of every stage that the demo's workflow would run now."""
    command = ["snakemake", "--cores", str(cores), "--nolock", "-np", "--config", "experiment=demo"]
    printed = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout
    stages = [line.split() for line in printed.splitlines() if " -m aepsl " in line]
    name = lambda words: next(words[k + 1] for k, word in enumerate(words) if word in ("--out", "--json"))  # noqa: E731
    return {name(words): words for words in stages if "--out" in words or "--json" in words}


def test_every_row_of_table_4_is_made_of_what_the_paper_says(tree):
    """Which masks, weights of S_hat, net and policy stand behind a row: the paper's section 4.3.2."""
    stages = commands(tree)
    after = lambda stage, option: stages[f"runs/demo/{stage}"][1 + stages[f"runs/demo/{stage}"].index(option)]  # noqa: E731
    masks = dict.fromkeys(("psl", "psl_labels", "psl_none"), "runs/demo/masks/ae_step3")
    masks.update({f"ae_step{t}": f"runs/demo/masks/ae_step{t}" for t in (1, 2, 3, 4)})
    masks["psl++"] = "runs/demo/relabelled/psl/crf"
    for model, folder in masks.items():
        assert after(f"segmentation/{model}", "--masks") == folder
        assert after(f"segmentation/{model}", "--weights") == "'runs/demo/step1/classification/final.caffemodel'"
        assert after(f"segmentation/{model}", "--task") == ("psl" if model.startswith("psl") else "segmentation")
    weights = dict({"psl": "scores", "psl++": "scores"}, psl_labels="labels", psl_none="none")
    assert {model: after(f"segmentation/{model}", "--psl-weights") for model in weights} == weights
    assert after("relabelled/psl", "--model") == "runs/demo/segmentation/psl/final.caffemodel"
    assert after("relabelled/psl", "--policy") == "labels" and after("relabelled/psl", "--list") == "train_aug"
    rows = {"psl++": ("psl++", "scores"), "psl+gt": ("psl++", "labels"), "psl_no_policy": ("psl", "none")}
    rows.update(ae_step3=("ae_step3", "none"), psl_labels=("psl_labels", "scores"))
    for row, (model, policy) in rows.items():
        assert after(f"val/{row}", "--model") == f"runs/demo/segmentation/{model}/final.caffemodel"
        assert after(f"val/{row}", "--policy") == policy
    assert after("step3/classification", "--regions") == "runs/demo/step2/regions"
    assert after("step3/regions", "--before") == "runs/demo/step2/regions"


@pytest.mark.parametrize(
    "change, redone, kept",
    [
        (dict(), "", "step segmentation val"),
        (dict(mining=dict(merge=2)), "segmentation/psl segmentation/psl_none val/psl++", "step segmentation/ae val/ae"),
        (dict(crf=dict(iterations=5)), "relabelled/psl segmentation/psl++ val/ae_step1", "step segmentation/psl_none"),
        (dict(data=dict(workers=3), shards=2), "", "step segmentation val"),
        (dict(segmentation_start="initial"), "segmentation/ae_step1 segmentation/psl", "step"),
        (dict(background=dict(threshold=0.1)), "masks/ae_step1 segmentation/psl_labels", "step"),
        (dict(mining=dict(threshold=dict(of_max=0.5))), "step1/regions step2/classification", "step1/classification"),
    ],
)
def test_a_setting_redoes_what_hangs_on_it_and_no_more(tree, change, redone, kept):
    run, path = tree / "runs/demo", tree / "prototxt/demo/experiment.yaml"
    shutil.rmtree(run, ignore_errors=True)
    command = ["snakemake", "--cores", "1", "--nolock", "-n", "--config", "experiment=demo"]
    plan = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout
    outputs = [line.split(": ", 1)[1].split(", ") for line in plan.splitlines() if line.startswith("    output: ")]
    for file in sum(outputs, []):
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).touch()
    for file in run.rglob("*"):
        os.utime(file, (1e9, 1e9))
    before = path.read_text()
    settings = yaml.safe_load(before)
    for key, value in change.items():
        settings[key] = {**settings[key], **value} if isinstance(value, dict) else value
    try:
        path.write_text(yaml.safe_dump(settings))
        planned = " ".join(commands(tree, cores=5))
    finally:
        path.write_text(before)
    assert all(f"runs/demo/{stage}" in planned for stage in redone.split()), planned
    assert not any(f"runs/demo/{stage}" in planned for stage in kept.split()), planned


@pytest.mark.parametrize(
    "settings, complaint",
    [
        (
            ["experiment=demo", "row=psl+"],
            "error: psl+: no row of tables 3 and 4; `rows` in experiment.yaml and ROW= take",
        ),
        (["experiment=dmeo"], "error: prototxt/dmeo/experiment.yaml: no such experiment; known are "),
    ],
)
def test_a_wrong_setting_of_the_workflow_is_one_line(tree, settings, complaint):
    command = ["snakemake", "--cores", "1", "--nolock", "-n", "--config", *settings]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode and done.stderr.startswith(complaint) and done.stderr.count("\n") == 1


SBATCH = """#!/bin/sh
echo "$*" >>{0}/asked
id=$(wc -l <{0}/asked)
for script; do :; done
(setsid sh -c "sh $script >{0}/$id.log 2>&1 && echo COMPLETED >{0}/$id.state || echo FAILED >{0}/$id.state" &) >&- 2>&-
echo $id
"""
SACCT = """#!/bin/sh
while [ "$1" != --jobs ]; do shift; done
cat {0}/$2.state 2>/dev/null || echo RUNNING
"""


def test_slurm_runs_the_jobs_and_tells_of_those_that_fail(tree, made, small_set, tmp_path):
    """With an sbatch that runs its script in the background, and a sacct that knows how it ended."""
    for name, text in (("sbatch", SBATCH), ("sacct", SACCT)):
        (tmp_path / name).write_text(text.format(tmp_path))
        (tmp_path / name).chmod(0o755)
    weights = f"{made.folder}/{standins.VGG}"
    environment = dict(EXPERIMENT="flock", DATA=str(small_set), WEIGHTS=weights, GPU="0")
    environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"

    def start(until):
        process = make(
            tree,
            "reproduce",
            "PROFILE=profiles/slurm",
            "CORES=2",
            f"ARGS=--until {until} --latency-wait 5",
            **environment,
        )
        return process.communicate()[0], process.returncode

    output, code = start("check")
    assert code == 0, output
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 1 and "--job-name aepsl.check --cpus-per-task 2 --gres gpu:0" in asked[0]
    assert json.loads((tree / "runs/flock/checked").read_text()) == dict(train=6, val=3)

    output, code = start("train_classification")  # this image has no CUDA
    assert code != 0 and "stopped at train_classification" in output
    asked = (tmp_path / "asked").read_text().splitlines()[1:]
    assert any("aepsl.train_classification" in line and "--gres gpu:1" in line for line in asked)
