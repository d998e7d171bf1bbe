"""A net as text, as a person writes it: short layers on one line, long ones with a line for each part."""

import re

import numpy as np
from google.protobuf.text_encoding import CEscape

WIDTH = 120
WHAT = ("name", "type", "bottom", "top")  # fields that say what a layer is, and where


def net_text(name, net, comments=()):
    """The text of `net`, a NetParameter. comments: {layer: the comment before it}, for those that have one."""
    lines = [f'name: "{name}"']
    for layer in net.layer:
        if layer.name in comments:
            lines += ["", f"# {comments[layer.name]}"]
        lines += _lines("layer", layer)
    return "\n".join(lines) + "\n"


def _lines(name, message, indent=""):
    """`message` in one line; where that is too long a line says what it is, a line has the other plain fields, and
    each of its messages follows."""
    whole = f"{indent}{name} {_one_line(message)}"
    if len(whole) <= WIDTH:
        return [whole]
    what, plain, inner = [], [], []
    for field, value in _fields(message):
        if field.message_type:
            inner += _lines(field.name, value, indent + "  ")
        elif isinstance(value, str) and len(value) > WIDTH // 2:
            inner += _wrapped(f"{indent}  {field.name}: ", value)
        else:
            (what if field.name in WHAT else plain).append(f"{field.name}: {_plain(field, value)}")
    first = [f"{indent}  {' '.join(fields)}" for fields in (what, plain) if fields]
    return [f"{indent}{name} {{", *first, *inner, f"{indent}}}"]


def _one_line(message):
    parts = [
        f"{field.name} {_one_line(value)}" if field.message_type else f"{field.name}: {_plain(field, value)}"
        for field, value in _fields(message)
    ]
    return f"{{ {' '.join(parts)} }}"


def _fields(message):
    """(field, value) of all that is set; of a list each element."""
    for field, value in message.ListFields():
        for each in value if field.label == field.LABEL_REPEATED else [value]:
            yield field, each


def _plain(field, value):
    if field.enum_type:
        return field.enum_type.values_by_number[value].name
    if field.cpp_type == field.CPPTYPE_BOOL:
        return "true" if value else "false"
    if field.cpp_type == field.CPPTYPE_FLOAT:
        return re.sub(r"\.0$", "", str(np.float32(value)))  # the least digits that are this number
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text):
    """In double quotes, or in single ones where double ones are in it, as in JSON."""
    escaped = CEscape(text.encode(), as_utf8=False)
    return "'" + escaped.replace('\\"', '"') + "'" if '"' in text else f'"{escaped}"'


def _wrapped(before, text):
    """A long text as pieces, one under the other; the format joins them."""
    room = WIDTH - 3 - len(before)
    pieces = re.findall(rf"(?s).{{1,{room}}}(?: |$)|[^ ]+ ?", text)
    return [(" " * len(before) if k else before) + _quoted(piece) for k, piece in enumerate(pieces)]
