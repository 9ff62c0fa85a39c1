"""Turns a recording into a trace. It happens when somebody looks, never on a request's path."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone

from ..definition import short_path
from .captures import joined
from .model import Change, Event, ResponseChange, Trace
from .recording import Noted, Remark, now
from .site import MAKE_REQUEST, MATCH, OPEN_SESSION, PUSH_APP, PUSH_REQUEST
from .watcher import Delta, Headers, headers_delta

if t.TYPE_CHECKING:
    from .recording import Recording
    from .site import Site

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
    noted = [*_begun(recording), *recording.all_steps()]
    events, position = _events(recording, noted)
    ended = recording.ended
    family = recording.lineage
    return Trace(
        id=recording.id,
        kind=recording.kind,
        state=recording.state,
        name=trace_name(recording),
        method=recording.method,
        path=recording.path,
        query=_query(recording),
        endpoint=recording.endpoint,
        status=recording.status,
        started_at=_iso(recording.wall),
        duration_ms=None if ended is None else (ended - recording.started) / 1e6,
        unit=recording.unit,
        events=events,
        parent=recording.parent,
        lineage=_lineage(recording),
        children=() if family is None else tuple(family.children),
        dropped_children=0 if family is None else family.dropped,
        findings=tuple(recording.findings),
        session=_session(recording, position),
        response=_response(recording, events),
        signals=_signals(recording, events),
        templates=tuple(
            {"name": n, "event": position.get(site)} for n, site in recording.templates
        ),
        exception=recording.error,
        contexts=_contexts(recording),
        environ=joined(recording.environ),
        g=_g(recording),
        dropped_events=recording.dropped,
        own_cost_us=None,
    )


def _lineage(recording: Recording) -> dict[str, t.Any] | None:
    family = recording.lineage
    origin = None if family is None else family.origin
    if family is None or origin is None:
        return None
    return {
        "how": origin.how,
        "where": origin.where,
        "by": family.by,
        "captured": list(origin.captured),
        "outlived_ms": family.outlived_ns(now()) / 1e6,
    }


def _query(recording: Recording) -> str | None:
    query = joined(recording.environ).get("QUERY_STRING")
    return query if isinstance(query, str) and query else None


def trace_name(recording: Recording) -> str:
    """What lists call it: "GET /cart", or what the context was pushed for."""
    if recording.name:
        return recording.name
    if recording.has_request:
        return f"{recording.method} {recording.path}"
    return f"application context, {_push_site(recording)}"


def _push_site(recording: Recording) -> str:
    return f"{short_path(recording.pushed_by.co_filename)}:{recording.pushed_at}"


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="microseconds")


def _begun(recording: Recording) -> t.Iterator[Noted]:
    """The first steps of a context, which are kept as times alone."""
    start, end = recording.push_start, recording.push_end
    if not recording.has_request:
        yield (PUSH_APP, start, end, None, None)
        return
    if recording.kind != "task":
        yield (MAKE_REQUEST, *recording.made, None, None)
    if recording.app_context is None and not recording.match_end and not recording.log:
        return
    if not recording.reused:
        yield (PUSH_APP, start, end, None, None)
    yield (PUSH_REQUEST, end, end, None, None)
    yield (OPEN_SESSION, end, recording.match_start or end, None, None)
    if recording.match_end and not any(step[0] is MATCH for step in recording.all_steps()):
        yield (MATCH, recording.match_start, recording.match_end, None, None)


def _events(recording: Recording, steps: list[Noted]) -> tuple[tuple[Event, ...], dict[Site, int]]:
    """The events in the order of their starts, and the first event of each site."""
    # A step is noted at its end, so what ran inside another stands before it.
    order = {id(step): place for place, step in enumerate(steps)}
    ordered = sorted(steps, key=lambda s: (s[1], s[2] > s[1], -s[2], order[id(s)]))
    responses = _response_changes(steps)
    events: list[Event] = []
    position: dict[Site, int] = {}
    open_ends: list[int] = []
    for index, step in enumerate(ordered, 1):
        while open_ends and open_ends[-1] <= step[1]:
            open_ends.pop()
        position.setdefault(step[0], index)
        response = responses.get(id(step), _NO_RESPONSE_CHANGE)
        events.append(_event(index, step, recording.started, len(open_ends), response))
        if step[2] > step[1]:
            open_ends.append(step[2])
    return tuple(events), position


def _response_changes(steps: list[Noted]) -> dict[int, ResponseChange]:
    """What each step changed in the response, from what each left behind."""
    changes: dict[int, ResponseChange] = {}
    headers: Headers = ()
    status: int | None = None
    for step in steps:
        if step[3] is None or step[3][2] is None:
            continue
        after, now = step[3][2], step[3][3]
        moved = None if now is None or now == status else (status, now)
        added, changed, removed = headers_delta(headers, after) or ({}, {}, {})
        changes[id(step)] = ResponseChange(added, changed, removed, moved)
        headers, status = after, now or status
    return changes


_NONE: t.Final = Remark()


def _event(index: int, step: Noted, started: int, depth: int, response: ResponseChange) -> Event:
    site, start, end, changes, remark = step
    g, session = (None, None) if changes is None else changes[:2]
    told = remark or _NONE
    return Event(
        index=index,
        phase=site.phase,
        name=site.definition.name,
        start_us=(start - started) / 1000,
        duration_us=(end - start) / 1000,
        outcome=told.outcome,
        blueprint=site.blueprint,
        where=site.definition.where,
        source=_source(site),
        depth=depth,
        members=told.members,
        note=told.note,
        parameters=told.parameters,
        error=told.error,
        g=_change(g),
        session=_change(session),
        response=response,
    )


def _source(site: Site) -> str:
    if site.blueprint and site.definition.source == "this app":
        return f"blueprint {site.blueprint}"
    return site.definition.source


_NO_CHANGE: t.Final = Change()
_NO_RESPONSE_CHANGE: t.Final = ResponseChange()


def _change(delta: Delta | None) -> Change:
    return _NO_CHANGE if delta is None else Change(*delta)


def _g(recording: Recording) -> dict[str, t.Any]:
    return dict(recording.g_known if recording.g_seen is None else recording.g_seen.known())


def _session(recording: Recording, position: dict[Site, int]) -> dict[str, t.Any] | None:
    state = recording.session_now()
    if state is None:
        return None
    first = recording.session_first
    seen = recording.session_seen
    return {
        "state": state,
        "names": {} if seen is None else dict(seen.known()),
        "accessed_by": None if first is None else position.get(first),
        "verdicts": [told.as_dict() for told in recording.verdicts],
        "saved": any(name.lower() == "set-cookie" for name, _ in recording.headers),
    }


def _response(recording: Recording, events: tuple[Event, ...]) -> dict[str, t.Any] | None:
    if not recording.sent:
        return None
    setters: dict[str, int] = {}
    for event in events:
        for name in (*event.response.added, *event.response.changed):
            setters[name.lower()] = event.index
    return {
        "status": recording.status,
        "headers": [[n, v, setters.get(n.lower())] for n, v in recording.headers],
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
