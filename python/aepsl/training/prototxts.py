"""The two prototxts of a training, with which stock Caffe repeats it."""

import functools
import os

from aepsl.base.files import write_text
from aepsl.nets import build

NET, SOLVER = "train.prototxt", "solver.prototxt"


def write_prototxts(experiment, task, data, images, out, regions=None, masks=None, confidence="predicted"):
    """Write the run's train.prototxt and solver.prototxt: the experiment's, with the run's data filled in."""
    build.check_size(experiment, task, experiment.training.of(task).batch)
    source = functools.partial(build.data_layer, root=data, regions=regions, masks=masks)
    net_path = os.path.join(out, NET)
    write_text(net_path, build.train_net(experiment, task, source, confidence))
    solver = build.solver(experiment, task, net_path, images, os.path.join(out, "snapshot"))
    write_text(os.path.join(out, SOLVER), solver)
