"""How findings name what they speak of."""

from __future__ import annotations

import typing as t

import pytest

from flask_ctxkit.findings.wording import listed, named, phased, raiser, told
from flask_ctxkit.trace.model import Error, Event


def event(**fields: t.Any) -> Event:
    values: dict[str, t.Any] = {
        "phase": "before_request",
        "name": "create_app.<locals>.load_user",
        "where": "shop/auth.py:12",
        "source": "this app",
    }
    return Event(index=1, start_us=0.0, duration_us=1.0, **{**values, **fields})


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        ([*"abcde"], "a, b, c, d and e"),
        ([*"abcdefgh"], "a, b, c, d and 4 more"),
    ],
)
def test_lists_read_as_text_and_end_in_a_count(names: list[str], text: str) -> None:
    assert listed(names) == text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "load_user (shop/auth.py:12)"),
        ({"source": "blueprint shop"}, "load_user (shop/auth.py:12)"),
        ({"source": "Flask-Limiter", "name": "Limiter.check"}, "Flask-Limiter's Limiter.check"),
        ({"phase": "view", "name": "cart", "source": None, "where": None}, "view cart"),
        ({"where": None}, "load_user"),
    ],
)
def test_functions_are_named_with_their_owner_and_place(
    fields: dict[str, t.Any], text: str
) -> None:
    assert told(event(**fields)).startswith(text)
    assert named(event(**fields)) == text.partition(" (")[0]


def test_a_view_is_its_own_phase() -> None:
    assert phased(event()) == "before_request load_user (shop/auth.py:12)"
    assert phased(event(phase="view", name="cart")) == "view cart (shop/auth.py:12)"


def test_a_step_of_flasks_own_is_named_once() -> None:
    assert phased(event(phase="save_session", name="save_session", where=None)) == "save_session"


@pytest.mark.parametrize("kind", ["script", "cli", "test", "task"])
def test_what_pushed_a_context_of_its_own_is_no_view(kind: str) -> None:
    block = event(phase="view", name="serve")
    assert named(block, kind) == "serve"
    assert told(block, kind) == phased(block, kind) == "serve (shop/auth.py:12)"


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("mail.py:31 send_mail", "send_mail (mail.py:31)"),
        ("mail.py:31 <lambda>", "the line mail.py:31"),
        ("other.py:3 f", "the line mail.py:31"),
    ],
)
def test_a_line_is_named_by_its_function_where_that_is_known(frame: str, text: str) -> None:
    error = Error("ValueError", "x", "mail.py:31", (frame, "flask/ctx.py:1 pop"))
    assert raiser(error) == text
