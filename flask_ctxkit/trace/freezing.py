"""Turns a recording into a trace. It happens when somebody looks, never on a request's path."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone

from ..definition import short_path
from .model import Change, Event, ResponseChange, Trace
from .recording import Changes, Step

if t.TYPE_CHECKING:
    from .recording import Recording
    from .watcher import Delta

SIGNALS: t.Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("appcontext-pushed", ("push_app",)),
    ("request-started", ("signal", "url_value_preprocessor", "before_request", "view")),
    ("before-render-template", ("template",)),
    ("template-rendered", ("template",)),
    ("got-request-exception", ()),
    ("request-finished", ("save_session",)),
    ("request-tearing-down", ("pop",)),
    ("appcontext-tearing-down", ("pop",)),
    ("appcontext-popped", ("pop",)),
)
"""Flask's signals in the order of a request, and the events that show that one was sent."""


def freeze(recording: Recording) -> Trace:
    """The trace of *recording*, finished or still growing."""
    events, position = _events(recording, recording.all_steps())
    ended = recording.ended
    return Trace(
        id=recording.id,
        kind=recording.kind,
        state=recording.state,
        name=_name(recording),
        method=recording.method,
        path=recording.path,
        query=recording.query,
        endpoint=recording.endpoint,
        status=recording.status,
        started_at=_iso(recording.wall),
        duration_ms=None if ended is None else (ended - recording.started) / 1e6,
        unit=recording.unit,
        events=events,
        parent=recording.parent,
        findings=tuple(recording.findings),
        session=_session(recording, position),
        response=_response(recording, events),
        signals=_signals(recording, events),
        templates=tuple({"name": n, "event": position.get(i)} for n, i in recording.templates),
        exception=recording.error,
        contexts=_contexts(recording),
        environ=recording.environ or {},
        g=dict(recording.g_seen.captured()),
        dropped_events=recording.dropped,
        own_cost_us=recording.own_ns / 1000,
    )


def _name(recording: Recording) -> str:
    if recording.name:
        return recording.name
    if recording.has_request:
        return f"{recording.method} {recording.path}"
    site = _push_site(recording)
    return f"application context, {site}" if site else "application context"


def _push_site(recording: Recording) -> str | None:
    code = recording.pushed_by
    return None if code is None else f"{short_path(code.co_filename)}:{recording.pushed_at}"


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="microseconds")


def _events(
    recording: Recording, steps: list[Step]
) -> tuple[tuple[Event, ...], dict[int, int]]:
    """The events in the order of their starts, and the index of each by its step's place."""
    # A step is noted at its end, so what ran inside another stands before it.
    ordered = sorted(
        enumerate(steps),
        key=lambda row: (row[1].start, row[1].end > row[1].start, -row[1].end, row[0]),
    )
    position = {place: index for index, (place, _) in enumerate(ordered, 1)}
    events: list[Event] = []
    open_ends: list[int] = []
    for index, (_, step) in enumerate(ordered, 1):
        while open_ends and open_ends[-1] <= step.start:
            open_ends.pop()
        events.append(_event(index, step, recording.started, len(open_ends)))
        if step.end > step.start:
            open_ends.append(step.end)
    return tuple(events), position


def _event(index: int, step: Step, started: int, depth: int) -> Event:
    definition = step.site.definition
    changes = Changes(None, None, None, None)
    if step.changes is not None:
        changes = Changes._make(step.changes)
    return Event(
        index=index,
        phase=step.site.phase,
        name=definition.name,
        start_us=(step.start - started) / 1000,
        duration_us=(step.end - step.start) / 1000,
        outcome=step.outcome,
        blueprint=step.site.blueprint,
        where=definition.where,
        source=_source(step),
        depth=depth,
        members=step.members,
        note=step.note,
        error=step.error,
        g=_change(changes.g),
        session=_change(changes.session),
        response=_response_change(changes),
    )


def _source(step: Step) -> str:
    blueprint = step.site.blueprint
    if blueprint and step.site.definition.source == "this app":
        return f"blueprint {blueprint}"
    return step.site.definition.source


_NO_CHANGE: t.Final = Change()
_NO_RESPONSE_CHANGE: t.Final = ResponseChange()


def _change(delta: Delta | None) -> Change:
    return _NO_CHANGE if delta is None else Change(*delta)


def _response_change(changes: Changes) -> ResponseChange:
    if changes.headers is None and changes.status is None:
        return _NO_RESPONSE_CHANGE
    return ResponseChange(*(changes.headers or ({}, {}, {})), status=changes.status)


def _session(recording: Recording, position: dict[int, int]) -> dict[str, t.Any] | None:
    state = recording.session_state
    if state is None:
        if recording.session is None:
            return None
        state = recording.session.state()
    saved = any(name.lower() == "set-cookie" for name, _ in recording.sent_headers)
    return {**state, "accessed_by": _first_event(recording, position), "saved": saved}


def _first_event(recording: Recording, position: dict[int, int]) -> int | None:
    """The event that touched the session first."""
    state = recording.session_state
    site = state["accessed_by"] if state is not None else recording.session.first
    for place, step in enumerate(recording.all_steps()):
        if site is not None and step.site is site:
            return position[place]
    return None


def _response(recording: Recording, events: tuple[Event, ...]) -> dict[str, t.Any] | None:
    if recording.sent is None:
        return None
    setters: dict[str, int] = {}
    for event in events:
        for name in (*event.response.added, *event.response.changed):
            setters[name.lower()] = event.index
    return {
        "status": recording.status,
        "headers": [[n, v, setters.get(n.lower())] for n, v in recording.sent_headers],
        "streamed": recording.streamed,
    }


def _signals(recording: Recording, events: tuple[Event, ...]) -> tuple[dict[str, t.Any], ...]:
    rows = []
    for name, phases in SIGNALS:
        if name.startswith("request-") and not recording.has_request:
            continue
        receivers = recording.signals.get(name, ())
        event = next((e.index for e in events if e.phase in phases), None)
        sent = event is not None or (name == "got-request-exception" and recording.error)
        if receivers or sent:
            rows.append({"name": name, "event": event, "receivers": list(receivers)})
    return tuple(rows)


def _contexts(recording: Recording) -> tuple[dict[str, t.Any], ...]:
    pushed = _push_site(recording)
    app = recording.recorder.app_name
    rows = [{"kind": "app", "app": app, "pushed": pushed, "reused": recording.reused}]
    if recording.has_request:
        rows.append({"kind": "request", "app": app, "pushed": pushed, "reused": False})
    return tuple(rows)
