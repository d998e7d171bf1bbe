"""Online prohibitive segmentation learning (section 3.2): the auxiliary mask S_hat."""

from collections.abc import Callable

import caffe
import numpy as np

from aepsl.data.dataset import IGNORE
from aepsl.layers.base import check_bottoms, listed, parameters
from aepsl.layers.losses import softmax

CONFIDENCES = ("predicted", "labels", "none")
READINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = dict(
    softmax=lambda p: p, of_max=lambda p: p / p.max(axis=-1, keepdims=True)
)


def v_of(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """v of section 3.2, the paper's "image-level prediction", of class probabilities ... x C; `psl.v` of the settings.

    'softmax': the probabilities themselves. They add up to 1: two equally sure classes have v = 1/2 each.
    'of_max': the probabilities divided by the image's largest. Two equally sure classes have v = 1 each.
    """
    return READINGS[kind](probabilities)


def with_background(v: np.ndarray) -> np.ndarray:
    """[1, v] of section 3.2, background's 1 first. v: ... x C, one value a class; returns ... x (C + 1) float64."""
    return np.concatenate([np.ones((*np.shape(v)[:-1], 1)), v], axis=-1)


def prohibitive_mask(scores: np.ndarray, v: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """S_hat_u = argmax_c [1, v]_c f_{u,c}, f = softmax(scores); 255 where the winner is not a label of the image.

    scores: N x (C + 1) x h x w, background first; v: N x C, not negative; labels: N x C, 0 or 1.
    Returns N x h x w in the dtype of `scores`.
    """
    n = len(scores)
    winner = (with_background(v)[:, :, None, None] * softmax(scores)).argmax(axis=1)
    allowed = with_background(labels) > 0
    return np.where(allowed[np.arange(n)[:, None, None], winner], winner, IGNORE).astype(scores.dtype)


class OfMax(caffe.Layer):
    """Bottom: class probabilities N x C. Top: v N x C, each divided by the image's largest; there is no gradient."""

    def setup(self, bottom, top):
        check_bottoms(self, bottom, probabilities="N C")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = v_of(bottom[0].data, "of_max")

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down):
            raise ValueError("OfMax has no gradient; give it propagate_down: false")


class ProhibitiveMask(caffe.Layer):
    """Bottoms: segmentation scores N x (C + 1) x h x w, class probabilities N x C, labels N x C.
    Top: mask N x 1 x h x w for MaskedCrossEntropy; there is no gradient.

    Parameters, for example {"confidence": "predicted"}

    confidence  what is taken as v: 'predicted', the class probabilities (the paper); 'labels', the image labels;
              'none', ones. The last two are ablations of section 4.3.2.
    """

    def setup(self, bottom, top):
        self.confidence = parameters(self.param_str, dict(confidence="predicted"))["confidence"]
        if self.confidence not in CONFIDENCES:
            known = ", ".join(CONFIDENCES)
            raise ValueError(f"ProhibitiveMask: confidence is {self.confidence!r}; it can be one of {known}")

    def reshape(self, bottom, top):
        check_bottoms(self, bottom, scores="N K h w", probabilities="N C", labels="N C")
        n, _, height, width = bottom[0].shape
        top[0].reshape(n, 1, height, width)

    def forward(self, bottom, top):
        scores, probabilities, labels = (blob.data for blob in listed(bottom))
        v = dict(predicted=probabilities, labels=labels, none=np.ones_like(labels))[self.confidence]
        top[0].data[:, 0] = prohibitive_mask(scores, v, labels)

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down):
            raise ValueError("ProhibitiveMask has no gradient; give it propagate_down: false for each bottom")
