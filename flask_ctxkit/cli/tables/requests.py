"""Finished traces, one a line."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Column, Span, Table, cell, heading, line
from ..text import age, clock, counted, duration
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block

STRIP: t.Final = 14
_COLUMNS: t.Final = (
    Column("WHEN", right=True),
    Column("ID"),
    Column("REQUEST", least=12),
    Column("CODE"),
    Column("TOTAL", right=True),
    Column("STRIP", drop=2),
    Column("NOTES", least=12, drop=1),
)


def requests_table(rows: t.Sequence[fields.Row], *, clock_times: bool = False) -> Table:
    """A table of summaries; *clock_times* tells when in UTC instead of how long ago."""
    return Table(_COLUMNS, tuple(_row(row, clock_times=clock_times) for row in rows))


def _row(row: fields.Row, *, clock_times: bool) -> tuple[Cell, ...]:
    when = (
        clock(fields.text(row, "started_at")) if clock_times else age(fields.number(row, "age_s"))
    )
    return (
        cell(Span(when, "dim")),
        cell(marks.short_id(row)),
        cell(request_text(row)),
        marks.status_cell(row),
        cell(total_text(row)),
        marks.strip(row.get("strip"), STRIP),
        notes_cell(row),
    )


def request_text(row: fields.Row) -> str:
    """The request line with its paths below each other; the name of what is no request."""
    method, path = fields.text(row, "method"), fields.text(row, "path")
    return f"{method:<4} {path}" if method else marks.request_line(row)


def total_text(row: fields.Row) -> str:
    """How long it took, from the call to the end of its body."""
    if fields.text(row, "state") == "running":
        return "still running"
    return duration(fields.number(row, "duration_ms"))


def notes_cell(row: fields.Row) -> Cell:
    """What went wrong first: the findings, the exception, a left context, then the note."""
    pieces: list[Span] = []
    findings = sorted(fields.rows(row, "findings"), key=marks.severity_rank)
    for finding in findings:
        sign = marks.severity_sign(finding)
        pieces.append(Span(f"{sign.text} {fields.text(finding, 'code', '?')}", sign.style))
    exception = fields.text(row, "exception")
    if exception:
        pieces.append(Span(exception, "error"))
    if fields.text(row, "state") == "left":
        pieces.append(Span("! left current", "warning"))
    if fields.flag(row, "streamed"):
        pieces.append(Span("stream", "stream"))
    note = fields.text(row, "note")
    if note and note != exception:
        pieces.append(Span(note, "dim"))
    spaced: list[Span] = []
    for piece in pieces:
        spaced += [Span("  "), piece] if spaced else [piece]
    return tuple(spaced)


def requests_document(report: fields.Row) -> list[Block]:
    """The answer to ``flask ctx requests``."""
    rows = fields.rows(report, "requests")
    if not rows:
        return _nothing(report)
    total = fields.count(report, "total")
    shown = f"{len(rows)} of {counted(total, 'request')}" if total > len(rows) else ""
    blocks: list[Block] = [
        heading("REQUESTS ", Span(shown or str(len(rows)), "strong")),
        requests_table(rows),
    ]
    hidden = marks.hidden_line(fields.mapping(report, "folded"))
    if hidden is not None:
        blocks.append(hidden)
    blocks += marks.legend(rows)
    blocks.append(marks.next_steps(f"flask ctx show {marks.short_id(rows[0])}"))
    return blocks


def _nothing(report: fields.Row) -> list[Block]:
    query = {k: v for k, v in fields.mapping(report, "query").items() if k in _FILTERS and v}
    if not query:
        blocks: list[Block] = [line("No request yet. Open the app, then ask again.")]
        hidden = marks.hidden_line(fields.mapping(report, "folded"))
        return [*blocks, hidden] if hidden is not None else blocks
    asked = " ".join(f"{name}:{value}" for name, value in query.items())
    blocks = [line(f"No request matches  {asked}", hang=2)]
    for less, number in fields.mapping(report, "near").items():
        found = fields.count({"n": number}, "n")
        if found:
            blocks.append(line(marks.near_text(less, found), hang=2))
    return blocks


_FILTERS: t.Final = frozenset({"q", "method", "status", "endpoint", "kind", "min_ms"})


def is_filtered(report: fields.Row) -> bool:
    """Whether a list was asked for with a filter, so that an empty one means "no"."""
    query = fields.mapping(report, "query")
    return any(query.get(name) for name in _FILTERS)
