"""README.md's commands, and the examples of docs/extending.md, taken from the pages and used in a copy of the
repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import caffe
import cv2
import numpy as np
import pytest

import standins
from aepsl.data.dataset import Dataset
from aepsl.data.regions import read, unpacked
from aepsl.graph.run_folder import RunFolder, stage_of
from aepsl.images.pictures import read_indexed
from aepsl.nets.whole_image import ClassificationNet
from aepsl.settings import experiments
from aepsl.training import stand_ins
from conftest import copy_of_repository

PAGE = "docs/extending.md"
CODE, PLACE = ".py", re.compile(r"# (\S+?)(?:: (\w+))?\n")  # a block's first line: its file, and a function in it


def section_of(page, section):
    """The text of a section."""
    with open(page) as file:
        (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", file.read(), re.MULTILINE | re.DOTALL)
    return text


def examples(section):
    """[(path, function or None, text)] of a section's blocks that are files."""
    found = []
    text = section_of(PAGE, section)
    for content in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        place = PLACE.match(content)
        found.append((*place.groups(), content[place.end() :]))
    return found


@pytest.fixture
def extended(tmp_path):
    """extended(section): a copy of the repository with the section's examples in it, and how many files of code."""

    def extended(section):
        tree = copy_of_repository(tmp_path / "tree")
        places = examples(section)
        for path, function, text in places:
            target = tree / path
            target.parent.mkdir(exist_ok=True)
            if function:  # the first line of the dictionary that it returns
                before = re.search(rf".*\ndef {function}\(.*?return {{\n", target.read_text(), re.DOTALL).group()
                text = before + text + target.read_text()[len(before) :]
            else:
                assert not target.exists()
            target.write_text(text)
        return tree, len({path for path, _, _ in places if path.endswith(CODE)})

    return extended


def command(tree, *arguments):
    """What `aepsl` or a script prints in the tree; it must not fail."""
    start = ["-m", "aepsl"] if not arguments[0].endswith(CODE) else []
    environment = {key: value for key, value in os.environ.items() if key not in ("DATA", "WEIGHTS", "SALIENCY")}
    environment.update(PYTHONPATH=str(tree / "python"))
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def typed(page, section):
    """The commands of a section, each as words: its blocks of kind sh, without comments."""
    text = "".join(re.findall(r"^```sh\n(.*?)^```$", section_of(page, section), re.MULTILINE | re.DOTALL))
    return [shlex.split(line, comments=True) for line in text.splitlines()]


def make(tree, words, **environment):
    """What `make ...` prints in the tree; it must not fail."""
    ours = {key: value for key, value in os.environ.items() if key not in ("WEIGHTS", "SALIENCY", "MAKEFLAGS")}
    environment = {**ours, "PYTHONPATH": str(tree / "python"), **environment}
    done = subprocess.run(words, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_from_the_readme_to_a_detector_which_is_one_file(extended, data):
    """The commands are those of the page; the run is a dry one."""
    assert f"({PAGE})" in section_of("README.md", "Extend it")
    tree, files = extended("A detector of saliency")
    assert files == 1
    shutil.copytree(data, tree / "runs/demo/data")
    saliency, run = typed(PAGE, "A detector of saliency")
    assert saliency[0] == "aepsl"
    command(tree, *saliency[1:])
    for image_id in Dataset(data).ids("train_aug"):
        saliency = read_indexed(str(tree / f"runs/centre/{image_id}.png"))
        height, width = saliency.shape
        assert (height, width) == Dataset(data).image(image_id).shape[:2]
        assert saliency[height // 2, width // 2] > 250 and saliency[0, 0] < 10
    assert "  saliency." in make(tree, [*run, "ARGS=-n"])
    assert "{centre,drfi,rbd,truth}" in command(tree, "saliency", "--help")


def test_from_the_readme_to_a_first_result(tmp_path):
    """Run dry here; CI runs it whole, and looks at the report."""
    first = typed("README.md", "Quick start")[0]
    with open(".ci/run") as file:
        assert " ".join(first) in file.read().splitlines()
    planned = make(copy_of_repository(tmp_path / "tree"), [*first, "ARGS=-n"])
    assert "  classification.step1\n" in planned and planned.endswith("  results\n")
    assert RunFolder("demo").page in section_of("README.md", "Quick start")


def test_from_the_readme_to_the_paper_on_a_gpu(tmp_path, small_set):
    """With six images of VOC's classes; test_reproduce has it from the first download on."""
    commands = typed("README.md", "The paper on a GPU")
    assert [words[1] for words in commands] == ["check-gpu", "reproduce-dry", "calibrate", "reproduce"]
    tree, weights = copy_of_repository(tmp_path / "tree"), str(tmp_path / standins.VGG)
    standins.write_vgg(weights, [4, 8, 16, 16, 16], fc=64, outputs=4)
    (small_set / "classes.txt").unlink()
    settings = dict(DATA=str(small_set), WEIGHTS=weights)
    calibrate, reproduce = (make(tree, [*words, "ARGS=-n"], **settings) for words in commands[2:])
    assert "  segment.val.calibration" in calibrate and "  segment.val.psl++" not in calibrate
    assert "  segment.val.psl++" in reproduce and reproduce.endswith("  results\n")


def test_a_rule_of_erasing_is_one_file(extended, data, tmp_path):
    tree, files = extended("A rule of erasing")
    assert files == 1
    (tmp_path / "model").mkdir()
    model = stand_ins.model(experiments.load("demo"), "classification", str(tmp_path / "model"))
    command(tree, "build", "spread")
    common = ("--experiment", "spread", "--data", data, "--model", model)
    command(tree, "mine", *common, "--out", "regions")
    dataset, net = Dataset(data), ClassificationNet(experiments.load("demo"), model)
    ids = dataset.ids("train_aug")[:3]
    for image_id, row in zip(ids, dataset.labels(ids)):
        maps = net.cam(dataset.image(image_id), np.flatnonzero(row))
        regions = unpacked(read(str(tree / f"regions/{image_id}.png"), len(maps)), len(maps))
        bound = maps.mean(axis=(1, 2), keepdims=True) + 1.5 * maps.std(axis=(1, 2), keepdims=True)
        assert regions.any()
        np.testing.assert_array_equal(regions, maps > bound)
    command(tree, "evaluate-regions", *common, "--out", "thresholds.json")
    assert (tree / "thresholds.json").read_text().count("above_mean") == 2


def planned_in(tree, name):
    """The stages that a run of the experiment would do."""
    return {stage_of(job) for job in command(tree, "run", name, "all", "-n").split()}


def test_a_row_is_lines_of_one_file(extended):
    tree, files = extended("A row")
    assert files == 1
    planned = planned_in(tree, "bounded")
    assert "segmentation.bound" in planned and "segment.val.bound" in planned


def test_an_ablation_is_lines_of_one_file(extended):
    """Its net trains at its own rate; a row that changes the CRF alone trains nothing."""
    tree, files = extended("An ablation")
    assert files == 1
    planned = planned_in(tree, "ablated")
    assert {"segmentation.psl", "segmentation.slow", "segment.val.slow", "segment.val.soft"} <= planned
    assert "segmentation.soft" not in planned
    (tree / "settings.py").write_text(
        "from aepsl.graph.graph import Graph\nfrom aepsl.settings import experiments\n"
        "graph = Graph(experiments.load('ablated'))\n"
        "for name in ('segmentation.psl', 'segmentation.slow', 'segment.val.psl', 'segment.val.soft'):\n"
        "    settings = graph.settings_of(graph.stages[name])\n"
        "    print(settings.training.psl.lr, settings.crf.iterations)\n"
    )
    demo = experiments.load("demo")
    usual = [str(demo.training.psl.lr), str(demo.crf.iterations)]
    found = [line.split() for line in command(tree, "settings.py").splitlines()]
    assert found == [usual, ["0.001", usual[1]], usual, [usual[0], "1"]]


def test_a_backbone_is_one_file(extended):
    tree, files = extended("A backbone")
    assert files == 1
    command(tree, "build", "plain")
    for task, head in (("classification", "fc8_cls"), ("segmentation", "fc8_seg"), ("psl", "fc8_seg")):
        net = caffe.Net(str(tree / f"prototxt/plain/{task}_deploy.prototxt"), caffe.TEST)
        net.blobs["data"].reshape(1, 3, 57, 65)
        net.forward()
        assert net.blobs["pool3"].data.shape == (1, 64, 8, 9) and head in net.params


def test_a_data_set_needs_no_code(extended, data, tmp_path):
    """Pictures in folders, the demo's images of one label; of two a class there are drawings."""
    tree, _ = extended("A data set")
    dataset, pictures = Dataset(data), tree / "pictures"
    ids = dataset.ids("train_aug")
    for image_id, row in zip(ids, dataset.labels(ids)):
        if row.sum() == 1:
            folder = pictures / dataset.classes[int(row.argmax())]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(dataset.image_path(image_id), folder)
            if len(list(folder.glob("*.png"))) < 2:
                mask = read_indexed(f"{data}/SegmentationClassAug/{image_id}.png")
                cv2.imwrite(str(folder / f"{image_id}.png"), 255 * ((mask > 0) & (mask < 255)).astype(np.uint8))
    classes = sorted(path.name for path in pictures.iterdir())
    pngs, jpgs = (len(list(pictures.glob(f"*/*.{ending}"))) for ending in ("png", "jpg"))
    assert len(classes) > 1 and jpgs > pngs
    command(tree, "to_voc.py", "pictures", "runs/flowers_data")
    command(tree, "new-experiment", "flowers", "--data", "runs/flowers_data")
    printed = command(tree, "check", "--experiment", "flowers", "--data", "runs/flowers_data")
    assert f"{jpgs - pngs} training and {pngs} validation images: nothing is wrong" in printed
    made = Dataset(str(tree / "runs/flowers_data"))
    assert made.classes == classes
    found = made.check(made.ids("val"), [made.mask_folder()])
    for (values,), row in zip(found, made.labels(made.ids("val"))):
        assert set(values) == {0, int(row.argmax()) + 1}
