"""A trace in plain sentences: who answered, what ran, what became of the session and of g.

Each sentence tells what was seen; none claims a line that was not.
"""

from __future__ import annotations

import typing as t

from .families import spoken

if t.TYPE_CHECKING:
    from ..trace.model import Event, Trace

NAMES: t.Final = 4
"""The most names of ``g`` in a sentence."""
HOOKS: t.Final = frozenset(
    {
        "before_first_request",
        "before_request",
        "after_this_request",
        "after_request",
        "teardown_request",
        "teardown_appcontext",
    }
)
SLOWER: t.Final = 2.0
"""How many times the usual a trace must take until the difference is worth a sentence."""


def story(trace: Trace, usual_ms: float | None = None, usual_of: int = 0) -> list[str]:
    """Sentences about *trace*, the most important first.

    :param usual_ms: the median of the other traces of its endpoint, in milliseconds.
    :param usual_of: of how many.
    """
    sentences = [_ending(trace), _lineage(trace), _hooks(trace), _session(trace), _g(trace)]
    sentences += [_usual(trace, usual_ms, usual_of), _dropped(trace)]
    return [sentence for sentence in sentences if sentence]


def _ending(trace: Trace) -> str:
    if trace.state == "running":
        return _running(trace)
    if trace.exception is not None:
        return _failed(trace)
    if trace.state == "left":
        return "It never ended: its context was not popped, or its body was abandoned."
    answered = next((e for e in trace.events if e.outcome == "answered"), None)
    if answered is not None:
        return f"Answered early by {named(trace, answered)}, so the view did not run."
    handler = next((e for e in trace.events if e.phase == "error_handler"), None)
    if handler is not None:
        return f"Answered by the error handler {named(trace, handler)}."
    view = function_of(trace)
    if view is not None and trace.lineage is not None:
        return f"Ran {_placed(short(view.name), view)} in a context of its own."
    if view is not None and trace.kind != "request":
        return f"Ran {named(trace, view)} in {trace.unit.name}."
    if view is not None:
        return f"Answered by {named(trace, view)}."
    return "No view ran." if trace.kind == "request" else ""


def function_of(trace: Trace) -> Event | None:
    """The view, or what else the context was pushed for; None where none ran."""
    return next((event for event in trace.events if event.phase == "view"), None)


def _lineage(trace: Trace) -> str:
    sentences = []
    if trace.lineage is not None:
        by = trace.lineage["by"] or "Something that was not recorded"
        late = trace.lineage["outlived_ms"]
        longer = f" and ended {milliseconds(late)} before this" if late else ""
        sentences.append(f"{by} started it at {trace.lineage['where']}{longer}.")
    count = len(trace.children) + trace.dropped_children
    if count:
        sentences.append(f"It started {_many(count, 'call')} elsewhere.")
    return " ".join(sentences)


def _running(trace: Trace) -> str:
    last = trace.events[-1] if trace.events else None
    return "Still running." + (
        f" The last step that ended is {named(trace, last)}." if last else ""
    )


def _failed(trace: Trace) -> str:
    error = trace.exception
    assert error is not None
    raised = next((e for e in reversed(trace.events) if e.outcome == "raised"), None)
    where = "" if raised is None else f", raised in {named(trace, raised)}"
    what = f"{error.type}: {error.message}" if error.message else error.type
    text = f"{what}{where}, handled by nobody."
    after = [e for e in _ran(trace) if e.phase in {"after_request", "save_session"}]
    if not after and trace.kind == "request":
        text += " It was propagated, so after_request did not run and the session was not saved."
    return text


def _ran(trace: Trace) -> list[Event]:
    return [event for event in trace.events if event.outcome != "skipped"]


def named(trace: Trace, event: Event) -> str:
    """*event* of *trace* by its phase, name and place, as sentences name it."""
    what = name = short(event.name)
    if event.phase not in HOOKS:
        phase = spoken(event.phase, trace.kind)
        what = phase if event.name == event.phase else f"{phase} {name}"
    return _placed(what, event)


def _placed(what: str, event: Event) -> str:
    return f"{what} ({event.where})" if event.where else what


def short(name: str) -> str:
    """A qualified name without the function that it was defined in."""
    return name.rpartition("<locals>.")[2]


def _hooks(trace: Trace) -> str:
    count = sum(event.phase in HOOKS for event in _ran(trace))
    return f"{_many(count, 'hook')} ran." if count else ""


def _session(trace: Trace) -> str:
    session = trace.session
    if session is None:
        return ""
    state, saved = session.get("state"), session.get("saved")
    return {
        "untouched": "The session was not touched.",
        "read": "The session was read.",
        "null": "The session could not be opened for writing: there is no secret key.",
        "changed": "The session was changed and saved."
        if saved
        else "The session was changed but NOT saved.",
    }.get(str(state), "")


def _g(trace: Trace) -> str:
    written = {name for event in trace.events for name in event.g.added}
    names = [name for name in trace.g if not name.startswith("$")]
    if names:
        shown = ", ".join(names[:NAMES]) + (" …" if len(names) > NAMES else "")
        return f"g ended with {_many(len(names), 'name')}: {shown}."
    return f"g held {_many(len(written), 'name')} on the way, and ended empty." if written else ""


def _usual(trace: Trace, usual_ms: float | None, usual_of: int) -> str:
    if usual_ms is None or not usual_of:
        return ""
    ran = function_of(trace) if trace.kind == "task" else None
    what = trace.endpoint if ran is None else short(ran.name)
    text = f"Usual for {what}: {milliseconds(usual_ms)} (median of {usual_of})."
    took = trace.duration_ms or 0.0
    if took < SLOWER * usual_ms or not trace.events:
        return text
    longest = max(trace.events, key=lambda event: event.duration_us)
    return f"{text} This one took longest in {named(trace, longest)}."


def _dropped(trace: Trace) -> str:
    if not trace.dropped_events:
        return ""
    return (
        f"{trace.dropped_events:,} events in the middle were dropped to bound memory "
        "(CTXKIT_MAX_EVENTS)."
    )


def milliseconds(value: float) -> str:
    """A duration as it is read: "3 µs", "1.20 ms", "41.8 ms", "640 ms", "2.31 s"."""
    if value < 0.1:  # noqa: PLR2004
        return f"{value * 1000:.0f} µs"
    if value < 10:  # noqa: PLR2004
        return f"{value:.2f} ms"
    if value < 100:  # noqa: PLR2004
        return f"{value:.1f} ms"
    if value < 1000:  # noqa: PLR2004
        return f"{value:.0f} ms"
    seconds = value / 1000
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
