"""Values that are not finite: which layer has them, and an end of training before Caffe computes gradients of them.

A window of Caffe's max pooling that holds no number gives -FLT_MAX and remembers no place; its backward pass on the CPU
then writes outside its memory, and the process aborts, at once or later.
"""

import weakref

import numpy as np

LOWEST = -np.finfo(np.float32).max


def are_finite(array):
    """Whether all values are finite, without another array of that size."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.sum(dtype=np.float64)))


def first_fault(net):
    """The name of the net's first layer whose output is not finite; None if all are."""
    for layer, tops in net.top_names.items():
        for top in tops:
            array = net.blobs[top].data
            if not (are_finite(array) and array.min() > LOWEST):
                return layer
    return None


def first_faulty_weights(net):
    """The name of the net's first layer whose weights are not finite; None if all are."""
    for layer, blobs in net.params.items():
        if not all(are_finite(blob.data) for blob in blobs):
            return layer
    return None


def watch(net, fail, on_cpu=True):
    """Look at a training net after each forward pass: call fail(layer) if something in it is not finite.

    fail must raise: that ends the solver's step before the backward pass. Looked at are the losses and what they are
    computed from; on the CPU, where it could abort, also what comes out of pooling. The watch lasts as long as what is
    returned is kept: Caffe never frees a callback, so this one holds neither net nor solver.
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
    net.before_backward(lambda layer: alive() and alive()(layer))  # once it is gone, nothing
    return look
