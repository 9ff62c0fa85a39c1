"""Texts: nothing that a terminal acts on, never wider than asked, times in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_ctxkit.cli import text
from flask_ctxkit.cli.document import Span
from flask_ctxkit.cli.values import value_text

ANY_TEXT = st.text(st.characters(codec=None, categories=None))


@given(ANY_TEXT)
def test_a_clean_text_is_printable_whatever_it_was(raw: str) -> None:
    """Lone surrogates, controls and direction overrides included."""
    assert text.clean(raw).isprintable()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("\x7f\x00", "\\x7f\\x00"),
        ("Grüße 漢字 🙂", "Grüße 漢字 🙂"),
    ],
)
def test_what_acts_on_a_terminal_is_written_as_an_escape(raw: str, shown: str) -> None:
    assert text.clean(raw) == shown


def test_a_span_can_not_hold_a_control_character() -> None:
    """The one door: whatever is drawn is a span."""
    assert Span("\x1b]0;title\x07").text == "\\x1b]0;title\\x07"


def test_a_huge_text_is_cut_before_it_is_looked_at() -> None:
    assert len(text.clean("\x1b" * 10_000_000)) <= text.LONGEST * 4 + 1


@given(st.text(), st.integers(0, 30), st.booleans())
def test_a_cut_text_is_never_wider_than_asked(raw: str, width: int, end: bool) -> None:
    """Wide characters take two cells, combining ones none."""
    shown = text.cut(text.clean(raw), width, end=end)
    assert text.cells(shown) <= width


def test_a_path_loses_its_start_and_a_word_its_end() -> None:
    assert text.cut("/srv/app/shop/views.py:36", 13, end=False) == "…/views.py:36"
    assert text.cut("session-nested-change", 10) == "session-n…"
    assert text.cut("漢字漢字", 4) == "漢…"


def test_signs_have_stand_ins_and_other_letters_escapes() -> None:
    assert text.ascii_only("✗ a → b …") == "x a -> b ..."
    assert text.ascii_only("Grüße") == "Gr\\xfc\\xdfe"


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(None, "?"), (0.031, "0.03 ms"), (41.77, "41.8 ms"), (999.0, "999.0 ms"),
     (2310.0, "2.31 s"), (31_200.0, "31.2 s"), (190_000.0, "3 min")],
)  # fmt: skip
def test_durations_read_well(ms: float | None, shown: str) -> None:
    assert text.duration(ms) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "?"), (-5.0, "0 s"), (8.7, "8 s"), (61.0, "1 min"), (7300.0, "2 h"), (2e5, "2 d")],
)
def test_ages_read_well(seconds: float | None, shown: str) -> None:
    assert text.age(seconds) == shown


@pytest.mark.parametrize("moment", ["", None, "yesterday", "2026-99-01T00:00:00Z", "Z"])
def test_a_moment_that_is_none_has_no_age(moment: str | None) -> None:
    assert text.age_of(moment) is None
    assert text.clock(moment) == "?"


def test_a_moment_ahead_of_this_clock_is_now() -> None:
    """The server's clock may be ahead."""
    assert text.age_of("2999-01-01T00:00:00Z") == 0.0
    assert text.age_of("2999-01-01T00:00:00") == 0.0


@pytest.mark.parametrize(
    ("captured", "shown"),
    [
        (None, "None"), (True, "True"), (3, "3"), ("x", '"x"'), ([1, "a"], '[1, "a"]'),
        ({"a": 1, "$$b": 2}, "{a: 1, $b: 2}"),
        ({"$type": "bytes", "$size": 5, "$text": "abcde"}, '"abcde" (bytes, 5)'),
        ({"$type": "tuple", "$size": 2, "$items": [1, 2]}, "tuple(1, 2)"),
        ({"$type": "list", "$size": 900, "$items": [1]}, "list(1, … 899 more)"),
        ({"$type": "dict", "$size": 9, "$items": {"a": 1}}, "dict{a: 1, … 8 more}"),
        ({"$type": "shop.User", "$attributes": {"id": 7}}, "<shop.User id=7>"),
        ({"$type": "function", "$name": "shop.total"}, "<function shop.total>"),
        ({"$type": "dict", "$cycle": True}, "<dict, a cycle>"),
        ({"$type": "shop.Cart"}, "<shop.Cart>"),
        ({"$hidden": 'name contains "csrf"', "$type": "str", "$size": 91, "$mark": "3f2a"},
         '••• 91 characters, mark 3f2a (name contains "csrf")'),
        (object(), "?"),
    ],
)  # fmt: skip
def test_captured_values_are_told_in_a_line(captured: object, shown: str) -> None:
    assert value_text(captured) == shown


def test_a_deep_value_ends_in_a_line() -> None:
    """However deep the other side sends it."""
    deep: object = 1
    for _ in range(900):
        deep = [deep, deep]
    assert len(value_text(deep)) < 200
