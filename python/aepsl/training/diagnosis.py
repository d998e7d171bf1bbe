"""What can go wrong with what is learned: values that are not finite, saturation."""

import math

import numpy as np

from aepsl.base.errors import InputError
from aepsl.layers.losses import softmax
from aepsl.nets import finite
from aepsl.training.observers import SHORTEST, Observer
from aepsl.training.snapshots import is_kept

SURE = 0.95  # mean of the largest probability where scores have saturated; a net that knows nothing has 1 / classes


class Finiteness(Observer):
    """Raises InputError for values that are not finite: before a backward pass, a snapshot or a result."""

    def __init__(self, folder, task, settings, on_cpu):
        self.folder, self.task, self.settings, self.on_cpu = folder, task, settings, on_cpu

    def begin(self, solver):
        super().begin(solver)
        self.solver = solver
        self.watch = finite.watch(self.net, self.fail, self.on_cpu)

    def after(self, iteration):
        if is_kept(self.settings, iteration):
            self.check_weights()

    def end(self):
        self.check_weights()
        self.watch = None

    def check_weights(self):
        layer = finite.first_faulty_weights(self.net)
        if layer:
            self.fail(layer)

    def fail(self, layer):
        """Say that the outputs or weights of `layer` are not finite, and why that may be."""
        iteration, settings = self.solver.iter, self.settings
        rate = settings.base_lr * settings.gamma ** (max(0, iteration - 1) // settings.stepsize)  # the step before's
        if iteration == 0:
            cause = "nothing was learned yet, so the initial weights or `data.mean` in experiment.yaml are at fault"
        else:
            cause = f"the rate is too large: lower training.{self.task}.lr in experiment.yaml and run `make nets`"
        raise InputError(
            f"{self.folder}: values that are not finite at iteration {iteration} (rate {rate:g}), from layer {layer} "
            f"on; {cause}"
        )


class Saturation(Observer):
    """Raises InputError for a classification that is sure of everything, and stuck with it.

    A gradient of the squared loss has a factor p (1 - p): once a rate too large has made every score extreme, nothing
    changes any more. Looked at every half epoch, or every SHORTEST iterations; a net that is merely slow is not sure.
    """

    def __init__(self, folder, losses, labels, epoch):
        self.folder, self.losses = folder, losses
        self.constant = constant_loss(labels)
        self.count = max(SHORTEST, epoch // 2)

    def after(self, iteration):
        if iteration % self.count:
            return
        losses = [row[1] for row in self.losses.entries[-2 * self.count :]]
        if is_stuck(losses, self.constant, self.count) and self.is_sure():
            raise InputError(
                f"{self.folder}: stuck at iteration {iteration}: the classification loss is {np.mean(losses):.3f} and "
                f"falls no more; scores that ignore the image reach {self.constant:.3f}. The squared loss saturates "
                "where the rate is too large: lower training.classification.lr in experiment.yaml and run `make nets`"
            )

    def is_sure(self):
        return softmax(self.net.blobs["fc8_cls"].data).max(axis=1).mean() > SURE


def constant_loss(labels):
    """The least squared classification loss of scores that do not look at the image. labels: N x C."""
    t = labels / labels.sum(axis=1, keepdims=True)
    return float(((t - t.mean(axis=0)) ** 2).sum(axis=1).mean() / 2)


def is_stuck(losses, constant, count):
    """Whether the loss stays above what scores that do not look at the image reach.

    losses: of every iteration so far; constant: what such scores reach; count: iterations to compare. Their last
    `count` must have a mean above 1.1 times `constant`, and one that is not lower, beyond their scatter, than the mean
    of the `count` before; False where there are fewer than twice `count`.
    """
    before, last = losses[-2 * count : -count], losses[-count:]
    if len(before) < count:
        return False
    scatter = math.sqrt((np.var(before) + np.var(last)) / count)
    return bool(np.mean(last) > max(1.1 * constant, np.mean(before) - 2 * scatter))
