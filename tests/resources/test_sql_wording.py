"""What is told of a statement: its text without literals, its parameters by shape."""

from __future__ import annotations

import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_ctxkit.resources.sql.wording import (
    LONGEST,
    READ,
    Dialect,
    dialect_of,
    ordinal,
    shape_of,
    shape_of_many,
    text_of,
)

DIALECTS: t.Final[tuple[Dialect, ...]] = t.get_args(Dialect)

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@every_dialect
@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("select  1\n\tfrom tea ", "select ? from tea"),
        ("select a1, t2.b3 from t2", "select a1, t2.b3 from t2"),
        ("where a = 'x' and b = 'it''s'", "where a = ? and b = ?"),
        ("where a = '' or b = 'a' 'b'", "where a = ? or b = ? ?"),
        ("limit 10 offset 1.5e3", "limit ? offset ?"),
        ("a-1, a - .5, 0xFF, x'ff'", "a-?, a - ?, ?, x?"),
        ("in (1, 2,3) and in (%s, %s)", "in (?, …) and in (%s, …)"),
        ("in (1)", "in (?)"),
        (
            "a = %s and b = :b1 and c = ? and d = %(d1)s",
            "a = %s and b = :b1 and c = ? and d = %(d1)s",
        ),
        ("select 1 -- it's mine\nfrom tea", "select ? from tea"),
        ("select /* it's 'mine' */ a", "select a"),
        ("", ""),
    ],
)
def test_a_statement_is_told_on_one_line_without_its_literals(
    dialect: Dialect, sql: str, text: str
) -> None:
    """And what is no literal stays: names, placeholders, operators."""
    assert text_of(sql, dialect) == text


@pytest.mark.parametrize(
    ("dialect", "sql", "text"),
    [
        ("postgresql", 'select "a b" from "t"', 'select "a b" from "t"'),
        ("mysql", 'select "secret" from `a b`', "select ? from `a b`"),
        ("sqlite", 'where a = "secret" and `b`', "where a = ? and `b`"),
        ("unknown", 'where a = "secret"', "where a = ?"),
        ("postgresql", "select $$it's$$, $a$ $$ $a$, $1, $2", "select ?, ?, $1, $2"),
        ("postgresql", "data #>> '{a}' -> 'b'", "data #>> ? -> ?"),
        ("mysql", "select a # it's mine\nfrom tea", "select a from tea"),
        ("mysql", "select a--'secret'", "select a--?"),
        ("postgresql", "E'a' || U&'b' || N'c'", "E? || U&? || N?"),
        ("mysql", "_utf8mb4'a'", "_utf8mb4?"),
        ("sqlite", "select [a b] from t where c = $name", "select [a b] from t where c = $name"),
    ],
)
def test_quotes_are_read_as_the_server_does(dialect: Dialect, sql: str, text: str) -> None:
    """What is a name for one is a literal for another."""
    assert text_of(sql, dialect) == text


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        *((dialect, r"where a = 'it\'s' and b = 'secret'") for dialect in DIALECTS),
        *((dialect, r"where a = 'c:\' and b = 'secret'") for dialect in DIALECTS),
        *((dialect, "where a = 'O'Brien' and b = 'secret'") for dialect in DIALECTS),
        *((dialect, "where a = 'O' Brien' and b = 'secret'") for dialect in DIALECTS),
        *((dialect, "where a = ' and b = 'secret'") for dialect in DIALECTS),
        *((dialect, "where a = 'secret") for dialect in DIALECTS),
        ("postgresql", "where /* /* */ ' */ a = 'secret' --'"),
        ("postgresql", "where `'` = 'secret'`"),
        ("sqlite", "where [it's] = 'secret' or 'a'"),
        ("sqlite", "where a = 1 # don't\n and b = 'secret'"),
        ("unknown", "where a = 1 # don't\n and b = 'secret'"),
        ("unknown", "where a = $$ ' $$ and b = 'secret'"),
        ("unknown", "where a = 1 --don't\n and b = 'secret'"),
    ],
)
def test_where_literals_are_in_doubt_the_text_ends_before_them(dialect: Dialect, sql: str) -> None:
    """Two such statements are told apart by a mark; equal ones have equal marks."""
    text = text_of(sql, dialect)
    assert re.fullmatch(r"where.* … \([0-9a-f]{4}\)", text)
    assert "secret" not in text
    assert text == text_of(sql, dialect)
    assert text != text_of(sql.replace("secret", "other"), dialect)


def test_a_long_statement_is_cut() -> None:
    """And a literal that goes on past what is read is one all the same."""
    assert text_of("select " + "a, " * 500, "sqlite") == ("select " + "a, " * 500)[:LONGEST] + "…"
    text = text_of("select a where b = '" + "secret" * READ + "'", "sqlite")
    assert text == "select a where b = ?"


def test_what_is_no_text_is_told_by_its_type() -> None:
    """A statement that the driver composes is not asked for its text."""

    class Composed:
        def __str__(self) -> str:
            raise AssertionError

        __repr__ = __str__

    assert text_of(b"select 'secret'", "sqlite") == "<bytes>"
    assert text_of(Composed(), "sqlite").endswith("Composed>")


# Literals as each server reads them, by the rules that all of its settings share.
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="\\\0"), max_size=12)
WORDS = st.sampled_from(
    ["select", " a ", " from t where ", "(", ")", ", ", " = ", " %s ", " :p1 ", "\n", " -- it's\n",
     " /* don't */ ", " and ", " 17 ", " t1.a2 "],
)  # fmt: skip


def quoted(secret: str) -> st.SearchStrategy[str]:
    doubled = secret.replace("'", "''")
    return st.sampled_from([f" '{doubled}' ", f"='{doubled}' ", f"('{doubled}')", f",'{doubled}',"])


@every_dialect
@given(st.data())
def test_no_literal_is_ever_told(dialect: Dialect, data: st.DataObject) -> None:
    """Whatever stands in it and around it."""
    secret = "hunter2"
    parts: list[str] = []
    for _ in range(data.draw(st.integers(1, 6))):
        parts.append(data.draw(WORDS))
        before, after = data.draw(LETTERS), data.draw(LETTERS)
        parts.append(data.draw(quoted(f"{before}{secret}{after}")))
    # A second comment that opens inside a first one is read in two ways.
    assert secret not in text_of("".join(parts), dialect)


@every_dialect
@given(st.text(max_size=200))
def test_any_text_is_told_in_bounds(dialect: Dialect, sql: str) -> None:
    """Also what no server would take."""
    assert len(text_of(sql, dialect)) <= LONGEST + 10


@given(st.text("'\"`$#-/*\\[]E a1\n", max_size=60))
def test_all_kinds_of_quotes_are_read_in_no_time(sql: str) -> None:
    """Unfinished ones too, many times over."""
    for dialect in DIALECTS:
        text_of(sql * 60, dialect)


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ((1, "green"), "2 parameters: int, str[5]"),
        ([None], "1 parameter: None"),
        ((True, 1.5, b"ab", [1, 2]), "4 parameters: bool, float, bytes[2], list[2]"),
        ({"id": 1, "name": "green"}, "2 parameters: id int, name str[5]"),
        ((), "no parameters"),
        (tuple(range(10)), "10 parameters: int, int, int, int, int, int, int, int, …"),
        (iter([1]), "parameters: list_iterator"),
    ],
)
def test_parameters_are_told_by_their_shape(parameters: object, shape: str) -> None:
    """Their number, type and size; no value."""
    assert shape_of(parameters) == shape


def test_rows_of_parameters_are_told_by_the_first() -> None:
    """And what can be read once only is left to the driver."""
    assert shape_of_many([(1, "a"), (2, "b")]) == "2 times 2 parameters: int, str[1]"
    assert shape_of_many([]) == "0 times"
    rows = (row for row in [(1,)])
    assert shape_of_many(rows) == "rows of parameters: generator"
    assert next(rows) == (1,)


def test_a_users_object_is_never_called() -> None:
    """Nor its class."""

    class Hostile:
        def __len__(self) -> int:
            raise AssertionError

        __repr__ = __str__ = __eq__ = __hash__ = __len__  # type: ignore[assignment]

    assert shape_of((Hostile(),)).startswith("1 parameter: ")


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"),
     (21, "21st"), (111, "111th"), (102, "102nd")],
)  # fmt: skip
def test_ordinals(number: int, text: str) -> None:
    """As they are written in English."""
    assert ordinal(number) == text


def test_a_dialect_is_known_by_its_driver() -> None:
    """By the module of the driver's own connection."""
    kind = type("Connection", (), {"__module__": "psycopg.connection"})
    assert dialect_of(kind()) == "postgresql"
    assert dialect_of(object()) == "unknown"
