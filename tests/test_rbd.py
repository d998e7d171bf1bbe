"""Robust background detection: its equations, by hand and by brute force, and what it makes of pictures."""

import itertools
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from aepsl.saliency.detectors import rbd

VOC_ANIMALS = os.environ.get("DATA", "")


def picture(seed=0, height=120, width=160, clutter=0):
    """A bright red disc on green ground, and where it is. `clutter`: standard deviation of 8-pixel blobs of ground."""
    random = np.random.RandomState(seed)
    blobs = random.normal(0, 1, (height // 8 + 1, width // 8 + 1, 3)) * clutter
    ground = np.array([60, 110, 70]) + np.kron(blobs, np.ones((8, 8, 1)))[:height, :width]
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(y - height * random.uniform(0.4, 0.6), x - width * random.uniform(0.4, 0.6)) < height * 0.25
    image = np.where(disc[..., None], np.array([50, 60, 220]), ground)
    return np.clip(image, 0, 255).astype(np.uint8), disc


@pytest.mark.parametrize("clutter", [0, 6])
def test_a_bright_object_is_salient_and_the_border_is_not(clutter):
    for seed in range(3):
        image, disc = picture(seed, clutter=clutter)
        s = rbd.saliency(image)
        assert s.dtype == np.float32 and s.shape == disc.shape and s.min() == 0 and s.max() == 1
        core = cv2.erode(disc.astype(np.uint8), np.ones((9, 9))).astype(bool)
        far = cv2.dilate(disc.astype(np.uint8), np.ones((25, 25))) == 0
        rim = np.concatenate([s[0], s[-1], s[:, 0], s[:, -1]])
        assert s[core].min() > 0.8
        assert s[far].mean() < 0.06 and rim.max() < 0.03


def test_background_that_the_object_cuts_in_two_is_one():
    """A bar from the top to the bottom: it touches the boundary, but the ground touches it far more."""
    image = np.full((120, 160, 3), (60, 110, 70), np.uint8)
    image[:, 70:95] = (50, 60, 220)
    s = rbd.saliency(image)
    assert s[40:80, 75:90].min() > 0.8
    assert s[:, :60].max() < 0.12 and s[:, 105:].max() < 0.12


@pytest.mark.parametrize("height, width", [(1, 1), (1, 40), (5, 7), (700, 90), (333, 500)])
def test_any_size(height, width):
    image = np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)
    s = rbd.saliency(image)
    assert s.shape == (height, width) and s.dtype == np.float32
    assert np.isfinite(s).all() and s.min() == 0 and s.max() in (0, 1)


def test_an_image_without_contrast_is_background():
    assert not rbd.saliency(np.full((60, 80, 3), 90, np.uint8)).any()


def test_adjacency_links_neighbours_and_the_whole_boundary():
    labels = np.array([[0, 0, 1, 1, 1], [0, 2, 3, 4, 1], [5, 5, 5, 5, 5]])
    bnd = rbd.on_boundary(labels)
    assert bnd.tolist() == [True, True, False, False, False, True]
    pairs = {tuple(edge) for edge in rbd.adjacency(labels, bnd)}
    touching = {(0, 1), (0, 2), (0, 5), (1, 3), (1, 4), (1, 5), (2, 3), (2, 5), (3, 4), (3, 5), (4, 5)}
    assert pairs == touching
    far = np.array([[0, 1, 2, 3]])
    assert len(rbd.adjacency(far, rbd.on_boundary(far))) == 6  # 3 by touch, 3 by the boundary


def test_geodesic_distance_against_floyd_warshall():
    random = np.random.RandomState(1)
    count = 9
    colours = random.uniform(0, 50, (count, 3))
    colours[4] = colours[3]  # an edge between equal colours has length 0, and is an edge still
    d_app = np.sqrt(((colours[:, None] - colours[None]) ** 2).sum(-1))
    pairs = list(itertools.combinations(range(count), 2))
    ring = {(i, i + 1) for i in range(count - 1)}
    edges = np.array(sorted(ring | {pairs[k] for k in random.permutation(len(pairs))[:6]}))

    expected = np.full((count, count), np.inf)
    expected[np.arange(count), np.arange(count)] = 0
    for i, j in edges:
        expected[i, j] = expected[j, i] = d_app[i, j]
    for k, i, j in itertools.product(range(count), repeat=3):
        expected[i, j] = min(expected[i, j], expected[i, k] + expected[k, j])

    d_geo = rbd.geodesic(d_app, edges)
    np.testing.assert_allclose(d_geo, expected, atol=1e-12)
    assert d_geo[3, 4] == 0 and (d_geo > d_app + 1e-9).any()


def test_boundary_connectivity_by_hand():
    """A 5 x 5 grid: 16 superpixels of the rim and 5 inside are one colour, 4 inside another, far away."""
    bnd = np.ones((5, 5), bool)
    bnd[1:-1, 1:-1] = False
    thing = np.zeros((5, 5), bool)
    thing[1:3, 1:3] = True
    bnd, thing = bnd.ravel(), thing.ravel()
    d_geo = np.where(thing[:, None] == thing[None], 0.0, np.inf)
    bndcon = rbd.boundary_connectivity(d_geo, bnd)
    np.testing.assert_allclose(bndcon[~thing], 16 / np.sqrt(21))
    np.testing.assert_allclose(bndcon[thing], 0)
    # A step of sigma_clr between the two counts each across it as exp(-1/2).
    e = np.exp(-0.5)
    bndcon = rbd.boundary_connectivity(np.where(np.isinf(d_geo), rbd.SIGMA_CLR, d_geo), bnd)
    np.testing.assert_allclose(bndcon[thing], 16 * e / np.sqrt(4 + 21 * e))
    np.testing.assert_allclose(rbd.background_probability(np.array([0, 1.0, 2.0])), [0, 1 - e, 1 - np.exp(-2)])


def test_contrast_by_hand():
    d_app = np.array([[0, 30.0, 50.0], [30.0, 0, 20.0], [50.0, 20.0, 0]])
    d_spa = np.array([[0, 0.25, 0.5], [0.25, 0, 0.25], [0.5, 0.25, 0]])
    wctr = rbd.background_weighted_contrast(d_app, d_spa, np.array([0.9, 0.5, 0.0]))
    e = np.exp(-0.5)
    np.testing.assert_allclose(wctr, [30 * e * 0.5, 30 * e * 0.9, 50 * np.exp(-2) * 0.9 + 20 * e * 0.5])


def test_the_optimised_map_minimises_equation_9():
    random = np.random.RandomState(2)
    colours = random.uniform(0, 40, (7, 3))
    d_app = np.sqrt(((colours[:, None] - colours[None]) ** 2).sum(-1))
    edges = np.array([(i, j) for i, j in itertools.combinations(range(7), 2) if (i + j) % 3])
    w_bg, w_fg = random.uniform(0, 1, (2, 7))

    def cost(s):
        total = (w_bg * s**2).sum() + (w_fg * (s - 1) ** 2).sum()
        for i, j in edges:
            total += (np.exp(-(d_app[i, j] ** 2) / (2 * 10**2)) + 0.1) * (s[i] - s[j]) ** 2
        return total

    s = rbd.optimised(d_app, edges, w_bg, w_fg)
    slope = [(cost(s + step) - cost(s - step)) / 2e-4 for step in 1e-4 * np.eye(7)]
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    assert s.min() > 0 and s.max() < 1


@pytest.mark.skipif(not os.path.isdir(VOC_ANIMALS), reason="DATA names no folder of real photos")
def test_background_of_real_photos():
    """On 20 photos, pixels below 0.12 are background far more often than a pixel is by chance."""
    with open(os.path.join(VOC_ANIMALS, "ImageSets", "Segmentation", "train_aug.txt")) as file:
        ids = file.read().split()[::25]
    called = truly = ground = pixels = 0
    for image_id in ids:
        mask = np.array(Image.open(os.path.join(VOC_ANIMALS, "SegmentationClassAug", image_id + ".png")))
        s = rbd.saliency(cv2.imread(os.path.join(VOC_ANIMALS, "JPEGImages", image_id + ".jpg")))
        B = (s < 0.12) & (mask != 255)
        called, truly = called + B.sum(), truly + (B & (mask == 0)).sum()
        ground, pixels = ground + (mask == 0).sum(), pixels + (mask != 255).sum()
    precision, recall, chance = truly / called, truly / ground, ground / pixels
    print(f"precision {precision:.3f}, recall {recall:.3f}, by chance {chance:.3f}")
    assert 1 - precision < 0.5 * (1 - chance)
    assert recall > 0.4
