"""A session in several cookies, where one would be too large.

The cookie's text is cut after it was signed, and put together before it is verified, so the
one signature covers all parts: one that is changed, swapped, left out or of another session
makes the whole invalid. The first part, in the session's own cookie, begins with ``~n~``,
which Flask never writes: *n* parts, of which the others are in ``NAME.1`` and so on.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from flask_ctxkit.internals import current_request_context, request_of

from .budget import header_size
from .cookie import SentCookie
from .delivery import BUDGET
from .headers import Cookie

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Response

MOST: t.Final = 10
"""The most parts that are put together, whatever the visitor sends."""
_MARK: t.Final = re.compile(r"~([2-9]|10)~")
_MARK_ROOM: t.Final = len("~10~")

Cookies = t.Mapping[str, str]


def part_name(name: str, number: int) -> str:
    """The name of a part of the cookie *name*; number 0 is the cookie itself."""
    return f"{name}.{number}" if number else name


def is_part(name: str, of: str) -> bool:
    """Whether *name* is that of a further part of the cookie *of*."""
    return any(name == part_name(of, number) for number in range(1, MOST))


def count_of(text: str) -> int:
    """The number of cookies that a session came in, as the *text* of the first one says."""
    mark = _MARK.match(text)
    return 1 if mark is None else int(mark[1])


def cut(cookie: Cookie, expires: datetime | None) -> list[Cookie]:
    """*cookie* in parts, each within the budget; empty where its attributes leave no room."""
    parts: list[Cookie] = []
    rest = cookie.value
    while rest:
        part = Cookie(part_name(cookie.name, len(parts)), "", cookie.attributes)
        room = BUDGET - header_size(part, expires) - (0 if parts else _MARK_ROOM)
        if room <= 0:
            return []
        parts.append(part._replace(value=rest[:room]))
        rest = rest[room:]
    parts[0] = parts[0]._replace(value=f"~{len(parts)}~{parts[0].value}")
    return parts


def join(text: str, name: str, cookies: Cookies) -> tuple[str, int | None]:
    """The whole of which *text* is the first part, and the number of the first part that is
    missing, or None.

    Where one is missing, and for a cookie that was not split, *text* comes back as it is.
    """
    count = count_of(text)
    if count == 1:
        return text, None
    found = [text[text.index("~", 1) + 1 :]]
    for number in range(1, count):
        part = cookies.get(part_name(name, number))
        if not part:
            return text, number
        found.append(part)
    return "".join(found), None


def stale(name: str, cookies: Cookies, used: int) -> list[str]:
    """The parts that a request brought, and that a session of *used* parts has no use for."""
    names = [part_name(name, number) for number in range(max(used, 1), MOST)]
    return [part for part in names if part in cookies]


def send(response: Response, parts: t.Iterable[Cookie], expires: datetime | None) -> None:
    """Set each of the *parts* as a cookie of its own."""
    for part in parts:
        response.set_cookie(part.name, part.value, expires=expires, **part.attributes)


def drop(response: Response, name: str, attributes: dict[str, t.Any], used: int) -> None:
    """Delete the parts of the cookie *name* that the current request brought, but for the first
    *used* ones.
    """
    ctx = current_request_context()
    request = None if ctx is None else request_of(ctx)
    for part in () if request is None else stale(name, request.cookies, used):
        response.delete_cookie(part, **attributes)


@dataclass(eq=False)
class SplitCookie(SentCookie):
    """A session cookie that may have come in parts."""

    missing: int | None = field(default=None, init=False)
    """The number of the first part that did not come."""
    count: int = field(default=1, init=False)
    """The number of cookies that it came in, as the first one says."""

    def text(self) -> str | None:
        """The cookie's whole value; the first part alone where another one is missing."""
        text = super().text()
        if not text or not text.startswith("~"):
            return text
        self.count = count_of(text)
        text, self.missing = join(text, self.terms.name, self.request.cookies)
        return text
