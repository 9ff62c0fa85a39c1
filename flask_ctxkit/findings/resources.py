"""Resources: opened and not closed, closed with an error, or held while something slow ran."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .model import Evidence, Finding, Rule
from .wording import named, short

if t.TYPE_CHECKING:
    from ..contexts.registry import Held, Leak, Live
    from ..trace.model import Event, Trace
    from .facts import Known

OPEN: t.Final = "open "
CLOSE: t.Final = "close "
OUTLIVES: t.Final = (
    "Start work that may outlive its request as propagate(function), or in a ContextExecutor, so "
    "that it has a context of its own; and take in a with block what is to be given back."
)
LEAST: t.Final = 1.0
"""Seconds that a resource may be held in vain before that is told, however short a hook that
is called slow: what is held for less is seldom missed."""


@dataclass(frozen=True, slots=True)
class Holding:
    """From where a resource was opened to where its closing began, in microseconds.

    ``closed`` is None where no closing was seen; ``used`` tells whether each use of it is seen.
    """

    name: str
    opened: Event
    closed: Event | None
    start: float
    end: float
    used: bool


def holdings(trace: Trace) -> list[Holding]:
    """What was open in *trace*, and for how long."""
    found: list[Holding] = []
    waiting: dict[tuple[str, str | None], list[Event]] = {}
    # By their starts: a thread may tell of an opening when the context already closes.
    for event in sorted(trace.events, key=_started):
        if event.phase != "resource":
            continue
        if event.name.startswith(OPEN) and event.outcome == "ok":
            waiting.setdefault((event.name.removeprefix(OPEN), event.where), []).append(event)
        elif event.name.startswith(CLOSE):
            key = event.name.removeprefix(CLOSE), event.where
            if waiting.get(key):
                found.append(_holding(key[0], waiting[key].pop(), event, event.start_us))
    last = max((e.start_us + e.duration_us for e in trace.events), default=0.0)
    found += [_holding(key[0], e, None, last) for key, events in waiting.items() for e in events]
    return _told_once(found)


def _told_once(found: list[Holding]) -> list[Holding]:
    """*found* without what a resource of the context took to open, and gave back to close."""
    told: list[Holding] = []
    around: list[int] = []  # those of them that are being opened
    for one in sorted(found, key=lambda held: (_started(held.opened), -held.opened.duration_us)):
        around = [n for n in around if _ended(told[n].opened) > _started(one.opened)]
        outer = next((n for n in around if _has(told[n], one)), None)
        if outer is None:
            around.append(len(told))
            told.append(one)
        elif one.used:
            told[outer] = replace(told[outer], used=True)
    return told


def _has(outer: Holding, one: Holding) -> bool:
    if outer.closed is None or one.closed is None:
        return outer.closed is one.closed and _during(outer.opened, one.opened)
    return _during(outer.opened, one.opened) and _during(outer.closed, one.closed)


def _during(outer: Event, one: Event) -> bool:
    return _started(outer) <= _started(one) and _ended(one) <= _ended(outer)


def _holding(name: str, opened: Event, closed: Event | None, end: float) -> Holding:
    # What says how long it was held is a helper that also tells each statement.
    used = closed is not None and (closed.note or "").startswith("held ")
    return Holding(name, opened, closed, opened.start_us + opened.duration_us, end, used)


def not_closed(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A context ended, or was dropped, and what it opened stayed open."""
    # Of an over-long trace the middle is gone; a shared context closes at its own end.
    shared = any(row.get("reused") for row in trace.contexts)
    if trace.state == "running" or trace.dropped_events or shared:
        return
    for held in holdings(trace):
        if held.closed is None:
            opened, context = f"{held.name}, opened at {held.opened.where}", f"of {trace.name}"
            how = "was dropped without being popped" if trace.state == "left" else "ended"
            told, fix = f"{opened}, was still open when the context {context} {how}.", ""
            unit = _elsewhere(held.opened)
            if unit:
                shares = f"which shares the context {context}"
                told, fix = f"{opened} {unit}, {shares}, was still open when that {how}.", OUTLIVES
            proof = Evidence("It was opened here.", held.opened.index, held.opened.where)
            yield Finding(told, (proof,), fix, subject=f"{held.name} {held.opened.where}")


def _elsewhere(opened: Event) -> str:
    """As "in Thread-7", where another unit than the context's opened it, and else empty."""
    first = (opened.note or "").partition(";")[0]
    return first if first.startswith("in ") else ""


def close_failed(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """What closes a resource raised."""
    for event in trace.events:
        if event.phase != "resource" or not event.name.startswith(CLOSE) or event.error is None:
            continue
        name, error = event.name.removeprefix(CLOSE), event.error
        yield Finding(
            f"Closing {name}, opened at {event.where}, raised {error.type}: nobody was told but "
            "the log, and it may still be open.",
            (Evidence(f"{error.type}: {error.message}", event.index, error.where or event.where),),
            subject=f"{name} {event.where} {error.type}",
        )


def held_while_slow(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A resource was held while something ran for long that is known not to use it."""
    slow = max(known.config.slow_hook, LEAST) * 1e6
    for held in holdings(trace):
        if held.end - held.start < slow:
            continue
        for event, why, took in (*_others(held, trace, slow), *_idle(held, trace)):
            if took >= slow:
                yield _held(held, event, why, took)
                break


def _held(held: Holding, event: Event, why: str, took: float) -> Finding:
    opened = held.opened
    return Finding(
        f"{held.name}, opened at {opened.where}, was held for {took / 1e6:.1f} s while {why}.",
        (
            Evidence("It was opened here.", opened.index, opened.where),
            Evidence("This ran meanwhile.", event.index, event.where),
        ),
        subject=f"{held.name} {opened.where} {event.phase} {event.name}",
    )


Slow = tuple["Event", str, float]
"""What ran, in words, and for how many microseconds of the holding."""


def _others(held: Holding, trace: Trace, slow: float) -> t.Iterator[Slow]:
    """The body that was sent, and other resources that were opened, while it was held."""
    for event in trace.events:
        if event.duration_us < slow:
            continue
        took = min(held.end, event.start_us + event.duration_us) - max(held.start, event.start_us)
        if event.phase == "stream":
            yield event, "the body was sent, as fast as the client reads it", took
        elif event.phase == "resource" and event.name.startswith(OPEN):
            yield event, f"{event.name.removeprefix(OPEN)} was being opened", took


def _idle(held: Holding, trace: Trace) -> t.Iterator[Slow]:
    """The longest time in which nothing was asked of it, where each use is seen."""
    if not held.used:
        return
    start, took, since = held.start, 0.0, held.start
    for event in sorted(trace.events, key=_started):
        end = event.start_us + event.duration_us
        if event.phase == "resource" and end > held.start and event.start_us <= held.end:
            took, since = max((took, since), (event.start_us - start, start))
            start = max(start, end)
    running = _around(trace, since, since + took)
    if running is None:
        yield held.opened, "nothing was asked of it", took
    else:
        yield running, f"{named(running, trace.kind)} ran, and asked nothing of it", took


def _started(event: Event) -> float:
    return event.start_us


def _ended(event: Event) -> float:
    return event.start_us + event.duration_us


def _around(trace: Trace, start: float, end: float) -> Event | None:
    """The innermost step that ran for the whole time, else the one that ran for most of it: what
    a context holds is closed after the view.
    """
    ran = [
        (min(end, event.start_us + event.duration_us) - max(start, event.start_us), event)
        for event in trace.events
        if event.phase != "resource"
    ]
    found = [(took, event) for took, event in ran if took > (end - start) / 2]
    return max(found, key=lambda one: (one[0], one[1].depth), default=(0, None))[1]


def held_by_stuck(lives: t.Sequence[Live], _leaks: t.Sequence[Leak]) -> t.Iterator[Finding]:
    """A request runs for long already, and holds a resource meanwhile."""
    for live in lives:
        # A command or a script may well work with one thing for hours.
        if live.stuck and live.kind in {"request", "task"}:
            yield from (_stuck(live, held) for held in live.held)


def _stuck(live: Live, held: Held) -> Finding:
    what = f"{live.method} {live.path}" if live.path else f"a context in {live.unit.name}"
    proofs = [Evidence(f"{held.unit.name} asked for it here.", None, held.where)]
    stands = ""
    if live.frames:
        frame = live.frames[0]
        stands = f", and stands in {short(frame.function)} ({frame.file}:{frame.line})"
        proofs.append(Evidence("It stands here.", None, f"{frame.file}:{frame.line}"))
    elif live.hook:
        stands = f", and is in {short(live.hook)}"
    return Finding(
        f"{what} has held {held.resource} for {held.age_s:.0f} s ({held.state}){stands}.",
        tuple(proofs),
        subject=f"{live.unit.key} {held.resource} {held.where}",
        trace=live.id,
    )


RULES: t.Final = (
    Rule(
        "resource-not-closed",
        "error",
        "resources",
        "A resource was not closed when its context ended",
        "The context was dropped without a pop, or what was opened in it by hand was never given "
        "back: the connection is lost until the collector finds it.",
        "Pop contexts with a with block, and let kit.resource(...) close what a context opens.",
        not_closed,
    ),
    Rule(
        "resource-close-failed",
        "error",
        "resources",
        "Closing a resource raised",
        "Its close function, or what stands after its yield, raised. That stops no other close "
        "and changes no response, so it is easily overlooked.",
        "Catch in the close what it can meet, such as a connection that the server has dropped.",
        close_failed,
        needs="raised",
    ),
    Rule(
        "resource-held-while-slow",
        "warning",
        "resources",
        "A resource was held while something slow ran",
        "A connection belongs to one context at a time. Held while a body is sent to a slow "
        "client, or while another service is called, it is missing elsewhere: the pool runs dry.",
        "Ask for it after the slow call, or close it before: read all rows first, then stream.",
        held_while_slow,
        timed=True,
    ),
    Rule(
        "resource-held-by-stuck",
        "warning",
        "resources",
        "A request that hangs holds a resource",
        "It runs for longer than CTXKIT_STUCK_AFTER, and what it has opened is closed only when "
        "it ends.",
        "Give the call that hangs a timeout; open the resource after it, or in a context of its "
        "own.",
        held_by_stuck,
        when="live",
    ),
)
