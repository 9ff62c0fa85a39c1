"""``flask ctx``: what is wrong, what runs now, what came last."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Gap, Line, Span, cell, heading, item, line
from ..text import age, age_of, counted, duration
from . import marks
from .live import live_table
from .requests import requests_table

if t.TYPE_CHECKING:
    from ..document import Block

LAST: t.Final = 8
"""How many of the last requests stand on the overview."""
_CLASSES: t.Final[t.Mapping[str, str]] = {
    "ok": "ok", "redirect": "redirect", "client_error": "4xx", "server_error": "5xx",
}  # fmt: skip


def overview_document(report: fields.Row, url: str) -> list[Block]:
    """Problems first, then now, then the last requests, then the kit's own failures."""
    return [
        heading(_app_text(fields.mapping(report, "app")), aside=Span(f"asked {url}/", "dim")),
        Gap(),
        *_problems(report),
        Gap(),
        *_now(fields.rows(report, "contexts")),
        Gap(),
        *_last(report),
        *_own(report),
        Gap(),
        _next(report),
    ]


def _app_text(app: fields.Row) -> str:
    up = fields.number(app, "uptime_s")
    parts = [
        fields.text(app, "name", "?"),
        f"Flask {fields.text(app, 'flask', '?')}",
        "debug" if fields.flag(app, "debug") else "",
        f"worker {fields.text(app, 'pid', '?')} up {age(up)}",
    ]
    return " · ".join(part for part in parts if part)


def _problems(report: fields.Row) -> t.Iterator[Block]:
    findings = fields.rows(report, "findings")
    checks = fields.mapping(report, "checks")
    seen = counted(fields.count(checks, "requests"), "request")
    rules = f"{counted(fields.count(checks, 'rules'), 'check')} run on {seen}"
    if not findings:
        yield item(Span("✓", "sound"), cell(Span("No problem found. ", "strong"), rules))
        return
    yield heading(f"PROBLEMS {len(findings)}", aside=Span(rules, "dim"))
    for finding in findings:
        yield finding_item(finding)


def finding_item(finding: fields.Row) -> Block:
    """A finding: its sentence, then where it was seen and what to write instead."""
    details: list[Cell] = []
    places = [fields.text(row, "where") for row in fields.rows(finding, "evidence")]
    seen = " · ".join(dict.fromkeys(marks.place(where) for where in places if where))
    often = _often(finding)
    if seen or often:
        details.append(cell(Span(" · ".join(p for p in (seen, often) if p), "dim")))
    fix = fields.text(finding, "fix")
    if fix:
        details.append(cell(fix))
    trace = fields.text(finding, "trace") or next(iter(fields.texts(finding, "traces")), "")
    if trace:
        details.append(cell(Span(f"flask ctx show {trace[: marks.ID]}", "dim")))
    message = Span(fields.text(finding, "message", "?"), "strong")
    return item(marks.severity_sign(finding), message, details=details)


def _often(finding: fields.Row) -> str:
    times = marks.times(fields.number(finding, "count"))
    last = age_of(fields.text(finding, "last_at"))
    return ", ".join(p for p in (times, f"last {age(last)} ago" if last is not None else "") if p)


def _now(rows: t.Sequence[fields.Row]) -> t.Iterator[Block]:
    if rows:
        yield heading(f"NOW {len(rows)}")
        yield live_table(rows)
    else:
        yield heading("NOW  ", Span("nothing is running", ""))


def _last(report: fields.Row) -> t.Iterator[Block]:
    rows = fields.rows(report, "requests")
    totals = fields.mapping(report, "totals")
    if not rows:
        yield heading("NO REQUEST YET  ", Span("Open the app, then ask again.", ""))
    else:
        total = sum(fields.count(totals, key) for key in _CLASSES)
        yield heading(f"LAST {total or len(rows)}", aside=_totals(totals))
        yield requests_table(rows[:LAST])
        yield from marks.legend(rows[:LAST])
    hidden = marks.hidden_line(fields.mapping(totals, "folded"))
    if hidden is not None:
        yield hidden


def _totals(totals: fields.Row) -> Cell:
    counts = [f"{name} {fields.count(totals, key)}" for key, name in _CLASSES.items()]
    spans = [
        f"{name} {duration(fields.number(totals, key))}"
        for key, name in (("median_ms", "median"), ("p95_ms", "95 %"), ("worst_ms", "worst"))
    ]
    return cell(Span("   ".join((" ".join(counts), " · ".join(spans))), "dim"))


def _own(report: fields.Row) -> t.Iterator[Line]:
    app, cost = fields.mapping(report, "app"), fields.mapping(report, "cost")
    recording = fields.text(app, "recording")
    if recording == "off":
        yield line(
            Span(
                "? Recording is off (CTXKIT_TRACE), so finished requests are not listed.", "warning"
            )
        )
    dropped = fields.count(cost, "dropped")
    if dropped:
        yield line(
            Span(f"! The kit dropped {counted(dropped, 'event')} to bound memory.", "warning")
        )
    for failure in fields.rows(cost, "failures"):
        said = f"{fields.text(failure, 'type', '?')}: {fields.text(failure, 'message')}"
        step, number = fields.text(failure, "step", "?"), fields.count(failure, "count")
        yield line(Span(f"! The kit itself failed {number}x in {step}: {said}", "warning"), hang=2)


def _next(report: fields.Row) -> Line:
    rows = fields.rows(report, "requests")
    shown = next(
        (row for row in rows if fields.text(row, "method") and fields.text(row, "path")), None
    )
    request = marks.request_line(shown) if shown else "GET /"
    return marks.next_steps("flask ctx show latest", "flask ctx ps", f"flask ctx hooks {request}")
