"""Ends a training that has failed: values that are not finite, saturation."""

import math
from collections.abc import Callable
from typing import NoReturn, Optional

import caffe
import numpy as np
from caffe.proto.caffe_pb2 import SolverParameter

from aepsl.base.errors import InputError
from aepsl.layers.losses import softmax
from aepsl.nets import finite
from aepsl.training.observers import SHORTEST, Losses, Observer
from aepsl.training.snapshots import is_kept

SURE = 0.95  # scores have saturated if the largest probability has a larger mean; an untrained net's is 1 / classes


class Finiteness(Observer):
    """Raises InputError for values that are not finite: before a backward pass, a snapshot or a result."""

    def __init__(self, folder: str, task: str, settings: SolverParameter, on_cpu: bool) -> None:
        self.folder, self.task, self.settings, self.on_cpu = folder, task, settings, on_cpu

    def begin(self, solver: caffe.SGDSolver) -> None:
        super().begin(solver)
        self.solver = solver
        self.watch: Optional[Callable] = finite.watch(self.net, self.fail, self.on_cpu)

    def after(self, iteration: int) -> None:
        if is_kept(self.settings, iteration):
            self.check_weights()

    def end(self) -> None:
        self.check_weights()
        self.watch = None

    def check_weights(self) -> None:
        layer = finite.first_faulty_weights(self.net)
        if layer:
            self.fail(layer)

    def fail(self, layer: Optional[str]) -> NoReturn:
        """Raise the InputError: outputs or weights of `layer` are not finite; with the probable cause."""
        iteration, settings = self.solver.iter, self.settings
        rate = settings.base_lr * settings.gamma ** (max(0, iteration - 1) // settings.stepsize)  # of the step before
        if iteration == 0:
            cause = "nothing was learned yet, so the initial weights or `data.mean` in experiment.yaml are wrong"
        else:
            cause = f"the rate is too large: lower training.{self.task}.lr in experiment.yaml"
        where = f"at iteration {iteration} (rate {rate:g}), from layer {layer} on"
        raise InputError(f"{self.folder}: values that are not finite {where}; {cause}")


class Saturation(Observer):
    """Raises InputError for a classification whose scores have saturated, so that it learns no more.

    A gradient of the squared loss has a factor p (1 - p). If too large a rate has made every score extreme, nothing
    changes any more. It is checked every half epoch, or every SHORTEST iterations if these are more. A net that only
    learns slowly has no extreme scores.
    """

    def __init__(self, folder: str, losses: Losses, labels: np.ndarray, epoch: int) -> None:
        self.folder, self.losses = folder, losses
        self.constant = constant_loss(labels)
        self.count = max(SHORTEST, epoch // 2)

    def after(self, iteration: int) -> None:
        if iteration % self.count:
            return
        losses = [row[1] for row in self.losses.entries[-2 * self.count :]]
        sure = softmax(self.net.blobs["fc8_cls"].data).max(axis=1).mean()
        if is_stuck(losses, self.constant, self.count) and sure > SURE:
            line = f"the classification loss is {np.mean(losses):.3f} and falls no more; scores that ignore the image "
            line += f"reach {self.constant:.3f}. The squared loss saturates where the rate is too large"
            remedy = "lower training.classification.lr in experiment.yaml"
            raise InputError(f"{self.folder}: stuck at iteration {iteration}: {line}: {remedy}")


def constant_loss(labels: np.ndarray) -> float:
    """The smallest squared classification loss of scores that ignore the image. labels: N x C."""
    t = labels / labels.sum(axis=1, keepdims=True)
    return float(((t - t.mean(axis=0)) ** 2).sum(axis=1).mean() / 2)


def is_stuck(losses: list[float], constant: float, count: int) -> bool:
    """Whether the loss has stopped falling above the loss of scores that ignore the image.

    losses: of every iteration so far; constant: the loss of such scores; count: iterations to compare. The mean of the
    last `count` must be above 1.1 times `constant`; and, beyond their scatter, not below the mean of the `count`
    before. False for fewer than twice `count` losses.
    """
    before, last = losses[-2 * count : -count], losses[-count:]
    if len(before) < count:
        return False
    scatter = math.sqrt((np.var(before) + np.var(last)) / count)
    return bool(np.mean(last) > max(1.1 * constant, np.mean(before) - 2 * scatter))
