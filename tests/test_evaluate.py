"""IoU against a count by hand, and the classes that count."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.data.regions import packed
from aepsl.evaluation import evaluate
from aepsl.images.pictures import write_grey, write_mask
from aepsl.settings import experiments
from aepsl.stages import evaluate_regions

NAMES = ["background", "cat", "dog", "cow"]


def written(folder, masks):
    for k, mask in enumerate(masks):
        write_mask(str(folder / f"{k}.png"), np.array(mask, np.uint8))
    return str(folder)


def test_iou_is_over_all_images_together(tmp_path):
    """Cat: 1 hit of 2 + 3 pixels. The mean of per-image IoU would be another number."""
    truth = written(tmp_path / "gt", [[[0, 1, 255, 0]], [[1, 1, 0, 0]]])
    ours = written(tmp_path / "pred", [[[0, 1, 1, 1]], [[0, 0, 0, 0]]])
    result = evaluate.run(ours, truth, ["0", "1"], [0, 1, 2, 3], NAMES)
    assert result["iou"] == {"background": pytest.approx(100 * 3 / 6), "cat": pytest.approx(100 * 1 / 4)}
    assert result["miou"] == pytest.approx(37.5)
    assert result["absent"] == ["dog", "cow"]


def test_brute_force_on_random_masks(tmp_path, rng):
    truths = rng.choice([0, 1, 2, 3, 255], (5, 11, 7))
    guesses = rng.choice([0, 1, 2], (5, 11, 7))
    result = evaluate.run(
        written(tmp_path / "pred", guesses), written(tmp_path / "gt", truths), list("01234"), [0, 1, 2, 3], NAMES
    )
    for value, name in enumerate(NAMES):
        counted = truths != 255
        hit = np.sum(counted & (truths == value) & (guesses == value))
        either = np.sum(counted & ((truths == value) | (guesses == value)))
        assert result["iou"][name] == pytest.approx(100 * hit / either)
    assert result["iou"]["cow"] == 0  # never predicted, but there: it counts
    assert result["miou"] == pytest.approx(np.mean(list(result["iou"].values())))
    is_object = (truths != 0) & (truths != 255)
    wrong = dict(
        missed=np.sum(is_object & (guesses == 0)),
        confused=np.sum(is_object & (guesses != 0) & (guesses != truths)),
        false=np.sum((truths == 0) & (guesses != 0)),
    )
    assert result["errors"] == pytest.approx({kind: 100 * n / is_object.sum() for kind, n in wrong.items()})


def test_the_matrices_of_the_images_are_those_of_pairs_counted_one_by_one(tmp_path, rng):
    """Values 0, 3 and 7 are the classes; a truth of 16 bits counts as one of 8."""
    values = [0, 3, 7]
    truths, guesses = rng.choice([*values, 255], (4, 9, 6)), rng.choice([0, 3, 7, 255], (4, 9, 6))
    folders = written(tmp_path / "pred", guesses), written(tmp_path / "gt", truths)
    write_grey(str(tmp_path / "gt/2.png"), truths[2].astype(np.uint16))
    found = list(evaluate.confusions(*([f"{folder}/{k}.png" for k in range(4)] for folder in folders), values))
    for truth, guess, confusion in zip(truths, guesses, found):
        expected = np.zeros((3, 4), int)
        for t, g in zip(truth.ravel(), guess.ravel()):
            if t != 255:
                expected[values.index(t), values.index(g) if g in values else 3] += 1
        np.testing.assert_array_equal(confusion, expected)


@pytest.mark.parametrize("value, dtype", [(9, np.uint8), (9, np.uint16), (259, np.uint16)])
def test_a_truth_with_another_class_is_refused(tmp_path, value, dtype):
    ours = written(tmp_path / "pred", [[[0, 0]]])
    write_grey(f"{tmp_path}/gt/0.png", np.array([[0, value]], dtype))
    with pytest.raises(InputError, match=f"gt/0.png: has the value {value}, which is no class"):
        evaluate.run(ours, f"{tmp_path}/gt", ["0"], [0, 3], NAMES[:2])


def test_pixels_predicted_as_255_are_misses(tmp_path):
    truth = written(tmp_path / "gt", [[[0, 0, 1, 1]]])
    ours = written(tmp_path / "pred", [[[0, 255, 1, 255]]])
    assert evaluate.run(ours, truth, ["0"], [0, 1], NAMES[:2])["iou"] == {"background": 50, "cat": 50}


@pytest.mark.parametrize(
    "second, complaint",
    [
        ([0, 1, 77, 1], "has the value 77, which is no class: those are 0, 1, 255; mend it"),
        ([255] * 4, "is 255 throughout, which is no class"),
    ],
)
def test_a_prediction_that_has_no_classes_is_refused(tmp_path, second, complaint):
    truth = written(tmp_path / "gt", [[[0, 0, 1, 1]], [[0, 0, 255, 1]]])
    ours = written(tmp_path / "pred", [[[0, 0, 1, 1]], [second]])
    with pytest.raises(InputError, match=f"pred/1.png: {complaint}"):
        evaluate.run(ours, truth, ["0", "1"], [0, 1], NAMES[:2])


def test_a_prediction_of_another_size_is_refused(tmp_path):
    truth, ours = written(tmp_path / "gt", [[[0, 0, 1]]]), written(tmp_path / "pred", [[[0, 0]]])
    with pytest.raises(InputError, match="pred/0.png: is 2 x 1, the ground truth 3 x 1"):
        evaluate.run(ours, truth, ["0"], [0, 1], NAMES[:2])


def test_command(tmp_path):
    written(tmp_path / "gt", [[[0, 8, 15, 255]]])
    written(tmp_path / "pred", [[[0, 8, 8, 3]]])
    (tmp_path / "ids.txt").write_text("0\n")
    command = [sys.executable, "-m", "aepsl", "evaluate", "--pred", "pred", "--gt", "gt", "--ids", "ids.txt"]
    output = subprocess.check_output([*command, "--json", "out.json"], cwd=tmp_path, text=True)
    assert ["mIoU", "50.00"] in [line.split() for line in output.splitlines()]
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["iou"] == {"background": 100, "cat": 50, "person": 0}
    assert len(result["absent"]) == 18


def test_the_table_says_how_many_images_it_is_of(tmp_path, capsys):
    """A list of VOC's Main selects those that have a class."""
    written(tmp_path / "gt", 3 * [[[0, 8, 15, 255]]])
    (tmp_path / "cat_val.txt").write_text("0 1\n1 -1\n2 0\n")
    files = ["--pred", str(tmp_path / "gt"), "--gt", str(tmp_path / "gt"), "--json", str(tmp_path / "out.json")]
    evaluate.main([*files, "--ids", str(tmp_path / "cat_val.txt")])
    assert "2 images, without 1 with -1, VOC's absent\n" in capsys.readouterr().out


def test_the_classes_of_the_data_set_name_the_rows(tmp_path, capsys):
    """classes.txt beside the true masks: a table with VOC's names would be another's."""
    written(tmp_path / "set/SegmentationClass", [[[0, 1, 2, 2]]])
    (tmp_path / "set/classes.txt").write_text("yak\nemu\n")
    (tmp_path / "other.txt").write_text("a\nb\n")
    (tmp_path / "ids.txt").write_text("0\n")
    masks, ids = str(tmp_path / "set/SegmentationClass"), str(tmp_path / "ids.txt")
    command = ["--pred", masks, "--gt", masks, "--ids", ids, "--json", str(tmp_path / "out.json")]
    evaluate.main(command)
    assert list(json.loads((tmp_path / "out.json").read_text())["iou"]) == ["background", "yak", "emu"]
    evaluate.main([*command, "--classes", str(tmp_path / "other.txt")])
    assert list(json.loads((tmp_path / "out.json").read_text())["iou"]) == ["background", "a", "b"]
    with pytest.raises(InputError, match="classes.txt: is .*classes.txt; the result would replace"):
        evaluate.main([*command[:-1], str(tmp_path / "set/classes.txt")])


def test_measure_against_counts_by_hand(small_set, tmp_path):
    """Regions of the left half of every image, for its first label."""
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})
    dataset_masks = small_set / "SegmentationClassAug"
    counts = np.zeros(5)
    for k, labels in enumerate(["cat", "dog", "cat dog", "cat", "dog", "dog"]):
        truth = evaluate.read_indexed(str(dataset_masks / f"image{k}.png"))
        half = np.zeros(truth.shape, bool)
        half[:, : truth.shape[1] // 2] = True
        regions = [half] + [np.zeros_like(half)] * (len(labels.split()) - 1)
        write_grey(f"{tmp_path}/regions/image{k}.png", packed(np.stack(regions)))
        values = [{"cat": 1, "dog": 2}[name] for name in labels.split()]
        objects = sum(np.sum(truth == value) for value in values)
        counts += [np.sum(half & (truth == values[0])), np.sum(half & (truth != 255)), objects, half.sum(), half.size]
    evaluate_regions.run(experiment, str(small_set), f"{tmp_path}/out.json", regions=f"{tmp_path}/regions")
    found, mined, objects, erased, pixels = counts
    result = json.loads((tmp_path / "out.json").read_text())
    assert result == pytest.approx(dict(recall=found / objects, precision=found / mined, erased=erased / pixels))


def test_training_images_need_no_masks(small_set, tmp_path):
    """Those that have one are measured; one of another size is told."""
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})
    for k, labels in enumerate([1, 1, 2, 1, 1, 1]):
        shape = evaluate.read_indexed(str(small_set / f"SegmentationClassAug/image{k}.png")).shape
        write_grey(f"{tmp_path}/regions/image{k}.png", packed(np.ones((labels, *shape), bool)))
        if k != 3:
            os.unlink(small_set / f"SegmentationClassAug/image{k}.png")
    arguments = (experiment, str(small_set), f"{tmp_path}/out.json", f"{tmp_path}/regions")
    evaluate_regions.run(*arguments)
    truth = evaluate.read_indexed(str(small_set / "SegmentationClassAug/image3.png"))
    precision = np.sum(truth == 1) / np.sum(truth != 255)
    assert json.loads((tmp_path / "out.json").read_text()) == pytest.approx(
        dict(recall=1, precision=precision, erased=1)
    )
    write_mask(str(small_set / "SegmentationClassAug/image3.png"), np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match="image3.png: is .*, its image "):
        evaluate_regions.run(*arguments)
