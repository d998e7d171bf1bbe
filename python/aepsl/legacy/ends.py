"""The end of a net: the blob of its scores, and the layers after it that this program replaces."""

from typing import Optional

from aepsl.base.errors import InputError
from aepsl.legacy.layers import Layer
from aepsl.settings.typed import Bilateral, Crf, Gaussian

# Kinds of layers that end a net in testing; losses do, too.
ENDS = set(
    "Accuracy ArgMax DenseCRF HDF5Output MatWrite MultiStageMeanfield Python SegAccuracy Silence Softmax".split()
)
ITERATIONS = 10  # of a CRF whose layer does not give them
# {message: its fields} of the CRF layers of DeepLab, CCNN and CRF-RNN: iterations; weight, xy, rgb of the bilateral
# kernel; weight, xy of the Gaussian one.
CRFS = dict(
    dense_crf_param="max_iter bi_w bi_xy_std bi_rgb_std pos_w pos_xy_std",
    densecrf_param="max_iter wt_bilateral x_bilateral r_bilateral wt_gauss x_gauss",
    multi_stage_meanfield_param=(
        "num_iterations bilateral_filter_weight theta_alpha theta_beta spatial_filter_weight theta_gamma"
    ),
)


def last_scores(deploy: str, layers: list[Layer]) -> str:
    """The blob of scores: the top of the last layer that depends on a convolution and does not end the net."""
    live: set[str] = set()
    last = None
    for layer in layers:
        if live & set(layer.bottoms) or layer.kind == "Convolution":
            live.update(layer.tops)
            if layer.tops and layer.kind not in ENDS and "Loss" not in layer.kind:
                last = layer
    if last is None:
        raise InputError(f"{deploy}: has no convolution, so it is no segmentation net; give its deploy prototxt")
    return last.tops[0]


def without_growth(layers: list[Layer], scores: str) -> tuple[str, list[Layer]]:
    """(the blob of scores before upsampling, Dropout and Split at its end, these layers)."""
    grown: list[Layer] = []
    for layer in reversed(layers):
        if scores not in layer.tops:
            continue
        if len(layer.bottoms) != 1 or layer.bottoms == [scores]:
            break
        if not (_grows(layer) or layer.kind in ("Dropout", "Split")):
            break
        scores, grown = layer.bottoms[0], [layer, *grown]
    return scores, grown


def _grows(layer):
    """Whether the layer only upsamples or crops its bottom, so that resizing the bottom gives the same."""
    if layer.kind == "Interp":
        param = layer.fields.message("interp_param")
        keys = [key for key, value, _ in param if (key, param.number(key)) not in (("pad_beg", 0), ("pad_end", 0))]
        return keys == ["zoom_factor"]
    param = layer.fields.message("padding_param")
    return layer.kind == "Padding" and max(param.number("pad_beg", 0), param.number("pad_end", 0)) <= 0


def crf_of(layers: list[Layer]) -> Optional[tuple[Layer, Crf]]:
    """(the layer of the net's CRF, its values as an experiment's `crf`); None for a net without one."""
    for layer in reversed(layers):
        for key, names in CRFS.items():
            if layer.fields.messages(key):
                values = [layer.fields.message(key).number(name) for name in names.split()]
                if None not in values[1:]:
                    return layer, Crf(int(values[0] or ITERATIONS), Bilateral(*values[1:4]), Gaussian(*values[4:]))
    return None
