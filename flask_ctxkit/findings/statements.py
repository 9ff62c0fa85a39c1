"""Statements: the same one again and again, and no connection left to run one on."""

from __future__ import annotations

import re
import typing as t

from .model import Evidence, Finding, Rule
from .wording import listed

if t.TYPE_CHECKING:
    from ..trace.model import Event, Trace
    from .facts import Known
    from .model import Failure

REPEATS: t.Final = 10
"""How often the same statement may run in one request before that is told."""
SHOWN: t.Final = 120
"""Characters of a statement that a sentence shows."""

_REPEATED: t.Final = re.compile(r"\brepeated: (\d+)\w\w time\b")
_QUEUE_POOL: t.Final = "QueuePool limit of size "
"""How SQLAlchemy's own message begins."""


def repeated(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A request ran the same statement many times."""
    # A command or a script may work through its rows one by one.
    if trace.kind != "request":
        return
    runs: dict[str, list[Event]] = {}
    for event in trace.events:
        if event.phase == "resource" and event.note is not None:
            runs.setdefault(event.name, []).append(event)
    for text, events in runs.items():
        # Of an over-long trace the middle is gone, so the last one says how many there were.
        times = max(map(_times, events))
        if times >= REPEATS:
            yield _told(text, times, events)


def _times(event: Event) -> int:
    match = _REPEATED.search(event.note or "")
    return int(match[1]) if match else 0


def _told(text: str, times: int, events: list[Event]) -> Finding:
    first, last = events[0], events[-1]
    places = listed(event.where for event in events if event.where)
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    took = sum(event.duration_us for event in events) / 1000
    return Finding(
        f"One request ran the same statement {times} times, at {places}: {shown}",
        (
            Evidence("The first run.", first.index, first.where),
            Evidence(f"The last run; all took {took:,.1f} ms.", last.index, last.where),
        ),
        "Ask once for all that the loop needs (where id in (...), or a join), or change many rows "
        "with executemany().",
        f"{text} {first.where}",
    )


def exhausted(failure: Failure, _known: Known) -> t.Iterator[Finding]:
    """A pool had no connection left."""
    error, event = failure.error, failure.event
    fix = ""
    if error.type == "PoolExhaustedError":
        message, subject = error.message, error.message.partition(" has no connection")[0]
        fact, _, advice = message.rpartition(" Let ")
        if fact:
            message, fix = fact, f"Let {advice}"
    elif error.type == "TimeoutError" and error.message.startswith(_QUEUE_POOL):
        message = "A pool of SQLAlchemy's has no connection left; who holds them is unknown."
        subject = "SQLAlchemy"
    else:
        return
    index, defined = (None, None) if event is None else (event.index, event.where)
    asked = Evidence("Asked for a connection here.", index, error.where or defined)
    yield Finding(message, (asked,), fix, subject)


RULES: t.Final = (
    Rule(
        "statement-repeated",
        "warning",
        "resources",
        "The same statement runs again and again",
        f"A request ran one statement, with other parameters or the same, {REPEATS} times or more: "
        "often a query in a loop over the rows of another.",
        "Ask once for all rows, or keep the answer: @kit.cached computes it once per context.",
        repeated,
    ),
    Rule(
        "pool-exhausted",
        "error",
        "resources",
        "A connection pool is exhausted",
        "All connections of a pool were out and none came back in time. SqlHelper's error names "
        "who holds them, where they were taken, and since when.",
        'Leave blocks before slow calls, take one connection per unit (nested = "savepoint"), '
        "and only then let the pool be larger.",
        exhausted,
        when="escape",
    ),
)
