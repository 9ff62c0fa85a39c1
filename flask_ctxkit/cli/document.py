"""What a command has to say, before it is drawn: headings, lines, items and tables.

Each table of the room builds these blocks from a report, and :mod:`.rendering` draws them,
so the terminal and the Markdown text cannot disagree. Texts are cleaned here, once.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .text import clean

Style = t.Literal[
    "", "strong", "dim", "error", "warning", "note", "sound",
    "plumbing", "hooks", "view", "template", "session", "stream", "resource",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text in one style. Its text never holds a character that isn't printable."""

    text: str
    style: Style = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text))


Cell = tuple[Span, ...]
Piece = str | Span | Cell


def cell(*pieces: Piece) -> Cell:
    """Texts, spans and cells as one cell; plain text without a style."""
    spans: list[Span] = []
    for piece in pieces:
        if isinstance(piece, tuple):
            spans.extend(piece)
        else:
            spans.append(Span(piece) if isinstance(piece, str) else piece)
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Heading:
    """The name of a part, and how much is in it."""

    text: Cell
    aside: Cell = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence. ``indent`` counts cells; what doesn't fit goes on below, ``hang`` cells in.

    ``whole``: to be copied, like a URL, so no line break may be put into it.
    """

    text: Cell
    indent: int = 0
    hang: int = 0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence after its sign, with lines of detail below it."""

    sign: Span
    text: Cell
    details: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """An empty line."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how it gives way.

    ``least``: the fewest cells it may shrink to; None where it must not be cut. ``drop``:
    where even that doesn't fit, the column with the highest number goes first; 0 stays.
    ``cut_end`` False cuts the start of a text, as suits a path.
    """

    name: str
    right: bool = False
    least: int | None = None
    drop: int = 0
    cut_end: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across a table, with a text on it."""

    text: str


Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns, and rules between them."""

    columns: tuple[Column, ...]
    rows: tuple[Row | Rule, ...] = ()


Block = Heading | Line | Item | Gap | Table
Document = t.Sequence[Block]


def line(*pieces: Piece, indent: int = 0, hang: int = 0) -> Line:
    return Line(cell(*pieces), indent, hang)


def verbatim(text: str) -> Line:
    """A line to be copied as it is."""
    return Line(cell(text), whole=True)


def heading(*pieces: Piece, aside: Piece = ()) -> Heading:
    return Heading(cell(*pieces), cell(aside))


def item(sign: Span, *pieces: Piece, details: t.Iterable[Piece] = ()) -> Item:
    return Item(sign, cell(*pieces), tuple(cell(detail) for detail in details))


def plain(spans: Cell) -> str:
    """The text of *spans* without styles."""
    return "".join(span.text for span in spans)
