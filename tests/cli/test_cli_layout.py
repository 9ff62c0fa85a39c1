"""Tables and sentences fit the width they are given, to the cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_ctxkit.cli import layout
from flask_ctxkit.cli.document import (
    Block,
    Column,
    Gap,
    Rule,
    Span,
    Table,
    cell,
    heading,
    item,
    line,
    plain,
    verbatim,
)
from flask_ctxkit.cli.lines import in_ascii, markdown_lines, terminal_lines

WORDS = st.text(max_size=60)


@given(WORDS, WORDS, st.integers(8, 120), st.integers(0, 4), st.integers(0, 6))
def test_a_wrapped_sentence_fits_and_loses_nothing(
    one: str, two: str, width: int, first: int, hang: int
) -> None:
    """Styles don't count, spaces at a break go, all else stays in order."""
    spans = cell(Span(one, "error"), " ", Span(two))
    lines = layout.wrapped(spans, width, first, hang)
    assert all(layout.width_of(found) <= width for found in lines)
    assert "".join(map(plain, lines)).replace(" ", "") == plain(spans).replace(" ", "")


@st.composite
def tables(draw: st.DrawFn) -> Table:
    count = draw(st.integers(1, 6))
    columns = tuple(
        Column(
            draw(st.sampled_from(["A", "NAME", "WHERE IT IS"])),
            right=draw(st.booleans()),
            least=draw(st.sampled_from([None, 4, 8])),
            drop=draw(st.integers(0, 4)),
            cut_end=draw(st.booleans()),
        )
        for _ in range(count)
    )
    rows = draw(st.lists(st.tuples(*[st.text(max_size=30)] * count), max_size=5))
    cells = [tuple(cell(Span(text, "view")) for text in row) for row in rows]
    return Table(columns, (*cells, Rule("a line across")) if cells else ())


@given(tables(), st.integers(40, 120))
def test_a_table_fits_its_width_whatever_is_in_it(table: Table, width: int) -> None:
    """Columns shrink, then go; at worst the last one is cut below its least."""
    if sum(column.least is None and not column.drop for column in table.columns):
        return  # what may neither be cut nor dropped decides itself
    assert all(layout.width_of(found) <= width for found in terminal_lines([table], width))


def _table(*columns: Column) -> Table:
    return Table(columns, (tuple(cell("x" * 20) for _ in columns),))


def test_columns_shrink_before_one_is_dropped() -> None:
    table = _table(Column("A", least=8), Column("B", least=8, drop=1))
    fitted = layout.fit(table, 30)
    assert (sum(fitted.sizes) + 2, fitted.dropped) == (30, ())


def test_the_least_needed_column_goes_first_and_is_named() -> None:
    """What isn't shown is told, with the width that was to blame."""
    table = _table(Column("A"), Column("B", drop=2), Column("C", drop=1))
    shown = [plain(found) for found in terminal_lines([table], 50)]
    assert layout.fit(table, 49).dropped == ("B",)
    assert shown[-1] == " (no room in 50 columns for: b)"


def test_a_column_of_nothing_takes_no_room() -> None:
    table = Table((Column("A"), Column("EMPTY")), ((cell("x"), cell("")),))
    assert [plain(found) for found in terminal_lines([table], 80)] == [" A", " x"]


def test_a_table_without_rows_is_nothing() -> None:
    table = Table((Column("A"),))
    assert [*terminal_lines([table], 80), *markdown_lines([table], None)] == []


def test_markdown_is_markdown() -> None:
    """Headings, lists and tables that a Markdown reader draws; a bar is escaped."""
    document: list[Block] = [
        heading("NOW", aside=Span("2")), item(Span("!"), "careful", details=["why"]), Gap(),
        Table((Column("N", right=True), Column("PATH")), ((cell("1"), cell("/a|b")), Rule("end"))),
    ]  # fmt: skip
    assert list(markdown_lines(document, None)) == [
        "## NOW   2",
        "- ! careful",
        "  why",
        "",
        "| N | PATH  |",
        "| - | ----- |",
        "| 1 | /a\\|b |",
        "| *end* | |",
    ]


def test_markdown_in_a_terminal_fits_too() -> None:
    document: list[Block] = [
        _table(Column("A", least=8), Column("B", least=8, drop=1)),
        line("word " * 30),
    ]
    assert all(len(found) <= 40 for found in markdown_lines(document, 40))
    assert any(len(found) > 40 for found in markdown_lines(document, None))


@pytest.mark.parametrize("width", [20, None])
def test_a_line_to_copy_is_never_broken(width: int | None) -> None:
    url = "http://127.0.0.1:5000/_ctx/login?token=" + "t" * 64
    assert list(markdown_lines([verbatim(url)], width)) == [url]
    assert [plain(found) for found in terminal_lines([verbatim(url)], 20)] == [url]


def test_ascii_stand_ins_stand_before_the_fitting() -> None:
    """``→`` becomes two characters; the line still fits."""
    block = in_ascii(Table((Column("A", least=4),), ((cell("→" * 30),),)))
    assert all(layout.width_of(found) <= 40 for found in terminal_lines([block], 40))


def test_markdown_without_a_width_cuts_nothing_and_pads_within_reason() -> None:
    """One huge cell doesn't make every line of the table as wide."""
    rows = ((cell("x" * 3000), cell("end")), (cell("y"), cell("end")))
    shown = list(markdown_lines([Table((Column("A"), Column("B")), rows)], None))
    assert "x" * 3000 in shown[2]
    assert len(shown[3]) < 100
