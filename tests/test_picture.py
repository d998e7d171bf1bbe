"""The picture of a finished run."""

import dataclasses

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from aepsl.base.errors import InputError
from aepsl.base.files import write_json
from aepsl.data.dataset import Dataset
from aepsl.graph import run_folder
from aepsl.images.pictures import palette, read_image, write_grey, write_mask
from aepsl.report.pictures import Album, Picture
from aepsl.settings import experiments
from aepsl.tools import picture

MEAN = (123, 117, 104)  # RGB, of the pixels that are erased
SHOWN = "image4"  # a dog alone, of which each step erases enough
ERASED = {  # rows of 100 that each step erases of the training images
    "image0": (10, 20, 21),  # the third step takes too little
    "image2": (10, 30, 60),  # a cat and a dog
    SHOWN: (10, 30, 60),
    **{f"image{k}": (0, 0, 0) for k in (1, 3, 5)},
}


@pytest.fixture
def experiment(small_set, tmp_path, monkeypatch):
    """Settings of a run of three steps that is finished; images are 80 x 100 pixels."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path / "runs"))
    demo = dataclasses.replace(experiments.load("demo"), name="small")
    own = dict(synthetic=None, classes=["cat", "dog"], background=dict(indoor_classes=[]))
    experiment = experiments.changed(demo, own)
    folder = run_folder.RunFolder("small")
    random = np.random.RandomState(1)
    for k in range(6):
        image = random.randint(150, 256, (100, 80, 3)).astype(np.uint8)  # brighter than what is erased
        cv2.imwrite(str(small_set / "JPEGImages" / f"image{k}.jpg"), image)
        truth = np.zeros((100, 80), np.uint8)
        truth[:50] = 1
        write_mask(str(small_set / "SegmentationClassAug" / f"image{k}.png"), truth)
    for name, rows in ERASED.items():
        for t, count in enumerate(rows, 1):
            bits = np.zeros((100, 80), np.uint16)
            bits[:count] = 1
            write_grey(f"{folder.regions(t)}/{name}.png", bits)
        for step, count in ((1, 20), (3, 60)):
            S = np.full((100, 80), 255, np.uint8)
            S[:count], S[80:] = 2, 0
            write_mask(f"{folder.masks(step)}/{name}.png", S)
    for k in range(3):
        for row, count in (("psl", 30), ("ae_step1", 10)):
            result = np.zeros((100, 80), np.uint8)
            result[:count] = 2
            write_mask(f"{folder.segmented('val', row)}/crf/image{k}.png", result)
    write_json(folder.results, {})
    return experiment


def shares(path, colour):
    """How much of each picture has a colour: 2 rows x 5 columns, of which a picture fills most."""
    image = read_image(path)[:, :, ::-1]
    cells = [np.array_split(row, 5, axis=1) for row in np.array_split((image == colour).all(axis=2), 2)]
    return np.array([[cell.mean() for cell in row] for row in cells])


def test_what_is_erased_what_is_learnt_and_what_comes_of_it(experiment, small_set, tmp_path):
    out = str(tmp_path / "run.png")
    picture.run(experiment, out, data=str(small_set))
    erased = shares(out, MEAN)
    assert erased[0, 0] == erased[0, 4] == 0
    assert erased[0, 1:4] / erased[0, 3] == pytest.approx([10 / 60, 30 / 60, 1], abs=0.02)
    dogs, cats = shares(out, palette()[2]), shares(out, palette()[1])
    assert dogs[0, 4] == pytest.approx(erased[0, 3], rel=0.02)  # S: 60 rows of dog
    assert dogs[1, 1] / dogs[0, 4] == pytest.approx(30 / 60, abs=0.02)  # the result
    assert cats[1, 2] / dogs[0, 4] == pytest.approx(50 / 60, abs=0.02)  # the truth
    assert shares(out, palette()[255]).sum() == 0  # what is ignored is white
    before = read_image(out)
    picture.run(experiment, out, data=str(small_set))
    assert (read_image(out) == before).all()


def test_a_calibration_learns_from_the_true_masks(experiment, small_set):
    own = experiments.changed(experiment, {"rows": ["calibration"]})
    *_, mask = picture.of_training(Album(own, Dataset(str(small_set), own.classes)), SHOWN, "calibration")
    assert (mask.pixels[:50] == 1).all() and not mask.pixels[50:].any()


def test_pixels_that_are_not_erased_stay(experiment, small_set):
    dataset = Dataset(str(small_set), experiment.classes)
    pictures = [each.pixels for each in picture.of_training(Album(experiment, dataset), SHOWN, "psl")]
    image = dataset.image(SHOWN)[:, :, ::-1]
    for t, count in enumerate(ERASED[SHOWN], 1):
        assert (pictures[t][:count] == MEAN).all()
        assert (pictures[t][count:] == image[count:]).all()


def test_which_images_are_drawn(experiment, small_set):
    """Unasked one of a single label of which every step erases much; of val the one most like it."""
    dataset = Dataset(str(small_set), experiment.classes)
    album = Album(experiment, dataset)
    assert picture.first_shown(album) == SHOWN
    image, *_ = picture.of_val(album, "image5", "psl")  # a dog, as image1 of val
    assert (image.pixels == dataset.image("image1")[:, :, ::-1]).all()


def test_another_image_and_row(experiment, small_set, tmp_path):
    out = str(tmp_path / "run.png")
    picture.run(experiment, out, "image0", "ae_step1", data=str(small_set))
    erased, dogs = shares(out, MEAN), shares(out, palette()[2])
    assert erased[0, 1:4] / erased[0, 3] == pytest.approx([10 / 21, 20 / 21, 1], abs=0.03)
    assert dogs[0, 4] / erased[0, 3] == pytest.approx(20 / 21, abs=0.03)
    assert dogs[1, 1] / erased[0, 3] == pytest.approx(10 / 21, abs=0.03)


def test_what_cannot_be_drawn_is_one_line(experiment, small_set, tmp_path, monkeypatch):
    out, data = str(tmp_path / "run.png"), str(small_set)
    with pytest.raises(InputError, match="psl3: not in `rows` of small; --row takes ae_step1, "):
        picture.run(experiment, out, row="psl3", data=data)
    for name in ("image9", "image0.jpg", "../image0", "val_0"):
        with pytest.raises(InputError, match="is no training image of small; those are image0, image1, image2"):
            picture.run(experiment, out, name, data=data)
    monkeypatch.setattr(picture, "ENOUGH", 0.5)
    with pytest.raises(InputError, match="loses 50% in each step; name one with --id"):
        picture.run(experiment, out, data=data)
    (tmp_path / f"runs/small/masks/ae_step3/{SHOWN}.png").unlink()
    with pytest.raises(InputError, match="the run has no picture 'its mask S' any more"):
        picture.run(experiment, out, SHOWN, data=data)
    (tmp_path / "runs/small/results.json").unlink()
    with pytest.raises(InputError, match="results.json: no such file; `aepsl run small` ends with it"):
        picture.run(experiment, out, data=data)
    assert not (tmp_path / "run.png").exists()


def test_class_names_of_any_letters_are_in_the_legend(tmp_path, monkeypatch):
    """$ is no mathematics, _ in front hides nothing, and a letter that the font lacks makes no empty box."""
    names, seen = {0: "background", 1: "cost $^$", 2: "_hidden", 3: "\u732b"}, []
    legend = Axes.legend
    monkeypatch.setattr(Axes, "legend", lambda *given, **options: seen.append(legend(*given, **options)))
    shown = Picture("masks", np.arange(4, dtype=np.uint8).reshape(2, 2), "")
    picture.draw(str(tmp_path / "out.png"), [shown], [shown], names)
    texts = [text.get_text() for text in seen[0].get_texts()]
    assert texts == ["background", r"cost \$^\$", " _hidden", "class 3"]
    assert cv2.imread(str(tmp_path / "out.png")) is not None
