"""The demo's data: VOC's layout, same bytes for a seed, whole or not at all, true to the method's premise."""

import os

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from aepsl.base.errors import InputError
from aepsl.data import creatures, synthetic
from aepsl.data.creatures import CLASSES, PARTS, PLANT, render
from aepsl.data.dataset import IGNORE, Dataset
from aepsl.images.pictures import read_indexed

TRAIN, VAL = 60, 20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("synthetic") / "demo")
    synthetic.run(root, train=TRAIN, val=VAL, seed=3)
    return Dataset(root)


def everything(root):
    paths = sorted(os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names)
    return {os.path.relpath(path, root): open(path, "rb").read() for path in paths}


def test_reads_as_voc(data):
    train, val = data.ids("train_aug"), data.ids("val")
    assert (len(train), len(val)) == (TRAIN, VAL) and not set(train) & set(val)
    assert data.classes == list(CLASSES) and data.values == [0, 1, 2, 3, 4]
    for image_id in train + val:
        mask = read_indexed(os.path.join(data.mask_folder(), image_id + ".png"))
        assert data.image(image_id).shape == mask.shape + (3,)


def test_labels_are_what_the_masks_hold(data):
    ids = data.ids("train_aug") + data.ids("val")
    for image_id, labels in zip(ids, data.labels(ids)):
        mask = read_indexed(os.path.join(data.mask_folder(), image_id + ".png"))
        assert set(np.unique(mask)) == {0, IGNORE} | set(1 + np.flatnonzero(labels))


def test_about_a_quarter_holds_two_classes(data):
    counts = data.labels(data.ids("train_aug") + data.ids("val")).sum(axis=1)
    assert set(counts) == {1, 2} and 0.15 < (counts == 2).mean() < 0.35


def test_objects_are_of_the_promised_sizes():
    for seed in range(24):
        rng = np.random.default_rng(seed)
        image, mask, parts = render(rng, [1 + seed % 4])
        assert image.shape == mask.shape + (3,) and all(112 <= side <= 144 for side in mask.shape)
        creature = ((parts > 0) & (parts < PLANT)).astype(np.uint8)
        assert 0.07 < creature.mean() < 0.4
        assert ((mask > 0) & (mask < IGNORE)).sum() == creature.sum()
        ring = mask == IGNORE
        assert ring.any() and not creature[ring].any() and cv2.dilate(creature, np.ones((3, 3)))[ring].all()


def test_two_objects_keep_apart():
    for seed in range(24):
        rng = np.random.default_rng(seed)
        _, mask, parts = render(rng, [1 + seed % 4, 1 + (seed + 1) % 4])
        for value in (1 + seed % 4, 1 + (seed + 1) % 4):
            assert 0.05 < (mask == value).mean() < 0.15
            assert {2, 3} <= set(np.unique(parts[mask == value]))  # a head may stick out of the image


def test_same_seed_same_bytes(data, tmp_path):
    synthetic.run(str(tmp_path / "again"), train=TRAIN, val=VAL, seed=3)
    synthetic.run(str(tmp_path / "other"), train=TRAIN, val=VAL, seed=4)
    first, again, other = (everything(root) for root in (data.root, tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert first.keys() == other.keys()
    images = [name for name in first if name.endswith((".jpg", ".png"))]
    assert len(images) == 2 * (TRAIN + VAL) and all(first[name] != other[name] for name in images)


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    drawn = []

    def interrupted(rng, classes):
        drawn.append(classes)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return render(rng, classes)

    monkeypatch.setattr(synthetic, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthetic.run(str(tmp_path / "demo"), train=8, val=2)
    assert os.listdir(tmp_path) == []


def test_what_is_there_already_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        synthetic.run(str(tmp_path), train=2, val=1)
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    synthetic.run(str(tmp_path), train=2, val=1)
    assert Dataset(str(tmp_path)).ids("val") == ["val_000001"]


def test_an_empty_list_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        synthetic.main(["--out", str(tmp_path / "demo"), "--val", "0"])
    assert "'0' must be a whole number from 1" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_plants_stand_beside_their_class_and_elsewhere():
    """Told by their hue, since they bear no label: that of class k's plant is 90 degrees from the next one's."""
    beside, elsewhere = [], []
    for number in range(400):
        value = 1 + number % 4
        image, mask, parts = render(np.random.default_rng([7, number]), [value])
        assert not (mask[parts == PLANT] % IGNORE).any()
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[parts == PLANT]
        vivid = lab[np.hypot(lab[:, 1], lab[:, 2]) > 15]
        nearest = np.round((np.degrees(np.arctan2(vivid[:, 2], vivid[:, 1])) - 30 - PARTS[PLANT - 1].turn) / 90) % 4
        for other in range(1, 5):
            (beside if other == value else elsewhere).append((nearest == other - 1).sum() > 100)
    assert np.mean(beside) == pytest.approx(creatures.BESIDE, abs=0.1)
    assert np.mean(elsewhere) == pytest.approx(creatures.ELSEWHERE, abs=0.06)


def test_the_head_tells_most_and_the_plant_least():
    """What could be learned with all but one part erased: a linear classifier on the amounts of hues."""
    numbers = np.arange(200)
    classes, drawn = numbers % 4, []
    for number in numbers:
        image, _, parts = render(np.random.default_rng([9, number]), [1 + classes[number]])
        drawn.append(hues(image, parts))
    loss, accuracy = [], []
    for x in np.array(drawn).swapaxes(0, 1):
        classifier = LogisticRegression(C=10, max_iter=1000).fit(x[:100], classes[:100])
        p = classifier.predict_proba(x[100:])
        loss.append(-np.log(p[np.arange(len(p)), classes[100:]]).mean())
        accuracy.append((p.argmax(axis=1) == classes[100:]).mean())
    head, body, limbs, plant, _ = loss
    assert 10 * head < min(body, limbs) and 1.5 * max(body, limbs) < plant, loss
    assert min(accuracy[:3]) > 0.6 and 0.4 < accuracy[3] < 0.7 and accuracy[4] < 0.4, accuracy


def hues(image, parts):
    """5 x 36: how far pixels are in 12 directions of hue, summed over the bare ground and one part, or no part."""
    lab = cv2.cvtColor(cv2.blur(image, (3, 3)).astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    angle = np.arange(12) * np.pi / 6
    along = lab[..., 1:].reshape(-1, 2) @ np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    along = np.concatenate([np.maximum(0, along - start) for start in (0, 10, 25)], axis=1)
    kept = [((parts == 0) | (parts == number)).astype(np.uint8) for number in (1, 2, 3, PLANT, None)]
    kept = [cv2.erode(mask, np.ones((5, 5))) for mask in kept]  # blur carries colour beyond its part
    return np.array(kept, np.float32).reshape(len(kept), -1) @ along / parts.size
