"""What each stage of a run costs: seconds, disk, memory.

A net's seconds are computed: on a GPU by aepsl.run.roofline, on the CPU from one measured iteration. Training takes
three times as long (forward, backward to the weights and to the inputs). Seconds of cores and sizes of files were
measured. The speed of trainings that gpu-session has measured on this GPU, or that the run has done, replaces the
computed one.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Optional

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base import doors
from aepsl.data import creatures, source_table
from aepsl.data.dataset import Dataset
from aepsl.graph.graph import Graph
from aepsl.graph.stage import Stage
from aepsl.nets import build, caffemodel, cuda, sizes
from aepsl.paper import published
from aepsl.run import measured, roofline
from aepsl.settings import experiments
from aepsl.settings.experiments import TASKS
from aepsl.settings.typed import Experiment
from aepsl.training import stand_ins

REFERENCE = "V100"  # where no GPU is visible, or an unknown one
# Measured on the CPU by `make bench`: seconds of an iteration of LargeFOV segmentation at batch 2 on 2 cores ..
ITERATION, BATCH, CORES = 10.78, 2, 2
# ... seconds of one core for an image of 500 x 375: the CRF of 2 labels, of 20 (of saliency, the detector says) ..
SECONDS = dict(masks=0.02, relabel=0.58, segment=1.71)
# ... and kB that a stage leaves of a photo of VOC.
KILOBYTES = dict(saliency=32, mine=5, masks=5, relabel=7, segment=7)
PHOTO = (375, 500)
# Bytes of GPU memory that CUDA itself takes, and that cuBLAS and cuRAND take, about.
CONTEXT, LIBRARIES = 400 * 2**20, 100 * 2**20
# Seconds that a job takes to begin: measured (`make bench ARGS=--run=demo`); with a net on a GPU, assumed.
STARTING, STARTING_GPU = 1.2, 7


def learned(
    graph: Graph, took: Mapping[str, float], gpus: int, cores: int, images: Mapping[str, int]
) -> tuple[float, int]:
    """(time of the run's finished trainings / their computed time, their number); (1, 0) before the first."""
    computed = expected(graph, gpus, cores, images=images)
    trained = [stage.name for stage in graph.shown() if stage.is_training and stage.name in took]
    return sum(took[n] for n in trained) / sum(computed[n] for n in trained) if trained else 1, len(trained)


def expected(
    graph: Graph, gpus: int, cores: int, factor: float = 1, images: Optional[Mapping[str, int]] = None
) -> dict[str, float]:
    """{stage: expected seconds}, if the stages run one after the other.

    factor: multiplies the time of nets; images: of `images_of`.
    """
    images, (seconds_of_pass, _) = images or images_of(graph), speed(gpus, cores)
    detector = doors.load(doors.DETECTORS, graph.experiment.background.detector)
    of_a_photo, size = dict(SECONDS, saliency=detector.SECONDS), np.prod(sides_of(graph.experiment)) / np.prod(PHOTO)
    seconds = {}
    for stage in graph.shown():
        net, passes = passes_of(graph.settings_of(stage), stage, images)
        each = of_a_photo.get(stage.kind, 0) * size / cores
        start = STARTING_GPU if gpus and stage.has_net else STARTING / cores
        seconds[stage.name] = float(
            (factor * passes * seconds_of_pass(net) if net else 0)
            + images.get(stage.images or "", 0) * each
            + len(graph.jobs(stage.name)) * start
        )
    return seconds


def sides_of(experiment: Experiment) -> tuple[int, int]:
    """(height, width) of the experiment's images, about."""
    side = sum(creatures.SIDES) // 2
    return (side, side) if experiment.synthetic else PHOTO


def disk_of(graph: Graph, stage: Stage, images: Mapping[str, int]) -> float:
    """GB of a stage's results: files of its images, or the weights of a net."""
    if not (stage.images or stage.is_training):
        return 0
    count = images.get(stage.images or "", 0)
    return 1e-6 * count * KILOBYTES.get(stage.kind, 0) or 4e-9 * parameters(net_of(graph.experiment, stage.kind))


def speed(gpus: int, cores: int) -> tuple[Callable[[Any], float], str]:
    """(a function: seconds of a net's forward pass; a sentence about the source of these figures)."""
    paper = experiments.load(published.PAPERS_EXPERIMENT)
    net = net_of(paper, "segmentation")
    if not gpus:
        rate = 3 * BATCH * multiply_adds(net) / ITERATION / CORES * cores
        told = f"On {cores} cores, without a GPU, from one measured iteration on {CORES} cores"
        return lambda net: multiply_adds(net) / rate, told
    name = cuda.name(0) if cuda.count() else ""
    card, rates = roofline.known(name), measured.images_per_second()
    slower = [images_per_second(paper, task, card) / rate for task, rate in rates.items()]
    share = 2 * multiply_adds(net) / seconds_on(card, net) / roofline.CARDS[card or REFERENCE].tflops / 1e12
    told = f"Computed, not measured: an NVIDIA {card or REFERENCE} at {share:.0%} of its peak"
    told += f", see docs/speed.md, and {cores} cores"
    if rates:
        told = f"By what gpu-session measured of trainings on a GPU like this, {name}, and {cores} cores"
    elif not name:
        told += "; no GPU is visible here"
    elif not card:
        told += f"; the GPU here, {name}, is not in aepsl/run/roofline.py"
    return lambda net: float(np.mean(slower or 1)) * seconds_on(card, net), told


def seconds_on(card: Optional[str], net: Any) -> float:
    """Computed seconds of a net's forward pass on a card of roofline.CARDS; on REFERENCE without one."""
    return roofline.seconds(net, roofline.CARDS[card or REFERENCE])


def images_per_second(experiment: Experiment, task: str, card: Optional[str]) -> float:
    """Computed speed of training the experiment's net of `task`."""
    return 1 / (3 * seconds_on(card, net_of(experiment, task)))


def images_of(graph: Graph, data: Optional[str] = None) -> dict[str, int]:
    """How many images the experiment's lists have: in the data set `data`; else as checked, else as expected."""
    if data:
        dataset, lists = Dataset(data), graph.experiment.data
        return {key: len(dataset.ids(name)) for key, name in dict(train=lists.train, val=lists.val).items()}
    val = source_table.load().get("expected", {}).get("lists", {}).get("val", {}).get("images", 0)
    experiment = graph.experiment
    known = dict(train=experiment.data.train_images, val=experiment.synthetic.val if experiment.synthetic else val)
    return graph.run.images() or known


def passes_of(experiment: Experiment, stage: Stage, images: Mapping[str, int]) -> tuple[Any, int]:
    """(a stage's net, the stage's time in forward passes of it); (None, 0) without a net."""
    kind = stage.kind
    if kind in TASKS:
        settings = experiment.training.of(kind)
        iterations = experiments.iterations(settings.epochs, images["train"], settings.batch)
        return net_of(experiment, kind), 3 * iterations * settings.batch
    task = dict(mine="classification", relabel="psl", segment="psl").get(kind)
    if task is None or stage.images is None:
        return None, 0
    sides = tuple(8 * round(side * experiment.data.scale / 8) + 1 for side in sides_of(experiment))
    return net_of(experiment, task, sides), images[stage.images]


def net_of(experiment: Experiment, task: str, sides: Optional[tuple[int, ...]] = None) -> Any:
    """The deploy net of the experiment for an image of `sides` (height, width), or for a crop.

    InputError for a net that Caffe cannot hold.
    """
    build.check_size(experiment, task)
    return _net_of(build.deploy_net(experiment, task), sides)


@functools.cache
def _net_of(text: str, sides: Optional[tuple[int, ...]]) -> Any:
    net = caffemodel.net_of(text)
    if sides:
        net.blobs["data"].reshape(1, 3, *sides)
        net.reshape()
    return net


def multiply_adds(net: Any) -> int:
    """Multiply-adds of one forward pass: the sum over weights of the positions where each is used."""
    return sum(blobs[0].data.size * int(np.prod(net.blobs[name].shape[2:])) for name, blobs in net.params.items())


def parameters(net: Any) -> int:
    return sum(blob.data.size for blobs in net.params.values() for blob in blobs)


def memory_of_training(experiment: Experiment, task: str) -> int:
    """Bytes of GPU memory that a training takes, CUDA itself included. Computed, not measured.

    InputError for a batch that Caffe cannot hold.
    """
    batch = experiment.training.of(task).batch
    build.check_size(experiment, task, batch)
    net = stand_ins.net(experiment, task, batch)
    parameter = text_format.Parse(build.train_net(experiment, task), caffe_pb2.NetParameter())
    return sizes.training_bytes(net, parameter) + CONTEXT + LIBRARIES
