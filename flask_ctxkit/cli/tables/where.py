"""``flask ctx where``: the places in which a name lives, and for how long."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Column, Span, Table, cell, heading, line
from ..values import value_text

if t.TYPE_CHECKING:
    from ..document import Block

_COLUMNS: t.Final = (
    Column("PLACE", least=8),
    Column("VALUE", least=16),
    Column("LIVES", least=16, drop=1),
)


def where_document(report: fields.Row) -> list[Block]:
    """The answer for one name."""
    name = fields.text(report, "name", "?")
    places = fields.rows(report, "places")
    if not places:
        return [
            line(f"{name} lives nowhere that can be seen from here.", hang=2),
            line(
                Span("g and the session hold it only while a request runs: flask ctx stacks", "dim")
            ),
        ]
    rows = tuple(
        (
            cell(Span(fields.text(place, "place", "?"), "strong")),
            cell(value_text(place["value"]) if "value" in place else "-"),
            cell(fields.text(place, "lives", "?")),
        )
        for place in places
    )
    return [heading(f"{name} "), Table(_COLUMNS, rows)]
