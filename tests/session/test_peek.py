"""Reading a cookie unverified: as far as it goes, within bounds, and never more than JSON."""

from __future__ import annotations

import json
import time
import typing as t
import zlib
from base64 import urlsafe_b64encode
from datetime import datetime, timezone
from uuid import uuid4

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from flask_ctxkit.session.peek import DEEPEST, LONGEST, MOST_JSON, peek

REST: t.Final = ".aQAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAA"


def cookie_of(values: dict[str, t.Any]) -> str:
    app = Flask("app")
    app.secret_key = "k"
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    with app.app_context():
        return str(serializer.dumps(values))


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_cookie_of_flasks_is_read_without_a_key() -> None:
    before = int(time.time())
    found = peek(cookie_of({"user": 7, "name": "ada"}))
    assert found.value == {"user": 7, "name": "ada"}
    assert (found.parts, found.compressed, found.signature, found.problem) == (3, False, 20, None)
    assert found.text == '{"name":"ada","user":7}'
    assert found.json_size == 23
    assert found.signed_at is not None
    assert before <= found.signed_at <= time.time()


def test_a_compressed_one_as_well() -> None:
    found = peek(cookie_of({"long": "x" * 500}))
    assert found.compressed
    assert found.value == {"long": "x" * 500}


def test_tags_stay_plain_json() -> None:
    """Markup made of a stranger's text would be safe HTML of theirs."""
    values = {
        "t": (1, 2), "b": b"b", "m": Markup("<b>"), "u": uuid4(), "di": {" t": [1]},
        "d": datetime(2026, 1, 2, tzinfo=timezone.utc),
    }  # fmt: skip
    found = peek(cookie_of(values))
    assert found.tags == ("b", "d", "di", "m", "t", "u")
    assert found.value["m"] == {" m": "<b>"}
    assert json.loads(json.dumps(found.value)) == found.value
    kinds = {type(v) for v in found.value.values()}
    assert kinds == {dict}
    assert type(found.value["m"][" m"]) is str


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        (".", "breaks off"),
        ("a", "not base64"),
        (encoded(b"\xff\xfe") + REST, "no text"),
        (encoded(b"{") + REST, "not JSON"),
        (encoded(b'{"a":1} x') + REST, "not JSON"),
        ("." + encoded(b"plain") + REST, "is not"),
        ("." + encoded(zlib.compress(b'{"a":1}' * 90)[:-9]) + REST, "breaks off"),
        ("x" * (LONGEST + 1), "longer than"),
        (encoded(b"9" * 5000), "not JSON"),
        ("\ud800", "not JSON"),
    ],
)
def test_what_is_broken_is_named(text: str, problem: str) -> None:
    found = peek(text)
    assert problem in str(found.problem)
    assert (found.value, found.text) == (None, None)


def test_half_a_character_is_read_as_json_writes_it() -> None:
    found = peek(encoded(b'["\\ud800"]') + REST)
    assert found.value == ["\ud800"]


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1, 100_000])
def test_depth_is_bounded_before_it_is_parsed(depth: int) -> None:
    found = peek("." + encoded(zlib.compress(b"[" * depth + b"]" * depth)) + REST)
    assert (found.problem is None) == (depth <= DEEPEST)


def test_brackets_in_texts_are_no_depth() -> None:
    text = json.dumps({"a": '[{"\\' * 200, '"[': "\\"})
    assert peek(encoded(text.encode()) + REST).value == json.loads(text)


def test_a_bomb_is_not_expanded_beyond_the_limit() -> None:
    bomb = "." + encoded(zlib.compress(b'"' + b"x" * 20_000_000 + b'"', 9))
    start = time.perf_counter()
    found = peek(bomb[:LONGEST] + REST if len(bomb) > LONGEST else bomb + REST)
    assert found.value is None
    assert f"{MOST_JSON:,}" in str(found.problem)
    assert time.perf_counter() - start < 1


def test_unterminated_texts_take_no_longer() -> None:
    """A scan that starts over at each quote would take hours."""
    start = time.perf_counter()
    raw = b'"' + b'\\"' * (MOST_JSON // 2 - 1)
    assert peek("." + encoded(zlib.compress(raw)) + REST).problem is not None
    assert time.perf_counter() - start < 2


def test_what_is_no_number_of_jsons_is_text() -> None:
    """NaN would make the report no JSON."""
    found = peek(encoded(b'{"a":NaN,"b":[-Infinity],"c":1e999}') + REST)
    assert found.value == {"a": "NaN", "b": ["-Infinity"], "c": "1e999"}


@pytest.mark.parametrize("text", ["a.b.c.d", "a.b", "abc", "eyJhIjoxfQ..", ".eyJ.b.c", "....."])
def test_other_shapes_are_counted(text: str) -> None:
    found = peek(text)
    assert found.parts == text.removeprefix(".").count(".") + 1
    assert found.length == len(text)


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: encoded(raw) + REST))
def test_no_text_raises(text: str) -> None:
    found = peek(text)
    assert (found.problem is None) == (found.text is not None)
    json.dumps(found.value, allow_nan=False)
