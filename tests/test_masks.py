"""S from F and B: the three kinds of ignored pixels, and the indoor threshold."""

import re

import cv2
import numpy as np
import pytest
from PIL import Image

from aepsl.base.errors import InputError
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.settings import experiments
from aepsl.stages import evaluate_regions, masks


def test_every_combination_of_regions_and_background():
    """One pixel for each of the eight ways in which two regions and B can meet."""
    combination = np.arange(8).reshape(2, 4)
    first, second, background = ((combination >> bit & 1).astype(bool) for bit in range(3))
    S = masks.mask(np.stack([first, second]), [3, 15], background)
    expected = {(0, 0, 0): 255, (1, 0, 0): 3, (0, 1, 0): 15, (1, 1, 0): 255, (0, 0, 1): 0}
    for index in np.ndindex(2, 4):
        key = (int(first[index]), int(second[index]), int(background[index]))
        assert S[index] == expected.get(key, 255), key


@pytest.mark.parametrize("indoor, expected", [([], [0, 0, 255]), (["dog"], [0, 255, 255])])
def test_background_threshold_depends_on_indoor_labels(small_set, tmp_path, indoor, expected):
    """Saliency .04, .08 and .16 against .12, or .06 for images that have an indoor label."""
    background = dict(threshold=0.12, indoor_threshold=0.06, indoor_classes=indoor)
    changes = {"classes": ["cat", "dog"], "background": background}
    experiment = experiments.changed(experiments.load("demo"), changes)
    for k in range(6):
        height, width = cv2.imread(str(small_set / f"JPEGImages/image{k}.jpg")).shape[:2]
        saliency = np.full((height, width), 255, np.uint8)
        saliency[0, :3] = [10, 20, 41]
        write_grey(f"{tmp_path}/saliency/image{k}.png", saliency)
        write_grey(f"{tmp_path}/regions/image{k}.png", np.zeros((height, width), np.uint16))
    folders = [str(tmp_path / name) for name in ("regions", "saliency", "masks")]
    masks.run(experiment, str(small_set), *folders)
    assert read_indexed(f"{folders[2]}/image1.png")[0, :3].tolist() == expected  # a dog
    assert read_indexed(f"{folders[2]}/image0.png")[0, :3].tolist() == [0, 0, 255]  # a cat
    assert (read_indexed(f"{folders[2]}/image1.png")[1:] == 255).all()


@pytest.mark.parametrize("faulty", ["regions", "saliency"])
def test_what_has_not_its_images_size_is_named(small_set, tmp_path, faulty):
    """Not the other of the two, nor the true mask."""
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})
    for k in range(6):
        height, width = cv2.imread(str(small_set / f"JPEGImages/image{k}.jpg")).shape[:2]
        for name, kind in (("saliency", np.uint8), ("regions", np.uint16)):
            shape = (5, 7) if faulty == name and k == 3 else (height, width)
            write_grey(f"{tmp_path}/{name}/image{k}.png", np.zeros(shape, kind))
    folders = {name: str(tmp_path / name) for name in ("regions", "saliency")}
    calls = [lambda: masks.run(experiment, str(small_set), **folders, out=str(tmp_path / "masks"))]
    if faulty == "regions":
        calls.append(lambda: evaluate_regions.run(experiment, str(small_set), f"{tmp_path}/a.json", folders["regions"]))
    for call in calls:
        with pytest.raises(InputError, match=f"{faulty}/image3.png: is 7 x 5, its image .*; make it anew"):
            call()


def wrong(path, case):
    """A file in another form than the stage before writes it, of the same size."""
    array = read_indexed(path)
    if case == "16 bits":
        write_grey(path, array.astype(np.uint16) * 257)
    elif case == "8 bits":
        write_grey(path, (array > 0).astype(np.uint8))
    elif case == "palette":
        write_mask(path, array.astype(np.uint8))
    elif case == "one bit":
        Image.fromarray(array > 0).save(path)
    else:  # a region of a third label
        write_grey(path, array | np.uint16(4))


@pytest.mark.parametrize(
    "folder, case, message",
    [
        ("saliency", "16 bits", "image1.png: is not an 8-bit grey PNG; `aepsl saliency --maps` converts"),
        ("saliency", "one bit", "image1.png: is not an 8-bit grey PNG"),
        ("saliency", "palette", "image1.png: is not an 8-bit grey PNG"),
        ("regions", "8 bits", "image1.png: has 8 bits, and mined regions have 16"),
        ("regions", "palette", "image1.png: has 8 bits"),
        ("regions", "a third label", "image1.png: has regions of more labels than the image's"),
    ],
)
def test_values_that_mean_something_else_are_refused(small_set, tmp_path, folder, case, message):
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})
    for k in range(6):
        height, width = cv2.imread(str(small_set / f"JPEGImages/image{k}.jpg")).shape[:2]
        write_grey(f"{tmp_path}/saliency/image{k}.png", np.full((height, width), 20, np.uint8))
        write_grey(f"{tmp_path}/regions/image{k}.png", np.zeros((height, width), np.uint16))
    folders = [str(tmp_path / name) for name in ("regions", "saliency", "masks")]
    wrong(f"{tmp_path}/{folder}/image1.png", case)
    calls = [lambda: masks.run(experiment, str(small_set), *folders)]
    if folder == "regions":
        out = f"{tmp_path}/out.json"
        calls.append(lambda: evaluate_regions.run(experiment, str(small_set), out, regions=folders[0]))
    for call in calls:
        with pytest.raises(InputError, match=re.escape(message)):
            call()
