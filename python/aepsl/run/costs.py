"""What each stage of a run costs: seconds, disk, memory.

A net's seconds are computed: on a GPU as aepsl.run.roofline says, on the CPU from an iteration that was measured, and
three times as long for training (forward, backward to the weights and to the inputs). Seconds of cores and sizes of
files were measured. Where gpu-session has measured trainings on this GPU, and once the run has trainings behind it,
their speed takes the place of the computed one.
"""

import functools

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base import doors
from aepsl.data import creatures, source_table
from aepsl.nets import build, caffemodel, cuda, sizes
from aepsl.paper import published
from aepsl.run import measured, roofline
from aepsl.settings import experiments
from aepsl.settings.experiments import TASKS
from aepsl.training import stand_ins

REFERENCE = "V100"  # where no GPU is seen, or an unknown one
# Measured on the CPU: seconds of an iteration of LargeFOV segmentation at batch 2 on 2 cores (`make bench`) ..
ITERATION, BATCH, CORES = 7.5, 2, 2
# ... seconds of one core for an image of 500 x 375 (of saliency, the detector says) ..
SECONDS = dict(masks=0.02, relabel=0.96, segment=1.92)
# ... and kB that a stage leaves of a photo of VOC.
KILOBYTES = dict(saliency=32, mine=5, masks=5, relabel=7, segment=7)
PHOTO = (375, 500)
# Bytes of GPU memory that CUDA itself takes, and cuBLAS and cuRAND, about.
CONTEXT, LIBRARIES = 400 * 2**20, 100 * 2**20
# Seconds that a job takes to begin: measured (`make bench ARGS=--run=demo`), and assumed of a GPU, with its weights.
STARTING, STARTING_GPU = 1.2, 7


def learned(graph, took, gpus, cores):
    """(how many times as long as computed the run's trainings have taken, how many there are); (1, 0) without any."""
    computed = expected(graph, gpus, cores)
    trained = [stage.name for stage in graph.shown() if stage.is_training and stage.name in took]
    return sum(took[n] for n in trained) / sum(computed[n] for n in trained) if trained else 1, len(trained)


def expected(graph, gpus, cores, factor=1):
    """{stage: seconds} that the stages are expected to take, one after the other; factor: on what nets take."""
    images, (seconds_of_pass, _) = images_of(graph), speed(gpus, cores)
    seconds = {}
    for stage in graph.shown():
        net, passes = passes_of(graph.experiment, stage, images)
        each = seconds_of_image(graph.experiment, stage.kind) / cores
        start = STARTING_GPU if gpus and stage.has_net else STARTING / cores
        seconds[stage.name] = float(
            (factor * passes * seconds_of_pass(net) if net else 0)
            + images.get(stage.images, 0) * each
            + len(graph.jobs(stage.name)) * start
        )
    return seconds


def seconds_of_image(experiment, kind):
    """Seconds that one core takes for an image in a kind of stage, beside its net."""
    seconds = SECONDS.get(kind, 0)
    if kind == "saliency":
        seconds = doors.load(doors.DETECTORS, experiment.background.detector).SECONDS
    return seconds * np.prod(sides_of(experiment)) / np.prod(PHOTO)


def sides_of(experiment):
    """(height, width) of the experiment's images, about."""
    return (sum(creatures.SIDES) // 2,) * 2 if experiment.synthetic else PHOTO


def disk_of(graph, stage, images):
    """GB that a stage leaves: of each image, or the weights of a net."""
    if not (stage.images or stage.is_training):
        return 0
    count = images.get(stage.images, 0)
    return 1e-6 * count * KILOBYTES.get(stage.kind, 0) or 4e-9 * parameters(net_of(graph.experiment, stage.kind))


def speed(gpus, cores):
    """(seconds of a net's forward pass, a function of the net; what that rests on)."""
    paper = experiments.load(published.PAPERS_EXPERIMENT)
    if not gpus:
        net = net_of(paper, "segmentation")
        rate = 3 * BATCH * multiply_adds(net) / ITERATION / CORES * cores
        told = f"On {cores} cores, without a GPU, from one measured iteration on {CORES} cores"
        return lambda net: multiply_adds(net) / rate, told
    name = cuda.name(0) if cuda.count() else ""
    card, rates = roofline.known(name), measured.images_per_second()
    slower = [images_per_second(paper, task, card) / rate for task, rate in rates.items()]
    share = share_of_peak(card, net_of(paper, "segmentation"))
    told = f"Computed, not measured: an NVIDIA {card or REFERENCE} at {share:.0%} of its peak"
    told += f", see docs/speed.md, and {cores} cores"
    if rates:
        told = f"By what gpu-session measured of trainings on a GPU like this, {name}, and {cores} cores"
    elif not name:
        told += "; no GPU is visible here"
    elif not card:
        told += f"; the GPU here, {name}, is not in aepsl/run/roofline.py"
    return lambda net: float(np.mean(slower or 1)) * seconds_on(card, net), told


def seconds_on(card, net):
    """Computed seconds of a net's forward pass on a card of roofline.CARDS; on REFERENCE without one."""
    return roofline.seconds(net, roofline.CARDS[card or REFERENCE])


def share_of_peak(card, net):
    """What a card's arithmetic for a net is of its peak."""
    return 2 * multiply_adds(net) / seconds_on(card, net) / roofline.CARDS[card or REFERENCE].tflops / 1e12


def images_per_second(experiment, task, card):
    """Computed speed of training the experiment's net of `task`."""
    return 1 / (3 * seconds_on(card, net_of(experiment, task)))


def images_of(graph):
    """How many images the experiment's lists have: as checked, or before that, as expected."""
    val = source_table.load().get("expected", {}).get("lists", {}).get("val", {}).get("images", 0)
    experiment = graph.experiment
    known = dict(train=experiment.data.train_images, val=experiment.synthetic.val if experiment.synthetic else val)
    return graph.run.images() or known


def passes_of(experiment, stage, images):
    """(a stage's net, how many of its forward passes take as long as the stage); (None, 0) without a net."""
    kind = stage.kind
    if kind in TASKS:
        settings = experiment.training.of(kind)
        iterations = experiments.iterations(settings.epochs, images["train"], settings.batch)
        return net_of(experiment, kind), 3 * iterations * settings.batch
    task = dict(mine="classification", relabel="psl", segment="psl").get(kind)
    if task is None:
        return None, 0
    sides = tuple(8 * round(side * experiment.data.scale / 8) + 1 for side in sides_of(experiment))
    return net_of(experiment, task, sides), images[stage.images]


def net_of(experiment, task, sides=None):
    """The deploy net of the experiment for an image of `sides` (height, width), or for a crop."""
    return _net_of(build.deploy_net(experiment, task), sides)


@functools.cache
def _net_of(text, sides):
    net = caffemodel.net_of(text)
    if sides:
        net.blobs["data"].reshape(1, 3, *sides)
        net.reshape()
    return net


def multiply_adds(net):
    """Multiply-adds of one pass: each weight times the positions where it is used."""
    return sum(blobs[0].data.size * int(np.prod(net.blobs[name].shape[2:])) for name, blobs in net.params.items())


def parameters(net):
    return sum(blob.data.size for blobs in net.params.values() for blob in blobs)


def memory_of_training(experiment, task):
    """Bytes of GPU memory that a training takes, CUDA itself included. Computed, not measured."""
    net = stand_ins.net(experiment, task, experiment.training.of(task).batch)
    parameter = text_format.Parse(build.train_net(experiment, task), caffe_pb2.NetParameter())
    return sizes.training_bytes(net, parameter) + CONTEXT + LIBRARIES
