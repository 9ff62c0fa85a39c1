"""What a cookie says of itself, with no key: unverified, so anybody may have written it.

Nothing here becomes more than plain JSON: Flask's tags are never turned into types, since
the one for Markup would make safe HTML of a stranger's text. Size and depth are bounded.
"""

from __future__ import annotations

import json
import math
import typing as t
import zlib
from dataclasses import dataclass, replace

from . import tags
from .codec import ENCRYPTED, from_base64
from .split import count_of

LONGEST: t.Final = 64 * 1024
"""The most characters of a cookie that are read; browsers send 4096 bytes."""
MOST_JSON: t.Final = 256 * 1024
"""The most bytes that a payload may expand to here."""
DEEPEST: t.Final = 50
"""The most lists and dicts inside each other."""
_PARTS: t.Final = 3
_STAMP: t.Final = 8


@dataclass(frozen=True, slots=True)
class Peeked:
    """A cookie, unverified.

    ``signed_at`` is in seconds since 1970, as the cookie claims. ``signature`` and
    ``json_size`` count bytes. ``text`` is the JSON in it, ``value`` the same as plain data;
    ``problem`` says why there is none. ``tags`` names Flask's tags that stand in it.
    """

    length: int
    parts: int
    compressed: bool = False
    encrypted: bool = False
    signed_at: int | None = None
    signature: int | None = None
    json_size: int | None = None
    text: str | None = None
    value: t.Any = None
    tags: tuple[str, ...] = ()
    problem: str | None = None


def peek(text: str) -> Peeked:
    """Read the cookie *text* as far as it goes. Never raises for what is in it."""
    raw = text.encode(errors="surrogatepass")
    if len(raw) > LONGEST:
        return Peeked(len(raw), 0, problem=f"it is longer than {LONGEST:,} bytes, so not read")
    if text.startswith(ENCRYPTED):
        hidden = "it is encrypted: only the app's key shows what is in it"
        return Peeked(len(raw), 1, encrypted=True, problem=hidden)
    cookies = count_of(text)
    if cookies > 1:
        lacks = f"it is the first of {cookies} cookies, and not all of the others are here"
        return Peeked(len(raw), 1, problem=lacks)
    compressed = raw.startswith(b".")
    parts = raw.removeprefix(b".").split(b".")
    outside = Peeked(len(raw), len(parts), compressed)
    if len(parts) == _PARTS:
        outside = replace(outside, signed_at=_stamp(parts[1]), signature=_size(parts[2]))
    try:
        inside = _json_of(parts[0], compressed=compressed)
    except _UnreadableError as error:
        return replace(outside, problem=str(error))
    return opened(outside, inside)


def opened(found: Peeked, text: str) -> Peeked:
    """*found* with what the JSON *text* in it says."""
    size = len(text.encode(errors="surrogatepass"))
    try:
        _bound(size)
        value, met = _read(text)
    except _UnreadableError as error:
        return replace(found, problem=str(error))
    return replace(
        found, json_size=size, text=text, value=value, tags=tuple(sorted(met)), problem=None
    )


class _UnreadableError(Exception):
    """Why there is nothing to show."""


def _stamp(part: bytes) -> int | None:
    try:
        raw = from_base64(part)
    except ValueError:
        return None
    return int.from_bytes(raw, "big") if 0 < len(raw) <= _STAMP else None


def _size(part: bytes) -> int | None:
    try:
        return len(from_base64(part))
    except ValueError:
        return None


def _json_of(part: bytes, *, compressed: bool) -> str:
    try:
        raw = from_base64(part)
    except ValueError as error:
        raise _UnreadableError("its first part is not base64") from error
    if compressed:
        raw = _expanded(raw)
    _bound(len(raw))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _UnreadableError(
            "its content is no text: encrypted, pickled, or not Flask's"
        ) from error


def _bound(size: int) -> None:
    if size > MOST_JSON:
        raise _UnreadableError(f"its content is larger than {MOST_JSON:,} bytes, so not read")


def _expanded(raw: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        expanded = stream.decompress(raw, MOST_JSON + 1)
    except zlib.error as error:
        raise _UnreadableError("its content says that it is compressed, and is not") from error
    if len(expanded) <= MOST_JSON and not stream.eof:
        raise _UnreadableError("its compressed content breaks off: the cookie was cut")
    return expanded


def _read(text: str) -> tuple[t.Any, set[str]]:
    if _depth(text) > DEEPEST:
        raise _UnreadableError(f"its content is more than {DEEPEST} levels deep, so not read")
    met: set[str] = set()

    def note(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
        if len(pairs) == 1 and pairs[0][0] in tags.KEYS:
            met.add(pairs[0][0].strip())
        return dict(pairs)

    try:
        return json.loads(
            text, object_pairs_hook=note, parse_constant=str, parse_float=_finite
        ), met
    except (ValueError, RecursionError) as error:
        raise _UnreadableError("its content is not JSON") from error


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _depth(text: str) -> int:
    """How deep lists and dicts stand inside each other, told before they are parsed."""
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
