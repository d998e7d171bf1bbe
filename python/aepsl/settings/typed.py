"""The settings of an experiment, typed and frozen: `experiment.mining.threshold`.

What each is for stands in prototxt/voc12/experiment.yaml; what it may be, in schema.yaml.
"""

import dataclasses
import typing
from typing import Optional


class Part:
    """A group of settings."""

    def settings(self):
        """As nested dicts, lists and values, without what is not set: as experiment.yaml has them."""
        return {key: _plain(value) for key, value in vars(self).items() if value is not None}


def part(cls):
    return dataclasses.dataclass(frozen=True)(cls)


@part
class Seed(Part):
    data: int
    training: int
    report: int


@part
class Synthetic(Part):
    train: int
    val: int


@part
class Data(Part):
    train: str
    val: str
    train_images: int
    scale: float
    crop: int
    mean: tuple
    workers: int
    test: Optional[str] = None

    def list_of(self, split):
        """The name of the list of 'train', 'val' or 'test'; None where there is no test list."""
        return getattr(self, split)


@part
class Schedule(Part):
    batch: int
    lr: float
    epochs: float
    lr_step_epochs: float
    momentum: float
    decay: float


@part
class Training(Part):
    classification: Schedule
    segmentation: Schedule
    psl: Schedule

    def of(self, task):
        return getattr(self, task)


@part
class Mining(Part):
    steps: int
    threshold: dict
    sensitivity: tuple
    max_converged_loss: float
    merge: int


@part
class Background(Part):
    detector: str
    threshold: float
    indoor_threshold: float
    indoor_classes: tuple


@part
class Psl(Part):
    prohibited: float


@part
class Bilateral(Part):
    weight: float
    xy: float
    rgb: float


@part
class Gaussian(Part):
    weight: float
    xy: float


@part
class Crf(Part):
    iterations: int
    bilateral: Bilateral
    gaussian: Gaussian


@part
class Experiment(Part):
    """name: of its folder below prototxt/, and of its run."""

    name: str
    net: str
    classes: tuple
    seed: Seed
    shards: int
    threads: int
    rows: tuple
    data: Data
    training: Training
    new_layer_lr: float
    segmentation_start: str
    mining: Mining
    background: Background
    psl: Psl
    crf: Crf
    input_scale: Optional[float] = None
    channels: Optional[tuple] = None
    convs: Optional[tuple] = None
    fc: Optional[int] = None
    fc6_dilation: Optional[int] = None
    initial_weights: Optional[str] = None
    psl_start: Optional[str] = None
    synthetic: Optional[Synthetic] = None

    def settings(self):
        settings = super().settings()
        del settings["name"]
        return settings

    def value(self, key):
        """The value of the setting 'training.psl.lr', as in `settings`; None where it is not set."""
        value = self
        for each in key.split("."):
            value = getattr(value, each)
        return _plain(value)


def typed(cls, settings):
    """An object of a class of this file, of nested dicts that the schema has passed."""
    kinds, values = typing.get_type_hints(cls), {}
    for key, value in settings.items():
        kind = kinds[key]
        kind = next((each for each in typing.get_args(kind) if each is not type(None)), kind)
        values[key] = typed(kind, value) if dataclasses.is_dataclass(kind) else _frozen(value)
    return cls(**values)


def _frozen(value):
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _plain(value):
    if isinstance(value, Part):
        return value.settings()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


class Only:
    """Settings of which only those `keys` can be read, 'data.scale' or all of 'crf': what a stage says it is made of.

    Another one would change its result in silence: AttributeError.
    """

    def __init__(self, settings, keys, above=""):
        self._settings, self._keys, self._above = settings, keys, above

    def __getattr__(self, name):
        key = self._above + name
        value = getattr(self._settings, name)
        if key in self._keys or callable(value):
            return value
        if not any(each.startswith(key + ".") for each in self._keys):
            raise AttributeError(f"the setting {key} is none that this stage is made of; its graph names {self._keys}")
        return Only(value, self._keys, key + ".")

    def of(self, task):
        return self.__getattr__(task)

    def list_of(self, split):
        return self.__getattr__(split)
