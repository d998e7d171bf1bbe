"""Background cues: the stage that writes maps."""

import errno
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from aepsl.base import doors, files
from aepsl.base.errors import InputError
from aepsl.images import pictures
from aepsl.run import inputs
from aepsl.saliency.detectors import rbd
from aepsl.saliency.drfi import model as drfi
from aepsl.settings import experiments
from aepsl.stages import saliency
from test_rbd import picture

IDS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def data(tmp_path):
    """A data set of five pictures; image 'c' is upright."""
    root = tmp_path / "data"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train_aug.txt").write_text("\n".join(IDS) + "\n")
    for seed, image_id in enumerate(IDS):
        size = {"height": 160, "width": 120} if image_id == "c" else {}
        cv2.imwrite(str(root / "JPEGImages" / f"{image_id}.jpg"), picture(seed, clutter=12, **size)[0])
    return str(root)


@pytest.fixture
def maps(tmp_path):
    """Precomputed maps of `data`: 8-bit PNG, 16-bit PNG, grey JPEG, JPEG and PNG with three equal channels."""
    folder = tmp_path / "maps"
    folder.mkdir()
    ramp = np.tile(np.linspace(40, 200, 160), (120, 1)).astype(np.uint8)
    cv2.imwrite(str(folder / "a.png"), ramp)
    cv2.imwrite(str(folder / "b.png"), ramp.astype(np.uint16) * 100)
    cv2.imwrite(str(folder / "c.jpg"), np.ascontiguousarray(ramp.T))
    cv2.imwrite(str(folder / "d.jpg"), np.stack([ramp] * 3, axis=-1))
    cv2.imwrite(str(folder / "e.png"), np.stack([ramp] * 3, axis=-1))
    return str(folder)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.mark.parametrize("detector", ["drfi", "rbd"])
def test_run_writes_each_map_at_its_images_size(detector, data, tmp_path):
    draw = drfi.load(drfi.MODEL).saliency if detector == "drfi" else rbd.saliency
    saliency.run(data, "train_aug", str(tmp_path / "out"), detector)
    for image_id in IDS:
        image = cv2.imread(os.path.join(data, "JPEGImages", image_id + ".jpg"))
        with Image.open(str(tmp_path / "out" / f"{image_id}.png")) as png:
            assert png.mode == "L"
            values = np.array(png)
        np.testing.assert_array_equal(values, np.rint(draw(image) * 255))
    assert sorted(written(tmp_path / "out")) == sorted([f"{i}.png" for i in IDS] + ["made_of.json"])


@pytest.mark.parametrize("detector", ["drfi", "rbd"])
def test_shards_and_resumed_runs_write_the_same_bytes(detector, data, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    saliency.run(data, "train_aug", str(whole), detector)
    command = [sys.executable, "-m", "aepsl", "saliency", "--data", data, "--list", "train_aug"]
    command += ["--out", str(parts), "--detector", detector]
    for part in "2/2", "1/2":
        done = subprocess.run([*command, "--shard", part], stderr=subprocess.PIPE)
        assert done.returncode == 0 and done.stderr == b""  # quiet off a terminal
    assert written(parts) == written(whole)

    saliency.run(data, "train_aug", str(parts), detector, word="word")
    before = (parts / "a.png").stat().st_mtime_ns
    (parts / "b.png").unlink()
    (parts / "d.png").write_bytes(written(whole)["d.png"][:200])
    saliency.run(data, "train_aug", str(parts), detector, word="word")
    maps = {name: content for name, content in written(parts).items() if name != "made_of.json"}
    assert maps == {name: content for name, content in written(whole).items() if name != "made_of.json"}
    assert (parts / "a.png").stat().st_mtime_ns == before


def test_precomputed_maps_are_stretched_to_0_and_1(data, maps, tmp_path):
    out = tmp_path / "out"
    saliency.run(data, "train_aug", str(out), maps=maps)
    ramp = np.tile(np.linspace(40, 200, 160), (120, 1)).astype(np.uint8)
    expected = np.rint((ramp - 40.0) / 160 * 255)
    for image_id, tolerance in zip(IDS, [0, 0, 3, 3, 0]):  # JPEG is not exact
        values = np.array(Image.open(str(out / f"{image_id}.png"))).astype(float)
        values = values.T if image_id == "c" else values
        assert values.min() == 0 and values.max() == 255
        assert np.abs(values - expected).max() <= tolerance


def test_a_constant_precomputed_map_is_background(data, maps, tmp_path):
    cv2.imwrite(os.path.join(maps, "a.png"), np.full((120, 160), 255, np.uint8))
    saliency.run(data, "train_aug", str(tmp_path / "out"), maps=maps)
    assert not np.array(Image.open(str(tmp_path / "out" / "a.png"))).any()


def shrink(folder):
    cv2.imwrite(os.path.join(folder, "e.png"), np.zeros((120, 159), np.uint8))


def turn(folder):
    cv2.imwrite(os.path.join(folder, "c.jpg"), np.zeros((120, 160), np.uint8))


def colour(folder):
    cv2.imwrite(os.path.join(folder, "e.png"), picture()[0])


def remove(folder):
    os.unlink(os.path.join(folder, "d.jpg"))


def cut(folder):
    path = os.path.join(folder, "d.jpg")
    os.truncate(path, os.path.getsize(path) // 2)


def spoil(folder):
    with open(os.path.join(folder, "e.png"), "w") as file:
        file.write("not a picture")


@pytest.mark.parametrize(
    "damage, message",
    [
        (shrink, r"e\.png: is 159 x 120, its image 160 x 120; compute the map"),
        (turn, r"c\.jpg: is 160 x 120, its image 120 x 160; compute the map"),
        (colour, r"e\.png: has colours"),
        (remove, r"holds no d\.png or \.jpg"),
        (shutil.rmtree, r"maps: no such folder; name another"),
        (cut, r"d\.jpg: cannot be decoded"),
        (spoil, r"e\.png: cannot be decoded"),
    ],
)
def test_a_bad_precomputed_map_is_named_and_nothing_is_written(damage, message, data, maps, tmp_path):
    damage(maps)
    with pytest.raises(InputError, match=message) as error:
        saliency.run(data, "train_aug", str(tmp_path / "out"), maps=maps)
    assert "\n" not in str(error.value)
    assert written(tmp_path / "out") == {}


def test_a_bad_image_ends_the_command_with_one_line(data, tmp_path):
    path = os.path.join(data, "JPEGImages", "e.jpg")
    with open(path, "w") as file:
        file.write("not a picture")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "aepsl", "saliency", "--data", data, "--list", "train_aug", "--out", str(out)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"error: {path}: cannot be decoded")
    assert written(out) == {}


def test_maps_of_two_kinds_do_not_mix(data, maps, tmp_path):
    """Maps that were made in another way are removed before the first new one is written."""
    out = tmp_path / "out"
    saliency.run(data, "train_aug", str(out), "rbd", word="rbd")
    saliency.run(data, "train_aug", str(out), "rbd", maps, "1/5", word="maps")
    assert sorted(written(out)) == ["a.png", "made_of.json"]
    saliency.run(data, "train_aug", str(out), "rbd", maps, word="maps")
    saliency.run(data, "train_aug", str(tmp_path / "anew"), "rbd", maps, word="maps")
    assert written(out) == written(tmp_path / "anew")


def test_by_hand_maps_are_made_anew_but_for_those_of_other_shares(data, maps, tmp_path):
    """Also if they are whole; a share makes only its own anew."""
    out, drawn, given = tmp_path / "out", tmp_path / "drawn", tmp_path / "given"
    for folder, source in ((out, None), (drawn, None), (given, maps)):
        saliency.run(data, "train_aug", str(folder), "rbd", source)
    saliency.run(data, "train_aug", str(out), "rbd", maps, "1/5")
    assert written(out) == {**written(drawn), "a.png": written(given)["a.png"]}
    saliency.run(data, "train_aug", str(out), "rbd", maps)
    assert written(out) == written(given)


def test_what_a_detectors_maps_are_made_of(small_set, tmp_path, monkeypatch):
    """Its constants, its model's file, the true masks: a run's stage of saliency names them as `detector`."""
    model = tmp_path / "drfi.npz"
    shutil.copy(drfi.MODEL, model)
    monkeypatch.setitem(doors.load(doors.DETECTORS, "drfi").INPUTS, "drfi", str(model))
    cats = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})

    def changed():
        """The detectors whose maps are to be made anew since the last call."""
        new = {}
        for name in ("rbd", "drfi", "truth"):
            experiment = experiments.changed(cats, {"background.detector": name})
            new[name] = inputs.contents_of(experiment, str(small_set), None, None)["detector"]
        found = [name for name in new if new[name] != before.get(name)]
        before.update(new)
        return found

    before = {}
    assert changed() == ["rbd", "drfi", "truth"] and changed() == []
    monkeypatch.setattr(rbd, "MU", 0.2)
    assert changed() == ["rbd"]
    monkeypatch.setitem(drfi.SHARES, 0.06, 0.4)
    assert changed() == ["drfi"]
    model.write_bytes(b"another")
    assert changed() == ["drfi"]
    mask = f"{small_set}/SegmentationClassAug/image1.png"
    pictures.write_mask(mask, np.zeros_like(pictures.read_indexed(mask)))
    assert changed() == ["truth"]


def test_maps_that_nothing_vouches_for_stay_and_are_told(data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.png").write_text("a picture of the user's")
    with pytest.raises(InputError, match=r"mine\.png: nothing says what it was made of .* remove it, or name another"):
        saliency.run(data, "train_aug", str(tmp_path / "out"))
    assert (tmp_path / "out/mine.png").exists()


def test_an_interrupted_write_leaves_no_map(data, tmp_path, monkeypatch):
    def full_disk(path, content, flushed):
        with files.written_whole(path, flushed) as beside, open(beside, "wb") as file:
            file.write(content[:20].tobytes())
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pictures, "write_bytes", full_disk)
    with pytest.raises(InputError, match="out: the disk is full"):
        saliency.run(data, "train_aug", str(tmp_path / "out"))
    assert sorted(written(tmp_path / "out")) == ["made_of.json"]
