"""A trace as plain text, for where there is no page and no terminal to draw on: a test's report."""

from __future__ import annotations

import typing as t

from .families import spoken
from .story import milliseconds, short, story

if t.TYPE_CHECKING:
    from ..trace.model import Change, Event, Trace

EVENTS: t.Final = 80
"""The most steps that are told; of more, those in the middle are counted."""
NAMES: t.Final = 6
"""The most names of one kind that a step is said to have changed."""
TEXT: t.Final = 500
"""The most characters of one line."""
_SIGNS: t.Final = (("+", "added"), ("~", "changed"), ("-", "removed"))


def headline(trace: Trace) -> str:
    """What *trace* is of and how it ended: ``GET /cart -> 200 in 1.20 ms, trace 4f2c8a01``."""
    answer = trace.status or ("no response" if trace.kind == "request" else "")
    ended = "running" if trace.duration_ms is None else f"in {milliseconds(trace.duration_ms)}"
    return _clean(f"{trace.name}{f' -> {answer}' if answer else ''} {ended}, trace {trace.id}")


def outline(trace: Trace) -> list[str]:
    """*trace* in lines: what it is of, its story, its steps, and what is wrong with it.

    Values are not told, and a character that a terminal would act on is written as an escape.
    """
    lines = [headline(trace), *(f"  {sentence}" for sentence in story(trace))]
    lines += _steps(trace)
    for finding in trace.findings:
        told = f"{finding.get('code')}: {finding.get('message')} {finding.get('fix', '')}"
        lines.append(f"  {finding.get('severity')} {told.rstrip()}")
    return [_clean(line) for line in lines]


def _steps(trace: Trace) -> t.Iterator[str]:
    left_out = len(trace.events) - EVENTS
    for event in trace.events:
        if left_out > 0 and EVENTS // 2 < event.index <= EVENTS // 2 + left_out:
            if event.index == EVENTS // 2 + left_out:
                yield f"       ... {left_out} steps ..."
            continue
        yield _step(event, trace.kind)


def _step(event: Event, kind: str) -> str:
    at, took = milliseconds(event.start_us / 1000), milliseconds(event.duration_us / 1000)
    phase = spoken(event.phase, kind)
    what = phase if event.name == event.phase else f"{phase} {short(event.name)}"
    pieces = [f"{'  ' * event.depth}{what}{f' ({event.where})' if event.where else ''}"]
    if event.outcome != "ok":
        pieces.append(event.outcome)
    if event.error is not None:
        pieces.append(f"{event.error.type}: {event.error.message}")
    if event.note:
        pieces.append(f"({event.note})")
    pieces += [*_changes("g", event.g), *_changes("session", event.session)]
    if event.response.status is not None:
        pieces.append(f"status {event.response.status[1]}")
    pieces += _changes("headers", event.response)
    return f"  {event.index:>3} {at:>8} {took:>8}  {'  '.join(pieces)}"


def _changes(owner: str, change: Change) -> t.Iterator[str]:
    names = [f"{sign}{name}" for sign, kind in _SIGNS for name in getattr(change, kind)]
    if names:
        more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
        yield f"{owner} {' '.join(names[:NAMES])}{more}"


def _clean(line: str) -> str:
    if len(line) > TEXT:
        line = f"{line[:TEXT]}…"
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
