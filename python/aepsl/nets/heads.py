"""The heads on top of a trunk, their losses, and S_hat (sections 3.1 and 3.2 of the paper)."""

import json
from typing import Any

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top

from aepsl.nets.parts import Net, weight_and_bias
from aepsl.settings.typed import Experiment


def classification_head(n: Net, trunk: Top, experiment: Experiment) -> Top:
    """Scores N x C, by global average pooling: with fc8_cls' weights the trunk's last blob then gives a CAM."""
    n.comment("The classification branch (section 3.1)")
    n.gap = L.Pooling(trunk, pool=P.Pooling.AVE, global_pooling=True)
    n.fc8_cls = L.InnerProduct(n.gap, num_output=len(experiment.classes), **_new_layer(experiment))
    return n.fc8_cls


def segmentation_head(n: Net, trunk: Top, experiment: Experiment) -> Top:
    """Scores N x (C + 1) x h x w, background first."""
    n.comment("The segmentation branch")
    n.fc8_seg = L.Convolution(trunk, num_output=len(experiment.classes) + 1, kernel_size=1, **_new_layer(experiment))
    return n.fc8_seg


def _new_layer(experiment):
    return dict(
        param=weight_and_bias(experiment.new_layer_lr),
        weight_filler=dict(type="gaussian", std=0.01),
        bias_filler=dict(type="constant", value=0),
    )


def classification_loss(n: Net, scores: Top) -> Top:
    """The squared classification loss of section 3.1."""
    return python("losses.SquaredClassificationLoss", scores, n.labels, loss_weight=1, propagate_down=[True, False])


def segmentation_loss(n: Net, scores: Top, mask: Top) -> Top:
    """J(f, mask) of section 3.2."""
    of_scores = [True, False, False]
    return python("losses.MaskedCrossEntropy", scores, mask, n.labels, loss_weight=1, propagate_down=of_scores)


def prohibitive_mask(n: Net, scores: Top, confidence: str, of_max: bool) -> Top:
    """S_hat of section 3.2. It passes no gradient on, neither to f nor to v."""
    n.comment("Online prohibitive segmentation learning (section 3.2)")
    if of_max:
        n.probabilities = L.Softmax(n.fc8_cls, propagate_down=False)
        n.v = python("psl.OfMax", n.probabilities, propagate_down=False)
    else:
        n.v = L.Softmax(n.fc8_cls, propagate_down=False)
    parameters = json.dumps(dict(confidence=confidence))
    return python("psl.ProhibitiveMask", scores, n.v, n.labels, propagate_down=[False] * 3, param_str=parameters)


def python(name: str, *bottoms: Top, **more: Any) -> Any:
    """A layer of aepsl.layers; name: 'file.Class'. Returns its top, or a tuple of its tops for `ntop`."""
    file, layer = name.split(".")
    return L.Python(*bottoms, module="aepsl.layers." + file, layer=layer, **more)
