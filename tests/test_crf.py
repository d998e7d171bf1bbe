"""The CRF: a brute-force mean field on a tiny image, and what the pairwise terms must do."""

import functools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.images.pictures import read_indexed
from aepsl.nets import crf
from aepsl.settings.typed import Bilateral, Crf, Gaussian
from aepsl.stages import segment

SETTINGS = Crf(iterations=10, bilateral=Bilateral(weight=4, xy=121, rgb=5), gaussian=Gaussian(weight=3, xy=3))


def test_without_pairwise_terms_nothing_changes(rng):
    probabilities = rng.dirichlet(np.ones(3), (12, 15)).transpose(2, 0, 1).astype(np.float32)
    image = rng.randint(0, 256, (12, 15, 3)).astype(np.uint8)
    none = replace(SETTINGS, bilateral=Bilateral(weight=0, xy=121, rgb=5), gaussian=Gaussian(weight=0, xy=3))
    np.testing.assert_allclose(crf.refined(image, probabilities, none), probabilities, rtol=1e-4)


@pytest.mark.parametrize("kind, width", [("bilateral", "xy"), ("bilateral", "rgb"), ("gaussian", "xy")])
@pytest.mark.parametrize("value", [1e-300, 1e-30, 1e-6, 1e-3])
def test_one_too_narrow_is_one_line(rng, kind, width, value):
    """pydensecrf would write outside its memory, or mix up pixels."""
    settings = replace(SETTINGS, **{kind: replace(getattr(SETTINGS, kind), **{width: value})})
    probabilities = rng.dirichlet(np.ones(3), (12, 50)).transpose(2, 0, 1).astype(np.float32)
    with pytest.raises(InputError, match="image7: 50 x 12 pixels are too many for a CRF as narrow as"):
        crf.refined(np.zeros((12, 50, 3), np.uint8), probabilities, settings, "image7")


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 2)])
def test_odd_sizes_go_through_it(rng, shape):
    probabilities = rng.dirichlet(np.ones(3), shape).transpose(2, 0, 1).astype(np.float32)
    assert np.isfinite(crf.refined(np.zeros((*shape, 3), np.uint8), probabilities, SETTINGS)).all()


def test_many_pixels_are_segmented_scaled_down_and_that_is_said(rng, monkeypatch, capsys, tmp_path):
    image = rng.randint(0, 256, (40, 60, 3)).astype(np.uint8)
    monkeypatch.setattr(segment, "MOST", 40 * 60 * 3)
    assert segment.fitting(image, 3, "image7") is image and capsys.readouterr().err == ""
    small = segment.fitting(image, 12, "image7")
    assert small.shape == (20, 30, 3)
    assert capsys.readouterr().err == "image7: 60 x 40 pixels are too many for 12 maps; it is segmented at 0.500\n"
    f = np.zeros((12, 20, 30), np.float32)
    f[7, :, :15] = f[2, :, 15:] = 1
    paths = [str(tmp_path / name) for name in ("plain.png", "crf.png")]
    refined = functools.partial(crf.refined, settings=SETTINGS)
    segment.write_masks(paths, small, f, refined, np.arange(12, dtype=np.uint8), (60, 40))
    for path in paths:
        mask = read_indexed(path)
        assert mask.shape == (40, 60) and (mask[:, :29] == 7).all() and (mask[:, 31:] == 2).all()


SCALES = {  # factors of a pixel's input, before and after filtering, from the sum of its weights
    "symmetric": lambda sums: (1 / np.sqrt(sums), 1 / np.sqrt(sums)),
    "after": lambda sums: (np.ones_like(sums), 1 / sums),
}


def mean_field(image, probabilities, settings, normalization="symmetric"):
    """The same by brute force, in float64: every pixel hears every other one, through kernels that are normalised.

    pydensecrf filters on a lattice, which is an approximation.
    """
    height, width = image.shape[:2]
    place = np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(float)
    colour = image.reshape(-1, 3).astype(float)
    message = 0
    for name, features in (
        ("gaussian", place / settings.gaussian.xy),
        ("bilateral", np.hstack([place / settings.bilateral.xy, colour / settings.bilateral.rgb])),
    ):
        kernel = np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=-1) / 2)
        before, after = SCALES[normalization](kernel.sum(axis=1))
        message = message + getattr(settings, name).weight * before[:, None] * kernel * after
    unary = np.log(probabilities.reshape(len(probabilities), -1).astype(float))
    q = np.exp(unary) / np.exp(unary).sum(axis=0)
    for _ in range(settings.iterations):
        q = np.exp(unary + q @ message)
        q /= q.sum(axis=0)
    return q.reshape(probabilities.shape)


@pytest.mark.parametrize("normalization", SCALES)
def test_a_brute_force_mean_field_agrees(rng, normalization):
    image = cv2.resize(rng.randint(0, 256, (3, 4, 3)).astype(np.uint8), (28, 24), interpolation=cv2.INTER_NEAREST)
    image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    probabilities = rng.dirichlet(np.ones(3), (24, 28)).transpose(2, 0, 1).astype(np.float32)
    settings = Crf(iterations=5, bilateral=Bilateral(weight=6, xy=30, rgb=13), gaussian=Gaussian(weight=3, xy=3))
    ours = crf.refined(image, probabilities, settings, normalization=normalization)
    exact = mean_field(image, probabilities, settings, normalization)
    assert np.abs(probabilities - exact).mean() > 0.1
    assert np.abs(ours - exact).mean() < 0.2 * np.abs(probabilities - exact).mean()
    for other in set(SCALES) - {normalization}:
        assert np.abs(ours - exact).mean() < np.abs(ours - mean_field(image, probabilities, settings, other)).mean()


def test_colour_edges_attract_the_labels():
    """A noisy guess on a two-coloured image becomes the two colours; the same guess on a plain image does not."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 200
    right = np.full((40, 40), 0.3, np.float32)
    right[:, 17:] = 0.7  # off by three columns
    probabilities = np.stack([1 - right, right])
    labels = crf.refined(image, probabilities, SETTINGS).argmax(axis=0)
    np.testing.assert_array_equal(labels, image[:, :, 0] > 0)
    plain = crf.refined(np.zeros_like(image), probabilities, SETTINGS).argmax(axis=0)
    assert not np.array_equal(plain, labels)


def test_colour_is_seen(rng):
    """Marginals are distributions, and those of an image differ from those of one of its channels in grey."""
    image = rng.randint(0, 256, (20, 20, 3)).astype(np.uint8)
    probabilities = rng.dirichlet(np.ones(2), (20, 20)).transpose(2, 0, 1).astype(np.float32)
    ours = crf.refined(image, probabilities, SETTINGS)
    assert not np.allclose(ours, crf.refined(np.repeat(image[:, :, :1], 3, axis=2), probabilities, SETTINGS), atol=1e-3)
    np.testing.assert_allclose(ours.sum(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("dead", [[1], [1, 3]])
def test_channels_that_are_zero_take_no_part(rng, dead):
    image = rng.randint(0, 256, (20, 25, 3)).astype(np.uint8)
    probabilities = rng.dirichlet(np.ones(5), (20, 25)).transpose(2, 0, 1).astype(np.float32)
    probabilities[dead] = 0
    result = crf.refined(image, probabilities, SETTINGS)
    assert not result[dead].any()
    alive = np.setdiff1d(np.arange(5), dead)
    np.testing.assert_array_equal(result[alive], crf.refined(image, probabilities[alive], SETTINGS))


def test_own_labels_alone_give_the_labels_of_all_21_channels(rng):
    """What is left out of a training image's CRF would have had no say in it."""
    image = cv2.resize(rng.randint(0, 256, (6, 8, 3)).astype(np.uint8), (64, 48))
    own = np.stack([cv2.resize(rng.rand(6, 8).astype(np.float32), (64, 48)) for _ in range(3)])
    everything = np.full((21, 48, 64), 1e-8, np.float32)
    everything[[0, 8, 15]] = own / own.sum(axis=0)
    alone = np.where(everything > 1e-7, everything, 0)
    ours = crf.refined(image, alone, SETTINGS).argmax(axis=0)
    assert len(np.unique(ours)) == 3
    np.testing.assert_array_equal(ours, crf.refined(image, everything, SETTINGS).argmax(axis=0))


def test_one_channel_is_left_alone():
    probabilities = np.zeros((3, 4, 4), np.float32)
    probabilities[0] = 1
    image = np.zeros((4, 4, 3), np.uint8)
    np.testing.assert_array_equal(crf.refined(image, probabilities, SETTINGS), probabilities)
