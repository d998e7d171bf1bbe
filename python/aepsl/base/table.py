"""A table of text, made once and shown on a terminal, in Markdown and in HTML."""

import re
import textwrap
from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from typing import NamedTuple, Optional

NOTE_WIDTH, CELL_WIDTH = 120, 60  # columns of a terminal that notes and cells are wrapped to
BROAD = 12  # columns; a page prints wider tables smaller
MARKUP = re.compile(r"[\\|`*$~\[]|<(?=[\w/!?])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")  # what Markdown would not show as it is
FIGURE = re.compile(r"([-+−]?[\d?].*)?")  # a number, with its range or unit behind it, or nothing


class Table(NamedTuple):
    """caption, note: a sentence each, or ''; columns: their names; rows: as many texts each, '' for an empty cell.

    The first column names the rows; a row whose name begins with a space belongs to the row above it. Columns that
    hold figures alone are aligned right. A row with no more than a name heads the rows below it.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        """For a terminal. Nothing is cut: a long cell takes several lines."""
        figures = self.figures()
        lines: list[tuple[str, ...]] = []
        for name, *cells in (self.columns, *self.rows):
            lines += zip_longest([name], *map(_wrapped, cells), fillvalue="")
        in_column = [line for line in lines if any(line[1:])]  # the name of a heading row may be wider than its column
        widths = [max(map(len, column)) for column in zip(*in_column)]
        justify = [str.rjust if each else str.ljust for each in figures]
        padded = [[put(cell, width) for put, cell, width in zip(justify, line, widths)] for line in lines]
        shown = ["  ".join(cells).rstrip() for cells in padded]
        return "\n".join([*filter(None, [self.caption]), *shown, *textwrap.wrap(self.note, NOTE_WIDTH)])

    def markdown(self) -> str:
        lines = [f"| {' | '.join(map(_markdown, row))} |" for row in (self.columns, *self.rows)]
        lines.insert(1, "|" + "".join("---:|" if each else "---|" for each in self.figures()))
        return "\n\n".join(filter(None, [self.caption and f"## {self.caption}", "\n".join(lines), self.note]))

    def html(self) -> str:
        """Cells of figures have the class 'n'; rows that belong to the row above have the class 'below'."""
        kinds = [' class="n"' * each for each in self.figures()]
        head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(self.columns, kinds))
        body = ""
        for row in self.rows:
            cells = "".join(f"<td{kind}>{escape(cell.strip())}</td>" for cell, kind in zip(row, kinds))
            body += "<tr" + ' class="below"' * row[0].startswith(" ") + f">{cells}</tr>\n"
        broad = ' class="broad"' * (len(self.columns) > BROAD)
        caption, note = escape(self.caption), f'<p class="note">{escape(self.note)}</p>\n' if self.note else ""
        return (
            f'<div>\n<h3>{caption}</h3>\n<div class="scroll"><table{broad} aria-label="{caption}">\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n{note}</div>"
        )

    def figures(self) -> list[bool]:
        """Whether each column holds figures alone."""
        columns = list(zip(*self.rows)) or [("",)] * len(self.columns)
        return [k > 0 and all(map(FIGURE.fullmatch, column)) for k, column in enumerate(columns)]


def number(value: Optional[float], digits: int = 1, sign: bool = False) -> str:
    """A figure as text, with the typographic minus sign; '' for None."""
    return "" if value is None else f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _wrapped(cell: str) -> list[str]:
    """The lines of a cell; words are not broken."""
    return [cell] if len(cell) <= CELL_WIDTH else textwrap.wrap(cell, CELL_WIDTH, break_long_words=False)


def _markdown(cell: str) -> str:
    """A cell in which no sign is markup: names of classes may be `<b>`, `$x$` or `*`."""
    return MARKUP.sub(r"\\\g<0>", cell.strip())
