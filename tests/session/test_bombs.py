"""All that reads a session cookie takes no more memory than its cap, whatever is sent."""

from __future__ import annotations

import gc
import tracemalloc
import typing as t
from unittest import mock

import pytest

from flask_ctxkit.report.session_cookie import decoded
from flask_ctxkit.session import codec
from flask_ctxkit.session.codec import MalformedPayloadError
from flask_ctxkit.session.cookie import values_in
from flask_ctxkit.session.peek import LONGEST, MOST_JSON, peek

from .test_fuzz import Site, encrypting, header_of, packed, pieces

MIB: t.Final = 1024 * 1024
BOMBS: t.Final = {
    "spaces": (b"[", b" ", b"]"),
    "deep": (b"[", b"[", b"]"),
    "lists": (b"[", b"[],", b"0]"),
    "dicts": (b"[", b'{"":{}},', b"0]"),
    "numbers": (b"[", b"1.5,", b"0]"),
    "tags": (b"[", b'{" m":""},', b"0]"),
    "dates": (b"[", b'{" d":"Sun, 06 Nov 1994 08:49:37 GMT"},', b"0]"),
    "names": (b"{", b'"a":[],', b'"b":0}'),
    "escapes": (b'"', b"\\u2028", b'"'),
    "quotes": (b'"', b'\\"', b'"'),
}  # fmt: skip
"""Texts of JSON that take many times their size: how each begins, what is repeated, its end."""


def bomb(kind: str, size: int) -> bytes:
    """A payload that expands to *size* bytes of JSON."""
    begin, unit, end = BOMBS[kind]
    return packed(begin + unit * ((size - len(begin + end)) // len(unit)) + end)


def peak_of(function: t.Callable[[], t.Any]) -> int:
    """The most bytes that *function* has allocated at one time."""
    function()  # what is made once is no matter of the input
    gc.collect()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", BOMBS)
def test_a_signed_bomb_takes_no_more_than_its_cap(kind: str) -> None:
    """Of JSON that is within the cap, the values take up to 34 times its bytes. What is over the
    cap is never decoded, however large it would be.
    """
    cap = 256 * 1024

    def read(payload: bytes) -> None:
        try:
            values_in(codec.unpack(payload))
        except MalformedPayloadError:
            return

    with mock.patch.object(codec, "MAX_JSON", cap):
        within, over = bomb(kind, cap), bomb(kind, 40 * cap)
        assert peak_of(lambda: read(within)) < 40 * cap
        assert peak_of(lambda: read(over)) < 4 * cap + len(over)
        with pytest.raises(MalformedPayloadError, match="size"):
            codec.unpack(over)


@pytest.mark.parametrize("kind", BOMBS)
def test_an_unsigned_bomb_is_not_expanded(kind: str) -> None:
    """As one cookie, in parts, and where all are encrypted; nor is one that nothing reads."""
    cookie = bomb(kind, 12 * MIB)[:LONGEST] + b".ZVPxAA." + b"A" * 27
    parts = "; ".join(
        map(header_of, pieces(cookie, 3), ["session", *map("session.{}".format, "123")])
    )
    sites = [(Site(), header_of(cookie)), (Site(size="split", parts=4), parts)]
    sites.append((encrypting(read_signed_until=2**40), header_of(cookie)))
    for site, header in sites:
        assert peak_of(lambda: site.read(header)) < MIB  # noqa: B023 - called at once
        site.app.session_interface = site.interface
        client = site.app.test_client(use_cookies=False)
        untouched = {"Cookie": header}
        assert peak_of(lambda: client.get("/", headers=untouched)) < MIB  # noqa: B023


@pytest.mark.parametrize("kind", BOMBS)
def test_peeking_into_a_bomb_takes_little(kind: str) -> None:
    """Whatever a stranger sends, whole or cut."""
    for size in (MOST_JSON, 12 * MIB):
        text = bomb(kind, size)[:LONGEST].decode()
        assert peak_of(lambda: decoded("session", [text])) < 12 * MIB  # noqa: B023


def test_a_long_text_is_not_looked_into() -> None:
    text = "." * (16 * MIB)
    assert peek(text).problem is not None
    assert peak_of(lambda: Site().read(header_of(text.encode()))) < 12 * len(text)
