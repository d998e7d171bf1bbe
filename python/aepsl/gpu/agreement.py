"""How far the GPU's results are from the CPU's: every blob and gradient of a net, forward and backward."""

import caffe
import numpy as np
from caffe import layers as L

from aepsl.nets import build, caffemodel, device

TOLERANCE = 1e-4  # relative to the largest value of a blob


def largest_difference(net, gpu):
    """(name, difference) of what differs most between CPU and GPU: a blob, its gradient, or a parameter's gradient.

    net: its inputs are filled in and it has no randomness; difference: the largest of |GPU - CPU|, relative to the
    largest |CPU| of the same array.
    """
    expected, ours = (_forward_backward(net, processor) for processor in (None, gpu))
    device.use(None)
    differences = {name: _relative(ours[name], values) for name, values in expected.items()}
    return max(differences.items(), key=lambda item: item[1])


def _relative(ours, expected):
    largest = np.abs(expected).max()
    difference = np.abs(ours - expected).max()
    return difference / largest if largest > 0 else difference


def _forward_backward(net, gpu):
    """Copies of all arrays after one pass. gpu: its number, None for the CPU."""
    device.use(gpu)
    net.clear_param_diffs()
    net.forward()
    net.backward()
    arrays = {name: blob.data.copy() for name, blob in net.blobs.items()}
    arrays.update({f"the gradient of {name}": blob.diff.copy() for name, blob in net.blobs.items()})
    for layer, blobs in net.params.items():
        arrays.update({f"the gradient of parameter {k} of {layer}": blob.diff.copy() for k, blob in enumerate(blobs)})
    return arrays


def net_with_inputs(experiment, task, batch=2):
    """The training net of `task` with random inputs in place of its data layer, and without dropout."""
    random = np.random.RandomState(1)
    shapes = build.batch_shapes(experiment, task, batch)
    classes = len(experiment.classes)
    inputs = dict(data=60 * random.randn(*shapes[0]), labels=random.rand(*shapes[1]) < 0.5)
    inputs["labels"][:, 0] = True
    if len(shapes) == 3:
        inputs["mask"] = random.choice([*range(classes + 1), 255], shapes[2])
    layer = dict(ntop=len(shapes), input_param=dict(shape=[dict(dim=shape) for shape in shapes]))
    caffe.set_random_seed(1)
    net = caffemodel.net_of(build.train_net(experiment, task, lambda *_: L.Input(**layer)))  # Dropout lets all pass
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    return net
