"""Phase families: the few kinds of step that overview, waterfall and terminal tell apart."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..trace.model import Event, Phase, Trace

Family = t.Literal[
    "plumbing", "hooks", "view", "template", "session", "error", "stream", "resource"
]
FAMILIES: t.Final[tuple[Family, ...]] = t.get_args(Family)

OF_PHASE: t.Final[t.Mapping[Phase, Family]] = {
    "make_request": "plumbing",
    "push_app": "plumbing",
    "push_request": "plumbing",
    "open_session": "session",
    "match": "plumbing",
    "signal": "plumbing",
    "url_value_preprocessor": "plumbing",
    "before_first_request": "hooks",
    "before_request": "hooks",
    "view": "view",
    "template": "template",
    "error_handler": "hooks",
    "make_response": "plumbing",
    "after_this_request": "hooks",
    "after_request": "hooks",
    "save_session": "session",
    "teardown_request": "hooks",
    "teardown_appcontext": "hooks",
    "pop": "plumbing",
    "stream": "stream",
    "resource": "resource",
}


def family(event: Event) -> Family:
    """The family of *event*; one that raised belongs to "error"."""
    return "error" if event.outcome == "raised" else OF_PHASE[event.phase]


def spoken(phase: str, kind: str) -> str:
    """What *phase* is called in a trace of *kind*: a block of code that pushed a context, work
    that a request started, and a command are no views.
    """
    if phase != "view" or kind == "request":
        return phase
    return "command" if kind == "cli" else "function"


def own_times(events: t.Sequence[Event]) -> list[float]:
    """What each event took without the events inside it, in microseconds, in their order."""
    own = [event.duration_us for event in events]
    if not any(event.depth for event in events):
        return own
    # By start, an event stands after the one that it is inside of.
    inside: list[int] = []
    for index in sorted(range(len(events)), key=lambda i: (events[i].start_us, events[i].depth)):
        while inside and events[inside[-1]].depth >= events[index].depth:
            inside.pop()
        if inside:
            own[inside[-1]] -= events[index].duration_us
        inside.append(index)
    return [max(0.0, time) for time in own]


def strip(trace: Trace) -> list[list[t.Any]]:
    """``[[family, milliseconds], ...]`` in the order in which the families first appear."""
    times: dict[str, float] = {}
    for event, own in zip(trace.events, own_times(trace.events), strict=True):
        name = family(event)
        times[name] = times.get(name, 0.0) + own
    return [[name, round(time / 1000, 3)] for name, time in times.items()]
