"""The two prototxts of a training, with which stock Caffe repeats it."""

import json
import os

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base.files import write_text
from aepsl.nets import build
from aepsl.nets.prototxt import net_text

NET, SOLVER = "train.prototxt", "solver.prototxt"


def write_prototxts(experiment, task, data, images, out, regions=None, masks=None, confidence="predicted"):
    """Write the run's train.prototxt and solver.prototxt: the experiment's, with the run's data filled in."""
    build.check_size(experiment, task, experiment.training.of(task).batch)
    net = text_format.Parse(build.train_net(experiment, task), caffe_pb2.NetParameter())
    _set(net, "WeaklyLabelledImages", root=data, regions=regions, masks=masks)
    if task == "psl":
        _set(net, "ProhibitiveMask", confidence=confidence)
    net_path = os.path.join(out, NET)
    write_text(net_path, net_text(net.name, net))
    solver = build.solver(experiment, task, net_path, images, os.path.join(out, "snapshot"))
    write_text(os.path.join(out, SOLVER), solver)


def _set(net, name, **settings):
    """Change parameters of the net's Python layer of the class `name`."""
    layer = next(layer.python_param for layer in net.layer if layer.python_param.layer == name)
    layer.param_str = json.dumps({**json.loads(layer.param_str), **settings})
