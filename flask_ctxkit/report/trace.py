"""What happened in that request?"""

from __future__ import annotations

import statistics
import typing as t

from ..errors import CtxKitError
from ..trace.freezing import freeze
from .curl import curl
from .session_story import told_by
from .story import function_of, story
from .summary import fold, iso, moment
from .units import unit

if t.TYPE_CHECKING:
    from ..trace.model import Change, Error, Event, Trace
    from .sources import Sources

SHORTEST: t.Final = 3
"""The fewest digits of an id that name a trace."""
CONCURRENT: t.Final = 50
"""The most traces that are named as running at the same time."""


class UnknownTraceError(CtxKitError):
    """There is no such trace, or several; ``evidence["newest"]`` is the id of another one
    to look at, or None.
    """


def trace(sources: Sources, name: str) -> dict[str, t.Any]:
    """The trace that *name* names, with what is around it.

    :raises UnknownTraceError: if it names none, or more than one.
    """
    found = find_trace(sources, name)
    return plain(found) | around(sources, found)


def find_trace(sources: Sources, name: str) -> Trace:
    """The trace of an id, of the unique beginning of one, or the "latest".

    The latest is the newest one that is no static file, favicon, HEAD, OPTIONS or health
    check. One that is still running is told as far as it went.

    :raises UnknownTraceError: if *name* names none, or more than one.
    """
    if name == "latest":
        newest = latest(sources)
        if newest is None:
            raise UnknownTraceError(
                "There is no finished request yet. Open your app, and look again.", newest=None
            )
        return newest
    wanted = name.lower()
    exact = sources.store.get(wanted)
    if exact is not None:
        return exact
    candidates = {found.id: found for found in _beginning_with(sources, wanted)}
    if len(candidates) == 1:
        return candidates.popitem()[1]
    newest = latest(sources)
    raise UnknownTraceError(
        _several(name, list(candidates)) if candidates else _gone(sources, name),
        newest=None if newest is None else newest.id,
    )


def latest(sources: Sources) -> Trace | None:
    """The newest trace that is not everyday traffic, or None."""
    return next((found for found in sources.store.newest() if fold(found) is None), None)


def _beginning_with(sources: Sources, prefix: str) -> t.Iterator[Trace]:
    if len(prefix) < SHORTEST:
        return
    yield from sources.store.find(prefix)
    for _, _, recording in sources.registry.pushed():
        if recording.id.startswith(prefix):
            yield freeze(t.cast("t.Any", recording))


def _several(name: str, ids: list[str]) -> str:
    return f"{name} is the beginning of {len(ids)} traces: {', '.join(ids[:5])}. Give more digits."


def _gone(sources: Sources, name: str) -> str:
    kept = (
        f"traces are kept in memory (the last {sources.config.max_traces}, and the slow and "
        f"failed ones longer: CTXKIT_MAX_TRACES), and this process started at "
        f"{iso(sources.started_at)[11:19]} UTC"
        if sources.tracing
        else "recording is off. Set CTXKIT_TRACE = True, or run the app in debug mode"
    )
    shown = name if len(name) <= 40 else name[:40] + "…"  # noqa: PLR2004
    return f"There is no trace {shown!r} here: {kept}."


# ----------------------------------------------------------------------------- around


def around(sources: Sources, found: Trace) -> dict[str, t.Any]:
    """What other traces tell about *found*: its neighbours by time, what is usual for its
    endpoint (the median, in milliseconds), and the ids of those that ran meanwhile.
    """
    others = list(sources.store.newest())
    ids = [other.id for other in others]
    sort = _sort(found)
    alike = [other for other in others if _sort(other) == sort]
    same = [other.id for other in alike]
    usual = [
        other.duration_ms
        for other in alike
        if other.duration_ms is not None and other.id != found.id and found.endpoint is not None
    ]
    previous, following = _neighbours(ids, found.id)
    previous_same, next_same = _neighbours(same, found.id)
    usual_ms = round(statistics.median(usual), 3) if usual else None
    return {
        "worker": found.unit.worker,
        "curl": curl(found),
        "previous": previous,
        "next": following,
        "previous_same": previous_same,
        "next_same": next_same,
        "usual_ms": usual_ms,
        "usual_of": len(usual),
        "concurrent": _concurrent(found, others),
        "story": story(found, usual_ms, len(usual)),
        "session_report": told_by(found),
    }


def _sort(found: Trace) -> tuple[str, str | None, str | None]:
    """What other traces must share with *found* to be compared with it. Of the work that
    requests of one endpoint start, each function is a sort of its own.
    """
    ran = function_of(found) if found.kind == "task" else None
    return found.kind, found.endpoint, None if ran is None else ran.where


def _neighbours(newest_first: list[str], trace_id: str) -> tuple[str | None, str | None]:
    if trace_id not in newest_first:  # still running: everything is before it
        return (newest_first[0] if newest_first else None), None
    at = newest_first.index(trace_id)
    return (
        newest_first[at + 1] if at + 1 < len(newest_first) else None,
        newest_first[at - 1] if at > 0 else None,
    )


def _concurrent(found: Trace, others: list[Trace]) -> list[str]:
    start, end = _span(found)
    ids = []
    for other in others:
        # One unit runs one after the other; times are rounded, so neighbours seem to overlap.
        if other.unit.worker == found.unit.worker and other.unit != found.unit:
            other_start, other_end = _span(other)
            if other_start < end and start < other_end:
                ids.append(other.id)
    return ids[:CONCURRENT]


def _span(found: Trace) -> tuple[float, float]:
    start = moment(found.started_at).timestamp()
    return start, start + (float("inf") if found.duration_ms is None else found.duration_ms / 1000)


# ------------------------------------------------------------------------------ plain


def plain(found: Trace) -> dict[str, t.Any]:
    """*found* as plain data."""
    # Not dataclasses.asdict: it copies every captured value, 100 times as slow.
    fields = {name: getattr(found, name) for name in found.__slots__}
    return fields | {
        "unit": unit(found.unit),
        "events": [plain_event(event) for event in found.events],
        "exception": _error(found.exception),
    }


def plain_event(event: Event) -> dict[str, t.Any]:
    """*event* as plain data."""
    return {
        "index": event.index,
        "phase": event.phase,
        "name": event.name,
        "blueprint": event.blueprint,
        "where": event.where,
        "source": event.source,
        "start_us": round(event.start_us, 1),
        "duration_us": round(event.duration_us, 1),
        "outcome": event.outcome,
        "depth": event.depth,
        "members": event.members,
        "note": event.note,
        "parameters": event.parameters,
        "error": _error(event.error),
        "g": _change(event.g),
        "session": _change(event.session),
        "response": {"status": event.response.status} | _change(event.response),
    }


def _change(change: Change) -> dict[str, t.Any]:
    return {"added": change.added, "changed": change.changed, "removed": change.removed}


def _error(error: Error | None) -> dict[str, t.Any] | None:
    if error is None:
        return None
    return {
        "type": error.type,
        "message": error.message,
        "where": error.where,
        "frames": error.frames,
    }
