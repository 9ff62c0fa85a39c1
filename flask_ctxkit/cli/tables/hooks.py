"""``flask ctx hooks``: what will run for a URL, in order, and who set a header."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .. import fields
from ..document import Cell, Column, Line, Span, Table, cell, heading, line
from ..text import clean, counted
from ..values import value_text
from . import marks
from .trace import header_rows

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ..document import Block

_COLUMNS: t.Final = (
    Column("#", right=True),
    Column("PHASE"),
    Column("FUNCTION", least=16),
    Column("FROM", least=8, drop=2),
    Column("DEFINED", least=14, drop=1, cut_end=False),
    Column("RUNS", drop=3),
)


def hooks_document(report: fields.Row) -> list[Block]:
    """The answer for one URL: a sentence, then the steps in order."""
    return [*_sentence(report), steps_table(report)]


def _sentence(report: fields.Row) -> t.Iterator[Line]:
    asked = f"{fields.text(report, 'method', '?')} {fields.text(report, 'path', '?')}"
    status, endpoint = fields.number(report, "status"), fields.text(report, "endpoint")
    if status is None:
        rule = fields.text(report, "rule")
        matched = f"  (rule {rule})" if rule else ""
        yield line(Span(f"{asked} → {endpoint or '?'}", "strong"), Span(matched, "dim"), hang=2)
    else:
        yield line(
            Span(f"{asked} → ", "strong"), Span(_refusal(report, int(status)), "error"), hang=2
        )
    arguments = fields.mapping(report, "view_args")
    if arguments:
        shown = ", ".join(f"{name}={value_text(value)}" for name, value in arguments.items())
        yield line(Span(f"with {shown}", "dim"), indent=2, hang=4)


def _refusal(report: fields.Row, status: int) -> str:
    allowed = ", ".join(fields.texts(report, "allowed"))
    said = {
        404: "404, no route matches",
        405: f"405, the route has no such method (it has {allowed or '?'})",
        308: f"308, redirected to {fields.text(report, 'target', 'the URL of the route')}",
    }
    return said.get(status, str(status))


def steps_table(report: fields.Row) -> Table:
    """The steps in the order in which they will run."""
    return Table(_COLUMNS, tuple(_row(step) for step in fields.rows(report, "steps")))


def _row(step: fields.Row) -> tuple[Cell, ...]:
    phase = fields.text(step, "phase", "?")
    runs = fields.text(step, "runs")
    return (
        cell(fields.text(step, "order")),
        cell(Span(phase, marks.FAMILIES[marks.family(phase)][1])),
        cell(marks.function_name(step)),
        cell(owner(step)),
        cell(Span(fields.text(step, "where", "?"), "dim")),
        cell(Span("" if runs == "always" else runs, "dim")),
    )


def owner(row: fields.Row) -> str:
    """Who a function belongs to: an extension, a blueprint, or this app and its module."""
    source, blueprint = fields.text(row, "source"), fields.text(row, "blueprint")
    if blueprint and blueprint not in source:
        return f"{source} blueprint {blueprint}".strip()
    return source or fields.text(row, "module", "?")


@dataclass(frozen=True, slots=True)
class Setter:
    """Who set a header in one trace: a phase, a function, and the value."""

    phase: str
    name: str
    value: str


def setters(trace: fields.Row, header: str) -> list[Setter]:
    """The events of *trace* that added or changed *header*, in order; the last one counts."""
    found = []
    for event in fields.rows(trace, "events"):
        response = fields.mapping(event, "response")
        for key in ("added", "changed"):
            for name, value in fields.mapping(response, key).items():
                if name.lower() == header.lower():
                    shown = value[-1] if key == "changed" and isinstance(value, list) else value
                    phase, who = fields.text(event, "phase", "?"), fields.text(event, "name", "?")
                    found.append(Setter(phase, who, _plain_value(shown)))
    return found


def _plain_value(value: object) -> str:
    return value if isinstance(value, str) else value_text(value)


def header_document(report: fields.Row, header: str, traces: t.Sequence[fields.Row]) -> list[Block]:
    """The steps, and which of them set *header* in the traces of requests that ran."""
    seen = [(trace, setters(trace, header)) for trace in traces]
    last = [found[-1] for _, found in seen if found]
    # The names in a trace are those of its events, so a step is found by phase and name.
    counts = _counted(found for _, found in seen)
    rows = tuple(
        (*_row(step), _header_cell(step, counts, last)) for step in fields.rows(report, "steps")
    )
    column = Column(f"SET {clean(header)}", least=26)
    blocks: list[Block] = [*_sentence(report), Table((*_COLUMNS, column), rows)]
    return [*blocks, *_header_lines(header, traces, last)]


def _counted(found: Iterable[t.Sequence[Setter]]) -> dict[tuple[str, str], list[Setter]]:
    counts: dict[tuple[str, str], list[Setter]] = {}
    for setters_of_one in found:
        for setter in setters_of_one:
            counts.setdefault((setter.phase, setter.name), []).append(setter)
    return counts


def _header_cell(
    step: fields.Row, counts: t.Mapping[tuple[str, str], list[Setter]], last: t.Sequence[Setter]
) -> Cell:
    key = (fields.text(step, "phase"), marks.function_name(step))
    found = next((v for k, v in counts.items() if _same_step(k, key)), [])
    if not found:
        return cell(Span("-", "dim"))
    values = list(dict.fromkeys(setter.value for setter in found))
    more = f" … {len(values) - 1} more" if len(values) > 1 else ""
    counts_here = any(setter in last for setter in found)
    mark = Span("  ← the one that counts", "strong") if counts_here else ""
    return cell(f"{len(found)}x = {values[0]}{more}", mark)


def _same_step(event: tuple[str, str], step: tuple[str, str]) -> bool:
    return event[0] == step[0] and (
        event[1] == step[1] or event[1].rpartition(".")[2] == step[1].rpartition(".")[2]
    )


def _header_lines(
    header: str, traces: t.Sequence[fields.Row], last: t.Sequence[Setter]
) -> t.Iterator[Line]:
    if not traces:
        yield line(
            Span(
                f"? No recorded request to this endpoint, so who sets {header} is unknown.",
                "warning",
            ),
            hang=2,
        )
        return
    seen = sum(
        any(name.lower() == header.lower() for name, _, _ in header_rows(tr)) for tr in traces
    )
    yield line(f"Looked at {counted(len(traces), 'request')}: {header} was on {seen}.", hang=2)
    if not last:
        yield line(
            Span(
                "Not set inside this app. If the browser shows it, a WSGI middleware outside the "
                "kit, the server or a proxy adds it.",
                "dim",
            ),
            hang=2,
        )


def hook_tables_document(hooks: fields.Row) -> list[Block]:
    """Every registered hook, phase by phase, for no URL in particular."""
    rows = tuple(
        (
            cell(Span(phase, marks.FAMILIES[marks.family(phase)][1])),
            cell(marks.function_name(row)),
            cell(owner(row)),
            cell(Span(fields.text(row, "where", "?"), "dim")),
        )
        for phase in hooks
        for row in fields.rows(hooks, phase)
    )
    if not rows:
        return [line("No hook is registered.")]
    columns = (_COLUMNS[1], _COLUMNS[2], _COLUMNS[3], _COLUMNS[4])
    return [
        heading(f"HOOKS {len(rows)}", aside=Span("in the order of registration", "dim")),
        Table(columns, rows),
    ]
