"""Saliency maps, predictions and weights that are sound files and mean something else: a line with figures says so."""

import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from aepsl.base.errors import InputError
from aepsl.data import meaning
from aepsl.data.dataset import Dataset
from aepsl.evaluation import evaluate
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.run import checked
from aepsl.saliency.maps import maps
from aepsl.stages import mine, saliency, segment
from aepsl.tools import compare, infer

CLASSES = ["cat", "dog", "emu", "fox", "gnu", "hen", "ibis", "jay"]
COUNT, HEIGHT, WIDTH = 30, 48, 64


def said(call, expected, capsys):
    """`call` ends as expected: None is silence, a text one of the one line of an error, a tuple texts of a warning."""
    if isinstance(expected, str):
        with pytest.raises(InputError) as error:
            call()
        assert expected in str(error.value) and "\n" not in str(error.value)
        return
    call()
    line = capsys.readouterr().err
    assert line.startswith("warning: ") == bool(expected) and line.count("\n") == bool(expected)
    assert all(text in line for text in expected or ())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data set of COUNT images of val with true masks: an object of one class, and a second one in some."""
    root, rng = tmp_path_factory.mktemp("meaning") / "data", np.random.RandomState(5)
    for folder in ("JPEGImages", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "ImageSets/Segmentation/val.txt").write_text("".join(f"i{k}\n" for k in range(COUNT)))
    for k in range(COUNT):
        cv2.imwrite(f"{root}/JPEGImages/i{k}.jpg", rng.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for value in (k % 8 + 1, (3 * k + 5) % 8 + 1)[: 1 + k % 2]:
            x, y = rng.randint(16, WIDTH - 16), rng.randint(12, HEIGHT - 12)
            cv2.ellipse(mask, (x, y), (12, 9), rng.randint(180), 0, 360, value, -1)
        write_mask(f"{root}/SegmentationClass/i{k}.png", mask)
    return str(root)


def truth(root, k):
    return read_indexed(f"{root}/SegmentationClass/i{k}.png")


# --- Saliency maps ---------------------------------------------------------------------------------------------------


def drawn(mask):
    """A map as a detector draws it: bright where the object is, with a soft border, on a ground that is not black."""
    noise = np.random.RandomState(int(mask.sum()) % 1000).rand(*mask.shape) * 30
    return np.uint8(cv2.GaussianBlur(np.where(mask > 0, 180, 20).astype(np.float32), (9, 9), 3) + noise)


def black_but(count):
    return lambda path, grey, k: cv2.imwrite(path, grey if k < count else 0 * grey)


def transparent(path, grey, k):
    Image.fromarray(np.dstack([0 * grey] * 3 + [grey])).save(path)


def palette_of(colour):
    def write(path, grey, k):
        image = Image.fromarray(grey).convert("P")
        image.putpalette([value for grey in range(256) for value in colour(grey)])
        image.save(path)

    return write


MAPS = {  # write(path, the grey map, its number), and what is said with true masks, and without
    "as they are": (lambda path, grey, k: cv2.imwrite(path, grey), None, None),
    "of 12 bits in 16": (lambda path, grey, k: cv2.imwrite(path, np.uint16(grey) * 16), None, None),
    "of opaque colours": (
        lambda path, grey, k: Image.fromarray(np.dstack([grey] * 3 + [0 * grey + 255])).save(path),
        None,
        None,
    ),
    "weak": (lambda path, grey, k: cv2.imwrite(path, grey // 8), None, None),
    "black": (black_but(0), *["30 of 30 (i0, i1, i2, ...) are saliency maps of one value throughout"] * 2),
    "white": (lambda path, grey, k: cv2.imwrite(path, 0 * grey + 255), *["are saliency maps of one value through"] * 2),
    "most black": (black_but(10), *["20 of 30 (i10, i11, i12, ...) are saliency maps of one value"] * 2),
    "some black": (black_but(27), *[("3 of 30 (i27, i28, i29) are saliency maps of one value",)] * 2),
    "one black": (black_but(29), None, None),
    "inverted": (
        lambda path, grey, k: cv2.imwrite(path, 255 - grey),
        "darker than the rest, in 30 maps: they are inverted",
        ("30 of 30 (i0, i1, i2, ...) are saliency maps with a border brighter than their middle: are they inverted?",),
    ),
    "inverted, of 16 bits": (
        lambda path, grey, k: cv2.imwrite(path, 65535 - 257 * np.uint16(grey)),
        "they are inverted; give maps in which objects are bright",
        ("are they inverted?",),
    ),
    "in the transparency": (transparent, *["i0.png: is transparent in some places, and may hold the map there"] * 2),
    "grey and transparency": (
        lambda path, grey, k: Image.fromarray(np.dstack([grey, grey])).save(path),
        *["i0.png: is transparent in some places"] * 2,
    ),
    "of two values": (
        lambda path, grey, k: cv2.imwrite(path, 255 * np.uint8(grey > 100)),
        *[("30 of 30 (i0, i1, i2, ...) are saliency maps of two values alone",)] * 2,
    ),
    "of the image before": (
        lambda path, grey, k: cv2.imwrite(path.replace(f"i{k}.", f"i{(k + 1) % COUNT}."), np.roll(grey, 32, axis=1)),
        ("in 30 maps: they tell little of the objects; are they maps of these very images?",),
        None,
    ),
    "of half the resolution": (
        lambda path, grey, k: cv2.imwrite(path, grey[::2, ::2]),
        *["i0.png: is 32 x 24, its image 64 x 48; compute the map on this very image, at its full size"] * 2,
    ),
    "0 ... 1, rounded": (
        lambda path, grey, k: cv2.imwrite(path, np.uint8(np.rint(grey / 255))),
        *[("saliency maps of two values alone", "before they were thresholded, or rounded to 0 and 1")] * 2,
    ),
    "0 ... 1, cut": (
        lambda path, grey, k: cv2.imwrite(path, np.uint8(grey / 255)),
        *["30 of 30 (i0, i1, i2, ...) are saliency maps of one value throughout"] * 2,
    ),
    "JPEG": (lambda path, grey, k: cv2.imwrite(path.replace(".png", ".jpg"), grey), None, None),
    "JPEG named .png": (lambda path, grey, k: Image.fromarray(grey).save(path, format="JPEG"), None, None),
    "grey palette": (palette_of(lambda grey: [grey] * 3), None, None),
    "palette of colours": (
        palette_of(lambda grey: [grey, 0, 255 - grey]),
        *["i0.png: has colours; a saliency map is grey, the brighter the more salient"] * 2,
    ),
    "PNG and JPEG": (
        lambda path, grey, k: [cv2.imwrite(path, grey), cv2.imwrite(path.replace(".png", ".jpg"), 255 - grey)],
        *["holds i0.png and .jpg, and one of the two is the map; move the other, as all such, to another folder"] * 2,
    ),
    "NumPy's files": (
        lambda path, grey, k: np.save(path.replace(".png", ""), grey),
        *["holds no i0.png or .jpg, but i0.npy; add it, or take the image from the list"] * 2,
    ),
    "other names": (
        lambda path, grey, k: cv2.imwrite(path.replace(".png", "_sal.png"), grey),
        *["holds no i0.png or .jpg, but i0_sal.png; add it"] * 2,
    ),
}


@pytest.mark.parametrize("has_truth", [True, False])
@pytest.mark.parametrize("case", MAPS)
def test_maps(root, tmp_path, case, has_truth, capsys, monkeypatch):
    write, *expected = MAPS[case]
    for k in range(COUNT):
        write(f"{tmp_path}/i{k}.png", drawn(truth(root, k)), k)
    dataset = Dataset(root)
    if not has_truth:
        monkeypatch.setattr(dataset, "truth", lambda *arguments: None)
    said(lambda: maps(str(tmp_path), dataset, dataset.ids("val")), expected[not has_truth], capsys)


def test_maps_are_looked_at_by_hand_and_by_a_runs_start_but_not_by_each_of_its_shares(root, tmp_path, monkeypatch):
    for k in range(COUNT):
        write_grey(f"{tmp_path}/maps/i{k}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    arguments = root, "val", str(tmp_path / "out"), "rbd", str(tmp_path / "maps")
    with pytest.raises(InputError, match="one value throughout"):
        saliency.run(*arguments)
    assert not (tmp_path / "out").exists()
    saliency.run(*arguments, part="1/30", word="word")
    experiment = compare.experiments.changed(
        compare.experiments.load("demo"), {"classes": CLASSES, "data.train": "val"}
    )
    monkeypatch.setattr(checked.check, "run", lambda *arguments: dict(train=COUNT, val=COUNT))
    with pytest.raises(InputError, match="one value throughout"):
        contents = dict.fromkeys((*checked.DATA, "maps"), "digest")
        checked.run(experiment, str(tmp_path / "run"), root, contents, str(tmp_path / "maps"))


def test_a_folder_of_maps_that_is_none_is_one_line(root, tmp_path):
    (tmp_path / "maps").write_text("")
    with pytest.raises(InputError, match=r"maps: no such folder; name another"):
        saliency.run(root, "val", str(tmp_path / "out"), "rbd", str(tmp_path / "maps"))


# --- Photos ----------------------------------------------------------------------------------------------------------

PHOTOS = {"dark": "30 of 30 .* images without a pixel brighter than 16", "cut": "i0.jpg: cannot be decoded; copy it"}


@pytest.mark.parametrize("command", ["segment", "mine"])
@pytest.mark.parametrize("fault", PHOTOS)
def test_photos_are_looked_at_by_hand_too(root, tmp_path, monkeypatch, fault, command):
    """Before a net is loaded; not by each share of a run, whose start has looked at all."""
    shutil.copytree(root, tmp_path / "data")
    for path in (tmp_path / "data/JPEGImages").iterdir():
        if fault == "dark":
            cv2.imwrite(str(path), cv2.imread(str(path)) // 32)
        else:
            os.truncate(path, path.stat().st_size * 3 // 4)
    changes = {"classes": CLASSES, "data.train": "val"}
    experiment = compare.experiments.changed(compare.experiments.load("demo"), changes)
    module, net = (segment, "SegmentationNet") if command == "segment" else (mine, "ClassificationNet")
    monkeypatch.setattr(module, net, lambda *arguments: pytest.fail("a net was loaded"))
    data, out = str(tmp_path / "data"), str(tmp_path / "out")
    given = [experiment, data, *["val"] * (command == "segment"), "x.caffemodel", out]
    with pytest.raises(InputError, match=PHOTOS[fault]):
        module.run(*given)
    with pytest.raises(pytest.fail.Exception, match="a net was loaded"):
        module.run(*given, word="word")
    assert not (tmp_path / "out").exists()


# --- Predictions -----------------------------------------------------------------------------------------------------


def guessed(mask):
    """A method's prediction: the object, moved."""
    return np.roll(mask, (2, 3), axis=(0, 1))


def resized(mask, scale, kind):
    small = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=kind)


def mapped(*values):
    return lambda mask, k: np.uint8(values)[mask]


PREDICTIONS = {  # the prediction of the guess, or of its number
    "as they are": (lambda mask, k: mask, None),
    "resized, nearest": (lambda mask, k: resized(mask, 0.25, cv2.INTER_NEAREST), None),
    "resized, linear": (lambda mask, k: resized(mask, 0.25, cv2.INTER_LINEAR), "resized with interpolation"),
    "resized, cubic": (lambda mask, k: np.minimum(resized(mask, 0.5, cv2.INTER_CUBIC), 8), "cv2.INTER_NEAREST"),
    "shrunk": (lambda mask, k: resized(mask, 3, cv2.INTER_LINEAR), None),  # takes every third pixel
    "shrunk, averaged": (lambda mask, k: resized(mask, 1.5, cv2.INTER_AREA), "of the borders between classes are thin"),
    "blurred": (lambda mask, k: cv2.GaussianBlur(mask, (5, 5), 1), "they were resized with interpolation, or saved"),
    "one too low": (mapped(0, 0, 1, 2, 3, 4, 5, 6, 7), "one too low, of 8 of 8 classes; mIoU is"),
    "one too low, background too": (mapped(8, 0, 1, 2, 3, 4, 5, 6, 7), "its class values seem one too low"),
    "one too high": (mapped(0, 2, 3, 4, 5, 6, 7, 8, 8), "one too high, of 7 of 8 classes"),
    "one too high, background too": (mapped(1, 2, 3, 4, 5, 6, 7, 8, 8), "one too high"),
    "two exchanged": (mapped(0, 2, 1, 3, 4, 5, 6, 7, 8), "exchanged: 'dog' for 'cat', 'cat' for 'dog'; mIoU is"),
    "three in a circle": (mapped(0, 2, 3, 1, 4, 5, 6, 7, 8), "exchanged: 'dog' for 'cat', 'emu' for 'dog', 'cat' for"),
    "in the reverse order": (mapped(0, 8, 7, 6, 5, 4, 3, 2, 1), "exchanged: 'jay' for 'cat', 'ibis' for 'dog'"),
    "one class for another": (mapped(0, 2, 2, 3, 4, 5, 6, 7, 8), None),
    "two classes missed": (mapped(0, 0, 0, 3, 4, 5, 6, 7, 8), None),
    "the truth": (lambda mask, k: np.roll(mask, (-2, -3), axis=(0, 1)), ("is the true mask at each pixel of 30",)),
    "objects alone": (lambda mask, k: np.uint8(mask > 0), ("has the class cat alone in 30 images, whose true masks",)),
    "no objects": (lambda mask, k: 0 * mask, ("has no object in 30 images, whose true masks have 8 classes",)),
    "a class and the background exchanged": (
        mapped(1, 0, 2, 3, 4, 5, 6, 7, 8),
        "'cat' for 'background', 'background' fo",
    ),
    "mirrored": (lambda mask, k: mask[:, ::-1], "if the masks are mirrored; turn them back"),
    "upside down": (lambda mask, k: mask[::-1], "have their class, and"),
    "turned": (lambda mask, k: mask[::-1, ::-1], "if the masks are turned by 180 degrees; turn them back"),
    "moved": (lambda mask, k: np.roll(mask, 5, axis=1), None),
    "noise": (lambda mask, k: np.random.RandomState(k).randint(0, 9, mask.shape).astype(np.uint8), "thin strips"),
}


@pytest.mark.parametrize("case", PREDICTIONS)
def test_predictions(root, tmp_path, case, capsys):
    """Beside others, which are guessed as well; one line is of them alone."""
    make, expected = PREDICTIONS[case]
    for k in range(COUNT):
        write_mask(f"{tmp_path}/others/i{k}.png", np.roll(truth(root, k), 1, axis=0))
        write_mask(f"{tmp_path}/theirs/i{k}.png", make(guessed(truth(root, k)), k))
    said(lambda: compare.run([f"{tmp_path}/theirs", f"{tmp_path}/others"], data=root, draws=3), expected, capsys)


ORDERS = {  # the image whose prediction image k has, and whether that is said
    "as they are": (lambda k: k, False),
    "the next image's": (lambda k: (k + 1) % COUNT, True),
    "in the reverse order": (lambda k: COUNT - 1 - k, True),
    "of one class, shuffled": (lambda k: (k + 8) % COUNT if k % 2 else k, False),
    "of few images": (lambda k: k + 1 if k < 3 else k, False),
    "drawn": (lambda k: np.random.RandomState(1).permutation(COUNT)[k], True),
}


@pytest.mark.parametrize("case", ORDERS)
def test_predictions_of_other_images(root, tmp_path, case, capsys):
    other, is_said = ORDERS[case]
    for k in range(COUNT):
        write_mask(f"{tmp_path}/others/i{k}.png", np.roll(truth(root, k), 1, axis=0))
        write_mask(f"{tmp_path}/theirs/i{k}.png", guessed(truth(root, other(k))))
    expected = (
        "the class of most pixels is in the true mask of",
        "are they predictions of these very images",
    ) * is_said
    said(lambda: compare.run([f"{tmp_path}/theirs", f"{tmp_path}/others"], data=root, draws=3), expected, capsys)


UNSURE = {  # what `compare` or `evaluate` is given in place of p, and the warning
    "the same twice": (
        "compare",
        lambda at: shutil.copytree(at / "p", at / "p2"),
        "p2: has the figures of p in each of",
    ),
    "no object in the true masks": (
        "compare",
        lambda at: changed(at / "data/SegmentationClass", lambda mask: 0 * mask),
        "the true masks of the 30 images have no object",
    ),
    "objects that do not count": (
        "evaluate",
        lambda at: changed(at / "data/SegmentationClass", lambda mask: np.where(mask > 0, 255, 0)),
        "the true masks of the 30 images have no object",
    ),
    "classes in another order": (
        "compare",
        lambda at: (at / "data/classes.txt").write_text("\n".join(CLASSES[::-1])),
        "write classes.txt in the order of the masks' values",
    ),
    "half of the classes not counted": (
        "evaluate",
        lambda at: changed(at / "p", lambda mask: np.where(mask > 4, 255, mask)),
        "% of the pixels have 255, which is no class and counts as wrong",
    ),
    "no background": (
        "evaluate",
        lambda at: changed(at / "p", lambda mask: np.where(mask, mask, 255)),
        "have 255, which",
    ),
    "borders not counted": (
        "evaluate",
        lambda at: changed(at / "p", lambda mask: np.where(cv2.dilate(mask, None) > mask, 255, mask)),
        "have 255, which is no class",
    ),
}


def changed(folder, change):
    for path in folder.iterdir():
        write_mask(str(path), np.uint8(change(read_indexed(str(path)))))


@pytest.fixture
def here(root, tmp_path, monkeypatch):
    """The working directory: the data set with its image labels, and the predictions p and q."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA", raising=False)
    shutil.copytree(root, "data")
    names = {k: [CLASSES[value - 1] for value in np.unique(truth(root, k)) if value] for k in range(COUNT)}
    (tmp_path / "data/image_labels.txt").write_text("".join(f"i{k} {' '.join(names[k])}\n" for k in range(COUNT)))
    for k in range(COUNT):
        write_mask(f"p/i{k}.png", guessed(truth(root, k)))
        write_mask(f"q/i{k}.png", np.roll(truth(root, k), 1, axis=0))
    return tmp_path


def call(command, *more, pred="p"):
    if command == "compare":
        others = ["p2"] if os.path.exists("p2") else ["q"]
        compare.main(["--data", "data", "--pred", pred, "--pred", *others, "--draws", "3", *more])
    else:
        ids = "data/ImageSets/Segmentation/val.txt"
        files = ["--gt", "data/SegmentationClass", "--ids", ids, "--classes", "data/classes.txt", "--json", "x.json"]
        evaluate.main(["--pred", pred, *files, *more])


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_what_is_as_it_should_be_is_said_nothing_of(here, command, capsys):
    call(command)
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("case", UNSURE)
def test_what_may_be_meant_is_a_warning(here, case, capsys):
    command, change, expected = UNSURE[case]
    change(here)
    call(command)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert any(expected in line for line in lines)


SURE = {  # of predictions
    "exchanged": lambda mask: np.uint8([0, 2, 1, 3, 4, 5, 6, 7, 8])[mask],
    "low": lambda mask: np.uint8([0, 0, 1, 2, 3, 4, 5, 6, 7])[mask],
    "resized": lambda mask: resized(mask, 0.25, cv2.INTER_LINEAR),
    "mirrored": lambda mask: mask[:, ::-1],
}


@pytest.mark.parametrize("command", ["compare", "evaluate"])
@pytest.mark.parametrize("case", SURE)
def test_who_means_it_gets_a_warning_in_place_of_an_error(here, case, command, capsys):
    changed(here / "p", SURE[case])
    with pytest.raises(InputError, match="--as-given compares them as they are, with a warning$") as error:
        call(command)
    call(command, "--as-given")
    found = capsys.readouterr()
    assert f"warning: {str(error.value).rpartition(';')[0]}\n" in found.err and "mIoU" in found.out


@pytest.mark.parametrize("pred", ["p/", "./p", "link"])
def test_one_folder_under_two_names_is_named_twice(here, pred):
    os.symlink("p", "link")
    with pytest.raises(InputError, match="p: is named twice; name it once"):
        compare.run(["p", pred], data="data", draws=3)


def test_evaluate_looks_at_predictions_too(root, tmp_path):
    """Before it writes the figures."""
    ids, figures = f"{root}/ImageSets/Segmentation/val.txt", tmp_path / "figures.json"
    arguments = ["--gt", f"{root}/SegmentationClass", "--ids", ids, "--classes", f"{root}/classes.txt"]
    for name, values in (("right", range(9)), ("low", [0, *range(8)])):
        for k in range(COUNT):
            write_mask(f"{tmp_path}/{name}/i{k}.png", np.uint8(values)[guessed(truth(root, k))])
    evaluate.main([*arguments, "--pred", f"{tmp_path}/right", "--json", str(figures)])
    figures.unlink()
    with pytest.raises(InputError, match="low: its class values seem one too low, of 8 of 8 classes"):
        evaluate.main([*arguments, "--pred", f"{tmp_path}/low", "--json", str(figures)])
    assert not figures.exists()


def test_what_is_right_of_exchanged_classes_is_said(root, tmp_path, capsys):
    """The figure that it would be is that of the same predictions in the right order."""
    for k in range(COUNT):
        write_mask(f"{tmp_path}/right/i{k}.png", guessed(truth(root, k)))
        write_mask(f"{tmp_path}/wrong/i{k}.png", np.uint8([0, 2, 1, 3, 4, 5, 6, 7, 8])[guessed(truth(root, k))])
    with pytest.raises(InputError) as error:
        compare.run([f"{tmp_path}/right", f"{tmp_path}/wrong"], data=root, draws=3)
    (tmp_path / "wrong").rename(tmp_path / "gone")
    os.makedirs(tmp_path / "wrong")
    for k in range(COUNT):
        write_mask(f"{tmp_path}/wrong/i{k}.png", np.roll(truth(root, k), 1, axis=0))
    found = compare.run([f"{tmp_path}/right", f"{tmp_path}/wrong"], data=root, draws=3)
    assert f"would be {found['methods'][f'{tmp_path}/right']['miou']:.2f};" in str(error.value)


def test_strips_by_their_definition(rng):
    """A strip of a row or a column: at most THIN pixels, its class between those of its two neighbours."""
    mask = rng.choice([0, 2, 5, 255], (7, 9)).astype(np.uint8)
    mask = np.repeat(mask, 3, axis=1)
    borders = thin = 0
    for line in [*mask, *mask.T]:
        runs = []
        for value in map(int, line):
            if runs and runs[-1][0] == value:
                runs[-1][1] += 1
            else:
                runs.append([value, 1])
        borders += sum(255 not in (a, b) for (a, _), (b, _) in zip(runs, runs[1:]))
        for (a, _), (b, length), (c, _) in zip(runs, runs[1:], runs[2:]):
            thin += 255 not in (a, b, c) and min(a, c) < b < max(a, c) and length <= meaning.THIN
    assert meaning.strips(mask) == (borders, thin) and thin > 0


def test_masks_of_a_data_set_that_were_resized(root):
    ids = [f"i{k}" for k in range(COUNT)]
    masks = [truth(root, k) for k in range(COUNT)]
    meaning.check_resized("masks", ids, masks)
    meaning.check_resized("masks", [], [])
    with pytest.raises(InputError, match=r"in 30 masks \(i0, i1, i2, ...\): they were resized with interpolation"):
        meaning.check_resized("masks", ids, [resized(mask, 0.5, cv2.INTER_LINEAR) for mask in masks])


# --- Names of results, and shares without images ---------------------------------------------------------------------


def test_ids_that_a_disk_takes_for_one(tmp_path, monkeypatch):
    """The disk of the tests tells a from A; of one that does not a link stands for every name in another case."""
    checked.check_names(str(tmp_path), ["a", "A", "caf\u00e9", "cafe\u0301"])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(checked.os.path, "exists", lambda path: True)
    checked.check_names(str(tmp_path), ["a", "b", "ab"])
    for one, two in (("a", "A"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "STRASSE")):
        with pytest.raises(InputError, match=f"this disk takes {one}.png and {two}.png for one file; rename one"):
            checked.check_names(str(tmp_path), ["b", one, two])


@pytest.mark.parametrize("one, two", [("a.png", "A.png"), ("a.png", "A.jpg"), ("caf\u00e9.png", "cafe\u0301.png")])
def test_pictures_that_a_disk_takes_for_one(tmp_path, monkeypatch, one, two):
    """Before a net is loaded: the second's masks would replace the first's."""
    paths = [f"{tmp_path}/1/{one}", f"{tmp_path}/2/{two}"]
    for path in paths:
        os.makedirs(os.path.dirname(path))
        cv2.imencode(".png", np.arange(192, dtype=np.uint8).reshape(8, 8, 3))[1].tofile(path)
    monkeypatch.setattr(infer, "SegmentationNet", lambda *arguments: pytest.fail("a net was loaded"))
    given = compare.experiments.load("demo"), paths, "x.caffemodel", str(tmp_path / "out")
    with pytest.raises(pytest.fail.Exception, match="a net was loaded"):  # this disk tells them apart
        infer.run(*given)
    monkeypatch.setattr(checked, "_is_one_file", lambda *arguments: True)
    with pytest.raises(InputError, match="this disk takes .*.png and .*.png for one file; rename one"):
        infer.run(*given)
