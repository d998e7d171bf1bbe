"""Makes the nets and solvers of an experiment from its settings. The command writes them as prototxts for stock Caffe.

A net is a trunk (nets/trunks) of output stride 8, for inputs of 8k + 1 pixels, with a head (nets/heads.py): global
average pooling and a fully connected layer for classification (section 3.1 of the paper), or a 1x1 convolution for
segmentation; for online prohibitive segmentation learning (section 3.2) both.
"""

import functools
import json
import os
from typing import Any, Callable, Optional

from caffe import layers as L
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl import cli
from aepsl.base import doors
from aepsl.base.errors import InputError
from aepsl.base.files import read_text, write_text
from aepsl.layers.data import PARAMETERS
from aepsl.nets import heads, sizes
from aepsl.nets.parts import Net
from aepsl.nets.prototxt import net_text
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment

STRIDE = 8
NEW_LAYERS = ("fc8_cls", "fc8_seg")  # the heads; all other layers have initial weights
KINDS = ("train", "deploy", "solver")
NET, SOLVER = "train.prototxt", "solver.prototxt"  # in the folder of a training
HEADER = "# Written by `make nets` from experiment.yaml beside it; a run follows that.\n"
SOLVER_HEADER = """# From the repository's root, with PYTHONPATH=python, the data in data/{name} and a folder runs:
#   caffe train -solver {path} -weights runs/{name}/initial.caffemodel
"""


def data_parameters(experiment: Experiment, task: str, **own: Any) -> dict:
    """The PARAMETERS of aepsl.layers.data, from the experiment; own: those that replace them, as a run's `root`."""
    data = experiment.data
    parameters = dict(
        PARAMETERS,
        root="data/" + experiment.name,
        list=data.train,
        classes=experiment.classes,
        batch=own["batch"] if "batch" in own else experiment.training.of(task).batch,
        crop=data.crop,
        scale=data.scale,
        mean=data.mean,
        seed=experiment.seed.training,
        workers=data.workers,
        mask_stride=STRIDE,
    )
    return {**parameters, **own}


def data_layer(experiment: Experiment, task: str, **own: Any) -> Any:
    """The tops of a layer aepsl.layers.data.WeaklyLabelledImages; own: see data_parameters."""
    parameters = json.dumps(data_parameters(experiment, task, **own))
    return heads.python("data.WeaklyLabelledImages", ntop=2 if task == "classification" else 3, param_str=parameters)


def batch_shapes(experiment: Experiment, task: str, batch: int) -> list[list[int]]:
    """The shapes of a batch: images, labels and, except for classification, masks."""
    crop, classes = experiment.data.crop, len(experiment.classes)
    side = (crop - 1) // STRIDE + 1
    return [[batch, 3, crop, crop], [batch, classes], [batch, 1, side, side]][: 2 if task == "classification" else 3]


def train_net(experiment: Experiment, task: str, source: Callable = data_layer, confidence: str = "predicted") -> str:
    """The training net of `task` as text.

    source(experiment, task): the tops of the layer that gives batches; confidence: what weights S_hat, one of
    aepsl.layers.psl.CONFIDENCES.
    """
    return net_text(f"{experiment.name}_{task}_train", _net(experiment, task, source, confidence).to_proto())


def deploy_net(experiment: Experiment, task: str) -> str:
    """The same net for one image, as text; its input is reshaped to the image's size."""
    return net_text(f"{experiment.name}_{task}_deploy", _net(experiment, task).to_proto())


def _net(experiment, task, source=None, confidence="predicted"):
    """The training net with the batches of `source`; without it the net for one image."""
    n, crop = Net(), experiment.data.crop
    if source:
        n.comment("A batch: images, their labels" + " and masks" * (task != "classification"))
        n.data, n.labels, *masks = source(experiment, task)
        if masks:
            (n.mask,) = masks
    else:
        n.data = L.Input(input_param=dict(shape=dict(dim=[1, 3, crop, crop])))
    trunk = doors.load(doors.TRUNKS, experiment.net).trunk(n, n.data, experiment)
    if task in ("classification", "psl"):
        scores = heads.classification_head(n, trunk, experiment)
        if source:
            n.loss_cls = heads.classification_loss(n, scores)
    if task in ("segmentation", "psl"):
        scores = heads.segmentation_head(n, trunk, experiment)
        if source:
            n.loss_seg = heads.segmentation_loss(n, scores, n.mask)
    if source and task == "psl":
        n.mask_hat = heads.prohibitive_mask(n, scores, confidence, experiment.psl.v == "of_max")
        n.loss_psl = heads.segmentation_loss(n, scores, n.mask_hat)
    return n


def solver(experiment: Experiment, task: str, net: str, images: int, prefix: str) -> str:
    """The solver of `task` as text.

    net: path of the training net; images: how many it is trained on, which fixes the iterations of an epoch;
    prefix: of the snapshots.
    """
    settings = experiment.training.of(task)
    epochs = lambda count: experiments.iterations(count, images, settings.batch)  # noqa: E731
    fields = dict(
        net=net,
        base_lr=settings.lr,
        lr_policy="step",
        gamma=0.1,
        stepsize=epochs(settings.lr_step_epochs),
        max_iter=epochs(settings.epochs),
        momentum=settings.momentum,
        weight_decay=settings.decay,
        display=20,
        snapshot=epochs(1),
        snapshot_prefix=prefix,
        random_seed=experiment.seed.training,
    )
    parts = [caffe_pb2.SolverParameter(**{name: value}) for name, value in fields.items()]  # text keeps this order
    return "".join(map(text_format.MessageToString, parts))


def write_prototxts(
    experiment: Experiment, task: str, data: str, images: int, out: str, confidence: str = "predicted", **folders: Any
) -> None:
    """Write NET and SOLVER of a training, with which stock Caffe repeats it, to the folder `out`.

    data: root of the data set; images: how many it trains on; confidence: see train_net; folders: `regions`, `masks`,
    folders of PNGs, see layers.data.
    """
    check_size(experiment, task, experiment.training.of(task).batch)
    path = os.path.join(out, NET)
    write_text(path, train_net(experiment, task, functools.partial(data_layer, root=data, **folders), confidence))
    write_text(os.path.join(out, SOLVER), solver(experiment, task, path, images, os.path.join(out, "snapshot")))


def files(experiment: Experiment) -> dict[str, str]:
    """{path: text} of the experiment's nets and solvers for stock Caffe, which a run does not read."""
    name, folder, texts = experiment.name, os.path.join(experiments.FOLDER, experiment.name), {}
    for task in experiments.TASKS:
        paths = {kind: os.path.join(folder, f"{task}_{kind}.prototxt") for kind in KINDS}
        masks = None if task == "classification" else f"runs/{name}/masks/ae_step{experiment.mining.merge}"
        train = _net(experiment, task, functools.partial(data_layer, masks=masks))
        for kind, n in zip(KINDS, (train, _net(experiment, task))):
            texts[paths[kind]] = HEADER + net_text(f"{name}_{task}_{kind}", n.to_proto(), n.comments)
        images = experiment.data.train_images
        text = solver(experiment, task, paths["train"], images, f"runs/{name}_{task}")
        texts[paths["solver"]] = HEADER + SOLVER_HEADER.format(path=paths["solver"], name=name) + text
    return texts


def check(experiment: Experiment) -> None:
    """Raise InputError for a prototxt beside experiment.yaml that differs from it: a run would not follow it.

    Also if the batch or the crop of a task is larger than Caffe can take.
    """
    for path, text in files(experiment).items():
        if read_text(path) not in (None, text):
            remedy = f"remove it, or write it anew: python3 -m aepsl build {experiment.name}"
            raise InputError(f"{path}: is not what experiment.yaml beside it says, which a run follows; {remedy}")
    for task in experiments.TASKS:
        check_size(experiment, task, experiment.training.of(task).batch)


def check_size(experiment: Experiment, task: str, batch: int = 1) -> None:
    """Raise InputError if Caffe cannot hold the net of `task`, or a batch of crops: it would end the process."""
    sizes.check(text_format.Parse(deploy_net(experiment, task), caffe_pb2.NetParameter()), experiment, task, batch)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("experiments", nargs="*", default=[published.PAPERS_EXPERIMENT], help="their names (voc12)")
    for name in parser.parse_args(argv).experiments:
        for path, text in files(experiments.load(name)).items():
            write_text(path, text)
