"""The response headers that a session writes."""

from __future__ import annotations

import typing as t

from werkzeug.sansio.response import Response as WerkzeugResponse

if t.TYPE_CHECKING:
    from flask import Response


_VARY: t.Final = len("vary")


class Cookie(t.NamedTuple):
    """A cookie that is sent: its attributes are arguments of ``set_cookie``."""

    name: str
    value: str
    attributes: dict[str, t.Any]


def vary_by_cookie(response: Response) -> None:
    """Add ``Cookie`` to ``Vary``, as ``response.vary.add("Cookie")`` does."""
    # Werkzeug parses and writes a header set, four times the cost of a look.
    if type(response).vary is not WerkzeugResponse.vary:
        response.vary.add("Cookie")
        return
    for name, value in response.headers:
        if len(name) == _VARY and name.lower() == "vary":
            if value != "Cookie":
                response.vary.add("Cookie")
            return
    response.headers.add("Vary", "Cookie")


def last_cookie(response: Response) -> str:
    """The value of the last ``Set-Cookie`` header, or ""."""
    pairs: list[tuple[str, str]] = [*response.headers]
    for name, value in reversed(pairs):
        if name.lower() == "set-cookie":
            return value
    return ""
