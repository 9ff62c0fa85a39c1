"""``flask ctx app``: what the app is made of, before any request."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Column, Gap, Span, Table, cell, heading, line
from ..values import value_text
from .hooks import hook_tables_document, owner

if t.TYPE_CHECKING:
    from ..document import Block

Part = t.Callable[[fields.Row], list["Block"]]


def app_document(report: fields.Row, parts: t.Sequence[str]) -> list[Block]:
    """The named *parts* of the report, all of :data:`PARTS` where none is named."""
    blocks: list[Block] = []
    for name in parts or PARTS:
        blocks += [Gap()] if blocks else []
        blocks += PARTS[name](report)
    return blocks


def _listed(
    title: str, columns: t.Sequence[Column], rows: t.Sequence[tuple[Cell, ...]]
) -> list[Block]:
    if not rows:
        return [heading(f"{title} ", Span("none", "dim"))]
    return [heading(f"{title} {len(rows)}"), Table(tuple(columns), tuple(rows))]


def _routes(report: fields.Row) -> list[Block]:
    columns = (
        Column("METHODS", least=6),
        Column("RULE", least=14),
        Column("ENDPOINT", least=12),
        Column("FROM", least=8, drop=2),
        Column("DEFINED", least=12, drop=1, cut_end=False),
    )
    rows = [
        (
            cell(
                " ".join(m for m in fields.texts(route, "methods") if m not in {"HEAD", "OPTIONS"})
            ),
            cell(Span(fields.text(route, "rule", "?"), "strong")),
            cell(fields.text(route, "endpoint", "?")),
            cell(owner(route)),
            cell(Span(fields.text(route, "where", "?"), "dim")),
        )
        for route in fields.rows(report, "routes")
    ]
    return _listed("ROUTES", columns, rows)


def _hooks(report: fields.Row) -> list[Block]:
    return hook_tables_document(fields.mapping(report, "hooks"))


def _extensions(report: fields.Row) -> list[Block]:
    columns = (
        Column("NAME", least=10),
        Column("CLASS", least=12),
        Column("DISTRIBUTION", least=10, drop=1),
        Column("VERSION", drop=2),
    )
    rows = [
        tuple(
            cell(fields.text(row, key) or "-")
            for key in ("name", "class", "distribution", "version")
        )
        for row in fields.rows(report, "extensions")
    ]
    return _listed("EXTENSIONS", columns, rows)


def _resources(report: fields.Row) -> list[Block]:
    columns = (
        Column("NAME", least=10),
        Column("OPENED BY", least=12),
        Column("FROM", least=8, drop=2),
        Column("DEFINED", least=12, drop=1, cut_end=False),
    )
    rows = [
        (
            cell(Span(fields.text(row, "name", "?"), "resource")),
            cell(fields.text(row, "function", "?")),
            cell(fields.text(row, "source", "?")),
            cell(Span(fields.text(row, "where") or "-", "dim")),
        )
        for row in fields.rows(report, "resources")
    ]
    return _listed("RESOURCES", columns, rows)


def _session(report: fields.Row) -> list[Block]:
    interface = fields.mapping(report, "session_interface")
    named = f"{fields.text(interface, 'module')}.{fields.text(interface, 'class', '?')}".lstrip(".")
    return [heading("SESSION INTERFACE ", Span(named, ""))]


def _errors(report: fields.Row) -> list[Block]:
    columns = (
        Column("CODE"),
        Column("EXCEPTION", least=12),
        Column("BLUEPRINT", least=8, drop=2),
        Column("FUNCTION", least=12),
        Column("DEFINED", least=12, drop=1, cut_end=False),
    )
    keys = ("code", "exception", "blueprint", "function", "where")
    rows = [
        tuple(cell(fields.text(row, key) or "-") for key in keys)
        for row in fields.rows(report, "error_handlers")
    ]
    return _listed("ERROR HANDLERS", columns, rows)


def _signals(report: fields.Row) -> list[Block]:
    signals = fields.mapping(report, "signals")
    rows = [
        (cell(str(name)), cell(", ".join(fields.texts(signals, name))))
        for name in signals
        if fields.texts(signals, name)
    ]
    return _listed(
        "SIGNALS WITH RECEIVERS", (Column("SIGNAL"), Column("RECEIVERS", least=20)), rows
    )


def _config(report: fields.Row) -> list[Block]:
    config = fields.mapping(report, "config")
    rows = [(cell(str(name)), cell(value_text(value))) for name, value in sorted(config.items())]
    return _listed("CONFIG", (Column("KEY", least=16), Column("VALUE", least=20)), rows)


def _rest(report: fields.Row) -> list[Block]:
    jinja = fields.mapping(report, "jinja")
    pairs = [
        ("blueprints", _names(report, "blueprints")),
        ("commands", _names(report, "commands")),
        *((f"jinja {key}", _names(jinja, key)) for key in jinja),
    ]
    return [
        heading("ALSO"),
        *(
            line(Span(f"{name}: ", "strong"), ", ".join(names) or "none", indent=1, hang=3)
            for name, names in pairs
        ),
    ]


def _names(row: fields.Row, key: str) -> list[str]:
    named = [
        fields.text(r, "name") or fields.text(r, "function", "?") for r in fields.rows(row, key)
    ]
    return fields.texts(row, key) or named


PARTS: t.Final[t.Mapping[str, Part]] = {
    "routes": _routes,
    "hooks": _hooks,
    "extensions": _extensions,
    "resources": _resources,
    "session": _session,
    "errors": _errors,
    "signals": _signals,
    "config": _config,
    "also": _rest,
}
