"""Reading YAML without its traps: a key that stands twice, and numbers that it reads as other numbers."""

import re

import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import opened

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000  # values, with what aliases repeat; no experiment comes near


def read(path):
    """The mapping that the file holds. Raises FileNotFoundError, and InputError if it holds none that is plain."""
    try:
        with opened(path, encoding="utf-8") as file:
            text = file.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                raise InputError(f"{path}: is larger than {MOST_BYTES >> 20} MB, as no settings are")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8; save it as that") from None
    value = parsed(text, path)
    if not isinstance(value, dict):
        what = "is empty" if value is None else f"is a {'list' if isinstance(value, list) else 'single value'}"
        raise InputError(f"{path}: {what}; it must hold lines `key: value`")
    return value


def parsed(text, name):
    """The value that a text in YAML holds. InputError, with `name`, for a text that is not plain; name: of the text."""
    try:
        value = yaml.load(text, _Loader)
    except _Trap as trap:
        raise InputError(f"{name}: {trap}") from None
    except RecursionError:
        raise InputError(f"{name}: goes hundreds of levels deep; it must hold lines `key: value`") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise InputError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if _are_too_many(value):
        raise InputError(f"{name}: an alias `*` stands within what it repeats, or repeats too much; write it out")
    return value


def _are_too_many(value):
    """Whether there are more than MOST_VALUES values in it, aliases written out."""
    count, left = 0, [value]
    while left and count <= MOST_VALUES:
        each = left.pop()
        count += 1
        if isinstance(each, (dict, list, tuple, set)):
            left += each.values() if isinstance(each, dict) else each
    return count > MOST_VALUES


class _Trap(yaml.YAMLError):
    """What YAML allows and nobody means. The message names the line."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor):
        """As composed, before merge keys are put in: those may give a key that stands beside them."""
        node = super().compose_mapping_node(anchor)
        seen = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if (key.tag, key.value) in seen:
                first = seen[key.tag, key.value]
                raise _Trap(f"line {line}: `{key.value}` stands in line {first} already; remove one of the two")
            seen[key.tag, key.value] = line
        return node


def _number(construct):
    """Only what is written as people do: YAML takes 0321 for 209 and 1:30 for 90."""

    def checked(loader, node):
        value = construct(loader, node)
        if ":" in node.value or re.fullmatch(r"[-+]?0[0-9_]+", node.value):
            line = node.start_mark.line + 1
            raise _Trap(f"line {line}: YAML takes {node.value} for {value}; write it without a leading 0 or a colon")
        return value

    return checked


_Loader.add_constructor("tag:yaml.org,2002:int", _number(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _number(yaml.SafeLoader.construct_yaml_float))
