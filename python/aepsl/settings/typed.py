"""The settings of an experiment as frozen dataclasses, one for each group of schema.yaml: `experiment.crf.bilateral`.

prototxt/voc12/experiment.yaml explains each setting; the schema has its range. A test compares them.
A setting that the schema does not require is None where it is not set.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Optional, TypeVar, get_args


class Part:
    """A group of settings."""

    def settings(self) -> dict[str, Any]:
        """Nested dicts, lists and values, as experiment.yaml has them; settings that are not set are left out."""
        return {key: _plain(each) for key, each in vars(self).items() if each is not None and key != "name"}

    def value(self, key: str) -> Any:
        """The value of the setting 'training.psl.lr', as in `settings`; None where it is not set."""
        return _plain(functools.reduce(getattr, key.split("."), self))


class Choice(dict[str, Any]):
    """{rule: its value} with one rule of several: a threshold of erasing. It is frozen."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise AttributeError("a setting cannot be assigned")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return Choice, (dict(self),)


@dataclasses.dataclass(frozen=True)
class Seed(Part):
    data: int
    training: int
    report: int


@dataclasses.dataclass(frozen=True)
class Synthetic(Part):
    train: int
    val: int


@dataclasses.dataclass(frozen=True)
class Data(Part):
    train: str
    val: str
    train_images: int
    scale: float
    crop: int
    mean: tuple[float, ...]
    workers: int
    test: Optional[str] = None

    def list_of(self, split: str) -> Optional[str]:
        """The name of the list of 'train', 'val' or 'test'; None where there is no test list."""
        name: Optional[str] = getattr(self, split)
        return name


@dataclasses.dataclass(frozen=True)
class Task(Part):
    batch: int
    lr: float
    epochs: float
    lr_step_epochs: float
    momentum: float
    decay: float


@dataclasses.dataclass(frozen=True)
class Training(Part):
    classification: Task
    segmentation: Task
    psl: Task

    def of(self, task: str) -> Task:
        """The settings of the training of a task."""
        settings: Task = getattr(self, task)
        return settings


@dataclasses.dataclass(frozen=True)
class Mining(Part):
    steps: int
    threshold: Choice
    sensitivity: tuple[Choice, ...]
    max_converged_loss: float
    merge: int


@dataclasses.dataclass(frozen=True)
class Background(Part):
    detector: str
    threshold: float
    indoor_threshold: float
    indoor_classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Psl(Part):
    prohibited: float
    v: str


@dataclasses.dataclass(frozen=True)
class Bilateral(Part):
    weight: float
    xy: float
    rgb: float


@dataclasses.dataclass(frozen=True)
class Gaussian(Part):
    weight: float
    xy: float


@dataclasses.dataclass(frozen=True)
class Crf(Part):
    iterations: int
    bilateral: Bilateral
    gaussian: Gaussian


@dataclasses.dataclass(frozen=True)
class Experiment(Part):
    """name: of its folder below prototxt/, and of its run."""

    name: str
    net: str
    classes: tuple[str, ...]
    seed: Seed
    shards: int
    threads: int
    rows: tuple[str, ...]
    data: Data
    training: Training
    new_layer_lr: float
    segmentation_start: str
    mining: Mining
    background: Background
    psl: Psl
    crf: Crf
    input_scale: Optional[float] = None
    channels: Optional[tuple[int, ...]] = None
    convs: Optional[tuple[int, ...]] = None
    fc: Optional[int] = None
    fc6_dilation: Optional[int] = None
    initial_weights: Optional[str] = None
    synthetic: Optional[Synthetic] = None
    psl_start: Optional[str] = None


Group = TypeVar("Group", bound=Part)


def typed(cls: type[Group], settings: dict[str, Any]) -> Group:
    """An object of a class of this file. settings: nested dicts that the schema has passed."""
    groups = {field.name: group_of(field.type) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {key: (each, groups[key]) for key, each in settings.items()}
    return cls(**{key: typed(group, each) if group else _frozen(each) for key, (each, group) in values.items()})


def group_of(kind: Any) -> Any:
    """The class of a field that holds a group, also an optional one; None for a field that holds a value."""
    return next((each for each in (kind, *get_args(kind)) if dataclasses.is_dataclass(each)), None)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return Choice({key: _frozen(each) for key, each in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.settings()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


class Only:
    """Settings of which only those `keys` can be read, 'data.scale' or all of 'crf': those that a stage declares.

    A result would depend in silence on any other: reading one raises AttributeError.
    """

    def __init__(self, settings: Any, keys: Sequence[str], above: str = "") -> None:
        self._settings, self._keys, self._above = settings, keys, above

    def __getattr__(self, name: str) -> Any:
        key, value = self._above + name, getattr(self._settings, name)
        if key in self._keys:
            return value
        if not any(each.startswith(key + ".") for each in self._keys):
            raise AttributeError(f"the stage does not declare that it reads {key}; its graph names {self._keys}")
        return Only(value, self._keys, key + ".")

    def of(self, task: str) -> Any:
        return getattr(self, task)
