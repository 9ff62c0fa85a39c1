"""The events of a trace, one a row: what ran, how long, and what it changed."""

from __future__ import annotations

import typing as t

from ...report.families import spoken
from .. import fields
from ..document import Cell, Column, Row, Rule, Span, Table, cell, line
from ..text import counted
from . import marks
from .changes import changes_cell

if t.TYPE_CHECKING:
    from ..document import Block

BAR: t.Final = 12
"""Cells of the waterfall."""
MOST: t.Final = 60
"""Events shown without ``--full``; of a longer trace the slowest and the marked stay."""
_AFTER: t.Final = frozenset({"teardown_request", "teardown_appcontext", "pop"})
_LABELS: t.Final[t.Mapping[str, str]] = {
    "before_first_request": "first", "before_request": "before", "error_handler": "handler",
    "after_this_request": "after this", "after_request": "after", "open_session": "session",
    "save_session": "session", "teardown_request": "teardown",
    "teardown_appcontext": "teardown app", "url_value_preprocessor": "url values",
}  # fmt: skip
"""Phases by the short name that leaves room for what happened in them."""
_COLUMNS: t.Final = (
    Column("MS", right=True),
    Column("PHASE"),
    Column("NAME", least=12),
    Column("FROM", least=8, drop=3),
    Column("WHERE", least=14, drop=2, cut_end=False),
    Column("WATERFALL", drop=4),
    Column("WHAT IT CHANGED", least=20, drop=1),
)


def waterfall(trace: fields.Row, *, full: bool) -> t.Iterator[Block]:
    """The events of *trace* as a table, with a rule where nothing can change the response
    any more. Unless *full*, plumbing is one row and of a long trace the slowest are shown.
    """
    events = fields.rows(trace, "events")
    if not events:
        yield line(Span("? no events were recorded", "dim"), indent=1)
        return
    kind = fields.text(trace, "kind", "request")
    end = max(_start(event) + _took(event) for event in events) or 1.0
    handed = _handed_over(trace, events)
    before = events[:handed] if full else _folded(events[:handed])
    shown, left_out = (before, 0) if full else _bounded(before)
    rows: list[Row | Rule] = [_event_row(event, end, kind) for event in shown]
    if handed < len(events):
        rows.append(Rule("response handed to the server"))
        after, more = (events[handed:], 0) if full else _bounded(events[handed:])
        rows += [_event_row(event, end, kind) for event in after]
        left_out += more
    yield Table(_COLUMNS, tuple(rows))
    dropped = fields.count(trace, "dropped_events")
    if dropped:
        yield line(
            Span(
                f"! {counted(dropped, 'event')} in the middle were dropped to bound memory "
                "(CTXKIT_MAX_EVENTS).",
                "warning",
            ),
            indent=1,
        )
    if left_out:
        yield line(
            Span(f"▸ {counted(left_out, 'fast event')} hidden (--full shows them)", "dim"), indent=1
        )


def _handed_over(trace: fields.Row, events: t.Sequence[fields.Row]) -> int:
    """The index of the first event that the response can't be changed by any more."""
    if not fields.mapping(trace, "response"):
        return len(events)
    for index, event in enumerate(events):
        if fields.text(event, "phase") in _AFTER and not fields.count(event, "depth"):
            return index
    return len(events)


def _folded(events: list[fields.Row]) -> list[fields.Row]:
    """*events* with the plumbing at the start as one, since it is the same every time."""
    quiet = 0
    while quiet < len(events) and _is_quiet(events[quiet]):
        quiet += 1
    if quiet < 2:  # noqa: PLR2004
        return events
    names = ", ".join(fields.text(event, "phase") for event in events[:quiet])
    block = {
        "phase": "plumbing",
        "name": f"{quiet} steps",
        "note": names,
        "start_us": _start(events[0]),
        "duration_us": sum(_took(event) for event in events[:quiet]),
    }
    return [block, *events[quiet:]]


def _is_quiet(event: fields.Row) -> bool:
    phase, outcome = fields.text(event, "phase"), fields.text(event, "outcome", "ok")
    quiet = marks.family(phase, outcome) in {"plumbing", "session"} and outcome == "ok"
    return quiet and not changes_cell(event) and phase != "save_session"


def _bounded(events: list[fields.Row]) -> tuple[list[fields.Row], int]:
    if len(events) <= MOST:
        return events, 0
    # What says something stays; of the rest the slowest.
    ranked = sorted(range(len(events)), key=lambda i: _weight(events[i]), reverse=True)
    kept = sorted(ranked[:MOST])
    return [events[i] for i in kept], len(events) - MOST


def _weight(event: fields.Row) -> tuple[bool, bool, float]:
    marked = fields.text(event, "outcome", "ok") != "ok"
    return marked, bool(changes_cell(event)), _took(event)


def _start(event: fields.Row) -> float:
    return fields.number(event, "start_us") or 0.0


def _took(event: fields.Row) -> float:
    return fields.number(event, "duration_us") or 0.0


def _event_row(event: fields.Row, end: float, kind: str) -> tuple[Cell, ...]:
    phase, outcome = fields.text(event, "phase", "?"), fields.text(event, "outcome", "ok")
    family = marks.family(phase, outcome)
    sign, style = marks.FAMILIES[family]
    depth = fields.count(event, "depth")
    nested = "  " * min(depth - 1, 4) + "└ " if depth > 0 else ""
    skipped = outcome == "skipped"
    return (
        cell(Span("-" if skipped else f"{_took(event) / 1000:.2f}", "dim" if skipped else "")),
        cell(Span(nested + _LABELS.get(phase, spoken(phase, kind)), style)),
        cell(_name(event)),
        cell(Span(fields.text(event, "source"), "dim")),
        cell(Span(fields.text(event, "where"), "dim")),
        () if skipped else cell(Span(_bar(event, end, sign), style)),
        _told(event),
    )


def _name(event: fields.Row) -> str:
    name, phase = fields.text(event, "name"), fields.text(event, "phase")
    members = fields.texts(event, "members")
    shown = "" if name == phase and phase not in _LABELS else name
    return f"{shown} [{', '.join(members)}]".strip() if members else shown


def _bar(event: fields.Row, end: float, sign: str) -> str:
    start = min(int(BAR * _start(event) / end), BAR - 1)
    size = max(round(BAR * _took(event) / end), 1)
    return " " * start + sign * min(size, BAR - start)


def _told(event: fields.Row) -> Cell:
    """What an event did: its outcome where that is not "ok", then its changes."""
    outcome, note = fields.text(event, "outcome", "ok"), fields.text(event, "note")
    error = fields.mapping(event, "error")
    pieces: list[Cell] = []
    if error:
        said = f"✗ {fields.text(error, 'type', '?')}: {fields.text(error, 'message')}"
        pieces.append(cell(Span(said, "error")))
    elif outcome != "ok":
        pieces.append(cell(Span(outcome, "warning")))
    changed = changes_cell(event)
    pieces += [changed] if changed else []
    pieces += [cell(Span(note, "dim"))] if note else []
    joined: Cell = ()
    for piece in pieces:
        joined = (*joined, Span("  "), *piece) if joined else piece
    return joined
