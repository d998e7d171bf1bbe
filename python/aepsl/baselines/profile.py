"""A baseline's profile, prototxt/legacy/NAME.yaml: how its authors ran it, and what they published.

schema.yaml beside this file explains each of its fields.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Optional, Union

import jsonschema
import yaml

from aepsl.base.errors import InputError
from aepsl.data import lists
from aepsl.data.dataset import VOC_CLASSES, Dataset
from aepsl.settings import check, experiments, typed, yaml_file

FOLDER = os.path.join("prototxt", "legacy")
VOC = "voc"  # background and VOC's classes, in the order of its mask values
WHOLE = ("resize", "classes")  # a change replaces the profile's whole value


@dataclasses.dataclass(frozen=True)
class Tiles(typed.Part):
    """See schema.yaml; in pixels."""

    side: int
    step: int
    border: int = 0


@dataclasses.dataclass(frozen=True)
class Crf(typed.Crf):
    """normalization, least: see crf.refined."""

    normalization: str = "symmetric"
    least: float = 1e-8
    note: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Profile(typed.Part):
    """See schema.yaml; resize: {kind: values}; classes: VOC or the names of the channels."""

    name: str
    title: str
    paper: str
    deploy: dict
    weights: dict
    mean: tuple
    softmax: str
    published: tuple
    classes: Union[str, tuple] = VOC
    channel_order: str = "bgr"
    scores: Optional[str] = None
    define: Optional[dict] = None
    resize: Optional[dict] = None
    kernel: str = "linear"
    pad: Optional[int] = None
    tiles: Optional[Tiles] = None
    offset: float = 0
    mirror: bool = False
    join: str = "sum"
    crf: Optional[Crf] = None
    note: Optional[str] = None

    def values(self, dataset: Dataset) -> list[int]:
        """The mask value of each channel in a data set. InputError if it has other classes."""
        names = ["background", *VOC_CLASSES] if self.classes == VOC else list(self.classes)
        known = {"background": 0, **dict(zip(dataset.classes, dataset.values[1:]))}
        if set(names) != set(known):
            others = ", ".join(sorted(set(names) ^ set(known))[:3])
            line = f"its classes are not those of {self.name}, which differ in {others}, ..."
            remedy = "name the channels' classes in `classes` of a profile of your own"
            raise InputError(f"{dataset.root}: {line}; {remedy}")
        return [known[name] for name in names]


def known() -> list[str]:
    """The names of all profiles, sorted."""
    return sorted(path.stem for path in pathlib.Path(FOLDER).glob("*.yaml"))


def load(name: str, changes: Sequence[str] = ()) -> Profile:
    """The Profile of that name; changes: texts KEY=VALUE that replace its values, as 'pad=505', 'crf.iterations=5'.

    Raises InputError for an unknown name, and for the first fault in the file or in a change.
    """
    path = os.path.join(FOLDER, experiments.checked_name(name) + ".yaml")
    try:
        settings = yaml_file.read(path)
    except FileNotFoundError:
        there = ", ".join(known())
        raise InputError(f"{path}: no such profile; there are {there}; a file beside them is one") from None
    again = lists.twice(text.partition("=")[0] for text in changes)
    if again:
        raise InputError(f"--set {again}: has a value already; give it once")
    for text in changes:
        settings = _changed(settings, text)
    given = ", ".join([path, *changes])
    fault = jsonschema.exceptions.best_match(_validator().iter_errors(settings))
    if fault:
        key = ".".join(map(str, fault.absolute_path))
        raise InputError(f"{given}: {key and f'`{key}`: '}{fault.message.splitlines()[0]}")
    found = typed.typed(Profile, dict(settings, name=str(name)))
    if found.tiles and (found.pad or found.tiles.side <= 2 * found.tiles.border):
        raise InputError(f"{given}: `tiles` leave no room for `pad`, nor for borders of all a side")
    return found


def _changed(settings, text):
    """`settings` with the value of a.b replaced; text: 'a.b=VALUE', VALUE in YAML; null removes the setting."""
    key, _, value = text.partition("=")
    if not (key and value):
        raise InputError(f"--set {text}: must be KEY=VALUE, for example pad=505 or crf.iterations=5")
    change = yaml_file.parsed(value, f"--set {text}")
    first, *parts = key.split(".")
    for part_of_key in reversed(parts):
        change = {part_of_key: change}
    if first in WHOLE and change is not None:
        return {**settings, first: change}
    return experiments.laid_over(settings, {first: change})


@functools.cache
def _validator():
    return check.validator(yaml.safe_load(pathlib.Path(__file__).with_name("schema.yaml").read_text()))
