"""Finds values that are not finite, with their layer, and ends a training before Caffe computes gradients of them.

Where a window of Caffe's max pooling holds only NaN, its output is -FLT_MAX and it has no position of a maximum. Its
backward pass on the CPU then writes outside its memory, and the process aborts, at once or later.
"""

import weakref
from typing import Callable, NoReturn, Optional

import caffe
import numpy as np

LOWEST = -np.finfo(np.float32).max


def are_finite(array: np.ndarray) -> bool:
    """Whether all values are finite; needs no other array of that size."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.sum(dtype=np.float64)))


def first_fault(net: caffe.Net) -> Optional[str]:
    """The name of the net's first layer whose output is not finite; None if all are."""
    outputs = ((layer, net.blobs[top].data) for layer, tops in net.top_names.items() for top in tops)
    return next((layer for layer, array in outputs if not (are_finite(array) and array.min() > LOWEST)), None)


def first_faulty_weights(net: caffe.Net) -> Optional[str]:
    """The name of the net's first layer whose weights are not finite; None if all are."""
    return next((layer for layer, blobs in net.params.items() if not all(are_finite(b.data) for b in blobs)), None)


def watch(net: caffe.Net, fail: Callable[[Optional[str]], NoReturn], on_cpu: bool = True) -> Callable[[int], None]:
    """Check a training net after each forward pass; call fail(layer) if a value is not finite.

    fail must raise: that ends the solver's step before the backward pass. Checked are the losses and their first
    bottoms; on the CPU, where Caffe could abort, also the outputs of pooling. The checks end once the caller drops the
    function that is returned: Caffe never frees a callback, so the callback itself holds neither net nor solver.
    """
    losses = [layer for layer, tops in net.top_names.items() if any(top in net.outputs for top in tops)]
    watched = {blob: None for layer in losses for blob in (net.bottom_names[layer][0], *net.top_names[layer])}
    kinds = zip(net.top_names, (layer.type for layer in net.layers))
    pooled = [net.top_names[layer][0] for layer, kind in kinds if kind == "Pooling" and on_cpu]
    last = len(net.layers) - 1

    def look(layer):
        if layer != last:  # the backward pass begins with the last layer
            return
        # A comparison with NaN is false.
        is_well = all(net.blobs[name].data.min() > LOWEST for name in pooled)
        if not (is_well and all(are_finite(net.blobs[name].data) for name in watched)):
            fail(first_fault(net))

    alive = weakref.ref(look)
    net.before_backward(lambda layer: (kept := alive()) and kept(layer))  # once `look` is freed, nothing
    return look
