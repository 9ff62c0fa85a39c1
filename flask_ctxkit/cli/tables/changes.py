"""What an event changed, in one cell: ``g +user  session ~cart  +X-Frame-Options``."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Span, Style

_SIGNS: t.Final = (("added", "+"), ("changed", "~"), ("removed", "-"))
_MOST: t.Final = 6
"""Names of one kind that are listed."""


def changes_cell(event: fields.Row) -> Cell:
    """The changes of ``g``, the session and the response; empty where there are none."""
    parts = [
        *_part("g ", fields.mapping(event, "g"), "view"),
        *_part("session ", fields.mapping(event, "session"), "session"),
        *_status(fields.mapping(event, "response")),
        *_part("", fields.mapping(event, "response"), "hooks"),
    ]
    joined: list[Span] = []
    for part in parts:
        joined += [Span("  "), part] if joined else [part]
    return tuple(joined)


def _part(prefix: str, change: fields.Row, style: Style) -> t.Iterator[Span]:
    signed = [f"{sign}{name}" for key, sign in _SIGNS for name in fields.mapping(change, key)]
    if signed:
        more = f" … {len(signed) - _MOST} more" if len(signed) > _MOST else ""
        yield Span(f"{prefix}{' '.join(signed[:_MOST])}{more}", style)


def _status(change: fields.Row) -> t.Iterator[Span]:
    status = change.get("status")
    if isinstance(status, list) and len(status) == 2:  # noqa: PLR2004
        before, after = status
        shown = f"{after}" if before is None else f"{before} → {after}"
        yield Span(shown, "note")
