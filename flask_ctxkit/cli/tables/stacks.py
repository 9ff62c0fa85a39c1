"""Both context stacks of every unit, bottom to top."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Column, Gap, Span, Table, cell, heading, line
from ..text import seconds
from ..values import value_text
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block

_COLUMNS: t.Final = (
    Column("#", right=True),
    Column("CONTEXT", least=14),
    Column("AGE", right=True, drop=2),
    Column("G", least=10, drop=1),
    Column("SESSION", least=8, drop=3),
    Column("PUSHED", least=12, drop=4, cut_end=False),
)


def stacks_document(report: fields.Row) -> list[Block]:
    """The answer to ``flask ctx stacks``."""
    current = fields.text(report, "current")
    blocks: list[Block] = []
    for key, title in (("app_stack", "APP CONTEXTS"), ("request_stack", "REQUEST CONTEXTS")):
        units = fields.mapping(report, key)
        blocks += [heading(f"{title} "), *_units(units, current), Gap()]
    blocks += _locals(fields.mapping(report, "locals"))
    blocks += [line(Span(f"? {said}", "dim"), hang=2) for said in fields.texts(report, "missing")]
    return blocks


def _units(units: fields.Row, current: str) -> t.Iterator[Block]:
    filled = [(key, unit) for key, unit in units.items() if isinstance(unit, dict)]
    if not filled:
        yield line(Span("nothing is pushed in any unit", "dim"), indent=1)
    for key, unit in filled:
        name = f"{fields.text(unit, 'kind', '?')} {fields.text(unit, 'name', '?')}"
        ident = f", ident {fields.text(unit, 'ident', '?')}"
        here = Span("   answered this question", "dim") if key == current else ""
        yield line(Span(key, "strong"), f"  {name}", Span(ident, "dim"), here, indent=1, hang=3)
        stack = fields.rows(unit, "stack")
        yield Table(_COLUMNS, tuple(_row(i, ctx) for i, ctx in enumerate(stack)))


def _row(index: int, ctx: fields.Row) -> tuple[Cell, ...]:
    kind = fields.text(ctx, "kind", "?")
    request = marks.request_line(ctx) if kind == "request" else ""
    top = Span("  ← top", "strong") if fields.flag(ctx, "top") else ""
    zombie = Span("  zombie: current, but popped", "error") if fields.flag(ctx, "zombie") else ""
    pushes = fields.count(ctx, "pushed_times")
    again = Span(f"  pushed {pushes}x", "warning") if pushes > 1 else ""
    name = fields.text(ctx, "app", "?")
    return (
        cell(str(index)),
        cell(request or name, Span(f"  {name}", "dim") if request else "", top, again, zombie),
        cell(seconds(fields.number(ctx, "age_s"))),
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
