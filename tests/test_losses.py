"""The losses against their formulas written out pixel by pixel, finite differences, and Caffe's own layers."""

import numpy as np
import pytest

from aepsl.layers.losses import masked_cross_entropy, squared_classification_loss
from aepsl.paper import published
from conftest import inputs, python_layer
from written_out import written_out_cross_entropy, written_out_squared

N, C, H, W = 3, 4, 3, 2
LABELS = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]], float)


def numerical_gradient(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def learned(name):
    """A layer that gives the blob `name`_in on as it is, and wants a gradient of it."""
    return (
        f'layer {{ name: "{name}" type: "Scale" bottom: "{name}_in" top: "{name}" '
        "scale_param { filler { type: 'constant' value: 1 } } }\n"
    )


def random_masks(rng):
    """Masks of every kind: labels of the image, labels of others, ignored; the last image has no pixel that counts."""
    mask = rng.choice([0, 1, 2, 3, 4, 255], (N, H, W))
    mask[2] = [[1, 2], [255, 255], [1, 255]]
    return mask.astype(float)


@pytest.mark.parametrize("size", [0.1, 3, 40])
def test_squared_loss_is_its_formula(rng, size):
    z = size * rng.randn(N, C)
    loss, gradient = squared_classification_loss(z, LABELS)
    assert loss == pytest.approx(written_out_squared(z, LABELS), rel=1e-12)
    np.testing.assert_allclose(
        gradient, numerical_gradient(lambda x: written_out_squared(x, LABELS), z), atol=1e-8, rtol=1e-6
    )


def test_squared_loss_survives_large_scores():
    loss, gradient = squared_classification_loss(np.array([[1e4, 0, 0, 0]]), np.array([[0, 1.0, 0, 0]]))
    assert loss == pytest.approx(1)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("size", [0.1, 3])
def test_masked_cross_entropy_is_its_formula(rng, size):
    scores, mask = size * rng.randn(N, C + 1, H, W), random_masks(rng)
    loss, gradient = masked_cross_entropy(scores, mask, LABELS)
    assert loss == pytest.approx(written_out_cross_entropy(scores, mask, LABELS), rel=1e-12)
    expected = numerical_gradient(lambda x: written_out_cross_entropy(x, mask, LABELS), scores)
    np.testing.assert_allclose(gradient, expected, atol=1e-8, rtol=1e-6)
    assert not gradient[2].any()


def test_masked_cross_entropy_of_ignored_masks_is_zero(rng):
    loss, gradient = masked_cross_entropy(rng.randn(N, C + 1, H, W), np.full((N, H, W), 255.0), LABELS)
    assert loss == 0
    assert not gradient.any()


def test_squared_loss_layer_agrees_with_softmax_and_euclidean_loss(net_of, rng):
    """Ours is Caffe's EuclideanLoss on the output of its Softmax."""
    ours = net_of(
        inputs(z_in=(N, C), y=(N, C))
        + learned("z")
        + python_layer("SquaredClassificationLoss", "aepsl.layers.losses", ["z", "y"], ["loss"], loss_weight=3)
    )
    theirs = net_of(
        inputs(z_in=(N, C), t=(N, C)) + learned("z") + 'layer { name: "p" type: "Softmax" bottom: "z" top: "p" }\n'
        'layer { name: "loss" type: "EuclideanLoss" bottom: "p" bottom: "t" top: "loss" loss_weight: 3 }\n'
    )
    z = rng.randn(N, C)
    ours.blobs["z_in"].data[...] = theirs.blobs["z_in"].data[...] = z
    ours.blobs["y"].data[...] = LABELS
    theirs.blobs["t"].data[...] = LABELS / LABELS.sum(axis=1, keepdims=True)
    assert float(ours.forward()["loss"]) == pytest.approx(float(theirs.forward()["loss"]), rel=1e-6)
    ours.backward()
    theirs.backward()
    assert ours.blobs["z"].diff.any()
    np.testing.assert_allclose(ours.blobs["z"].diff, theirs.blobs["z"].diff, rtol=1e-4, atol=1e-6)


def test_the_scale_of_the_loss_is_that_of_figure_5a():
    """Curves that end near .4, the axis' end, begin at the loss of a net that knows nothing only with this scale.

    images: of VOC's train_aug, with 1 ... 6 labels in their XML, as psa and irn count them.
    """
    images = [6249, 3104, 969, 210, 46, 4]
    labels = np.repeat(np.tril(np.ones((6, 20))), images, axis=0)  # 1 to 6 labels, whichever
    loss, _ = squared_classification_loss(np.zeros((10_582, 20)), labels)
    assert loss == pytest.approx(0.3618, abs=5e-5)
    assert max(published.CONVERGED_LOSSES.values()) < loss < 0.4 < 2 * loss


def test_cross_entropy_layer_agrees_with_softmax_with_loss(net_of, rng):
    """On one image that has all labels J is Caffe's SoftmaxWithLoss, normalised by the pixels not ignored."""
    shapes = dict(f_in=(1, C + 1, H, W), S=(1, 1, H, W))
    ours = net_of(
        inputs(**shapes, y=(1, C))
        + learned("f")
        + python_layer("MaskedCrossEntropy", "aepsl.layers.losses", ["f", "S", "y"], ["loss"], loss_weight=1)
    )
    theirs = net_of(
        inputs(**shapes)
        + learned("f")
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "S" top: "loss" '
        "loss_param { ignore_label: 255 } }\n"
    )
    for net in (ours, theirs):
        net.blobs["f_in"].data[...] = np.random.RandomState(1).randn(*shapes["f_in"])
        net.blobs["S"].data[...] = [[[[0, 255], [1, 4], [255, 2]]]]
    ours.blobs["y"].data[...] = 1
    assert float(ours.forward()["loss"]) == pytest.approx(float(theirs.forward()["loss"]), rel=1e-5)
    ours.backward()
    theirs.backward()
    assert ours.blobs["f"].diff.any()
    np.testing.assert_allclose(ours.blobs["f"].diff, theirs.blobs["f"].diff, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "layer, shapes, complaint",
    [
        ("SquaredClassificationLoss", dict(z=(2, 4), y=(2, 5)), "scores N x C, labels N x C"),
        ("SquaredClassificationLoss", dict(z=(2, 4)), "they have the shapes [(2, 4)]"),
        ("MaskedCrossEntropy", dict(f=(2, 5, 3, 3), S=(2, 1, 9, 9), y=(2, 4)), "mask N x 1 x h x w"),
        ("MaskedCrossEntropy", dict(f=(2, 5, 3, 3), S=(2, 1, 3, 3), y=(2, 5)), "K is C + 1"),
        ("MaskedCrossEntropy", dict(f=(2, 5, 3, 3), S=(2, 2, 3, 3), y=(2, 4)), "(2, 2, 3, 3)"),
        ("MaskedCrossEntropy", dict(f=(2, 5, 3), S=(2, 1, 3, 3), y=(2, 4)), "(2, 5, 3)"),
        ("MaskedCrossEntropy", dict(f=(2, 5, 3, 3), S=(2, 1, 3, 3), y=(3, 4)), "(3, 4)"),
    ],
)
def test_wrong_shapes_are_refused_with_a_sentence(net_of, layer, shapes, complaint):
    with pytest.raises(Exception) as error:
        net_of(inputs(**shapes) + python_layer(layer, "aepsl.layers.losses", list(shapes), ["loss"], loss_weight=1))
    assert complaint in str(error.value)


def test_values_that_no_class_has_are_refused(net_of):
    net = net_of(
        inputs(f=(1, 3, 2, 2), S=(1, 1, 2, 2), y=(1, 2))
        + python_layer("MaskedCrossEntropy", "aepsl.layers.losses", ["f", "S", "y"], ["loss"], loss_weight=1)
    )
    net.blobs["S"].data[...] = 3
    with pytest.raises(ValueError, match="the mask has the value 3"):
        net.forward()
    net = net_of(
        inputs(z=(1, 3), y=(1, 3))
        + python_layer("SquaredClassificationLoss", "aepsl.layers.losses", ["z", "y"], ["loss"], loss_weight=1)
    )
    with pytest.raises(ValueError, match="no label at all"):
        net.forward()
