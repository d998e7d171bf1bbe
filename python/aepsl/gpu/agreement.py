"""Compares the GPU's results with the CPU's: every blob and gradient of a net, forward and backward."""

from typing import NamedTuple, Optional

import caffe
import numpy as np

from aepsl.nets import build, device
from aepsl.settings.typed import Experiment
from aepsl.training import stand_ins

Arrays = dict[tuple[str, str], np.ndarray]  # {(kind, name): values}

# The largest difference allowed. For data: the maximum of the difference, relative to the maximum of the values. For
# gradients: the norm of the difference, relative to the norm. Last digits decide at a ReLU's zero, and between two
# values of a pooling window, where a gradient is added: so a single value may differ completely.
ALLOWED = dict(data=1e-4, gradient=0.05)
SIZE = dict(data=lambda array: np.abs(array).max(), gradient=lambda array: np.linalg.norm(array.ravel()))


class Difference(NamedTuple):
    """The largest difference of a kind of ALLOWED; relative: infinite if the GPU's values are not all finite."""

    kind: str
    name: str
    relative: float

    @property
    def is_allowed(self) -> bool:
        return self.relative <= ALLOWED[self.kind]

    def __str__(self) -> str:
        return f"{self.kind} {self.relative:.1e} of at most {ALLOWED[self.kind]:g} ({self.name})"


def largest_differences(net: caffe.Net, gpu: Optional[int]) -> list[Difference]:
    """The Difference of each kind between CPU and GPU, that of data first.

    net: with filled inputs, and without randomness; gpu: its number, None to compare the CPU with itself.
    """
    expected, ours = (arrays(net, processor) for processor in (None, gpu))
    device.use(None)
    return largest(expected, ours)


def largest(expected: Arrays, ours: Arrays) -> list[Difference]:
    """The Difference of each kind between two `arrays`."""
    found = [Difference(*key, _relative(key[0], ours[key], expected[key])) for key in expected]
    return [max((each for each in found if each.kind == kind), key=lambda each: each.relative) for kind in ALLOWED]


def _relative(kind, ours, expected):
    size, difference = SIZE[kind](expected), SIZE[kind](ours - expected)
    return float(difference / (size or 1)) if np.isfinite(difference) else np.inf


def arrays(net: caffe.Net, gpu: Optional[int]) -> Arrays:
    """All blobs and gradients after one pass; gpu: its number, None for the CPU."""
    device.use(gpu)
    net.clear_param_diffs()
    net.forward()
    net.backward()
    found = {("data", name): blob.data.copy() for name, blob in net.blobs.items()}
    found.update({("gradient", name): blob.diff.copy() for name, blob in net.blobs.items()})
    for layer, blobs in net.params.items():
        found.update({("gradient", f"parameter {k} of {layer}"): blob.diff.copy() for k, blob in enumerate(blobs)})
    return found


def net_with_inputs(experiment: Experiment, task: str, batch: int = 2) -> caffe.Net:
    """The training net of `task` with random inputs in place of its data layer, and without dropout."""
    random = np.random.RandomState(1)
    shapes = build.batch_shapes(experiment, task, batch)
    classes = len(experiment.classes)
    inputs = dict(data=60 * random.randn(*shapes[0]), labels=random.rand(*shapes[1]) < 0.5)
    inputs["labels"][:, 0] = True
    if len(shapes) == 3:
        inputs["mask"] = random.choice([*range(classes + 1), 255], shapes[2])
    caffe.set_random_seed(1)
    net = stand_ins.net(experiment, task, batch)  # in phase TEST, where Dropout does nothing
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    return net
