"""The two losses of the paper as functions of arrays, and as Caffe layers."""

import caffe
import numpy as np

from aepsl.data.dataset import IGNORE
from aepsl.layers.base import check_bottoms, listed


def softmax(scores: np.ndarray) -> np.ndarray:
    """Softmax over axis 1, in the dtype of `scores`."""
    exponential = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponential / exponential.sum(axis=1, keepdims=True)


def squared_classification_loss(z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Squared label prediction loss (section 3.1, after its reference [30]).

    z: scores N x C; y: image labels N x C, 0 or 1, at least one in each row.
    p = softmax(z), t = y / sum(y), L = 1/(2N) sum_i sum_c (p_ic - t_ic)^2. L is in 0 ... 1. The factor 1/2 is that of
    Caffe's EuclideanLoss; the axis of figure 5a fits no other scale (FIDELITY.md). Returns L and dL/dz (N x C).
    """
    p = softmax(z)
    r = p - y / y.sum(axis=1, keepdims=True)
    gradient = 1 / len(z) * p * (r - (p * r).sum(axis=1, keepdims=True))
    return (r**2).sum() / (2 * len(z)), gradient


def counted_pixels(mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The pixels that count for J: background and the image's labels.

    mask: N x h x w; labels: N x C. Returns N x (C + 1) x h x w, bool: one-hot, all False where a pixel does not count.
    """
    n, c = labels.shape
    classes = np.arange(c + 1)[None, :, None, None]
    allowed = np.concatenate([np.ones((n, 1), bool), labels > 0], axis=1)[:, :, None, None]
    return (mask[:, None] == classes) & allowed


def masked_cross_entropy(scores: np.ndarray, mask: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """J(f, S) of section 3.2, f = softmax(scores).

    scores: N x K x h x w, background first; mask: N x h x w, values 0 ... K - 1 or 255;
    labels: N x (K - 1), 0 or 1.
    Per image the mean of -log f_{u, S_u} over the pixels u whose S_u is background or one of the image's labels;
    then the mean over the images that have such a pixel; 0 if none has. Returns J and dJ/dscores.
    """
    n = len(scores)
    target = counted_pixels(mask, labels)
    counts = target.sum(axis=(1, 2, 3))
    weight = np.zeros(n, scores.dtype)
    weight[counts > 0] = 1 / counts[counts > 0] / max(1, (counts > 0).sum())
    weight = weight[:, None, None, None]

    shifted = scores - scores.max(axis=1, keepdims=True)
    log_f = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    counted = target.any(axis=1, keepdims=True)
    return -(log_f * target * weight).sum(), (np.exp(log_f) * counted - target) * weight


class _Loss(caffe.Layer):
    """A loss without parameters. Only its first bottom gets a gradient. bottoms: see check_bottoms."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        check_bottoms(self, bottom, **self.bottoms)
        top[0].reshape(1)
        self.gradient = None

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down[1:]):
            raise ValueError(f"{type(self).__name__} has a gradient for its scores alone")
        if propagate_down[0]:
            bottom[0].diff[...] = self.gradient * top[0].diff[0]


class SquaredClassificationLoss(_Loss):
    """Bottoms: scores N x C, labels N x C. Top: the loss."""

    bottoms = dict(scores="N C", labels="N C")

    def forward(self, bottom, top):
        scores, labels = (blob.data for blob in listed(bottom))
        if not labels.any(axis=1).all():
            raise ValueError("SquaredClassificationLoss: an image has no label at all; give each at least one")
        top[0].data[0], self.gradient = squared_classification_loss(scores, labels)


class MaskedCrossEntropy(_Loss):
    """Bottoms: scores N x K x h x w, mask N x 1 x h x w, labels N x (K - 1). Top: J."""

    bottoms = dict(scores="N K h w", mask="N 1 h w", labels="N C")

    def forward(self, bottom, top):
        scores, mask, labels = (blob.data for blob in listed(bottom))
        k = scores.shape[1]
        wrong = mask[(mask != IGNORE) & ((mask < 0) | (mask >= k) | (mask != np.floor(mask)))]
        if wrong.size:
            may = f"with {k} channels it may have 0 ... {k - 1}, and {IGNORE} for ignored pixels"
            raise ValueError(f"MaskedCrossEntropy: the mask has the value {wrong[0]:g}; {may}")
        top[0].data[0], self.gradient = masked_cross_entropy(scores, mask[:, 0], labels)
