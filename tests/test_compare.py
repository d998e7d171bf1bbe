"""Predictions of other projects beside ours: where they are found, the differences and their intervals, the page."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.data.dataset import VOC_CLASSES
from aepsl.evaluation import bootstrap, evaluate
from aepsl.images.pictures import write_mask
from aepsl.tools import compare
from aepsl.tools.comparison_tables import tables
from conftest import copy_of_repository


def pair(rng, images, classes=3, rights=(0.7, 0.66)):
    """Two methods' N x K x (K + 1) counts of the same small images, of which they find about these shares."""
    found = np.zeros((2, images, classes, classes + 1), np.int64)
    for k, c in np.ndindex(images, classes):
        if c and rng.rand() < 0.4:
            continue
        pixels = rng.randint(50, 400)
        for matrices, right in zip(found, rights):
            wrong = (1 - rng.beta(8 * right, 8 * (1 - right))) / classes
            share = np.full(classes, wrong)
            share[c] += 1 - classes * wrong
            matrices[k, c, :classes] = rng.multinomial(pixels, share)
    return found


def counts(matrices):
    return compare.Counts(matrices.sum(axis=0), np.stack([evaluate.sums(matrix) for matrix in matrices]))


# The bootstrap


def test_a_draw_is_the_evaluation_of_the_images_that_it_takes(rng):
    """Against matrices added up one by one, for the same random numbers; dogs count in the draws that have some.

    mIoU's draws without dogs take them from the first, second, ... draw with dogs.
    """
    ours, theirs = matrices = pair(rng, 12)
    matrices[:, 1:, 2] = 0
    matrices[0, 0, 2], matrices[1, 0, 2] = [5, 5, 30, 0], [9, 5, 26, 0]
    low, high = bootstrap.intervals([counts(theirs).sums], counts(ours).sums, draws=40, seed=5)
    names, differences = ["background", "cat", "dog"], []
    for row in np.random.RandomState(5).randint(12, size=(40, 12)):
        a, b = (evaluate.scores(sum(each[k] for k in row), names)["iou"] for each in matrices)
        differences.append([b.get(name, np.nan) - a.get(name, np.nan) for name in names])
    dogs = [dog for *_, dog in differences if not np.isnan(dog)]
    others = iter(dogs * 40)
    for row in differences:
        row.append(np.mean([*row[:2], next(others) if np.isnan(row[2]) else row[2]]))
    assert 0 < len(dogs) < 40
    expected = np.nanpercentile(differences, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([low[0], high[0]], expected, rtol=1e-9)


def test_the_mean_is_over_the_classes_that_the_truth_has():
    """As in `evaluate.scores`: a class that no image has is left out."""
    confusion = np.array([[6, 2, 0, 0], [0, 0, 0, 0], [1, 0, 3, 0]])
    values = bootstrap.with_mean(evaluate.iou(evaluate.sums(confusion)))
    assert values[-1] == pytest.approx(evaluate.scores(confusion, ["background", "cat", "dog"])["miou"])
    assert np.isnan(values[1]) and values[-1] == pytest.approx(100 * (6 / 9 + 3 / 4) / 2)


@pytest.mark.parametrize("images", [1, 9])
def test_an_interval_holds_its_own_difference_where_draws_lack_classes(images):
    """A class an image, and one that none has; methods differ otherwise in background than in objects."""
    for seed in range(20):
        rng = np.random.RandomState(seed)
        shares = rng.rand(2, 2)  # that a method finds of background, and of objects
        matrices = np.zeros((2, images, images + 2, images + 3), np.int64)
        for j, k in np.ndindex(2, images):
            for c in (0, k + 1):
                found = int(100 * shares[j, min(c, 1)] * rng.uniform(0.95, 1))
                matrices[j, k, c, [c, -1]] = found, 100 - found
        names = [f"c{c}" for c in range(images + 2)]
        ids = [f"i{k}" for k in range(images)]
        result = compare.compared(["a", "b"], [counts(each) for each in matrices], ids, names, draws=400)
        found = result["differences"]["b"]
        assert len(found["iou"]) == images + 1
        for cell in (found["miou"], *found["iou"].values()):
            assert cell["low"] - 1e-9 <= cell["difference"] <= cell["high"] + 1e-9, (seed, found["miou"])


def test_identical_predictions_differ_by_exactly_0(rng):
    matrices = pair(rng, 30)[0]
    ids = [f"i{k}" for k in range(30)]
    result = compare.compared(["a", "b"], [counts(matrices)] * 2, ids, ["background", "cat", "dog"], draws=300)
    nothing = dict(difference=0, low=0, high=0)
    assert result["differences"]["b"]["miou"] == nothing
    assert result["differences"]["b"]["iou"] == dict.fromkeys(["background", "cat", "dog"], nothing)


def test_intervals_contain_the_true_difference_as_often_as_they_say():
    """200 validation sets of 150 images out of 3,000, whose difference is the true one."""
    rng = np.random.RandomState(11)
    ours, theirs = (counts(matrices).sums for matrices in pair(rng, 3000))
    of_all = [bootstrap.with_mean(evaluate.iou(sums.sum(axis=0)))[-1] for sums in (ours, theirs)]
    inside = 0
    for seed in range(200):
        chosen = rng.randint(3000, size=150)
        low, high = bootstrap.intervals([theirs[chosen]], ours[chosen], draws=1000, seed=seed)
        inside += low[0, -1] <= of_all[1] - of_all[0] <= high[0, -1]
    assert 0.925 <= inside / 200 <= 0.975, inside


# The command


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository with three images of the demo's classes, a row of its run, and a worse prediction."""
    tree = copy_of_repository(tmp_path_factory.mktemp("copy") / "tree")
    rng = np.random.RandomState(3)
    data = tree / "runs/demo/data"
    (data / "ImageSets/Segmentation").mkdir(parents=True)
    (data / "classes.txt").write_text("quillow\nmarbit\nfennak\ndorrel\n")
    (data / "ImageSets/Segmentation/val.txt").write_text("i0\ni1\ni2\n")
    for k in range(3):
        truth = rng.randint(0, 5, (8, 9)).astype(np.uint8)
        write_mask(str(data / f"SegmentationClassAug/i{k}.png"), truth)
        write_mask(str(tree / f"runs/demo/val/psl++/crf/i{k}.png"), truth)
        write_mask(str(tree / f"theirs/i{k}.png"), np.where(rng.rand(8, 9) < 0.1 * k, 0, truth).astype(np.uint8))
    return tree


def test_command(tree):
    """The rows, the numbers and the order of the images, as text, JSON and page."""
    options = "compare --run runs/demo:psl++ --pred theirs --json runs/compare.json --html runs/compare.html"
    output = subprocess.check_output([sys.executable, "-m", "aepsl", *options.split()], cwd=tree, text=True)
    result = json.loads((tree / "runs/compare.json").read_text())
    assert result["reference"] == "runs/demo:psl++" and list(result["differences"]) == ["theirs"]
    theirs, ids = str(tree / "theirs"), ["i0", "i1", "i2"]
    values, names = list(range(5)), result["classes"]
    alone = evaluate.run(theirs, str(tree / "runs/demo/data/SegmentationClassAug"), ids, values, names)
    assert result["methods"]["theirs"] == alone and result["methods"]["runs/demo:psl++"]["miou"] == 100
    difference = result["differences"]["theirs"]
    assert difference["miou"]["difference"] == pytest.approx(alone["miou"] - 100)
    assert difference["miou"]["low"] < difference["miou"]["difference"] < difference["miou"]["high"] <= 0
    assert [each["id"] for each in difference["images"]] == ["i2", "i1", "i0"]
    assert "they do not compare" in output and f"{alone['miou']:.2f}" in output
    page = (tree / "runs/compare.html").read_text()
    interval = f"{difference['miou']['low']:+.2f} … {difference['miou']['high']:+.2f}".replace("-", "−")
    assert interval in page and interval in output
    assert not re.search(r"(src|href)=|@import|url\(", page) and "prefers-color-scheme" in page


FAULTS = {
    "no data": (["--pred", "theirs"], "--data: nothing says which classes and images count"),
    "no baseline": (["--run", "runs/demo:psl++", "--baseline", "fcn8s"], "fcn8s: no such baseline was run"),
    "no such row": (["--run", "runs/demo:psl3", "--pred", "theirs"], "psl3: no row of tables 3 and 4"),
    "no such run": (["--run", "runs/x:psl++", "--pred", "theirs"], "prototxt/x/experiment.yaml: no such experiment"),
    "no row": (["--run", "runs/demo", "--pred", "theirs"], "must be runs/NAME:ROW"),
    "not segmented": (["--run", "runs/demo:psl", "--pred", "theirs"], "runs/demo/val/psl/crf: no such folder"),
    "one method": (["--run", "runs/demo:psl++"], "one method alone compares with none"),
    "twice": (["--run", "runs/demo:psl++", "--pred", "theirs", "--pred", "theirs"], "theirs: is named twice"),
    "no folder": (["--run", "runs/demo:psl++", "--pred", "their"], "their: no such folder of predictions"),
    "values": (["--run", "runs/demo:psl++", "--pred", "values"], "values/i1.png: has the value 9, which is no class"),
    "some 255": (["--run", "runs/demo:psl++", "--pred", "ignored"], "ignored/i1.png: has values that are no classes"),
    "sizes": (["--run", "runs/demo:psl++", "--pred", "sizes"], "sizes/i2.png: is 3 x 8, the ground truth 9 x 8"),
    "place": (["--run", "runs/demo:psl++", "--pred", "theirs", "--json", "values"], "values: cannot be a file"),
    "one file": (["--run", "runs/demo:psl++", "--pred", "theirs", "--json", "x", "--html", "x"], "x: cannot be both"),
}


ALONE = [
    ["--experiment", "demo", "--pred", "theirs", "--pred", "other"],
    ["--data", "runs/demo/data", "--pred", "theirs", "--pred", "other"],
    ["--data", "runs/demo/data", "--baseline", "small", "--pred", "other"],
]


@pytest.mark.parametrize("arguments", ALONE)
def test_predictions_are_compared_without_a_run(tree, arguments, monkeypatch, capsys):
    """Truths, list and classes are the data set's; the first that is named is the reference."""
    monkeypatch.chdir(tree)
    monkeypatch.delenv("DATA", raising=False)
    os.makedirs("runs/baselines/small/crf", exist_ok=True)
    with open("runs/baselines/small/results.json", "w") as file:
        json.dump(dict(rows=dict(plain={}, crf=dict(miou=1)), published=[]), file)
    for k in range(3):
        write_mask(f"other/i{k}.png", np.zeros((8, 9), np.uint8))
        shutil.copy(f"theirs/i{k}.png", "runs/baselines/small/crf")
    compare.main([*arguments, "--draws", "9", "--json", "runs/alone.json"])
    result = json.loads((tree / "runs/alone.json").read_text())
    ids, values, truths = ["i0", "i1", "i2"], list(range(5)), "runs/demo/data/SegmentationClassAug"
    for name, found in result["methods"].items():
        folder = "theirs" if name == "small" else name
        assert found == evaluate.run(folder, truths, ids, values, result["classes"])
    assert list(result["methods"]) == [arguments[3], "other"] and result["reference"] == arguments[3]
    assert result["classes"] == ["background", "quillow", "marbit", "fennak", "dorrel"]
    assert f"{result['methods'][arguments[3]]['miou']:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(tree, fault, monkeypatch):
    monkeypatch.chdir(tree)
    monkeypatch.delenv("DATA", raising=False)
    for k in range(3):
        write_mask(f"values/i{k}.png", np.full((8, 9), 9 * (k == 1), np.uint8))
        write_mask(f"ignored/i{k}.png", np.repeat(np.uint8([[255 * (k == 1)], [0]]), [4, 4], axis=0).repeat(9, axis=1))
        write_mask(f"sizes/i{k}.png", np.zeros((8, 9 if k < 2 else 3), np.uint8))
    arguments, message = FAULTS[fault]
    with pytest.raises(InputError) as error:
        compare.main(arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_papers_tables_stand_beside_vocs_classes_only(rng):
    classes = ["background", *VOC_CLASSES]
    counted = [counts(matrices) for matrices in pair(rng, 25, classes=21)]
    result = compare.compared(["ours", "theirs"], counted, [str(k) for k in range(25)], classes, draws=20)
    assert result["paper"]["rows"]["w/ PSL++"]["miou"] == 55.0
    assert result["paper"]["rows"]["w/ PSL++"]["iou"]["tvmonitor"] == 43.9
    assert len(result["differences"]["theirs"]["images"]) == 20
    assert "ours are of 25." in result["paper"]["note"]
    first, by_class, _ = tables(result)
    assert "the paper: w/ PSL++" in first.text() and "SEC (ECCV 2016)" in first.text()
    assert by_class.rows[-1][by_class.columns.index("the paper: w/ PSL++")] == "43.9"
