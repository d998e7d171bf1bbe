"""How good the background cue is, and the masks made with it."""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.saliency.drfi.measures import Cue
from aepsl.settings import experiments
from aepsl.stages import evaluate_background, evaluate_regions, saliency
from conftest import copy_of_repository

TRUTH = np.array([[0, 0, 0, 1, 1, 255]], np.uint8)


def test_the_cue_by_hand():
    cue = Cue()
    cue.add(np.array([[True, True, False, True, False, True]]), TRUTH)
    assert cue.shares() == dict(share=4 / 6, precision=2 / 3, recall=2 / 3, error=1 / 2)
    cue.add(np.array([[False] * 6]), None)  # an image without a mask counts for the share alone
    assert cue.shares() == dict(share=4 / 12, precision=2 / 3, recall=2 / 3, error=1 / 2)


def test_masks_by_hand():
    counts = evaluate_background.counted(np.array([[0, 1, 255, 1, 2, 1]], np.uint8), TRUTH)
    assert evaluate_background.shares(Counter(counts)) == pytest.approx(
        dict(labelled=5 / 6, ignored=1 / 6, wrong=2 / 5)
    )


def test_without_masks_there_are_shares_alone():
    cue, counts = Cue(), evaluate_background.counted(np.array([[0, 255]], np.uint8), None)
    cue.add(np.array([[True, False]]), None)
    assert cue.shares() == dict(share=0.5)
    assert evaluate_background.shares(Counter(counts)) == dict(labelled=0.5, ignored=0.5)


@pytest.fixture
def settings():
    changes = {"classes": ["cat", "dog"], "background.indoor_classes": ["dog"]}
    return experiments.changed(experiments.load("demo"), changes)


def test_each_image_has_its_own_threshold(small_set, settings, tmp_path):
    """Maps of .09: background in images of cats alone, and not where there is a dog, an indoor class here."""
    dataset = Dataset(str(small_set))
    ids = dataset.ids("train_aug")
    truths = [read_indexed(f"{small_set}/SegmentationClassAug/{i}.png") for i in ids]
    for image_id, truth in zip(ids, truths):
        write_grey(f"{tmp_path}/saliency/{image_id}.png", np.full(truth.shape, 23, np.uint8))
        write_mask(f"{tmp_path}/masks/{image_id}.png", np.zeros(truth.shape, np.uint8))
    out = tmp_path / "background.json"
    evaluate_background.run(settings, str(small_set), f"{tmp_path}/saliency", f"{tmp_path}/masks", str(out))
    found = json.loads(out.read_text())
    cats = [truth for truth, labels in zip(truths, dataset.labels(ids)) if not labels[1]]
    assert len(cats) == 2
    ground, known = (sum(int(each.sum()) for each in part) for part in zip(*((t == 0, t < 255) for t in cats)))
    assert found["cue"]["share"] == pytest.approx(sum(t.size for t in cats) / sum(t.size for t in truths))
    assert found["cue"]["precision"] == pytest.approx(ground / known)
    objects = sum(((t > 0) & (t < 255)).sum() for t in truths)
    assert found["masks"]["labelled"] == 1
    assert found["masks"]["wrong"] == pytest.approx(objects / sum((t < 255).sum() for t in truths))


@pytest.mark.parametrize("faulty", ["S", "truth"])
def test_values_that_are_no_class_are_refused(small_set, settings, tmp_path, faulty):
    """They would count as wrong, or as wrongly labelled, in silence; also of the regions."""
    masks, maps, regions = (str(tmp_path / name) for name in ("masks", "maps", "regions"))
    for path in (small_set / "SegmentationClassAug").iterdir():
        truth = read_indexed(str(path))
        write_grey(f"{maps}/{path.name}", np.zeros(truth.shape, np.uint8))
        write_grey(f"{regions}/{path.name}", np.zeros(truth.shape, np.uint16))
        write_mask(f"{masks}/{path.name}", np.full_like(truth, 77 if faulty == "S" else 0))
        if faulty == "truth":
            write_mask(str(path), np.where(truth == 0, 77, truth).astype(np.uint8))
    out, folder = str(tmp_path / "out.json"), masks if faulty == "S" else str(small_set / "SegmentationClassAug")
    line = f"{folder}/image0.png: has the value 77, which is no class"
    with pytest.raises(InputError, match=line):
        evaluate_background.run(settings, str(small_set), maps, masks, out)
    if faulty == "truth":
        with pytest.raises(InputError, match=line):
            evaluate_regions.run(settings, str(small_set), out, regions=regions)


def test_a_mask_of_another_size_than_its_map_is_refused(small_set, settings, tmp_path):
    for path in (small_set / "SegmentationClassAug").iterdir():
        write_grey(f"{tmp_path}/maps/{path.name}", np.zeros(read_indexed(str(path)).shape, np.uint8))
        write_mask(f"{tmp_path}/masks/{path.name}", np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="masks/image0.png: is 9 x 9, its image "):
        evaluate_background.run(settings, str(small_set), f"{tmp_path}/maps", f"{tmp_path}/masks", f"{tmp_path}/out")


def test_true_masks_are_the_best_cue(small_set, settings, tmp_path):
    """`detector: truth` takes all background, and nothing else."""
    saliency.run(str(small_set), "train_aug", str(tmp_path / "maps"), "truth")
    for image_id in Dataset(str(small_set)).ids("train_aug"):
        truth = read_indexed(f"{small_set}/SegmentationClassAug/{image_id}.png")
        found = read_indexed(str(tmp_path / f"maps/{image_id}.png"))
        np.testing.assert_array_equal(found < 0.06 * 255, truth == 0)
        np.testing.assert_array_equal(found == 255, (truth > 0) & (truth < 255))


def test_a_model_that_is_not_there_ends_a_run_before_it_begins(tmp_path):
    tree = copy_of_repository(tmp_path / "tree")
    path = tree / "prototxt/demo/experiment.yaml"
    path.write_text(path.read_text().replace("  detector: rbd", "  detector: drfi"))
    (tree / "weights/drfi.npz").write_text("no model")
    command = [sys.executable, "-m", "aepsl", "run", "demo"]
    done = subprocess.run(
        command, cwd=tree, env=dict(os.environ, PYTHONPATH=str(tree / "python")), capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: weights/drfi.npz: is no model of DRFI, or damaged; train one")
    assert not (tree / "runs").exists()
