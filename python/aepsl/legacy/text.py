"""A prototxt of any Caffe as fields, names and values: protobuf's own messages know only BVLC's fields."""

import contextlib
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import text_format
from google.protobuf.text_encoding import CEscape

from aepsl.base.errors import InputError
from aepsl.base.files import read_text, write_text
from aepsl.nets import caffemodel

VARIABLE = re.compile(r"\$\{(\w+)\}")
CLOSES = {"{": "}", "<": ">"}


class Text(str):
    """A value that the prototxt has in quotes."""


class Fields(list):
    """The fields of a message, in order: (name, value, line); a value is Text, another word, or Fields.

    The methods raise ValueError, with the line, for a message that should be a word, and for a word that should be a
    message.
    """

    @classmethod
    def of(cls, **values: Any) -> "Fields":
        """Fields of no line: each value, or each of a list of values, as a word or as Fields."""
        pairs = [(name, each) for name, value in values.items() for each in (value if type(value) is list else [value])]
        return cls((name, each if isinstance(each, (Text, Fields)) else str(each), 0) for name, each in pairs)

    def words(self, name: str) -> list[str]:
        """The values of that name, as they are written."""
        return self._all(name, str, "one word")

    def messages(self, name: str) -> list["Fields"]:
        """The messages of that name."""
        return self._all(name, Fields, "a message in brackets")

    def _all(self, name, kind, wanted):
        for key, value, line in self:
            if key == name and not isinstance(value, kind):
                raise ValueError(f"line {line}: `{name}` must be {wanted}")
        return [value for key, value, _ in self if key == name]

    def get(self, name: str, default: Any = None) -> Any:
        """The last value of that name, or `default`."""
        return (self.words(name) or [default])[-1]

    def message(self, name: str) -> "Fields":
        """The last message of that name, or an empty one."""
        return (self.messages(name) or [Fields()])[-1]

    def numbers(self, name: str, kind: type = float) -> list:
        """The values as numbers of that kind; ValueError for any other value, and for one that is not finite."""
        words = self.words(name)
        with contextlib.suppress(ValueError):
            found = [kind(word) for word in words]
            if all(map(math.isfinite, found)):
                return found
        wanted = "whole, finite" if kind is int else "finite"
        raise ValueError(f"`{name}` is {', '.join(words)}; it must be a {wanted} number")

    def number(self, name: str, default: Any = None, kind: type = float) -> Any:
        return (self.numbers(name, kind) or [default])[-1]

    def without(self, *names: str) -> "Fields":
        """The fields with other names."""
        return Fields(field for field in self if field[0] not in names)

    def __str__(self) -> str:
        return " ".join(f"{name} {{ {value} }}" if isinstance(value, Fields) else f"{name}: {_word(value)}"
                        for name, value, _ in self)  # fmt: skip


def _word(value):
    return f'"{CEscape(value.encode(), as_utf8=False)}"' if isinstance(value, Text) else value


def read(path: str, variables: Mapping[str, Any]) -> Fields:
    """The fields of the prototxt `path`; one of V0 is upgraded.

    variables: {name: value} for ${name}; others stay as they are. Raises InputError with the line.
    """
    text = read_text(path)
    if text is None:
        raise InputError(f"{path}: no such prototxt")
    text = text.lstrip("\ufeff")
    if "\0" in text:
        raise InputError(f"{path}: is UTF-16, or no text; give the net's deploy prototxt in UTF-8")
    text = VARIABLE.sub(lambda found: str(variables.get(found[1], found[0])), text)
    fields = _parsed(path, text)
    if any(layer.messages("layer") for layer in fields.messages("layers")):
        fields = _parsed(path, _upgraded(path, text))
    return fields


def variables(deploy: str, names: Iterable[str], model: str) -> dict[str, str]:
    """{variable: value} of the ${...} in the layers' `names`, by the names of the layers in the caffemodel `model`."""
    names = [name for name in names if VARIABLE.search(name)]
    found: dict[str, set[str]] = {}
    known = set(caffemodel.caffemodel_layers(model)) if names else ()
    for name in names:
        parts = VARIABLE.split(name)  # text and variables in turn
        pattern = "".join(f"(?P<{part}>.+)" if k % 2 else re.escape(part) for k, part in enumerate(parts))
        for match in filter(None, (re.fullmatch(pattern, each) for each in known)):
            for variable, value in match.groupdict().items():
                found.setdefault(variable, set()).add(value)
    for variable, values in found.items():
        if len(values) > 1:
            which = " or ".join(sorted(values))
            raise InputError(f"{deploy}: ${{{variable}}} may be {which} in {model}; say which: --define {variable}=...")
    return {variable: values.pop() for variable, values in found.items()}


def _parsed(path, text):
    lines = text.split("\n")  # not splitlines: Unicode has other line ends
    tokens = text_format.Tokenizer(lines)
    try:
        return _fields(tokens, None)
    except RecursionError:
        raise InputError(f"{path}: has too many brackets within brackets to be a prototxt") from None
    except text_format.ParseError as error:
        open_one = VARIABLE.search(lines[error.GetLine() - 1])
        remedy = f"say what {open_one[0]} is: --define {open_one[1]}=..." if open_one else "mend that line"
        raise InputError(f"{path}: line {error}; {remedy}") from None


def _fields(tokens, end):
    """The fields up to the bracket `end`, or up to the end of the text."""
    fields = Fields()
    while not (tokens.TryConsume(end) if end else tokens.AtEnd()):
        if tokens.AtEnd():
            raise tokens.ParseError(f"Expected {end!r}")
        line = tokens.ParseError("").GetLine()
        name = tokens.ConsumeIdentifier()
        colon = tokens.TryConsume(":")
        if tokens.token in CLOSES:
            values = [_message(tokens)]
        elif not colon:
            raise tokens.ParseError("Expected ':' or '{'")
        else:
            values = _list(tokens) if tokens.TryConsume("[") else [_scalar(tokens)]
        fields.extend((name, value, line) for value in values)
        if not tokens.TryConsume(","):
            tokens.TryConsume(";")
    return fields


def _message(tokens):
    bracket = tokens.token
    tokens.Consume(bracket)
    return _fields(tokens, CLOSES[bracket])


def _list(tokens):
    values = []
    while not tokens.TryConsume("]"):
        values.append(_message(tokens) if tokens.token in CLOSES else _scalar(tokens))
        tokens.TryConsume(",")
    return values


def _scalar(tokens):
    if tokens.token[:1] in ("'", '"'):
        return Text(tokens.ConsumeString())
    word = tokens.token
    if not re.fullmatch(r"[\w.+-]+", word):
        raise tokens.ParseError("Expected a value")
    tokens.NextToken()
    return word


def _upgraded(path, text):
    """The text of a prototxt of 2013 (V0) as V2, by Caffe's own tool."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = (os.path.join(folder, name) for name in ("v0.prototxt", "v2.prototxt"))
        write_text(before, text)
        command = ["upgrade_net_proto_text", before, after]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode or not os.path.exists(after):
            said = [line for line in done.stdout.splitlines() if re.match(r"[EF]\d{4} |\[libprotobuf", line)]
            reason = (said or ["it gives no reason"])[0].partition("] ")[2]
            raise InputError(f"{path}: Caffe cannot upgrade this prototxt of 2013: {reason}; give it in a later format")
        return read_text(after)
