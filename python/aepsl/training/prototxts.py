"""The two prototxts of a training, with which stock Caffe repeats it."""

import functools
import os
from typing import Optional

from aepsl.base.files import write_text
from aepsl.nets import build
from aepsl.settings.typed import Experiment

NET, SOLVER = "train.prototxt", "solver.prototxt"


def write_prototxts(
    experiment: Experiment,
    task: str,
    data: str,
    images: int,
    out: str,
    regions: Optional[str] = None,
    masks: Optional[str] = None,
    confidence: str = "predicted",
) -> None:
    """Write train.prototxt and solver.prototxt of a training to the folder `out`.

    data: root of the data set; images: how many it trains on; regions, masks: folders of PNGs, see layers.data.
    """
    build.check_size(experiment, task, experiment.training.of(task).batch)
    source = functools.partial(build.data_layer, root=data, regions=regions, masks=masks)
    net_path = os.path.join(out, NET)
    write_text(net_path, build.train_net(experiment, task, source, confidence))
    solver = build.solver(experiment, task, net_path, images, os.path.join(out, "snapshot"))
    write_text(os.path.join(out, SOLVER), solver)
