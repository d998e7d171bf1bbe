"""CAM, thresholds and merging, against their definitions."""

import dataclasses
import glob
import os

import caffe
import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.data.regions import packed, unpacked
from aepsl.images.pictures import read_indexed
from aepsl.nets import build, caffemodel
from aepsl.nets.geometry import Cells
from aepsl.nets.whole_image import ClassificationNet, grown, padded
from aepsl.settings import experiments
from aepsl.stages import mine


@pytest.fixture
def demo():
    """The demo's experiment for the classes of small_set, with the net's weights as the fillers give them."""
    return experiments.load("demo")


@pytest.fixture
def model(tmp_path, demo):
    caffe.set_random_seed(3)
    net = caffemodel.net_of(build.deploy_net(demo, "classification"))
    weights = net.params["fc8_cls"][0].data
    weights[...] = np.abs(weights)  # features are not negative, so every map has a positive maximum
    path = str(tmp_path / "model.caffemodel")
    net.save(path)
    return path


@pytest.mark.parametrize("height, width", [(1, 1), (9, 9), (30, 41), (64, 65), (375, 500)])
def test_padded_sides_are_8k_1_and_no_longer_than_needed(height, width):
    for side in (height, width):
        assert padded(side) % 8 == 1 and 0 <= padded(side) - side < 8


def test_grown_is_bilinear_between_cells_eight_pixels_apart(rng):
    maps = rng.rand(2, 4, 5).astype(np.float32)
    result = grown(maps, Cells((0, 0), (8, 8)), (25, 33))
    np.testing.assert_allclose(result[:, ::8, ::8], maps, rtol=1e-6)
    for y, x in [(3, 5), (11, 30), (24, 1)]:
        top, left = min(y // 8, 2), min(x // 8, 3)
        a, b = y / 8 - top, x / 8 - left
        corners = maps[:, top : top + 2, left : left + 2]
        expected = corners[:, 0, 0] * (1 - a) * (1 - b) + corners[:, 0, 1] * (1 - a) * b
        expected += corners[:, 1, 0] * a * (1 - b) + corners[:, 1, 1] * a * b
        np.testing.assert_allclose(result[:, y, x], expected, rtol=1e-5)


def test_the_mean_of_a_cam_is_the_class_score(demo, model, rng):
    """By the definition of CAM, its mean over the cells and the bias make the score. Dropout is off."""
    net = ClassificationNet(demo, model)
    image = rng.randint(0, 256, (100, 132, 3)).astype(np.uint8)
    net.cam(image, np.array([0, 2]))
    features = net.net.blobs["fc7"].data[0]
    weights, bias = (net.net.params["fc8_cls"][k].data for k in (0, 1))
    cells = np.tensordot(weights, features, axes=1)
    np.testing.assert_allclose(cells.mean(axis=(1, 2)) + bias, net.net.blobs["fc8_cls"].data[0], rtol=1e-3, atol=1e-5)


def test_cam_sees_the_erased_image(demo, model, rng):
    """A CAM with a region erased is the CAM of the image painted with the mean there."""
    net = ClassificationNet(demo, model)
    image = rng.randint(0, 256, (96, 96, 3)).astype(np.uint8)
    erased = np.zeros((96, 96), np.uint16)
    erased[20:60, 30:70] = 1
    net.mean, net.scale = np.float32([100, 110, 120]), 1
    painted = image.copy()
    painted[erased > 0] = [100, 110, 120]
    ours = net.cam(image, np.array([1]), erased)
    np.testing.assert_allclose(ours, net.cam(painted, np.array([1])), rtol=1e-4, atol=1e-5)
    assert not np.allclose(ours, net.cam(image, np.array([1])), rtol=1e-4, atol=1e-5)


def test_thresholds(rng):
    maps = rng.randn(3, 20, 30)
    maps[2] = -np.abs(maps[2])  # no evidence at all: nothing is mined
    of_max = mine.mined(maps, {"of_max": 0.2})
    np.testing.assert_array_equal(of_max[:2], [m > 0.2 * m.max() for m in maps[:2]])
    top = mine.mined(maps, {"top_pixels": 0.2})
    for region, values in zip(top[:2], maps[:2]):
        assert region.sum() == 0.2 * 600
        assert values[region].min() > values[~region].max()
    assert not of_max[2].any() and not top[2].any()
    with pytest.raises(InputError, match="'quantile': no module of aepsl.erasing; known are of_max, top_pixels"):
        mine.mined(maps, {"quantile": 0.2})


def test_packed_regions_come_back(rng):
    regions = rng.rand(16, 5, 7) > 0.5
    np.testing.assert_array_equal(unpacked(packed(regions), 16), regions)
    with pytest.raises(InputError, match="17 labels"):
        packed(np.ones((17, 2, 2), bool))


@pytest.fixture
def two_steps(small_set, demo, model, tmp_path):
    """Regions of two steps in any number of shards: mined(shards) gives the two folders; mining: settings."""
    (small_set / "classes.txt").write_text("cat\ndog\na\nb\n")
    demo = experiments.changed(demo, {"classes": ["cat", "dog", "a", "b"]})

    def run(shards, **mining):
        experiment = dataclasses.replace(demo, mining=dataclasses.replace(demo.mining, **mining))
        folders = [str(tmp_path / f"{shards}" / f"step{t}") for t in (1, 2)]
        for before, out in zip([None, folders[0]], folders):
            for k in range(1, shards + 1):
                mine.run(experiment, str(small_set), model, out, before=before, part=f"{k}/{shards}", word="word")
        return folders

    return run


def test_regions_only_grow_and_shards_do_not_matter(two_steps, capsys):
    whole, sharded = two_steps(1), two_steps(3)
    for k in range(6):
        first, second = (read_indexed(f"{folder}/image{k}.png") for folder in whole)
        assert first.any()
        np.testing.assert_array_equal(first & second, first)
        np.testing.assert_array_equal(second, read_indexed(f"{sharded[1]}/image{k}.png"))
    printed = capsys.readouterr()
    assert "of the images is erased so far" in printed.out


def test_shares_without_images_say_nothing_that_is_none(two_steps, demo, model, small_set, tmp_path, capsys):
    """Six images in nine shares; by hand a line says that there is nothing to make."""
    whole, sharded = two_steps(1), two_steps(9)
    printed = capsys.readouterr()
    assert printed.out.count("is erased so far") == 2 + 2 * 6 and "nan" not in printed.out + printed.err
    for k in range(6):
        np.testing.assert_array_equal(*(read_indexed(f"{each[1]}/image{k}.png") for each in (whole, sharded)))
    assert "nothing to make" not in printed.err
    experiment = experiments.changed(demo, {"classes": ["cat", "dog", "a", "b"]})
    mine.run(experiment, str(small_set), model, str(tmp_path / "own"), part="9/9")
    assert "own: nothing to make: there are fewer images than shares of them" in capsys.readouterr().err


def test_maps_of_the_shown_images_are_kept_beside_the_regions(two_steps):
    """The mined region is where the map is above the threshold; what is missing is made again, and nothing else."""
    folder = two_steps(3)[0]
    experiment = experiments.load("demo")
    for image_id in mine.shown(experiment, [f"image{k}" for k in range(6)]):
        heat, region = (read_indexed(f"{folder}/{name}.png") for name in (f"heat/{image_id}", image_id))
        assert heat.dtype == np.uint8 and heat.max() == 255
        np.testing.assert_array_equal(region[heat > 255 * 0.8 + 1] > 0, True)
        np.testing.assert_array_equal(region[heat < 255 * 0.8 - 1], 0)
    files = {name: os.stat(name).st_mtime_ns for name in glob.glob(f"{folder}/**/*.png", recursive=True)}
    content = read_indexed(f"{folder}/heat/image1.png")
    os.unlink(f"{folder}/heat/image1.png")
    two_steps(3)
    np.testing.assert_array_equal(read_indexed(f"{folder}/heat/image1.png"), content)
    changed = [name for name, time in files.items() if os.stat(name).st_mtime_ns != time]
    assert changed == [f"{folder}/heat/image1.png"]


def test_few_images_are_shown_by_the_seed():
    ids = [f"i{k}" for k in range(1000)]
    demo = experiments.load("demo")
    chosen = [mine.shown(experiments.changed(demo, {"seed.report": seed}), ids) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2] and len(set(chosen[0])) == mine.SHOWN


def test_over_erasing_is_said(two_steps, capsys):
    two_steps(1, threshold={"of_max": -10})
    warnings = capsys.readouterr().err
    assert "more than 40% is erased" in warnings and "more than 70% is erased" in warnings
