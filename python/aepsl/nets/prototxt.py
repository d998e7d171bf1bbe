"""A net as text, as a person writes it: short layers on one line, long ones with a line for each part."""

import io
import re
from collections.abc import Mapping
from typing import Optional

from caffe.proto.caffe_pb2 import NetParameter
from google.protobuf import text_format
from google.protobuf.text_encoding import CEscape

WIDTH = 120
STRING_OR_WHOLE = re.compile(r'"((?:[^"\\]|\\.)*)"|\.0\b')
WHAT = ("name", "type", "bottom", "top")  # fields that say what a layer is, and where


def net_text(name: str, net: NetParameter, comments: Optional[Mapping[str, str]] = None) -> str:
    """The text of `net`. comments: {layer: the comment before it}."""
    lines = [f'name: "{name}"']
    for layer in net.layer:
        if comments and layer.name in comments:
            lines += ["", f"# {comments[layer.name]}"]
        lines += _lines("layer", layer)
    return "\n".join(lines) + "\n"


def _lines(name, message, indent=""):
    """The lines of `message`: one, if it is short enough.

    Else a first line has the fields WHAT, a second the other plain fields, and the messages within follow.
    """
    whole = f"{indent}{name} {{ {_plain(text_format.MessageToString(message, as_one_line=True))} }}"
    if len(whole) <= WIDTH:
        return [whole]
    what, plain, inner = [], [], []
    for field, value in message.ListFields():
        for each in value if field.label == field.LABEL_REPEATED else [value]:
            if field.message_type:
                inner += _lines(field.name, each, indent + "  ")
            elif isinstance(each, str) and len(each) > WIDTH // 2:
                inner += _wrapped(f"{indent}  {field.name}: ", CEscape(each.encode(), as_utf8=False))
            else:
                text_format.PrintField(field, each, text := io.StringIO(), as_one_line=True)
                (what if field.name in WHAT else plain).append(_plain(text.getvalue()))
    first = [f"{indent}  {' '.join(fields)}" for fields in (what, plain) if fields]
    return [f"{indent}{name} {{", *first, *inner, f"{indent}}}"]


def _plain(text):
    """`text` with whole numbers without .0, and with single quotes around strings that have double quotes, as JSON."""
    return STRING_OR_WHOLE.sub(lambda found: "" if found[1] is None else _quoted(found[1]), text).strip()


def _quoted(escaped):
    return "'" + escaped.replace('\\"', '"') + "'" if '\\"' in escaped else f'"{escaped}"'


def _wrapped(before, escaped):
    """A long string as pieces, one below the other; a reader of the format joins them."""
    quotes = escaped.replace('\\"', '"')  # as wide as it is printed
    pieces = re.findall(rf"(?s).{{1,{WIDTH - 3 - len(before)}}}(?: |$)|[^ ]+ ?", quotes)
    return [(" " * len(before) if k else before) + _quoted(piece.replace('"', '\\"')) for k, piece in enumerate(pieces)]
