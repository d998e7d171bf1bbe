"""DRFI: its features, its forest, its training, and the model that comes with the project."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.tree import DecisionTreeRegressor

from aepsl.base.errors import InputError
from aepsl.base.files import sha256
from aepsl.data import synthetic
from aepsl.saliency.detectors import rbd
from aepsl.saliency.drfi import features, forest, measures, train
from aepsl.saliency.drfi.model import MODEL, SHARES, load
from aepsl.saliency.drfi.photos import Photos
from aepsl.tools import drfi

LABELS = np.array([[0] * 5 + [1] * 7] * 4 + [[2] * 9 + [1] * 3] * 6, np.int32)


def noise(shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (*shape, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def described():
    """An image of 10 x 12 pixels, its Pixels, and the features of the three regions of LABELS."""
    image = noise(LABELS.shape)
    pixels = features.Pixels(image)
    return image, pixels, features.of_regions(pixels, LABELS)


# Features, each stated anew by region and pixel


def test_contrast_weighs_each_neighbour_by_its_area(described):
    _, pixels, found = described
    areas = [(r == LABELS).sum() for r in range(3)]
    neighbours = {0: [1, 2], 1: [0, 2], 2: [0, 1]}
    for region, others in neighbours.items():
        expected = sum(areas[o] * distances(pixels, LABELS.ravel() == region, LABELS.ravel() == o) for o in others)
        np.testing.assert_allclose(found[region, :29], expected / sum(areas[o] for o in others), rtol=1e-4)


def test_backgroundness_is_the_contrast_to_the_rim(described):
    _, pixels, found = described
    rim = np.ones(LABELS.shape, bool)
    rim[1:-1, 1:-1] = False  # of 12 pixels 15/400 are none, but one is the least
    for region in range(3):
        expected = distances(pixels, LABELS.ravel() == region, rim.ravel())
        np.testing.assert_allclose(found[region, 29:58], expected, rtol=1e-4)


def distances(pixels, one, other):
    """The 29 differences of two sets of pixels."""
    means = np.abs(pixels.means[one].mean(axis=0, dtype=float) - pixels.means[other].mean(axis=0, dtype=float))
    chi = []
    for bins, count in pixels.bins:
        a, b = (np.bincount(bins[each], minlength=count) / each.sum() for each in (one, other))
        chi.append(sum(2 * (x - y) ** 2 / (x + y) for x, y in zip(a, b) if x + y))
    return np.append(means, chi)


def test_geometry_of_a_region_by_hand(described):
    found = described[2][2, 58:68]  # rows 4 to 9, columns 0 to 8 of 10 x 12
    y, x = 7 / 10, 4.5 / 12
    places = [y, x, 4 / 10, 0 / 12, 9 / 10, 8 / 12]
    border = 9 + 9 + 4 + 4  # first and last row, and the columns between
    np.testing.assert_allclose(found, [*places, border / 44, 9 / 6, 54 / 120, 66 / 120], rtol=1e-5)


def test_variances_are_of_colours_filters_and_patterns(described):
    _, pixels, found = described
    inside = LABELS.ravel() == 1
    np.testing.assert_allclose(found[1, 68:], pixels.values[inside].var(axis=0, dtype=float), rtol=1e-3, atol=1e-6)
    assert found.shape == (3, features.COUNT) and found.dtype == np.float32


def test_pixels_are_colours_filters_and_patterns():
    image = noise((30, 40))
    pixels = features.Pixels(image)
    np.testing.assert_allclose(pixels.means[:, :3], image.reshape(-1, 3) / 255, rtol=1e-6)
    assert pixels.means.shape == (1200, 24) and pixels.values.shape == (1200, 25)
    grey = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2GRAY)
    bits = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    expected = sum((grey[10 + y, 10 + x] >= grey[10, 10]) << bit for bit, (y, x) in enumerate(bits))
    assert pixels.bins[4][0][10 * 40 + 10] == expected
    red, green, blue = image[10, 10, ::-1] // 32
    assert pixels.bins[0][0][10 * 40 + 10] == (blue * 8 + green) * 8 + red


def test_an_edge_answers_the_filter_of_its_orientation():
    step = np.zeros((41, 41), np.float32)
    step[:, 20:] = 1
    upright, level = (features.responses(each)[20, 20] for each in (step, np.ascontiguousarray(step.T)))
    assert upright.argmax() == 0 and level.argmax() == 6  # edges have the even indices, 30 degrees apart
    assert features.responses(np.full((41, 41), 0.7, np.float32)).max() < 1e-6


def test_neighbours_share_a_border():
    labels = np.array([[0, 0, 1], [2, 0, 1], [2, 3, 3]])
    assert rbd.neighbours(labels).tolist() == [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3]]
    assert rbd.neighbours(np.zeros((4, 5), int)).shape == (0, 2)


def test_levels_go_from_fine_to_coarse():
    image = cv2.resize(noise((12, 16)), (300, 225), interpolation=cv2.INTER_LINEAR)
    counts = [labels.max() + 1 for labels in features.levels(image)]
    assert len(counts) == len(features.LEVELS) and counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


# The forest


@pytest.fixture(scope="module")
def grown():
    """(a Forest, the trees of scikit-learn that it was written from, bins)."""
    random = np.random.RandomState(1)
    bins = random.randint(0, 256, (300, features.COUNT)).astype(np.uint8)
    target = (bins[:, 3] > 100) & (bins[:, 90] < 200)
    trees = []
    for seed in range(4):
        trees.append(DecisionTreeRegressor(min_samples_leaf=3, max_features=20, random_state=seed))
        trees[-1].fit(bins[seed::2].astype(np.float32), target[seed::2])
    arrays = [forest.written_out(tree.tree_) for tree in trees]
    sizes = np.array([len(each[0]) for each in arrays], np.int32)
    return forest.Forest(*map(np.concatenate, zip(*arrays)), sizes), trees, bins


def test_the_forest_says_what_scikit_learns_trees_say(grown):
    own, trees, bins = grown
    expected = np.array([tree.predict(bins.astype(np.float32)) for tree in trees])
    assert 0 < expected.mean() < 1
    np.testing.assert_allclose(own.scores(bins), expected.mean(axis=0), atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(own.scores(bins, [1, 3]), expected[[1, 3]].mean(axis=0), atol=0.5 / 255 + 1e-6)


def test_bins_keep_the_order_and_thresholds_lie_between():
    values = np.random.RandomState(0).normal(size=(2000, 3)).astype(np.float32)
    edges = forest.edges_of(values)
    bins = forest.binned(values, edges)
    assert edges.shape == (3, 255) and np.bincount(bins[:, 0], minlength=256).max() < 12
    for column in range(3):
        for threshold in (0, 100, 254):  # bin <= threshold is value <= edge
            np.testing.assert_array_equal(bins[:, column] <= threshold, values[:, column] <= edges[column, threshold])


# Measures


def test_measures_by_hand():
    found = measures.Measures()
    found.add(np.array([[255, 100], [100, 0]], np.uint8), np.array([[True, True], [False, False]]))
    figures = found.figures()
    assert figures["AUC"] == pytest.approx(0.875)  # of four pairs three are right and one is a tie
    assert figures["MAE"] == pytest.approx((0 + 155 / 255 + 100 / 255 + 0) / 4)
    precision, recall = 2 / 3, 1  # at 100; at 255 they are 1 and 1/2, which is F = .8125
    assert figures["F"] == pytest.approx(max(1.3 * precision * recall / (0.3 * precision + recall), 0.8125))
    assert figures["cue"][1] == dict(share=0.25, precision=1, recall=0.5, error=0)


def test_each_photo_counts_the_same():
    random = np.random.RandomState(3)
    maps = [random.randint(0, 256, shape).astype(np.uint8) for shape in ((10, 10), (30, 40))]
    masks = [random.rand(*each.shape) < 0.3 for each in maps]
    found = measures.Measures()
    areas = []
    for saliency, is_object in zip(maps, masks):
        found.add(saliency, is_object)
        a, b = saliency[is_object].astype(int)[:, None], saliency[~is_object].astype(int)[None]
        areas.append((a > b).mean() + (a == b).mean() / 2)
    assert found.figures()["AUC"] == pytest.approx(np.mean(areas))
    below = [each < 0.12 * 255 for each in maps]
    taken = sum(each.sum() for each in below)
    assert found.figures()["cue"][1]["share"] == pytest.approx(taken / 1300)
    wrong = sum((each & is_object).sum() for each, is_object in zip(below, masks))
    assert found.figures()["cue"][1]["error"] == pytest.approx(wrong / sum(each.sum() for each in masks))


# Training


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with 16 photos and masks of a disc, and lists: train of 12, test of 4."""
    root = tmp_path_factory.mktemp("photos")
    for k in range(16):
        random = np.random.RandomState(k)
        ground = cv2.resize(random.randint(0, 200, (9, 12, 3)).astype(np.uint8), (96, 72))
        y, x = np.mgrid[:72, :96]
        disc = np.hypot(y - random.uniform(25, 47), x - random.uniform(30, 66)) < random.uniform(12, 20)
        cv2.imwrite(str(root / f"p{k}.jpg"), np.where(disc[..., None], random.randint(60, 256, 3), ground))
        cv2.imwrite(str(root / f"p{k}.png"), disc.astype(np.uint8) * 255)
    (root / "train.txt").write_text("".join(f"p{k}.jpg\n" for k in range(12)))
    (root / "test.txt").write_text("".join(f"p{k}.jpg\n" for k in range(12, 16)))
    return root


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(train, "TREES", 12)


def of(photos, name="train.txt"):
    return Photos(str(photos), str(photos), str(photos / name))


def test_a_model_learns(photos, few_trees):
    model, figures = train.trained(of(photos), seed=1)
    assert figures["AUC"] > 0.9
    held_out = measures.Measures()
    for k in range(4):
        saliency = model.saliency(of(photos, "test.txt").image(k))
        assert saliency.shape == (72, 96) and saliency.min() == 0 and saliency.max() == 1
        held_out.add(measures.grey(saliency), of(photos, "test.txt").is_object(k))
    assert held_out.figures()["AUC"] > 0.9


def test_as_much_is_below_the_thresholds_as_in_the_authors_maps(grown):
    random = np.random.RandomState(0)
    maps = [(random.beta(1, 3, (50, 60)).astype(np.float16), random.rand(50, 60) < 0.2) for _ in range(5)]
    edges = np.zeros((features.COUNT, 255), np.float32)
    model, figures = train.scaled(edges, grown[0], maps)
    assert [cue["share"] for cue in figures["cue"]] == pytest.approx(list(SHARES.values()), abs=0.005)
    values = np.linspace(0, 1, 100)
    found = model.scaled(values)
    assert (np.diff(found) > 0).all() and found[0] == 0 and found[-1] == 1
    # Photos so easy that most pixels are 0: they stay background, and the scale stays one.
    easy = [((random.rand(50, 60) < 0.2).astype(np.float16), is_object) for _, is_object in maps]
    model, figures = train.scaled(edges, grown[0], easy)
    assert model.scaled(np.array([0, 1])).tolist() == [0, 1]


def test_any_number_of_workers_gives_the_same_file(photos, few_trees, tmp_path):
    for workers in (1, 3):
        train.trained(of(photos), 1, workers)[0].save(str(tmp_path / f"{workers}.npz"))
    train.trained(of(photos), 2)[0].save(str(tmp_path / "other.npz"))
    one, three, other = ((tmp_path / f"{name}.npz").read_bytes() for name in ("1", "3", "other"))
    assert one == three != other


def test_a_photo_is_judged_by_trees_that_never_saw_it(photos, few_trees, monkeypatch):
    """Noise as masks: trees that saw a photo would seem to know it."""
    random = np.random.RandomState(0)
    flips = [random.rand() < 0.5 for _ in range(12)]
    clear = Photos.is_object
    monkeypatch.setattr(Photos, "is_object", lambda self, k: clear(self, k) ^ flips[k])
    assert train.trained(of(photos), seed=1)[1]["AUC"] < 0.75


def test_a_photo_that_all_trees_saw_trains_no_model(photos, tmp_path):
    command = ["train", "--images", photos, "--masks", photos, "--list", tmp_path / "one.txt", "--out"]
    (tmp_path / "one.txt").write_text("p3.jpg\n")
    with pytest.raises(InputError, match="too few photos \\(1\\): every tree learns from all of them"):
        drfi.main([str(each) for each in [*command, tmp_path / "model.npz"]])
    assert not (tmp_path / "model.npz").exists()


def test_mixed_regions_do_not_train(photos, few_trees, monkeypatch):
    learnt = []
    plain = train.grown

    def grown(bins, is_object, own, seed):
        learnt.append(own)
        return plain(bins, is_object, own, seed)

    monkeypatch.setattr(train, "grown", grown)
    train.trained(of(photos), seed=1)
    share = np.concatenate([train.described(of(photos), k)[1] for k in range(12)])
    mixed = (share > 0.25) & (share < 0.75)
    assert mixed.any() and not np.any(learnt, axis=0)[mixed].any() and np.any(learnt, axis=0)[~mixed].mean() > 0.9


# The model's file


@pytest.fixture(scope="module")
def path_of_model(photos, tmp_path_factory):
    """The file of a model of few trees."""
    path = str(tmp_path_factory.mktemp("model") / "drfi.npz")
    trees, train.TREES = train.TREES, 12
    train.trained(of(photos), seed=1)[0].save(path)
    train.TREES = trees
    return path


@pytest.fixture(scope="module")
def arrays(path_of_model):
    with np.load(path_of_model) as file:
        return dict(file)


def changed(arrays, path, **changes):
    np.savez(path, **{name: array for name, array in {**arrays, **changes}.items() if array is not None})


def cut(arrays, path):
    changed(arrays, path)
    os.truncate(path, os.path.getsize(path) // 2)


def text(arrays, path):
    path.write_text("no model")


def nan(arrays, path):
    edges = arrays["edges"].copy()
    edges[3, 7] = np.nan
    changed(arrays, path, edges=edges)


def of_objects(arrays, path):
    changed(arrays, path, edges=np.array([None]))


def entries(arrays, path, place, value):
    """A byte of each entry in the archive's table of contents."""
    changed(arrays, path)
    content = bytearray(path.read_bytes())
    for found in list(re.finditer(rb"PK\x01\x02", content)):
        content[found.start() + place] = value
    path.write_bytes(content)


def bomb(arrays, path):
    changed(arrays, path, features=None)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("features.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, dict(descr="|u1", fortran_order=False, shape=(2**30,)))
        for _ in range(64):
            file.write(bytes(2**20))


def second(arrays, path):
    changed(arrays, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("features.npy", "junk")


def a_circle(arrays, path):
    """The first tree's root becomes a leaf, and the last of its leaves an inner node: the numbers still add up."""
    names = arrays["features"].copy()
    leaf = arrays["sizes"][0] - 1
    assert names[leaf] == forest.LEAF != names[0]
    names[0], names[leaf] = names[leaf], names[0]
    changed(arrays, path, features=names)


BAD = {
    "missing": lambda arrays, path: None,
    "empty": lambda arrays, path: path.write_bytes(b""),
    "text": text,
    "cut": cut,
    "one array": lambda arrays, path: np.save(path.open("wb"), np.zeros(3)),
    "pickle": of_objects,
    "without edges": lambda arrays, path: changed(arrays, path, edges=None),
    "nan": nan,
    "scale": lambda a, path: changed(a, path, scale=a["scale"][::-1]),
    "shape": lambda a, path: changed(a, path, edges=a["edges"][1:]),
    "type": lambda a, path: changed(a, path, sizes=a["sizes"].astype("f4")),
    "a tree less": lambda a, path: changed(a, path, sizes=a["sizes"][1:]),
    "no tree": lambda a, path: changed(a, path, sizes=a["sizes"][:0]),
    "a value less": lambda a, path: changed(a, path, values=a["values"][1:]),
    "an empty tree": lambda a, path: changed(a, path, sizes=np.append(a["sizes"], a["sizes"].dtype.type(0))),
    "two trees as one": lambda a, path: changed(a, path, sizes=np.append(a["sizes"][:2].sum(), a["sizes"][2:])),
    "a leaf less": lambda a, path: changed(a, path, features=np.append(a["features"][:-1], 0).astype("u1")),
    "feature 93": lambda a, path: changed(a, path, features=np.where(a["features"] == 255, 255, 93).astype("u1")),
    "circle": a_circle,
    "a header without end": lambda a, path: path.write_bytes(b"\x93NUMPY\1\0\xff\xff" + b"{" * 65535),
    "encrypted": lambda a, path: entries(a, path, 8, 1),
    "packed in another way": lambda a, path: entries(a, path, 10, 97),
    "an array of a gigabyte": bomb,
    "a second entry": second,
    "settings": lambda a, path: changed(a, path, settings=np.array("{}")),
}
FAULTS = {"missing": "no such file", "settings": "was trained with other regions or features"}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_model_is_one_line_that_names_it(fault, arrays, tmp_path, capsys):
    message = FAULTS.get(fault, "is no model of DRFI, or damaged")
    path = tmp_path / "drfi.npz"
    BAD[fault](arrays, path)
    with pytest.raises(InputError) as error:
        load(str(path))
    line = str(error.value)
    assert line.startswith(f"{path}: ") and message in line and "aepsl drfi train" in line and "\n" not in line
    assert capsys.readouterr().err == ""


def test_a_model_says_the_same_once_it_is_written_and_read(path_of_model, tmp_path):
    model = load(path_of_model)
    model.save(str(tmp_path / "again.npz"))
    assert sha256(str(tmp_path / "again.npz")) == sha256(path_of_model)


def test_any_size_and_no_contrast(path_of_model):
    model = load(path_of_model)
    for height, width in ((1, 1), (1, 40), (5, 7), (700, 90), (333, 500)):
        found = model.saliency(noise((height, width)))
        assert found.shape == (height, width) and found.dtype == np.float32
        assert np.isfinite(found).all() and found.min() == 0 and found.max() in (0, 1)
    assert not model.saliency(np.full((60, 80, 3), 90, np.uint8)).any()


# The commands


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "aepsl", "drfi", *arguments], capture_output=True, text=True)


def folders(photos, name="train.txt"):
    return ["--images", str(photos), "--masks", str(photos), "--list", str(photos / name)]


def test_from_photos_to_a_model_and_its_figures(photos, tmp_path):
    """`aepsl drfi train`, then `aepsl drfi evaluate` of what it wrote: the same line for the same photos."""
    out = tmp_path / "model.npz"
    test = ["--test", str(photos / "test.txt")]
    done = command("train", *folders(photos), *test, "--out", str(out), "--seed", "3", "--workers", "2")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    header, trained_on, held_out = done.stdout.splitlines()
    assert header.split()[:3] == ["AUC", "F", "MAE"] and trained_on.startswith("trained on ")
    maps = tmp_path / "maps"
    maps.mkdir()
    for k in range(12, 16):
        mask = cv2.imread(str(photos / f"p{k}.png"), 0)
        cv2.imwrite(str(maps / f"p{k}.png"), 255 - mask)
    done = command("evaluate", *folders(photos, "test.txt"), "--model", str(out), "--maps", str(maps))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    ours, rbd, wrong = done.stdout.splitlines()[1:]
    assert ours.split()[1:] == held_out.split()[2:]
    assert rbd.startswith("rbd ") and wrong.split()[:2] == ["maps", "0.000"]


def no_mask(root):
    os.unlink(root / "p3.png")


def short_mask(root):
    cv2.imwrite(str(root / "p3.png"), np.zeros((72, 95), np.uint8))


def zeros_and_ones(root):
    cv2.imwrite(str(root / "p3.png"), (cv2.imread(str(root / "p3.png"), 0) > 0).astype(np.uint8))


def broken_photo(root):
    os.truncate(root / "p3.jpg", 700)


def both_lists(root):
    (root / "test.txt").write_text("p3\np13\n")


def inverted(root):
    for path in root.glob("*.png"):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), 0))


def upside_down(root):
    for path in root.glob("*.jpg"):
        Image.open(path).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0")


def black(root):
    for path in root.glob("*.jpg"):
        cv2.imwrite(str(path), cv2.imread(str(path)) // 32)


def white(root):
    for path in root.glob("*.jpg"):
        cv2.imwrite(str(path), np.full((72, 96, 3), 250, np.uint8))


def others(root):
    """Masks that have nothing to do with the photos."""
    for k, path in enumerate(sorted(root.glob("*.png"))):
        mask = np.zeros((72, 96), np.uint8)
        mask[:, (k % 2) * 48 : (k % 2) * 48 + 48] = 255
        cv2.imwrite(str(path), mask)


@pytest.mark.parametrize(
    "damage, message",
    [
        (inverted, "masks are white at the border and black in the middle: they are inverted; an object is white"),
        (upside_down, "p0.jpg: EXIF's orientation is 3, and no mask tells whether to turn it"),
        (black, "12 of 12 (p0, p1, p2, ...) are images without a pixel brighter than 16 of 255"),
        (white, "12 of 12 (p0, p1, p2, ...) are images of one brightness, within 16 of 255"),
        (others, "train.txt: AUC is 0."),
        (no_mask, "holds no p3.png or .bmp, but p3.jpg; add it, or take the image from the list"),
        (short_mask, "p3.png: is 95 x 72, its photo 96 x 72; give one of its size"),
        (zeros_and_ones, "p3.png: is all black; an object is white (255), and the rest black"),
        (broken_photo, "p3.jpg: cannot be decoded"),
        (both_lists, "test.txt: names p3, as "),
    ],
)
def test_bad_photos_end_training_with_one_line(damage, message, photos, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    damage(root)
    done = command("train", *folders(root), "--test", str(root / "test.txt"), "--out", str(tmp_path / "m.npz"))
    assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "m.npz").exists()


# The project's own model


def test_the_projects_model_is_small_and_the_one_that_its_page_describes():
    assert os.path.getsize(MODEL) <= 2_000_000
    with open("weights/README.md") as page:
        assert sha256(MODEL) in page.read()


def test_the_projects_model_draws_known_values():
    """On a picture by the demo's generator; another OpenCV, or another model, draws others."""
    image = synthetic.render(np.random.default_rng(1), [1])[0]
    found = np.rint(load(MODEL).saliency(image) * 255).astype(int)
    height, width = found.shape
    grid = found[height // 8 :: height // 4, width // 8 :: width // 4]
    assert grid.tolist() == [[1, 2, 2, 2], [91, 254, 249, 1], [3, 247, 50, 1], [3, 4, 4, 0]]
