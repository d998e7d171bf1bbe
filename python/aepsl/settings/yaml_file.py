"""Reading YAML without its traps: duplicate keys, and numbers that it reads as other numbers (0321 as 209)."""

import re
from collections.abc import Callable
from typing import Any

import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import opened

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000  # values, aliases written out; an experiment has about a hundred


def read(path: str) -> dict[str, Any]:
    """The mapping that the file holds. Raises FileNotFoundError; InputError for a file without a valid mapping."""
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


def parsed(text: str, name: str) -> Any:
    """The value of a text in YAML. Raises InputError for an invalid text; name: what the message calls the text."""
    try:
        value = yaml.load(text, _Loader)
    except _Trap as trap:
        raise InputError(f"{name}: {trap}") from None
    except RecursionError:
        raise InputError(f"{name}: is nested hundreds of levels deep; it must hold lines `key: value`") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date
        raise InputError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if _are_too_many(value):
        raise InputError(f"{name}: an alias `*` is part of what it repeats, or repeats too much; write it out")
    return value


def _are_too_many(value: Any) -> bool:
    """Whether it holds more than MOST_VALUES values, aliases written out."""
    count, left = 0, [value]
    while left and count <= MOST_VALUES:
        each = left.pop()
        count += 1
        if isinstance(each, (dict, list, tuple, set)):
            left += each.values() if isinstance(each, dict) else each
    return count > MOST_VALUES


class _Trap(Exception):
    """A text that YAML allows but that is surely a mistake. The message names the line."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    def compose_mapping_node(self, anchor: Any) -> Any:
        """Refuse duplicate keys. A merge key `<<` is not resolved yet: a mapping may override what that brings."""
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if (key.tag, key.value) in seen:
                first = seen[key.tag, key.value]
                raise _Trap(f"line {line}: `{key.value}` is in line {first} already; remove one of the two")
            seen[key.tag, key.value] = line
        return node


def _number(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`construct`, which refuses numbers that YAML reads as others: 0321 as 209 and 1:30 as 90."""

    def checked(loader: Any, node: Any) -> Any:
        value = construct(loader, node)
        if ":" in node.value or re.fullmatch(r"[-+]?0[0-9_]+", node.value):
            line = node.start_mark.line + 1
            raise _Trap(f"line {line}: YAML reads {node.value} as {value}; write it without a leading 0 or a colon")
        return value

    return checked


_Loader.add_constructor("tag:yaml.org,2002:int", _number(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _number(yaml.SafeLoader.construct_yaml_float))
