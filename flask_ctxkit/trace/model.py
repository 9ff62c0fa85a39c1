"""Records of what happened: a trace is the record of one context, an event a step on it.

Every value in a record went through the :class:`~flask_ctxkit.redact.Redactor`, so records
are plain data and hold no secret and no object of the user's.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..units import Unit as Unit  # noqa: PLC0414, TC001 - exported from here as well

Phase = t.Literal[
    "make_request", "push_app", "push_request", "open_session", "match", "signal",
    "url_value_preprocessor", "before_first_request", "before_request", "view", "template",
    "error_handler", "make_response", "after_this_request", "after_request", "save_session",
    "teardown_request", "teardown_appcontext", "pop", "stream", "resource",
]  # fmt: skip
PHASES: t.Final[tuple[str, ...]] = t.get_args(Phase)

Outcome = t.Literal["ok", "answered", "raised", "skipped", "running"]
"""``answered``: a before_request hook returned a response, so the view did not run.
``skipped``: Flask did not run this step; ``Event.note`` says why."""

Kind = t.Literal["request", "cli", "script", "test", "task"]
State = t.Literal["running", "finished", "left"]
"""``left``: its context was never popped, or its body was neither finished nor closed."""

Captured = t.Any
"""A redacted, bounded copy of a user's value: JSON-safe, see :mod:`flask_ctxkit.redact`."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a namespace (``g``, the session, the response headers) differs after an event.

    ``changed`` maps a name to ``[before, after]``.
    """

    added: t.Mapping[str, Captured] = field(default_factory=dict)
    changed: t.Mapping[str, Captured] = field(default_factory=dict)
    removed: t.Mapping[str, Captured] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class ResponseChange(Change):
    """A :class:`Change` of the headers, with ``status``: ``[before, after]`` or None.

    ``before`` is None where there was no response yet. Headers that occur more than once
    have their values joined with a line feed.
    """

    status: tuple[int | None, int] | None = None

    def __bool__(self) -> bool:
        # Not super(): zero-argument super fails in a slotted dataclass before Python 3.14.
        return bool(self.added or self.changed or self.removed or self.status)


@dataclass(frozen=True, slots=True)
class Error:
    """An exception as a record: ``where`` is "file:line" of its innermost frame outside
    Flask, ``frames`` its traceback as "file:line function", outermost first.
    """

    type: str
    message: str
    where: str | None = None
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One step. ``start_us`` counts microseconds from the start of the trace.

    ``where`` is "file:line" of the definition; ``source`` who owns it ("this app",
    "blueprint shop", or the distribution's name of an extension); ``members`` names what
    ran inside a block that can't be timed singly; ``depth`` is 1 for an event inside
    another, 2 inside that, and so on; ``parameters`` are the captured ones of a statement.
    """

    index: int
    phase: Phase
    name: str
    start_us: float
    duration_us: float
    outcome: Outcome = "ok"
    blueprint: str | None = None
    where: str | None = None
    source: str | None = None
    depth: int = 0
    members: tuple[str, ...] = ()
    note: str | None = None
    parameters: Captured = None
    error: Error | None = None
    g: Change = field(default_factory=Change)
    session: Change = field(default_factory=Change)
    response: ResponseChange = field(default_factory=ResponseChange)


@dataclass(frozen=True, slots=True)
class Trace:
    """The record of one context from its making to its end.

    ``session`` holds ``{"state": "absent" | "untouched" | "read" | "changed" | "null",
    "names": {name: captured}, "accessed_by": event index or None, "saved": bool,
    "verdicts": [...]}``.
    ``response`` holds ``{"status", "headers": [[name, captured, event index or None]],
    "streamed": bool}``, or is None where no response was started. ``signals`` holds
    ``{"name", "event": index or None, "receivers": [name]}``. ``templates`` holds
    ``{"name", "event"}``. ``contexts`` holds ``{"kind", "app", "pushed": "file:line",
    "reused": bool}`` bottom to top. ``findings`` holds the findings as plain data.
    ``parent`` is the id of the trace that it ran inside of, or that started it. ``lineage``
    tells of work that was started by ``propagate`` or ``copy_current_request_context``:
    ``{"how": "propagate" | "copy", "where": "file:line" of that call, "by": name of the parent
    or None, "captured": [proxies that it was given], "outlived_ms": milliseconds that it ran
    beyond the parent's end, 0 if it did not}``. ``children`` are the ids of such work that was
    started from here.
    """

    id: str
    kind: Kind
    state: State
    name: str
    method: str | None
    path: str | None
    query: str | None
    endpoint: str | None
    status: int | None
    started_at: str
    duration_ms: float | None
    unit: Unit
    events: tuple[Event, ...]
    parent: str | None = None
    lineage: t.Mapping[str, t.Any] | None = None
    children: tuple[str, ...] = ()
    dropped_children: int = 0
    findings: tuple[t.Mapping[str, t.Any], ...] = ()
    session: t.Mapping[str, t.Any] | None = None
    response: t.Mapping[str, t.Any] | None = None
    signals: tuple[t.Mapping[str, t.Any], ...] = ()
    templates: tuple[t.Mapping[str, t.Any], ...] = ()
    exception: Error | None = None
    contexts: tuple[t.Mapping[str, t.Any], ...] = ()
    environ: t.Mapping[str, Captured] = field(default_factory=dict)
    g: t.Mapping[str, Captured] = field(default_factory=dict)
    dropped_events: int = 0
    own_cost_us: float | None = None
