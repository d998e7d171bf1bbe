"""How far the GPU's results are from the CPU's: every blob and gradient of a net, forward and backward."""

import os
import tempfile

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.caffe_nets import build, device
from aepsl.files import write_text

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
    crop, classes = experiment["data"]["crop"], len(experiment["classes"])
    inputs = dict(data=60 * random.randn(batch, 3, crop, crop), labels=random.rand(batch, classes) < 0.5)
    inputs["labels"][:, 0] = True
    if task != "classification":
        side = (crop - 1) // build.STRIDE + 1
        inputs["mask"] = random.choice([*range(classes + 1), 255], (batch, 1, side, side))

    parameter = text_format.Merge(build.train_net(experiment, task), caffe_pb2.NetParameter())
    layer = parameter.layer[0]
    layer.Clear()
    layer.name, layer.type = "input", "Input"
    for name, values in inputs.items():
        layer.top.append(name)
        layer.input_param.shape.add(dim=values.shape)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.prototxt")
        write_text(path, text_format.MessageToString(parameter))
        caffe.set_random_seed(1)
        net = caffe.Net(path, caffe.TEST)  # in this phase Dropout lets everything pass
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    return net
