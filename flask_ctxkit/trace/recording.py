"""What is noted while a context lives. It is on the request's path: every call counts.

A step is noted as a tuple and becomes an :class:`~flask_ctxkit.trace.model.Event` only when
somebody looks (:mod:`flask_ctxkit.trace.freezing`). Values are redacted as they are noted,
so nothing that is kept holds a secret or an object of the user's.
"""

from __future__ import annotations

import time
import typing as t
from collections import deque

from .site import MAKE_RESPONSE, Site
from .watcher import Capture, Delta, Watcher, merged

if t.TYPE_CHECKING:
    from types import CodeType

    from ..units import Unit
    from .model import Captured, Error, Kind, Outcome, State

now: t.Final = time.perf_counter_ns


class Changes(t.NamedTuple):
    """What a step changed; None where nothing."""

    g: Delta | None
    session: Delta | None
    headers: Delta | None
    status: tuple[int | None, int] | None


class Step(t.NamedTuple):
    """One step; times in nanoseconds of :func:`now`."""

    site: Site
    start: int
    end: int
    outcome: Outcome
    changes: Changes | None
    error: Error | None
    note: str | None
    members: tuple[str, ...]


Noted = tuple[
    Site, int, int, "Outcome", "tuple[t.Any, ...] | None", "Error | None", "str | None",
    tuple[str, ...],
]  # fmt: skip
"""A :class:`Step` as it is noted: a plain tuple, which costs a tenth of a named one."""


class Recording:
    """The growing record of one context.

    Attributes with a default here are set by the recorder where they apply.
    """

    has_request = False
    app_context: t.Any = None
    request: t.Any = None
    environ: t.Mapping[str, Captured] | None = None
    g: dict[t.Any, t.Any] | None = None
    session: t.Any = None
    response: t.Any = None
    current: Site | None = None
    """The step that runs now, for whoever asks from another thread."""
    state: State = "running"
    name = ""
    method: str | None = None
    path: str | None = None
    query: str | None = None
    endpoint: str | None = None
    parent: str | None = None
    pushed_by: CodeType | None = None
    pushed_at = 0
    reused = False
    """Whether a request found its application context pushed (Flask 3.0 and 3.1)."""
    status: int | None = None
    sent: int | None = None
    """How many steps had been noted when the response went to the server."""
    sent_headers: t.Sequence[tuple[str, Captured]] = ()
    streamed = False
    streaming = False
    ended: int | None = None
    pending: tuple[tuple[Site, tuple[t.Any, ...]], ...] = ()
    """What an open step had changed when a step inside it began."""
    errors: tuple[int, ...] = ()
    """The identities of the exceptions that steps raised."""
    odd = False
    """Whether a step raised, was cut short or was not expected: always examined."""
    error: Error | None = None
    session_first: int | None = None
    session_state: t.Mapping[str, t.Any] | None = None
    signals: t.Mapping[str, tuple[str, ...]] = {}
    templates: tuple[tuple[str, int], ...] = ()
    findings: tuple[t.Any, ...] = ()
    thread: int | None = None
    """The ident of the thread that runs an async view, where it is another one."""
    dropped = 0
    own_ns = 0
    leaked = False

    def __init__(
        self, recorder: t.Any, serial: int, kind: Kind, unit: Unit, started: int
    ) -> None:
        self.recorder = recorder
        self.serial = serial
        self.kind: Kind = kind
        self.unit = unit
        self.started = self.mark = started
        self.wall = time.time()
        self.steps: list[Noted] = []
        self.tail: deque[Noted] | None = None
        self.g_seen = Watcher(recorder.capture)

    @property
    def id(self) -> str:
        return f"{self.serial:08x}"

    def note(self, step: Noted) -> None:
        """Add *step*; of an over-long recording the middle is dropped and counted."""
        self.mark = step[2]
        if len(self.steps) < self.recorder.limit:
            self.steps.append(step)
            return
        if self.tail is None:
            self.tail = deque(maxlen=self.recorder.limit)
        if len(self.tail) == self.tail.maxlen:
            self.dropped += 1
        self.tail.append(step)

    def all_steps(self) -> list[Step]:
        """Every step that was kept, in the order of their ends."""
        return [Step._make(step) for step in [*self.steps, *(self.tail or ())]]

    def look(self, site: Site) -> tuple[t.Any, ...] | None:
        """What *site* changed in ``g`` and the session: all since the last look."""
        g = None if self.g is None else self.g_seen.look(self.g)
        session = None if self.session is None else self.session.look(site)
        return (g, session, None, None) if g is not None or session is not None else None

    def look_inside(self, outer: Site) -> None:
        """A step begins inside *outer*: what changed up to now is the outer step's."""
        changes = self.look(outer)
        if changes is not None:
            self.pending = (*self.pending, (outer, changes))

    def with_pending(
        self, site: Site, changes: tuple[t.Any, ...] | None
    ) -> tuple[t.Any, ...] | None:
        """*changes*, and those that *site* had made before a step inside it began."""
        rows = self.pending
        self.pending = tuple(row for row in rows if row[0] is not site)
        for owner, later in reversed(rows):
            if owner is site:
                g, session, headers, status = changes or (None, None, None, None)
                g, session = merged(later[0], g), merged(later[1], session)
                changes = (g, session, headers, status)
        return changes

    def look_response(self, response: t.Any, site: Site) -> tuple[t.Any, ...] | None:
        """The same, and what changed in the response: its status and headers."""
        watch = self.response
        if watch is None:
            watch = self.response = ResponseWatch(self.recorder.capture)
        status, headers = watch.look(response)
        changes = self.look(site)
        if status is None and headers is None:
            return changes
        self.status = watch.status
        return (*(changes or (None, None))[:2], headers, status)

    def first_response(self, response: t.Any, start: int) -> None:
        """Note that Flask made *response* between the last step and *start*."""
        watch = self.response
        if watch is None or watch.response is not response:
            changes = self.look_response(response, MAKE_RESPONSE)
            self.note((MAKE_RESPONSE, self.mark, start, "ok", changes, None, None, ()))

    def shape(self) -> tuple[t.Any, ...]:
        """What the findings can depend on, but for time: equal shapes have equal findings."""
        return (
            self.kind,
            self.endpoint,
            self.status,
            self.reused,
            tuple([step[0] for step in self.steps]),
            tuple([_names(step[4]) for step in self.steps if step[4] is not None]),
            None if self.environ is None else tuple(self.environ),
        )

    def release(self) -> None:
        """Let go of every object of the user's and of Flask's."""
        self.g_seen.release()
        self.g = self.app_context = self.request = None
        if self.session is not None:
            self.session_state = self.session.state()
            self.session = None
        if self.response is not None:
            self.response.release()


class ResponseWatch:
    """The response as the last step left it."""

    __slots__ = ("headers", "response", "status")

    def __init__(self, capture: Capture) -> None:
        self.response: t.Any = None
        self.status: int | None = None
        self.headers = Watcher(capture)

    def look(self, response: t.Any) -> tuple[tuple[int | None, int] | None, Delta | None]:
        before, self.response = self.status, response
        self.status = status = response.status_code
        return (
            None if status == before else (before, status),
            self.headers.look_headers([*response.headers]),
        )

    def release(self) -> None:
        self.response = None
        self.headers.release()


def _names(changes: tuple[t.Any, ...]) -> tuple[t.Any, ...]:
    return tuple([None if d is None else d.names if type(d) is Delta else d for d in changes])
