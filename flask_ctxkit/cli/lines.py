"""Blocks of a document as lines: fitted for a terminal, or as Markdown-like text."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from . import layout
from .document import Cell, Column, Gap, Heading, Item, Line, Row, Rule, Span, Table, cell, plain
from .text import ascii_only

if t.TYPE_CHECKING:
    from .document import Block, Document


def terminal_lines(document: Document, width: int) -> t.Iterator[Cell]:
    """The lines of *document*, each in at most *width* cells, with their styles."""
    for block in document:
        yield from _block_lines(block, width)


def markdown_lines(document: Document, width: int | None) -> t.Iterator[str]:
    """The lines of *document* as Markdown; nothing is cut where *width* is None."""
    for block in document:
        yield from _markdown_lines(block, width)


def in_ascii(block: Block) -> Block:
    """*block* with ASCII stand-ins, to be called before the fitting: they can be longer."""
    if isinstance(block, Heading):
        return Heading(_ascii_cell(block.text), _ascii_cell(block.aside))
    if isinstance(block, Line):
        return replace(block, text=_ascii_cell(block.text))
    if isinstance(block, Item):
        details = tuple(_ascii_cell(detail) for detail in block.details)
        return Item(_ascii_cell((block.sign,))[0], _ascii_cell(block.text), details)
    if isinstance(block, Table):
        rows = tuple(
            Rule(ascii_only(row.text)) if isinstance(row, Rule) else tuple(map(_ascii_cell, row))
            for row in block.rows
        )
        return replace(block, rows=rows)
    return block


def _ascii_cell(spans: Cell) -> Cell:
    return tuple(replace(span, text=ascii_only(span.text)) for span in spans)


def _block_lines(block: Block, width: int) -> t.Iterator[Cell]:
    if isinstance(block, Gap):
        yield ()
    elif isinstance(block, Heading):
        yield from _heading_lines(block, width)
    elif isinstance(block, Line):
        yield from _sentence_lines(block, width)
    elif isinstance(block, Item):
        yield from layout.wrapped(cell(" ", block.sign, " ", block.text), width, 0, 3)
        for detail in block.details:
            yield from layout.wrapped(detail, width, 3, 5)
    else:
        yield from _table_lines(block, width)


def _sentence_lines(block: Line, width: int) -> t.Iterable[Cell]:
    if block.whole:
        return (block.text,)
    return layout.wrapped(block.text, width, block.indent, block.hang)


def _heading_lines(block: Heading, width: int) -> t.Iterator[Cell]:
    title = tuple(Span(span.text, span.style or "strong") for span in block.text)
    space = width - layout.width_of(title) - layout.width_of(block.aside)
    if not block.aside:
        yield from layout.wrapped(title, width)
    elif space >= layout.GUTTER:
        yield (*title, Span(" " * space), *block.aside)
    else:
        yield from layout.wrapped(title, width)
        yield from layout.wrapped(block.aside, width, 2, 2)


def _table_lines(table: Table, width: int) -> t.Iterator[Cell]:
    if not table.rows:
        return
    fitted = layout.fit(table, width - 1)
    yield _table_row(tuple(cell(Span(c.name, "dim")) for c in fitted.table.columns), fitted)
    for row in fitted.table.rows:
        if isinstance(row, Rule):
            yield from layout.wrapped(cell(Span(f"── {row.text} ──", "dim")), width, 1, 1)
        else:
            yield _table_row(row, fitted)
    if fitted.dropped:
        yield from layout.wrapped(cell(Span(_dropped_text(fitted, width), "dim")), width, 1, 2)


def _table_row(row: Row, fitted: layout.Fitted) -> Cell:
    spans: list[Span] = [Span(" ")]
    for index, content in enumerate(_fitted_cells(row, fitted)):
        if index:
            spans.append(Span(" " * layout.GUTTER))
        spans.extend(content)
    return layout.without_end_space(spans)


def _fitted_cells(row: Row, fitted: layout.Fitted) -> t.Iterator[Cell]:
    for content, column, size in zip(row, fitted.table.columns, fitted.sizes, strict=True):
        yield layout.fitted(content, size, right=column.right, cut_end=column.cut_end)


def _padded_cells(row: Row, fitted: layout.Fitted) -> t.Iterator[Cell]:
    for content, column, size in zip(row, fitted.table.columns, fitted.sizes, strict=True):
        yield layout.padded(content, size, right=column.right)


def _dropped_text(fitted: layout.Fitted, width: int) -> str:
    return f"(no room in {width} columns for: {', '.join(fitted.dropped).lower()})"


def _markdown_lines(block: Block, width: int | None) -> t.Iterator[str]:
    if isinstance(block, Gap):
        yield ""
    elif isinstance(block, Heading):
        aside = "   " + plain(block.aside) if block.aside else ""
        yield from _markdown_wrapped(f"## {plain(block.text)}{aside}", width, 3)
    elif isinstance(block, Line):
        fits = None if block.whole else width
        yield from _markdown_wrapped(plain(block.text), fits, block.hang, block.indent)
    elif isinstance(block, Item):
        yield from _markdown_wrapped(f"- {block.sign.text} {plain(block.text)}", width, 2)
        for detail in block.details:
            yield from _markdown_wrapped(plain(detail), width, 4, 2)
    else:
        yield from _markdown_table(block, width)


def _markdown_wrapped(text: str, width: int | None, hang: int, indent: int = 0) -> t.Iterator[str]:
    if width is None:
        yield " " * indent + text
    else:
        yield from (plain(line) for line in layout.wrapped(cell(text), width, indent, hang))


def _markdown_table(table: Table, width: int | None) -> t.Iterator[str]:
    if not table.rows:
        return
    escaped = replace(table, rows=tuple(_without_bars(row) for row in table.rows))
    # "| " before and " |" behind; " | " between.
    fitted = layout.fit(escaped, None if width is None else width - 4, 3)
    columns = fitted.table.columns
    whole = width is None
    yield _markdown_row(tuple(cell(column.name) for column in columns), fitted, whole=whole)
    pairs = zip(columns, fitted.sizes, strict=True)
    yield f"| {' | '.join(_dashes(column, size) for column, size in pairs)} |"
    for row in fitted.table.rows:
        if isinstance(row, Rule):
            yield _markdown_rule(row, columns)
        else:
            yield _markdown_row(row, fitted, whole=whole)
    if fitted.dropped and width is not None:
        yield _dropped_text(fitted, width)


def _dashes(column: Column, size: int) -> str:
    return "-" * (size - 1) + ":" if column.right and size > 1 else "-" * size


def _without_bars(row: Row | Rule) -> Row | Rule:
    if isinstance(row, Rule):
        return Rule(row.text.replace("|", "\\|"))
    return tuple(
        tuple(replace(span, text=span.text.replace("|", "\\|")) for span in spans) for spans in row
    )


def _markdown_rule(rule: Rule, columns: t.Sequence[Column]) -> str:
    return f"| *{rule.text}* {'| ' * (len(columns) - 1)}|"


def _markdown_row(row: Row, fitted: layout.Fitted, *, whole: bool) -> str:
    shown = _padded_cells(row, fitted) if whole else _fitted_cells(row, fitted)
    return f"| {' | '.join(map(plain, shown))} |"
