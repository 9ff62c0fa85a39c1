"""What is noted while a context lives. It is on the request's path: every call counts.

A step is noted as a plain tuple, and becomes an :class:`~flask_ctxkit.trace.model.Event` only
when somebody looks (:mod:`flask_ctxkit.trace.freezing`). Values are redacted as they are
noted, so nothing that is kept holds a secret or an object of the user's.
"""

from __future__ import annotations

import time
import typing as t
from collections import deque
from itertools import chain
from operator import is_

from .. import internals
from .site import MAKE_RESPONSE, Site
from .watcher import Delta, Headers, Live, Watcher, merged

if t.TYPE_CHECKING:
    from types import CodeType

    from ..units import Unit
    from .model import Captured, Error, Kind, Outcome, State

now: t.Final = time.perf_counter_ns

Changes = tuple["Delta | None", "Delta | None", "Headers | None", "int | None"]
"""What a step changed: ``g``, the session; and the headers and status that it left behind."""

class Remark(t.NamedTuple):
    """What few steps have: how they ended, if not well, and what is to be told of them."""

    outcome: Outcome = "ok"
    error: Error | None = None
    note: str | None = None
    members: tuple[str, ...] = ()


ANSWERED: t.Final = Remark("answered")

Noted = tuple[Site, int, int, "Changes | None", "Remark | None"]
"""A step: its site, when it began and ended by :func:`now`, and what it changed."""


class Recording:
    """The growing record of one context."""

    # Attributes that few recordings set are defaults of the class. No more than 30 are set
    # on each: CPython shares the keys of so many, and an unshared dict is dearer.
    name = ""
    parent: str | None = None
    reused = False
    """Whether a request found its application context pushed (Flask 3.0 and 3.1)."""
    odd = False
    """Whether a step raised, was cut short or was not expected: always examined."""
    leaked = False
    streamed = False
    streaming = False
    state: State = "running"
    error: Error | None = None
    errors: tuple[int, ...] = ()
    """The identities of the exceptions that steps raised."""
    pending: tuple[tuple[Site, t.Any], ...] = ()
    """What an open step had changed when a step inside it began."""
    signals: t.Mapping[str, tuple[str, ...]] = {}
    templates: tuple[tuple[str, Site], ...] = ()
    findings: tuple[t.Any, ...] = ()
    tail: deque[Noted] | None = None
    dropped = 0
    thread: int | None = None
    """The ident of the thread that runs an async view, where it is another one."""
    pushed_at = 0
    method: str | None = None
    path: str | None = None
    query: str | None = None
    endpoint: str | None = None
    request: t.Any = None
    app_context: t.Any = None
    g: Live | None = None
    session: t.Any = None
    session_seen: Watcher | None = None
    session_first: Site | None = None
    """The step that touched the session first."""
    session_state: str | None = None
    response: t.Any = None
    pairs: t.Sequence[t.Any] = ()
    """The response's headers at the last look."""
    headers: Headers = ()
    status: int | None = None
    sent: int | None = None
    """How many steps had been noted when the response went to the server."""
    match_start = match_end = 0
    ended: int | None = None
    environ: t.Mapping[str, Captured] | None = None
    current: Site | None = None
    """The step that runs now, for whoever asks from another thread."""

    def __init__(
        self, recorder: t.Any, serial: int, kind: Kind, unit: Unit, made: tuple[int, int]
    ) -> None:
        self.recorder = recorder
        self.serial = serial
        self.kind: Kind = kind
        self.unit = unit
        self.made = made
        self.has_request = False
        self.pushed_by: CodeType | None = None
        self.wall = time.time()
        self.steps: list[Noted] = []
        self.changed: list[t.Any] = []
        """The names that steps changed, in order, for :meth:`shape`."""
        self.g_seen = Watcher(recorder.capture)
        self.mark = made[1]
        """When the last step ended."""
        self.push_app = made

    @property
    def id(self) -> str:
        return f"{self.serial:08x}"

    @property
    def started(self) -> int:
        return self.made[0]

    # -------------------------------------------------------------------- steps

    def note(self, site: Site, start: int, end: int, remark: Remark | None = None) -> None:
        """Note a step, with what it changed in ``g`` and the session."""
        changes = None
        g, seen = self.g, self.g_seen.seen
        if g is not None and (
            # Watcher.look, inlined: nine of ten steps change nothing.
            2 * len(g) != len(seen)
            or (seen and not all(map(is_, chain(g, g.values()), seen)))
            or (self.session is not None and self.session.accessed)
            or self.pending
        ):
            changes = self.look(site)
        self.add((site, start, end, changes, remark))

    def add(self, noted: Noted) -> None:
        """Add a step; of an over-long recording the middle is dropped and counted."""
        self.mark = noted[2]
        if len(self.steps) < self.recorder.limit:
            self.steps.append(noted)
            return
        if self.tail is None:
            self.tail = deque(maxlen=self.recorder.limit)
        if len(self.tail) == self.tail.maxlen:
            self.dropped += 1
        self.tail.append(noted)

    def all_steps(self) -> list[Noted]:
        """Every step that was kept, in the order of their ends."""
        return [*self.steps, *(self.tail or ())]

    # --------------------------------------------------------------------- looks

    def look(self, site: Site) -> Changes | None:
        """What *site* changed in ``g`` and the session: all since the last look."""
        g = None if self.g is None else self.g_seen.look(self.g)
        session = None if self.session is None else self._look_session(site)
        if self.pending:
            g, session = self._with_pending(site, g, session)
        if g is None and session is None:
            return None
        self.changed.append((site, _names(g), _names(session)))
        return (g, session, None, None)

    def _look_session(self, site: Site) -> Delta | None:
        raw = self.session
        if self.session_first is None:
            if not raw.accessed:
                return None
            self.session_first = site
        if self.session_seen is None:
            return None
        return self.session_seen.look(raw)

    def watch_session(self, raw: t.Any) -> None:
        """Watch the session *raw* from now on. Looking never counts as access."""
        self.session = raw
        if issubclass(type(raw), dict):
            self.session_seen = Watcher(self.recorder.capture, raw)

    def look_inside(self, outer: Site) -> None:
        """A step begins inside *outer*: what changed up to now is the outer step's."""
        changes = self.look(outer)
        if changes is not None:
            self.pending = (*self.pending, (outer, changes))

    def _with_pending(
        self, site: Site, g: Delta | None, session: Delta | None
    ) -> tuple[Delta | None, Delta | None]:
        rows = self.pending
        self.pending = tuple(row for row in rows if row[0] is not site)
        for owner, earlier in reversed(rows):
            if owner is site:
                g, session = merged(earlier[0], g), merged(earlier[1], session)
        return g, session

    def look_response(self, response: t.Any, site: Site) -> Changes | None:
        """What *site* changed, and the status and headers that it left, if it changed them."""
        changes = self.look(site)
        pairs = internals.header_pairs(response.headers)
        status = response.status_code
        seen = self.pairs
        if (
            len(pairs) == len(seen)
            and status == self.status
            and self.response is response
            and all(map(is_, pairs, seen))
        ):
            return changes
        self.response, self.status, self.pairs = response, status, pairs[:]
        self.headers = self.recorder.capture_headers(pairs)
        self.changed.append((site, tuple([pair[0] for pair in self.headers])))
        g, session = (None, None) if changes is None else changes[:2]
        return (g, session, self.headers, status)

    def first_response(self, response: t.Any, start: int) -> None:
        """Note that Flask made *response* between the last step and *start*."""
        if self.response is not response:
            changes = self.look_response(response, MAKE_RESPONSE)
            self.add((MAKE_RESPONSE, self.mark, start, changes, None))

    # ----------------------------------------------------------------------- end

    def shape(self) -> t.Any:
        """What the findings can depend on, but for time: equal shapes have equal findings."""
        forwarded = self.environ is not None and "HTTP_X_FORWARDED_PROTO" in self.environ
        return (
            self.kind, self.endpoint, self.status, self.reused, forwarded,
            tuple([step[0] for step in self.steps]), tuple(self.changed),
        )  # fmt: skip

    def release(self) -> None:
        """Let go of every object of the user's and of Flask's."""
        if self.session is not None:
            self.session_state = self.session_now()
            self.session = None
            if self.session_seen is not None:
                self.session_seen.release()
        self.g_seen.release()
        self.g = self.app_context = self.request = self.response = None
        self.pairs = ()

    def session_now(self) -> str | None:
        """"absent", "untouched", "read" or "changed"; None without a session."""
        if self.session is None:
            return self.session_state
        if self.session_first is not None:
            return "changed" if self.session.modified else "read"
        return "untouched" if self.session else "absent"


def _names(delta: Delta | None) -> tuple[str, ...] | None:
    return None if delta is None else (*delta[0], *delta[1], *delta[2])
