"""The settings of an experiment as frozen dataclasses, one for each group of schema.yaml: `experiment.crf.bilateral`.

Experiment, Seed, Synthetic, Data, Training with its three Tasks, Mining, Background, Psl, Crf, Bilateral and Gaussian
are made of the schema, which says what there is and what it may be; what each is for stands in
prototxt/voc12/experiment.yaml. A setting that the schema does not require, and is not set, is None.
"""

import dataclasses

from aepsl.settings import check


class Part:
    """A group of settings."""

    def settings(self):
        """As nested dicts, lists and values, without what is not set: as experiment.yaml has them."""
        return {key: _plain(each) for key, each in vars(self).items() if each is not None and key != "name"}

    def value(self, key):
        """The value of the setting 'training.psl.lr', as in `settings`; None where it is not set."""
        value = self
        for each in key.split("."):
            value = getattr(value, each)
        return _plain(value)

    def of(self, task):
        """The settings of the training of a task."""
        return getattr(self, task)

    def list_of(self, split):
        """The name of the list of 'train', 'val' or 'test'; None where there is no test list."""
        return getattr(self, split)


class Choice(dict):
    """{rule: its value}, frozen, of which there is one of several: a threshold of erasing."""

    def _refuse(self, *_, **__):
        raise AttributeError("a setting cannot be assigned")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return Choice, (dict(self),)


def _class(name, group, *first):
    """The dataclass of a group of the schema; it and those of the groups within become names of this module."""
    fields = []
    for key, part in group["properties"].items():
        within, part = check.resolved(key, part)
        kind = _class(within.capitalize(), part) if "required" in part else object
        default = () if key in group["required"] else (dataclasses.field(default=None),)
        fields.append((key, kind, *default))
    fields = [*first, *sorted(fields, key=len)]  # those without a default first
    made = dataclasses.make_dataclass(name, fields, bases=(Part,), frozen=True)
    made.__module__ = __name__  # by which pickle finds it
    return globals().setdefault(name, made)


def typed(cls, settings):
    """An object of a class of this file, of nested dicts that the schema has passed."""
    kinds = {field.name: field.type for field in dataclasses.fields(cls)}
    groups = {key: kinds[key] for key in settings if dataclasses.is_dataclass(kinds[key])}
    return cls(**{key: typed(groups[key], each) if key in groups else _frozen(each) for key, each in settings.items()})


def _frozen(value):
    if isinstance(value, dict):
        return Choice({key: _frozen(each) for key, each in value.items()})
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


_class("Experiment", check.schema(), ("name", str))  # name: of its folder below prototxt/, and of its run
