"""``flask ctx where``: the places in which a name lives, and for how long."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Column, Gap, Span, Table, cell, heading, line
from ..values import value_text
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block, Row

_COLUMNS: t.Final = (
    Column("PLACE", least=14),
    Column("NOW", least=14),
    Column("WRITTEN BY", least=14, drop=1),
)
_WRITERS: t.Final = 3
"""Places that write a name which are listed."""


def live_places(stacks: fields.Row, name: str) -> list[dict[str, t.Any]]:
    """Where *name* is in the contexts that a running app has pushed.

    :param name: a plain name, or one with its place: "g.user", "session.cart".
    """
    place, _, rest = name.partition(".")
    wanted, only = (rest, place) if rest and place in {"g", "session"} else (name, "")
    found: list[dict[str, t.Any]] = []
    for unit, ctx in _contexts(stacks, "app_stack"):
        if only != "session":
            found += _live_place("g.", wanted, fields.mapping(ctx, "g"), unit, ctx)
    for unit, ctx in _contexts(stacks, "request_stack"):
        names = fields.mapping(fields.mapping(ctx, "session"), "names")
        if only != "g":
            found += _live_place("session.", wanted, names, unit, ctx)
    return found


def _contexts(stacks: fields.Row, key: str) -> t.Iterator[tuple[str, fields.Row]]:
    for unit in fields.mapping(stacks, key).values():
        if isinstance(unit, dict):
            yield from ((marks.unit_name(unit), ctx) for ctx in fields.rows(unit, "stack"))


def _live_place(
    prefix: str, name: str, names: fields.Row, unit: str, ctx: fields.Row
) -> t.Iterator[dict[str, t.Any]]:
    if name in names:
        request = f"{marks.request_line(ctx)} " if fields.text(ctx, "path") else ""
        yield {
            "place": prefix + name,
            "now": True,
            "value": names[name],
            "written": [],
            "lives": f"Now, in {request}on {unit}.",
        }


def where_document(report: fields.Row) -> list[Block]:
    """The answer for one name: a table of places, and below it how long each lives."""
    name = fields.text(report, "name", "?")
    places = fields.rows(report, "places")
    if not places:
        return [
            line(f"{name} lives nowhere that can be seen, and nothing in the app writes it."),
            line(Span("What g and the session hold now: flask ctx stacks", "dim")),
        ]
    blocks: list[Block] = [
        heading(f"{name} lives in {len(places)} {'place' if len(places) == 1 else 'places'}"),
        Table(_COLUMNS, tuple(map(_row, places))),
        Gap(),
    ]
    for place in places:
        lives = Span(fields.text(place, "lives", "?"), "dim")
        blocks.append(line(Span(fields.text(place, "place", "?"), "strong"), "  ", lives, hang=3))
    return blocks


def _row(place: fields.Row) -> Row:
    value = value_text(place["value"]) if "value" in place else ""
    there = value or ("there, not computed" if fields.flag(place, "now") else "-")
    written = fields.texts(place, "written")
    more = f" … {len(written) - _WRITERS} more" if len(written) > _WRITERS else ""
    return (
        cell(Span(fields.text(place, "place", "?"), "strong")),
        cell(there),
        cell(", ".join(written[:_WRITERS]) + more),
    )
