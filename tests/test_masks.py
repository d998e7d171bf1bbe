"""S from F and B: the three kinds of ignored pixels, and the indoor threshold."""

import cv2
import numpy as np
import pytest

from aepsl import experiments
from aepsl.images import read_indexed, write_grey
from aepsl.stages import masks


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
    experiment = dict(experiments.load("demo"), classes=["cat", "dog"])
    experiment["background"] = dict(threshold=0.12, indoor_threshold=0.06, indoor_classes=indoor)
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
