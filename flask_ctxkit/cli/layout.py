"""Fitting spans and tables into a width counted in terminal cells."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .document import Cell, Column, Rule, Span, Style, Table, plain
from .text import cells, cut, head

GUTTER: t.Final = 2
USUAL: t.Final = 60
"""Cells up to which a column is padded where there is no width to fit into."""


def width_of(spans: Cell) -> int:
    """How many cells *spans* take."""
    return sum(cells(span.text) for span in spans)


def fitted(spans: Cell, width: int, *, right: bool = False, cut_end: bool = True) -> Cell:
    """*spans* in exactly *width* cells: cut or padded."""
    return padded(_cut(spans, width, cut_end=cut_end), width, right=right)


def padded(spans: Cell, width: int, *, right: bool = False) -> Cell:
    """*spans* in at least *width* cells."""
    pad = Span(" " * max(width - width_of(spans), 0))
    return (pad, *spans) if right else (*spans, pad)


def _cut(spans: Cell, width: int, *, cut_end: bool) -> Cell:
    if width_of(spans) <= width:
        return spans
    if not cut_end:
        style = spans[-1].style
        return (Span(cut(plain(spans), width, end=False), style),)
    kept: list[Span] = []
    left = width
    for span in spans:
        size = cells(span.text)
        # One cell is kept for the "…" that says that more follows.
        if size < left:
            kept.append(span)
            left -= size
        else:
            text = head(span.text, left - 1) + "…" if left > 0 else ""
            kept.append(replace(span, text=text))
            break
    return tuple(kept)


def wrapped(spans: Cell, width: int, first: int = 0, hang: int = 0) -> list[Cell]:
    """*spans* as lines of at most *width* cells, broken at spaces where there are some.

    The first line is *first* cells in, the others *hang*.
    """
    lines = _Lines(width, first, hang)
    for span in spans:
        for word in _words(span.text):
            lines.add(word, span.style)
    return lines.finished()


class _Lines:
    # Lines that are being filled, word by word.
    def __init__(self, width: int, first: int, hang: int) -> None:
        self._width, self._hang = width, hang
        self._lines: list[list[Span]] = []
        self._start(first)

    def _start(self, indent: int) -> None:
        self._lines.append([Span(" " * indent)] if indent else [])
        self._used = self._indent = indent

    def add(self, word: str, style: Style) -> None:
        if self._used > self._indent and self._used + cells(word.rstrip()) > self._width:
            self._start(self._hang)
            word = word.lstrip()
        # A word longer than a line is broken wherever the line ends.
        while cells(word.rstrip()) > (room := max(self._width - self._used, 1)):
            part = head(word, room) or word[:1]
            self._lines[-1].append(Span(part, style))
            self._start(self._hang)
            word = word[len(part) :]
        if word:
            self._lines[-1].append(Span(word, style))
            self._used += cells(word)

    def finished(self) -> list[Cell]:
        return [without_end_space(line) for line in self._lines]


def without_end_space(spans: t.Sequence[Span]) -> Cell:
    """*spans* without the spaces at their end."""
    kept = list(spans)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    if kept:
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip(" "))
    return tuple(kept)


def _words(text: str) -> t.Iterator[str]:
    # Each word with the spaces after it.
    start = 0
    for index in range(1, len(text)):
        if text[index - 1] == " " and text[index] != " ":
            yield text[start:index]
            start = index
    if text:
        yield text[start:]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table as it fits: ``sizes`` are the cells of its columns, ``dropped`` the names of
    those that had no room.
    """

    table: Table
    sizes: tuple[int, ...]
    dropped: tuple[str, ...]


def fit(table: Table, width: int | None, gutter: int = GUTTER) -> Fitted:
    """*table* in at most *width* cells. Where that is None nothing is cut, and columns are
    as wide as most need.

    Columns shrink to their ``least`` first; where that isn't enough, one by one is dropped.
    A column of empty cells says nothing and is left out.
    """
    rows = [row for row in table.rows if not isinstance(row, Rule)]
    columns = table.columns
    natural = [
        max([cells(column.name), *(width_of(row[i]) for row in rows)])
        for i, column in enumerate(columns)
    ]
    filled = [i for i in range(len(columns)) if any(width_of(row[i]) for row in rows)]
    kept = filled if width is None else _kept(columns, natural, filled, width, gutter)
    sizes = [min(natural[i], USUAL) if width is None else natural[i] for i in kept]
    if width is not None:
        sizes = _shrunk(sizes, [columns[i] for i in kept], width, gutter)
    shown = tuple(
        row if isinstance(row, Rule) else tuple(row[i] for i in kept) for row in table.rows
    )
    dropped = tuple(columns[i].name for i in filled if i not in kept)
    return Fitted(Table(tuple(columns[i] for i in kept), shown), tuple(sizes), dropped)


def _kept(
    columns: t.Sequence[Column], natural: list[int], filled: list[int], width: int, gutter: int
) -> list[int]:
    kept = list(filled)
    while True:
        least = [_least(columns[i], natural[i]) for i in kept]
        if sum(least) + gutter * (len(kept) - 1) <= width:
            return kept
        droppable = [i for i in kept if columns[i].drop]
        if not droppable:
            return kept
        kept.remove(max(droppable, key=lambda i: columns[i].drop))


def _least(column: Column, natural: int) -> int:
    return natural if column.least is None else min(column.least, natural)


def _shrunk(natural: list[int], columns: list[Column], width: int, gutter: int) -> list[int]:
    sizes = list(natural)
    least = [_least(column, size) for column, size in zip(columns, natural, strict=True)]
    over = sum(sizes) + gutter * (len(sizes) - 1) - width
    while over > 0:
        slack = [size - low for size, low in zip(sizes, least, strict=True)]
        # Where nothing may give way any more, the last column does: a cut end is better
        # than a line that wraps and breaks the whole table.
        most = slack.index(max(slack)) if max(slack) > 0 else len(sizes) - 1
        if sizes[most] <= 1:
            break
        sizes[most] -= 1
        over -= 1
    return sizes
