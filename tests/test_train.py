"""A training run: it learns, it can be interrupted, and stock Caffe can repeat it."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from caffe.proto import caffe_pb2

from aepsl.base.errors import InputError
from aepsl.base.files import read_text, write_text
from aepsl.base.locks import only_one
from aepsl.data.dataset import Dataset
from aepsl.images import decoding
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.nets import build, caffemodel
from aepsl.settings import experiments
from aepsl.stages import train
from aepsl.training import diagnosis, observers
from conftest import killed_after, parsed, tiny_experiment


@pytest.fixture(scope="module")
def tiny():
    """The demo's experiment with a smaller net, batch and schedule."""
    return tiny_experiment()


def log(folder):
    with open(os.path.join(folder, "log.csv")) as file:
        return list(csv.DictReader(file))


def weights(folder):
    with open(os.path.join(folder, "final.caffemodel"), "rb") as file:
        return file.read()


def test_a_run_leaves_what_it_used_and_what_it_did(tiny, data, tmp_path):
    out = str(tmp_path / "run")
    train.run(tiny, "classification", data, out)
    assert sorted(os.listdir(out)) == [
        "final.caffemodel",
        "log.csv",
        "made_of.json",
        "solver.prototxt",
        "train.json",
        "train.prototxt",
    ]
    rows = log(out)
    assert [int(row["iteration"]) for row in rows] == list(range(12))  # 3 epochs of 24 images in batches of 6
    assert 0 < float(rows[0]["loss_cls"]) < 2


@pytest.mark.parametrize("task", experiments.TASKS)
@pytest.mark.parametrize("stop", [5, 8])
def test_an_interrupted_run_ends_with_the_same_bytes(tiny, data, tmp_path, task, stop):
    """Killed within an epoch and at its very end; dropout, momentum and the order of images go on as if never."""
    masks = os.path.join(data, "SegmentationClassAug") if task != "classification" else None
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    train.run(tiny, task, data, whole, masks=masks)
    with killed_after(stop + 1):
        train.run(tiny, task, data, broken, masks=masks, word="word")
    assert not os.path.exists(os.path.join(broken, "final.caffemodel"))
    train.run(tiny, task, data, broken, masks=masks, word="word")
    assert weights(broken) == weights(whole)
    assert log(broken) == log(whole)
    if task == "psl":
        assert read_text(os.path.join(broken, "psl.csv")) == read_text(os.path.join(whole, "psl.csv"))


@pytest.mark.parametrize("words", [("one", "another"), (None, None), ("one", None), (None, "one")])
def test_a_training_of_another_word_or_by_hand_begins_anew(tiny, data, tmp_path, words):
    """Killed, and begun again with another rate: what is trained is what a first start would have trained."""
    other, out = experiments.changed(tiny, {"training.classification.lr": 0.002}), str(tmp_path / "run")
    with killed_after(9):
        train.run(tiny, "classification", data, out, word=words[0])
    assert os.path.exists(os.path.join(out, "snapshot.json"))
    users = os.path.join(out, "mine.caffemodel")
    write_text(users, "deleted, as docs/your_data.md says")
    for folder in (out, str(tmp_path / "new")):
        train.run(other, "classification", data, folder, word=words[1])
    assert not os.path.exists(users)
    assert weights(out) == weights(tmp_path / "new") and log(out) == log(tmp_path / "new")
    train.run(tiny, "classification", data, out, word=words[0] and "a third")
    assert weights(out) != weights(tmp_path / "new")


def test_a_training_that_is_there_is_not_begun_again(tiny, data, tmp_path):
    """Neither for the same data under another path, nor when only the clean-up was missing."""
    out = tmp_path / "run"
    train.run(tiny, "classification", data, str(out), word="word")
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    shutil.copytree(data, tmp_path / "elsewhere")
    write_text(str(out / "snapshot.json"), "{}")
    train.run(tiny, "classification", str(tmp_path / "elsewhere"), str(out), word="word")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_a_folder_that_is_not_ours_stays(tiny, data, tmp_path):
    """A stage of a run may make it anew: a run's folder holds what it has made."""
    write_text(str(tmp_path / "final.caffemodel"), "another's")
    with pytest.raises(InputError, match="final.caffemodel: nothing says what it was made of"):
        train.run(tiny, "classification", data, str(tmp_path))
    assert weights(tmp_path) == b"another's"


@pytest.mark.parametrize("confidence", ["predicted", "labels", "none"])
def test_what_weights_the_auxiliary_mask_is_in_the_net(tiny, data, tmp_path, confidence):
    masks = os.path.join(data, "SegmentationClassAug")
    build.write_prototxts(tiny, "psl", data, 24, str(tmp_path), masks=masks, confidence=confidence)
    net = parsed(str(tmp_path / "train.prototxt"), caffe_pb2.NetParameter())
    found = [layer.python_param.param_str for layer in net.layer if layer.name == "mask_hat"]
    assert [json.loads(text) for text in found] == [dict(confidence=confidence)]


def test_psl_begins_with_a_segmentation_net_and_the_classifier_of_another(tiny, data, tmp_path):
    """As with `caffe train -weights CLASSIFIER,WEIGHTS`, whose second file overwrites the trunk of the first."""
    masks, still = os.path.join(data, "SegmentationClassAug"), {"lr": 1e-30, "decay": 0, "epochs": 1}
    tiny = experiments.changed(tiny, {f"training.psl.{key}": value for key, value in still.items()})
    made = {task: str(tmp_path / task / "final.caffemodel") for task in experiments.TASKS}
    train.run(tiny, "classification", data, str(tmp_path / "classification"))
    train.run(tiny, "segmentation", data, str(tmp_path / "segmentation"), masks=masks)
    given = dict(weights=made["segmentation"], classifier=made["classification"])
    train.run(tiny, "psl", data, str(tmp_path / "psl"), masks=masks, **given)
    net, stock = (caffemodel.net_of(build.deploy_net(tiny, "psl")) for _ in range(2))
    caffemodel.load_weights(net, made["psl"], ())
    for key in ("classifier", "weights"):
        stock.copy_from(given[key])
    for name, blobs in stock.params.items():
        for ours, theirs in zip(net.params[name], blobs):
            np.testing.assert_array_equal(ours.data, theirs.data, name)
    text = read_text(str(tmp_path / "psl" / "train.json"))
    assert f"{given['classifier']},{given['weights']}" in text
    with pytest.raises(InputError, match="segmentation/final.caffemodel: has no layer fc8_cls; give the caffemodel"):
        train.run(tiny, "psl", data, str(tmp_path / "other"), masks=masks, classifier=made["segmentation"])


def test_prototxts_that_are_not_the_experiments_are_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "FOLDER", str(tmp_path))
    build.check(tiny)
    for path, text in build.files(tiny).items():
        write_text(path, text)
    build.check(tiny)
    other = dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, scale=1))
    with pytest.raises(InputError, match="classification_train.prototxt: is not what experiment.yaml"):
        build.check(other)


@pytest.mark.parametrize(
    "task, options, complaint",
    [("psl", [], "give --masks"), ("segmentation", [], "give --masks"), ("classification", ["--masks", "m"], "out")],
)
def test_each_task_has_the_masks_that_it_needs(data, tmp_path, task, options, complaint):
    arguments = ["--experiment", "demo", "--data", data, "--out", str(tmp_path / "run"), "--task", task, *options]
    with pytest.raises(InputError, match=f"--task {task} .*{complaint}"):
        train.main(arguments)
    assert not (tmp_path / "run").exists()


def test_the_segmentation_net_learns_from_masks(tiny, data, tmp_path):
    longer = experiments.changed(tiny, {"training.segmentation": dict(epochs=15, lr_step_epochs=15)})
    out = str(tmp_path / "run")
    train.run(longer, "segmentation", data, out, masks=os.path.join(data, "SegmentationClassAug"))
    losses = [float(row["loss_seg"]) for row in log(out)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


def test_stock_caffe_repeats_the_first_iteration(tiny, data, tmp_path):
    """`caffe train` with the run's own solver: the data layer, the losses and the seed are all in the files."""
    out = str(tmp_path / "run")
    train.run(tiny, "classification", data, out)
    environment = dict(os.environ, GLOG_minloglevel="0", GLOG_logtostderr="1")
    done = subprocess.run(
        ["caffe", "train", "-solver", os.path.join(out, "solver.prototxt")],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=300,
    )
    line = next(line for line in done.stderr.splitlines() if "Iteration 0" in line and "loss = " in line)
    assert float(line.split("loss = ")[1]) == pytest.approx(float(log(out)[0]["loss_cls"]), rel=1e-4)


def test_constant_loss_is_the_least_that_constant_scores_reach(rng):
    """Against a search over softmax scores."""
    labels = (rng.rand(30, 3) > 0.5).astype(float)
    labels[labels.sum(axis=1) == 0, 0] = 1
    t = labels / labels.sum(axis=1, keepdims=True)
    grid = [p for p in np.ndindex(101, 101) if sum(p) <= 100]
    best = min(((t - np.array([a, b, 100 - a - b]) / 100) ** 2).sum(axis=1).mean() / 2 for a, b in grid)
    assert diagnosis.constant_loss(labels) == pytest.approx(best, abs=1e-3)


def stage(arguments):
    quiet = {**os.environ, "GLOG_minloglevel": "3"}  # without a driver, a Caffe with CUDA says so before anything else
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=quiet)


def replaced(path, old, new):
    path.write_text(path.read_text().replace(old, new))


IMAGE, MASK = "JPEGImages/image2.jpg", "SegmentationClassAug/image2.png"
LABELS, LIST = "image_labels.txt", "ImageSets/Segmentation/train_aug.txt"
BOTH = "image2 quillow marbit\n"  # image2's line of LABELS
FAULTS = {  # what is done to the data set: what the line says
    "missing image": (lambda root: (root / IMAGE).unlink(), "image2.jpg: no such file"),
    "unreadable image": (lambda root: (root / IMAGE).write_bytes(b"this is text"), "image2.jpg: cannot be decoded"),
    "image cut short": (lambda root: os.truncate(root / IMAGE, 900), "image2.jpg: cannot be decoded"),
    "mask of another size": (
        lambda root: write_mask(str(root / MASK), np.zeros((3, 3), np.uint8)),
        "image2.png: is 3 x 3, its image",
    ),
    "missing mask": (lambda root: (root / MASK).unlink(), "image2.png: no such file"),
    "unknown label": (
        lambda root: replaced(root / LABELS, "marbit\nimage3", "unicorn\nimage3"),
        "image2 has the label 'unicorn'",
    ),
    "no label": (lambda root: replaced(root / LABELS, BOTH, ""), "no label for image2"),
    "empty list": (lambda root: (root / LIST).write_text("\n"), "train_aug.txt: is empty"),
    "no list": (lambda root: (root / LIST).unlink(), "train_aug.txt: no such list, and its folder has "),
    "masks of 255 alone": (lambda root: ignored(root / "SegmentationClassAug"), "Aug: these masks are 255 throughout"),
    "image named twice": (lambda root: replaced(root / LIST, "image3", "image2"), "names image2 twice"),
}


def ignored(folder):
    for path in folder.iterdir():
        write_mask(str(path), np.full_like(read_indexed(str(path)), 255))


@pytest.fixture
def creatures(small_set):
    """small_set with the demo's classes."""
    (small_set / "classes.txt").write_text("\n".join(experiments.load("demo").classes) + "\n")
    replaced(small_set / LABELS, "cat", "quillow")
    replaced(small_set / LABELS, "dog", "marbit")
    return small_set


def refused(root, out, complaint, *more):
    """Training on `root` ends with one line that holds `complaint`, and leaves no result."""
    arguments = ["aepsl", "train", "--experiment", "demo", "--task", "segmentation", "--data", str(root)]
    done = stage([*arguments, "--masks", str(root / "SegmentationClassAug"), "--out", str(out), *more])
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (out / "final.caffemodel").exists() and not (out / "train.json").exists()


def test_a_second_training_of_a_folder_is_refused(creatures, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with only_one(out):
        refused(creatures, out, "run: another command is filling it")
    assert not list(out.iterdir())


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_data_are_one_line_and_leave_nothing(creatures, tmp_path, fault):
    damage, complaint = FAULTS[fault]
    damage(creatures)
    refused(creatures, tmp_path / "run", complaint)


@pytest.mark.parametrize(
    "bits, complaint", [(2, "image0.png: has regions of more labels than the image's 1"), (1, None)]
)
def test_regions_of_labels_that_the_image_has_not(creatures, bits, complaint):
    """They are looked at before the training begins; image0 has one label."""
    dataset, folder = Dataset(str(creatures), ["quillow", "marbit"]), str(creatures / "regions")
    ids = dataset.ids("train_aug")
    for image_id in ids:
        size = decoding.header(dataset.image_path(image_id)).size
        write_grey(f"{folder}/{image_id}.png", np.full(size[::-1], bits if image_id == "image0" else 1, np.uint16))
    if complaint is None:
        train._check_images(dataset, ids, folder, None)
        return
    with pytest.raises(InputError, match=complaint):
        train._check_images(dataset, ids, folder, None)


@pytest.mark.parametrize("kind", ["masks", "regions", "another class"])
def test_masks_of_the_users_own_fit_the_labels(creatures, tmp_path, kind):
    """As S does, which may lack a class of the labels. Regions have the values of masks, but not their meaning."""
    dataset, ids = Dataset(str(creatures), ["quillow", "marbit"]), [f"image{k}" for k in range(6)]
    for image_id, labels in zip(ids, dataset.labels(ids)):
        S = np.zeros(read_indexed(f"{creatures}/SegmentationClassAug/{image_id}.png").shape, np.uint8)
        S[:9] = 1 + labels.argmax() if kind == "masks" else 1
        write_mask(f"{tmp_path}/S/{image_id}.png", S) if kind != "regions" else write_grey(
            f"{tmp_path}/S/{image_id}.png", S.astype(np.uint16)
        )
    call = lambda: train._check_images(dataset, ids, None, f"{tmp_path}/S")  # noqa: E731
    if kind == "masks":
        call()
        return
    regions, other = (
        "has 16 bits, as mined regions have; name the folder that `aepsl masks`",
        "3 of 6 masks do not have",
    )
    with pytest.raises(InputError, match=regions if kind == "regions" else other):
        call()


def test_bad_weights_are_one_line_and_leave_nothing(creatures, tmp_path):
    path = str(tmp_path / "w.caffemodel")
    refused(creatures, tmp_path / "run", "w.caffemodel: no such caffemodel", "--weights", path)
    caffemodel.net_of(build.deploy_net(experiments.load("rehearsal"), "classification")).save(path)
    refused(creatures, tmp_path / "run", "w.caffemodel: has no layer conv1_1", "--weights", path)


@pytest.mark.parametrize(
    "fault, complaint",
    [
        ("empty mask", "image0.png: is empty"),
        ("unknown value", "image0.png: has the value 9, which is no class: those are 0, 1, 2, ...; mend it"),
        ("no label", "no label for image0"),
    ],
)
def test_the_check_before_everything_finds_faults_of_val_too(small_set, fault, complaint):
    Dataset(str(small_set)).check(["image0", "image1"], [str(small_set / "SegmentationClassAug")])
    (small_set / "classes.txt").write_text("quillow\nmarbit\nfennak\ndorrel\n")
    labels, mask = small_set / "image_labels.txt", small_set / "SegmentationClassAug/image0.png"
    labels.write_text(labels.read_text().replace("cat", "quillow").replace("dog", "marbit"))
    (small_set / "ImageSets/Segmentation/train_aug.txt").write_text("image3\nimage4\n")
    if fault == "empty mask":
        mask.write_bytes(b"")
    elif fault == "unknown value":
        write_mask(str(mask), np.full_like(read_indexed(str(mask)), 9))
    else:
        labels.write_text(labels.read_text().replace("image0 ", "image9 "))
    done = stage(["aepsl", "check", "--experiment", "demo", "--data", str(small_set)])
    assert done.returncode == 1 and complaint in done.stderr and done.stderr.count("\n") == 1


def test_a_training_tells_how_far_it_is_at_most_once_a_second(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(observers.time, "monotonic", lambda: clock[0])
    losses = observers.Losses(str(tmp_path))
    teller = observers.Progress(str(tmp_path), losses)
    losses.entries = [[k, float(k), 1.0] for k in range(30)]
    told = tmp_path / "progress.json"
    teller.after(30)
    assert json.loads(told.read_text()) == dict(iteration=30, loss=sum(range(10, 30)) / 20 + 1)
    for seconds, iteration in ((0.9, 30), (0.2, 32)):
        clock[0] += seconds
        teller.after(32)
        assert json.loads(told.read_text())["iteration"] == iteration
    teller.begin(None)  # another process begins, from a snapshot or anew
    assert not told.exists()
    clock[0] += 2
    teller.after(33)
    observers.clear_progress(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
