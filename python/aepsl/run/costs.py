"""What each stage of a run costs: seconds, disk, memory.

A net's seconds are computed: two operations for each multiply-add, three times as many for training (forward, backward
to the weights and to the inputs), at SUSTAINED of the GPU's peak. Seconds of cores and sizes of files were measured.
Once the run has trainings behind it, their own speed takes the place of the computed one.
"""

import functools
import tempfile

import numpy as np

from aepsl.base import doors
from aepsl.data import creatures, source_table
from aepsl.nets import build, caffemodel, cuda
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.settings.experiments import TASKS
from aepsl.training import stand_ins

# Peak of single-precision arithmetic as the makers state it, in TFLOPS; of cards with several forms, the slowest.
PEAKS = {
    "H200": 60.0,
    "H100": 51.2,
    "A100": 19.5,
    "V100": 14.0,
    "T4": 8.1,
    "L40": 90.5,
    "L4": 30.3,
    "A40": 37.4,
    "A10": 31.2,
    "A6000": 38.7,
    "RTX 4090": 82.6,
    "RTX 3090": 35.6,
    "RTX 2080 Ti": 13.4,
    "GTX 1080 Ti": 11.3,
    "TITAN X": 6.6,
}
REFERENCE = "V100"  # where no GPU is seen
# Assumed. DeepLab's paper trains LargeFOV at 4.84 images/s; on a TITAN X, a GPU of its day, that is 22% of the peak.
SUSTAINED = 0.2
# Measured on the CPU: seconds of an iteration of LargeFOV segmentation at batch 2 on 2 cores (`make bench`) ..
ITERATION, BATCH, CORES = 7.5, 2, 2
# ... seconds of one core for an image of 500 x 375 (of saliency, the detector says) ..
SECONDS = dict(masks=0.02, relabel=0.96, segment=1.92)
# ... and kB that a stage leaves of a photo of VOC.
KILOBYTES = dict(saliency=32, mine=5, masks=5, relabel=7, segment=7)
PHOTO = (375, 500)
CONTEXT = 2**29  # bytes of GPU memory that CUDA itself takes, about


def learned(graph, took, gpus, cores):
    """(how many times as long as computed the run's trainings have taken, how many there are); (1, 0) without any."""
    computed = expected(graph, gpus, cores)
    trained = [stage.name for stage in graph.shown() if stage.is_training and stage.name in took]
    return sum(took[n] for n in trained) / sum(computed[n] for n in trained) if trained else 1, len(trained)


def expected(graph, gpus, cores, factor=1):
    """{stage: seconds} that the stages are expected to take, one after the other; factor: on what nets take."""
    images, (operations, _) = images_of(graph), speed(gpus, cores)
    seconds = {}
    for stage in graph.shown():
        each = seconds_of_image(graph.experiment, stage.kind) / cores
        net = operations_of(graph.experiment, stage, images) / operations
        seconds[stage.name] = float(factor * net + images.get(stage.images, 0) * each)
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
    """(operations a second that a net is expected to do, what that rests on)."""
    if not gpus:
        net = net_of(experiments.load(published.PAPERS_EXPERIMENT), "segmentation")
        measured = 6 * BATCH * multiply_adds(net) / ITERATION / CORES
        return measured * cores, f"On {cores} cores, without a GPU, from one measured iteration on {CORES} cores"
    name = cuda.name(0) if cuda.count() else None
    known = next((key for key in sorted(PEAKS, key=len, reverse=True) if key in (name or "")), None)
    card = known or REFERENCE
    told = f"Computed, not measured: an NVIDIA {card} at {SUSTAINED:.0%} of its {PEAKS[card]} TFLOPS, and {cores} cores"
    if name is None:
        told += "; no GPU is visible here"
    elif known is None:
        told += f"; the GPU here, {name}, is not in aepsl/run/costs.py"
    return SUSTAINED * PEAKS[card] * 1e12, told


def images_of(graph):
    """How many images the experiment's lists have: as checked, or before that, as expected."""
    val = source_table.load().get("expected", {}).get("lists", {}).get("val", {}).get("images", 0)
    experiment = graph.experiment
    known = dict(train=experiment.data.train_images, val=experiment.synthetic.val if experiment.synthetic else val)
    return graph.run.images() or known


def operations_of(experiment, stage, images):
    """Floating-point operations of a stage's net."""
    kind = stage.kind
    if kind in TASKS:
        settings = experiment.training.of(kind)
        iterations = experiments.iterations(settings.epochs, images["train"], settings.batch)
        return 6 * iterations * settings.batch * multiply_adds(net_of(experiment, kind))
    task = {"mine": "classification", "thresholds": "classification", "relabel": "psl", "segment": "psl"}.get(kind)
    if task is None:
        return 0
    sides = tuple(8 * round(side * experiment.data.scale / 8) + 1 for side in sides_of(experiment))
    return 2 * images[stage.images] * multiply_adds(net_of(experiment, task, sides))


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
    """Bytes of GPU memory that training takes at the experiment's batch: blobs and parameters with their gradients,
    momentum, the columns that each convolution unfolds an image into, and CUDA itself. Computed, not measured."""
    with tempfile.TemporaryDirectory() as folder:
        net = stand_ins.solver(experiment, task, folder).net
    floats = 2 * sum(blob.count for blob in net.blobs.values())
    for layer, blobs in net.params.items():
        floats += 3 * sum(blob.count for blob in blobs)
        column = list(blobs[0].shape)[1:]
        if len(column) == 3 and column[-1] > 1:
            floats += int(np.prod(column + list(net.blobs[net.top_names[layer][0]].shape)[2:]))
    return 4 * floats + CONTEXT
