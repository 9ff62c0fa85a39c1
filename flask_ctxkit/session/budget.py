"""How many bytes a session cookie takes, and what to say when they are too many."""

from __future__ import annotations

import typing as t

from werkzeug.http import dump_cookie

from flask_ctxkit.errors import SessionTooLargeError

from .delivery import BUDGET

if t.TYPE_CHECKING:
    from datetime import datetime

    from .headers import Cookie

LARGEST: t.Final = 3
"""How many of the largest keys are named."""
ATTRIBUTES_ROOM: t.Final = 200
"""More bytes than all attributes of a cookie take together, beside its domain and path."""


def fits(cookie: Cookie, expires: datetime | None) -> bool:
    """Whether the whole ``Set-Cookie`` header of *cookie* is within the budget."""
    attributes = cookie.attributes
    domain, path = attributes["domain"] or "", attributes["path"] or "/"
    # A bound that is cheap and, for all but the largest sessions, enough.
    most = len(cookie.name) * 2 + len(cookie.value) + (len(domain) + len(path)) * 3
    return most + ATTRIBUTES_ROOM <= BUDGET or header_size(cookie, expires) <= BUDGET


def header_size(cookie: Cookie, expires: datetime | None) -> int:
    """The bytes of the whole ``Set-Cookie`` header of *cookie*."""
    return len(
        dump_cookie(cookie.name, cookie.value, expires=expires, max_size=0, **cookie.attributes)
    )


def too_large(size: int, sizes: t.Mapping[str, int], split: int) -> SessionTooLargeError:
    """The error that says by what a session is too large.

    :param size: the bytes that its header or headers would take.
    :param sizes: the bytes of each key, the largest first; may be empty.
    :param split: into how many cookies it may be split; 0 if it is not.
    """
    limit = BUDGET * max(split, 1)
    named = dict([*sizes.items()][:LARGEST])
    largest = ", ".join(f"{name} ({number} bytes)" for name, number in named.items()) or "unknown"
    allowed = f"the {split} cookies it may be split into hold" if split else "browsers keep"
    remedy = "raise CTXKIT_SESSION_PARTS" if split else 'set CTXKIT_SESSION_SIZE = "split"'
    return SessionTooLargeError(
        f"The session takes {size} bytes as a cookie, and {allowed} {limit}. Largest keys: "
        f"{largest}. Store an id in the session and the rest on the server, or {remedy}.",
        size=size,
        limit=limit,
        largest=named,
    )
