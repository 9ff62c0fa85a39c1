"""A trace as a picture: one row per event, placed in time, with what it changed."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

from ..report.families import Family, family
from ..report.story import HOOKS

if t.TYPE_CHECKING:
    from ..trace.model import Change, Event, Trace

WINDOW: t.Final = 300
"""How many events are drawn at once; the others are a link away."""
WIDTH: t.Final = 1000
"""The units of a bar's whole width."""
THINNEST: t.Final = 3.0
QUICK_US: t.Final = 100.0
MANY_QUICK: t.Final = 12
"""From how many quick and quiet hooks on they are drawn as groups."""
RUN: t.Final = 3
CHIPS: t.Final = 5
"""The most changes that stand on a row; the others are counted."""
TICKS: t.Final = 4
STEPS: t.Final = (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 7.5, 8, 10)
"""Between two ticks, times a power of ten."""

SYMBOLS: t.Final[t.Mapping[Family, str]] = {
    "plumbing": "○",
    "hooks": "◆",
    "view": "●",
    "template": "▤",
    "session": "▲",
    "error": "✗",
    "stream": "≈",
    "resource": "■",
}

TITLES: t.Final[t.Mapping[str, str]] = {
    "make_request": "environ becomes a Request",
    "push_app": "app and g point here",
    "push_request": "request and session point here",
    "open_session": "the cookie becomes the session",
    "match": "the URL becomes an endpoint",
    "make_response": "the return value becomes a Response",
    "start_response": "status and headers go to the server",
    "save_session": "the session becomes a cookie",
    "pop": "the contexts leave the stacks",
    "stream": "the body is sent",
}
"""What a step of Flask's own does, by its name or phase."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One change, as a row shows it: ``space`` is g, session, header or status."""

    space: str
    sign: str
    name: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One event on the waterfall; ``x`` and ``width`` in thousandths of the whole."""

    event: Event
    family: Family
    symbol: str
    title: str
    x: float
    width: float
    chips: tuple[Chip, ...]
    more: int
    is_open: bool
    handed_over: bool
    """Whether the response goes to the server after this event."""


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that are drawn as one: a single one, or a run of quick hooks."""

    bars: tuple[Bar, ...]
    folded: bool
    duration_us: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The whole picture. ``first`` to ``last`` are the indexes that are drawn."""

    groups: tuple[Group, ...]
    ticks: tuple[str, ...]
    families: tuple[tuple[Family, str], ...]
    first: int
    last: int
    total: int

    @property
    def before(self) -> int | None:
        """The index that the window before this one begins with, or None."""
        return max(1, self.first - WINDOW) if self.first > 1 else None

    @property
    def after(self) -> int | None:
        """The index that the window after this one begins with, or None."""
        return self.last + 1 if self.last < self.total else None


def waterfall(
    trace: Trace, opened: t.Collection[int] = (), first: int = 1, window: int = WINDOW
) -> Waterfall:
    """Draw *trace* from event *first* on.

    :param opened: the indexes of the events whose details are open.
    """
    events = trace.events
    first = min(max(1, first), max(1, len(events)))
    drawn = events[first - 1 : first - 1 + window]
    end = max((event.start_us + event.duration_us for event in events), default=0.0)
    whole = _round_up(end / TICKS) * TICKS
    handed = _handed_over(trace)
    bars = [_bar(event, whole, opened, handed) for event in drawn]
    families = dict.fromkeys(bar.family for bar in bars)
    return Waterfall(
        groups=tuple(_grouped(bars)),
        ticks=tuple(_tick(whole * tick / TICKS) for tick in range(TICKS + 1)),
        families=tuple((name, SYMBOLS[name]) for name in families),
        first=first,
        last=first - 1 + len(drawn),
        total=len(events),
    )


def _round_up(microseconds: float) -> float:
    """The next number that is easily read on an axis."""
    size = 10.0 ** math.floor(math.log10(max(microseconds, 1.0)))
    return next((step * size for step in STEPS if step * size >= microseconds), 10 * size)


def _tick(microseconds: float) -> str:
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:g} {unit}"
    return f"{microseconds:g} µs" if microseconds else "0"


def opened_by_default(trace: Trace) -> set[int]:
    """The events worth reading first: what findings point at, what raised, else the slowest."""
    pointed = {
        evidence["event"]
        for finding in trace.findings
        for evidence in finding.get("evidence", ())
        if evidence.get("event")
    }
    raised = {event.index for event in trace.events if event.outcome == "raised"}
    if pointed or raised:
        return set(sorted(pointed | raised)[:RUN])
    if not trace.events:
        return set()
    return {max(trace.events, key=lambda event: event.duration_us).index}


def _handed_over(trace: Trace) -> int | None:
    if trace.response is None:
        return None
    ends = [e.index for e in trace.events if e.phase == "save_session" or _is_start_response(e)]
    return max(ends, default=None)


def _is_start_response(event: Event) -> bool:
    return event.phase == "make_response" and event.name == "start_response"


def _bar(event: Event, whole: float, opened: t.Collection[int], handed: int | None) -> Bar:
    chips = list(_chips(event))
    width = min(WIDTH, max(THINNEST, event.duration_us / whole * WIDTH))
    name = family(event)
    return Bar(
        event=event,
        family=name,
        symbol=SYMBOLS[name],
        title=TITLES.get(event.name) or TITLES.get(event.phase, ""),
        x=round(min(event.start_us / whole * WIDTH, WIDTH - width), 1),
        width=round(width, 1),
        chips=tuple(chips[:CHIPS]),
        more=max(0, len(chips) - CHIPS),
        is_open=event.index in opened,
        handed_over=event.index == handed,
    )


def _chips(event: Event) -> t.Iterator[Chip]:
    status = event.response.status
    if status is not None:
        yield Chip("status", "+" if status[0] is None else "~", str(status[1]))
    for space, change in (
        ("g", event.g),
        ("session", event.session),
        ("header", event.response),
    ):
        yield from _signed(space, change)


def _signed(space: str, change: Change) -> t.Iterator[Chip]:
    for sign, names in (("+", change.added), ("~", change.changed), ("-", change.removed)):
        for name in names:
            yield Chip(space, sign, name)


def _grouped(bars: list[Bar]) -> t.Iterator[Group]:
    if sum(map(_is_quick, bars)) < MANY_QUICK:
        yield from map(_alone, bars)
        return
    run: list[Bar] = []
    for bar in bars:
        if _is_quick(bar):
            run.append(bar)
            continue
        yield from _run(run)
        run = []
        yield _alone(bar)
    yield from _run(run)


def _run(run: list[Bar]) -> t.Iterator[Group]:
    if len(run) >= RUN:
        yield Group(tuple(run), folded=True, duration_us=sum(b.event.duration_us for b in run))
    else:
        yield from map(_alone, run)


def _alone(bar: Bar) -> Group:
    return Group((bar,), folded=False, duration_us=bar.event.duration_us)


def _is_quick(bar: Bar) -> bool:
    event = bar.event
    quiet = not bar.chips and not bar.is_open and event.outcome == "ok" and not event.note
    return quiet and event.phase in HOOKS and event.duration_us < QUICK_US


@dataclass(frozen=True, slots=True)
class Owned:
    """A name in ``g``: its value when it was last seen, and the events that wrote it."""

    name: str
    value: t.Any
    set_by: Event | None
    changed_by: tuple[Event, ...]
    removed_by: Event | None


def owners_of_g(trace: Trace) -> list[Owned]:
    """Every name that was in ``g``, with who set, changed and removed it."""
    found: dict[str, Owned] = {
        name: Owned(name, value, None, (), None) for name, value in trace.g.items()
    }
    for event in trace.events:
        for name, value in event.g.added.items():
            found[name] = Owned(name, value, event, (), None)
        for name, (_, value) in event.g.changed.items():
            before = found.get(name) or Owned(name, value, None, (), None)
            changed_by = (*before.changed_by, event)
            found[name] = Owned(name, value, before.set_by, changed_by, None)
        for name, value in event.g.removed.items():
            before = found.get(name) or Owned(name, value, None, (), None)
            found[name] = Owned(name, before.value, before.set_by, before.changed_by, event)
    return list(found.values())
