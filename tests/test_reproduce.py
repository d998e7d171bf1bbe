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
from caffe.proto import caffe_pb2
from google.protobuf import text_format

import standins
from aepsl.base.errors import InputError
from aepsl.data import archives
from aepsl.data.dataset import VOC_CLASSES
from aepsl.run import start as run_start
from aepsl.run.inputs import data_of
from aepsl.settings import experiments
from conftest import copy_of_repository

NARROW = dict(channels=[4, 8, 16, 16, 16], fc=16)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository whose voc12 has a narrow net and a short schedule, by experiment.yaml alone."""
    tree = copy_of_repository(tmp_path_factory.mktemp("copy") / "tree")
    path = tree / "prototxt/voc12/experiment.yaml"
    settings = yaml.safe_load(path.read_text())
    settings.update(NARROW, shards=2)
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


@pytest.mark.long
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

    check_tables(tree, made, output)
    check_what_was_learned_from(run)


def check_tables(tree, made, output):
    """All rows are in results.json and printed, the paper's beside them."""
    results = json.loads((tree / "runs/voc12/results.json").read_text())
    rows = yaml.safe_load((tree / "prototxt/voc12/experiment.yaml").read_text())["rows"]
    assert list(results["rows"]) == rows and len(rows) == 11
    for row in results["rows"].values():
        assert list(row["iou"]) == [name for name in ["background", *VOC_CLASSES] if name in row["iou"]]
        assert 0 <= row["miou"] <= 100 and 0 <= row["miou_no_crf"] <= 100
    assert len(results["losses"]["step4"]) == len(made.ids["train_aug"]) // 2
    for row in rows:
        assert row in output
    assert "the paper" in output


def check_what_was_learned_from(run):
    """Masks, regions and S_hat's weights of the nets, as the paper has them."""
    expected = {
        "ae_step1": ("masks/ae_step1", None),
        "ae_step4": ("masks/ae_step4", None),
        "psl": ("masks/ae_step3", "predicted"),
        "psl_labels": ("masks/ae_step3", "labels"),
        "psl_none": ("masks/ae_step3", "none"),
        "psl++": ("relabelled/psl/crf", "predicted"),
    }
    assert {net: learned_from(run, net) for net in expected} == expected
    assert learned_from(run, "../step3/classification") == ("step2/regions", None)


def learned_from(run, net):
    """(folder of masks or, without masks, of regions; what weights S_hat) in the train.prototxt of a finished net."""
    parameter = text_format.Merge((run / f"segmentation/{net}/train.prototxt").read_text(), caffe_pb2.NetParameter())
    data, *others = (layer.python_param for layer in parameter.layer if layer.type == "Python")
    settings = json.loads(data.param_str)
    weights = [json.loads(each.param_str)["confidence"] for each in others if each.layer == "ProhibitiveMask"]
    return (settings["masks"] or settings["regions"]).replace("runs/voc12/", ""), weights[0] if weights else None


def test_a_name_and_a_data_set_are_all_that_another_experiment_needs(tree, made, small_set):
    weights = f"{made.folder}/{standins.VGG}"
    for again in (False, True):
        process = make(
            tree, "reproduce", "ARGS=--until saliency", EXPERIMENT="pets", DATA=str(small_set), WEIGHTS=weights
        )
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert ("prototxt/pets: written, voc12's settings for 2 classes and 6 training images" in output) != again
    assert yaml.safe_load((tree / "prototxt/pets/experiment.yaml").read_text()) == dict(
        base="voc12",
        classes=["cat", "dog"],
        data=dict(test=None, train_images=6),
        background=dict(indoor_classes=[]),
    )
    assert [path.name for path in (tree / "prototxt/pets").iterdir()] == ["experiment.yaml"]
    assert (tree / "runs/pets/done/check.json").exists()


def test_voc_as_it_was_unpacked_is_completed_and_only_read(tree, made, tmp_path):
    """DATA names a folder VOC2012 without SBD's masks, lists and image labels."""
    own = tmp_path / "VOC2012"
    archives.unpack(f"{made.folder}/{standins.VOC}", str(own), "VOCdevkit/VOC2012")
    before = sorted(own.rglob("*"))
    settings = dict(DATA=str(own), WEIGHTS=f"{made.folder}/{standins.VGG}")
    with standins.Server(made.folder) as server:
        process = make(tree, "reproduce", "ARGS=--until saliency", SOURCES=made.sources(server.url), **settings)
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert standins.VOC not in server.sent and sorted(own.rglob("*")) == before
    image = tree / f"data/voc12/JPEGImages/{made.ids['train'][0]}.jpg"
    assert os.readlink(image) == str(own / f"JPEGImages/{image.name}")
    assert (tree / "data/voc12/ImageSets/Segmentation/train_aug.txt").read_text().split() == made.ids["train_aug"]
    assert (tree / "runs/voc12/done/check.json").exists()


@pytest.mark.parametrize("named", ["itself", "a link to it", "what it links to"])
def test_voc_that_is_the_data_set_itself_is_only_read(made, tmp_path, named):
    """Each image would become a link to itself; nothing is downloaded first, either."""
    tree, own = copy_of_repository(tmp_path / "tree"), tmp_path / "VOC2012"
    ours = tree / "data/voc12"
    ours.parent.mkdir()
    archives.unpack(f"{made.folder}/{standins.VOC}", str(own), "VOCdevkit/VOC2012")
    if named == "what it links to":
        ours.symlink_to(own)
    else:
        own.rename(ours)
    if named == "a link to it":
        own.symlink_to(ours)
    before = {path: path.read_bytes() for path in ours.rglob("*") if path.is_file()}
    data = ours if named == "itself" else own
    process = make(tree, "data", DATA=str(data), SOURCES=made.sources("http://127.0.0.1:1"))
    output = process.communicate()[0]
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert process.returncode and len(errors) == 1 and "is inside --voc" in errors[0], output
    assert before and {path: path.read_bytes() for path in ours.rglob("*") if path.is_file()} == before


def test_an_unknown_experiment_without_data_is_one_line(tree):
    process = make(tree, "reproduce", EXPERIMENT="pest")
    output = process.communicate()[0]
    assert process.returncode and "error: prototxt/pest/experiment.yaml: no such experiment; known are " in output
    assert "Traceback" not in output and not (tree / "prototxt/pest").exists()


def test_one_class_is_no_experiment(tree, made, small_set):
    (small_set / "classes.txt").write_text("cat\n")
    process = make(tree, "reproduce", EXPERIMENT="cats", DATA=str(small_set))
    assert "classes.txt: names one class" in process.communicate()[0] and not (tree / "prototxt/cats").exists()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["demo", "submission", "--row", "psl+"], "psl+: no row of tables 3 and 4; `rows` in experiment.yaml and ROW="),
        (["demo", "--row", "psl,psl+"], "psl+: no row of tables 3 and 4; `rows` in experiment.yaml and ROW="),
        (["dmeo"], "prototxt/dmeo/experiment.yaml: no such experiment; known are "),
        (["rehearsal"], "Which data? EXPERIMENT=rehearsal DATA=a folder in VOC layout"),
        (
            ["rehearsal", "--data", "/gone"],
            "/gone: no such folder; DATA= must name a data set in VOC layout",
        ),
        (["DEMO"], "DEMO: differs from the experiment demo by case alone"),
        (
            ["demo", "--profile", "slurm"],
            "PROFILE=slurm: is no folder with a program `submit` or snakemake's config.yaml",
        ),
        (["demo", "--profile", "profiles"], "PROFILE=profiles: is no folder with a program `submit`"),
        (["demo", "--cores", "0"], "CORES=0: give a number from 1 on, or all"),
        (["demo", "--gpu", "first"], "GPU=first: give nvidia-smi's numbers: GPU=0 or GPU=0,1"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_begins_nothing(tree, arguments, complaint):
    before = sorted(tree.rglob("*"))
    command = [sys.executable, "-m", "aepsl", "run", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in ("DATA", "GPU", "WEIGHTS")}
    environment["PYTHONPATH"] = str(tree / "python")
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {complaint}") and done.stderr.count("\n") == 1
    assert sorted(tree.rglob("*")) == before


def test_an_experiment_that_draws_its_images_says_that_it_takes_no_others(capsys):
    demo = experiments.load("demo")
    own = data_of(demo, "elsewhere")
    assert capsys.readouterr().err == "demo draws its own data, and does not look at elsewhere\n"
    assert data_of(demo, own) == data_of(demo, None) == own and capsys.readouterr().err == ""


@pytest.fixture
def begun(tree, made, monkeypatch):
    """A function that starts the run `own` of a data set in the tree: the words of snakemake's command."""
    monkeypatch.chdir(tree)
    monkeypatch.delenv("SALIENCY", raising=False)
    started = []
    monkeypatch.setattr(os, "execvp", lambda _, words: started.append(words))

    def begun(data, name="own"):
        shutil.rmtree(tree / "runs" / name, ignore_errors=True)  # this process holds it since the last time
        run_start.main([name, "all", "--data", str(data), "--weights", f"{made.folder}/{standins.VGG}"])
        return started.pop()

    yield begun
    for folder in ("prototxt/own", "runs/own", "runs/voc12"):
        shutil.rmtree(tree / folder, ignore_errors=True)


WRONG_AT_FIRST = {  # what is done to a data set of cats and dogs, and what the line says
    "no classes.txt": (lambda data: (data / "classes.txt").unlink(), "mask"),
    "no classes.txt, other names": (
        lambda data: (data / "image_labels.txt").write_text(
            (data / "image_labels.txt").read_text().replace("dog", "yak")
        ),
        "write the names of your classes to classes.txt beside it",
    ),
    "a broken image": (lambda data: (data / "JPEGImages/image1.jpg").write_bytes(b"x"), "cannot be decoded"),
    "a missing image": (lambda data: (data / "JPEGImages/image1.jpg").unlink(), "no such file"),
    "classes in another order": (lambda data: (data / "classes.txt").write_text("dog\ncat\n"), "mask"),
    "a list too many": (
        lambda data: (data / "ImageSets/Segmentation/val.txt").write_text("image1\nimage1\n"),
        "names image1 twice",
    ),
}


@pytest.mark.parametrize("case", WRONG_AT_FIRST)
def test_an_experiment_is_written_once_its_data_have_passed(tree, begun, small_set, tmp_path, case):
    """Written before, it keeps VOC's classes when classes.txt comes, and no remedy leads out."""
    wrong, complaint = WRONG_AT_FIRST[case]
    whole = shutil.copytree(small_set, tmp_path / "whole")
    if "other names" in case:
        (small_set / "classes.txt").unlink()
    wrong(small_set)
    with pytest.raises(InputError, match=complaint):
        begun(small_set)
    assert not (tree / "prototxt/own").exists()
    shutil.rmtree(small_set)
    whole.rename(small_set)
    assert begun(small_set)[0] == "snakemake"
    assert experiments.load("own").classes == ("cat", "dog")


@pytest.mark.parametrize("names", ["cat\ndog\n", "dog\nzebra\n", "hot dog\nice cream\nx\n"])
def test_data_of_ones_own_in_anothers_experiment_have_the_remedy(begun, small_set, names):
    """EXPERIMENT= was forgotten, so voc12 is taken."""
    (small_set / "classes.txt").write_text(names)
    with pytest.raises(InputError, match="does not name aeroplane, .*; add it, or take a new EXPERIMENT=NAME, which"):
        begun(small_set, "voc12")
