"""Both context stacks of every unit, bottom to top."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Column, Gap, Span, Table, cell, heading, line
from ..text import span
from ..values import value_text
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block

_COLUMNS: t.Final = (
    Column("#"),
    Column("CONTEXT", least=14),
    Column("AGE", right=True, drop=2),
    Column("G", least=10, drop=1),
    Column("SESSION", least=8, drop=3),
    Column("PUSHED", least=12, drop=4, cut_end=False),
)


def stacks_document(report: fields.Row) -> list[Block]:
    """The answer to ``flask ctx stacks``."""
    current = fields.text(report, "current")
    several = len(set(_app_names(report))) > 1
    blocks: list[Block] = []
    for key, title in (("app_stack", "APP CONTEXTS"), ("request_stack", "REQUEST CONTEXTS")):
        units = fields.mapping(report, key)
        blocks += [heading(f"{title} "), *_units(units, current, several=several), Gap()]
    blocks += _locals(fields.mapping(report, "locals"))
    blocks += [line(Span(f"? {said}", "dim"), hang=2) for said in fields.texts(report, "missing")]
    return blocks


def _app_names(report: fields.Row) -> t.Iterator[str]:
    for units in (fields.mapping(report, "app_stack"), fields.mapping(report, "request_stack")):
        for unit in units.values():
            if isinstance(unit, dict):
                yield from (fields.text(ctx, "app") for ctx in fields.rows(unit, "stack"))


def _units(units: fields.Row, current: str, *, several: bool) -> t.Iterator[Block]:
    filled = [(key, unit) for key, unit in units.items() if isinstance(unit, dict)]
    if not filled:
        yield line(Span("nothing is pushed in any unit", "dim"), indent=1)
    for key, unit in filled:
        name = f"{fields.text(unit, 'kind', '?')} {marks.unit_name(unit)}"
        ident = f", ident {fields.text(unit, 'ident', '?')}"
        here = Span("   answered this", "dim") if key == current else ""
        yield line(Span(key, "strong"), f"  {name}", Span(ident, "dim"), here, indent=1, hang=3)
        stack = fields.rows(unit, "stack")
        yield Table(_COLUMNS, tuple(_row(i, ctx, several=several) for i, ctx in enumerate(stack)))


def _row(index: int, ctx: fields.Row, *, several: bool) -> tuple[Cell, ...]:
    kind = fields.text(ctx, "kind", "?")
    request = marks.request_line(ctx) if kind == "request" else ""
    top = Span(" top", "strong") if fields.flag(ctx, "top") else ""
    # Popped, and yet what request and g point at.
    zombie = Span("zombie ", "error") if fields.flag(ctx, "zombie") else ""
    pushes = fields.count(ctx, "pushed_times")
    again = Span(f"  pushed {pushes}x", "warning") if pushes > 1 else ""
    name = fields.text(ctx, "app", "?")
    owner = Span(f"  {name}", "dim") if request and several else ""
    return (
        cell(str(index), top),
        cell(zombie, request or name, owner, again),
        cell(span(fields.number(ctx, "age_s"))),
        cell(names_text(fields.mapping(ctx, "g"))),
        cell(_session_text(ctx)),
        cell(Span(fields.text(ctx, "pushed", "?"), "dim")),
    )


def names_text(names: fields.Row) -> str:
    """Names, in their order."""
    return ", ".join(str(name) for name in names) or "-"


def _session_text(ctx: fields.Row) -> str:
    session = ctx.get("session")
    if not isinstance(session, dict):
        return "" if fields.text(ctx, "kind") == "app" else "-"
    names = fields.mapping(session, "names")
    state = fields.text(session, "state", "?")
    return f"{state}: {names_text(names)}" if names else state


def _locals(storages: fields.Row) -> t.Iterator[Block]:
    for name, units in storages.items():
        if not isinstance(units, dict):
            continue
        yield heading(f"LOCAL {name}")
        for unit, stored in units.items():
            yield line(Span(str(unit), "strong"), f"  {value_text(stored)}", indent=1, hang=3)
        yield Gap()
