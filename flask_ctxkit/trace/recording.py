"""What is noted while a context lives. It is on the request's path: every call counts.

A step is noted as a plain tuple, and becomes an :class:`~flask_ctxkit.trace.model.Event` only
when somebody looks (:mod:`flask_ctxkit.trace.freezing`). Values are redacted as they are
noted, so nothing that is kept holds a secret or an object of the user's.
"""

from __future__ import annotations

import time
import typing as t
from collections import deque
from operator import is_

from .. import internals
from ..internals import header_pairs, status_of
from .site import MAKE_RESPONSE, Site
from .watcher import (
    MISSING,
    NAMES,
    NO_G,
    Delta,
    Headers,
    Tracked,
    Watcher,
    merged,
    name_of,
    tracked,
    written,
)

if t.TYPE_CHECKING:
    from types import CodeType

    from ..units import Unit
    from .lineage import Lineage
    from .model import Captured, Error, Kind, Outcome, State

SPREAD: t.Final = 0x9E3779B1
"""Odd, so that multiplying by it visits every 32-bit number once before it repeats."""
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

STEP: t.Final = 3
"""How many items of a recording's log make a step."""
EXTRA: t.Final = 6
"""How many items of its extras make a row."""
_NO_EXTRA: t.Final = (None, None)
_NO_SIGNALS: t.Final[dict[str, tuple[str, ...]]] = {}


def _nobody() -> None:
    return None


Noted = tuple[Site, int, int, "Changes | None", "Remark | None"]
"""A step: its site, when it began and ended by :func:`now`, and what it changed."""


class Recording:
    """The growing record of one context."""

    # One block of memory, and no limit to how many are set: CPython shares the keys of at
    # most 30 attributes between the dicts of a class, and one more made each cost 1.5 KiB.
    __slots__ = (
        "app_context", "block", "changed", "current", "dropped", "ended", "endpoint", "environ",
        "error", "errors", "extras", "findings", "g", "g_known", "g_seen", "has_request",
        "headers", "kind", "leaked", "lineage", "log", "looks", "made", "match_end", "match_start", "method",
        "name", "odd", "opened", "other_g", "pairs", "parent", "path", "pending", "push_app",
        "pushed_at", "pushed_by", "query", "raisers", "recorder", "rendering", "request",
        "response", "reused", "room", "saving", "sent", "serial", "session", "session_first",
        "session_seen", "session_state", "shared", "shares", "signals", "state", "status",
        "streamed", "streaming", "tail", "templates", "thread", "unit", "verdicts", "wall",
    )  # fmt: skip

    def __init__(  # noqa: PLR0915  # each statement is an attribute
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
        self.room: int = recorder.limit * STEP
        self.log: list[t.Any] = []
        """The steps, flat: site, start and end of one after the other. A tuple for each would
        be an object more for the cyclic collector to visit, as long as the recording is kept."""
        self.extras: list[t.Any] = []
        """What few steps have, flat: the step's place, its four changes, and its remark."""
        self.g_known: dict[str, Captured] = {}
        """What ``g`` held at the last look."""
        self.push_app = made
        self.name = ""
        self.parent: str | None = None
        self.lineage: Lineage | None = None
        """What started it, and what it started, if either is known."""
        self.reused = False
        """Whether a request found its application context pushed (Flask 3.0 and 3.1)."""
        self.shares: t.Callable[[], t.Any] = _nobody
        """The application context that a request found pushed, if it still is one."""
        self.shared = False
        """Whether another request found its application context pushed (Flask 3.0 and 3.1)."""
        self.odd = False
        """Whether a step raised, was cut short or was not expected: always examined."""
        self.leaked = False
        self.streamed = False
        self.streaming = False
        self.state: State = "running"
        self.error: Error | None = None
        self.errors: tuple[int, ...] = ()
        """The identities of the exceptions that steps raised."""
        self.raisers: tuple[Site, ...] = ()
        """The steps that raised."""
        self.pending: tuple[tuple[Site, t.Any], ...] = ()
        """What an open step had changed when a step inside it began."""
        self.signals: t.Mapping[str, tuple[str, ...]] = _NO_SIGNALS
        self.templates: tuple[tuple[str, Site], ...] = ()
        self.findings: tuple[t.Any, ...] = ()
        self.tail: deque[Noted] | None = None
        self.dropped = 0
        self.thread: int | None = None
        """The ident of the thread that runs an async view, where it is another one."""
        self.pushed_at = 0
        self.block: Site | None = None
        """What a context was pushed for that no server asked for, until it ended."""
        self.method: str | None = None
        self.path: str | None = None
        self.query: str | None = None
        self.endpoint: str | None = None
        self.request: t.Any = None
        self.app_context: t.Any = None
        self.g = NO_G
        self.other_g: t.Any = None
        """A ``g`` that is not a stock one, and is compared after every step."""
        self.g_seen: Watcher | None = None
        self.changed: list[t.Any] = []
        """The names that steps changed, in order, for :meth:`shape`."""
        self.looks = False
        """Whether every step ends with a look, since no flag tells of a change."""
        self.session: t.Any = None
        self.session_seen: Watcher | None = None
        self.session_first: Site | None = None
        """The step that touched the session first."""
        self.session_state: str | None = None
        self.verdicts: tuple[t.Any, ...] = ()
        """What was said of the session when it was opened and saved, as records."""
        self.response: t.Any = None
        self.pairs: t.Sequence[t.Any] = ()
        """The response's headers at the last look."""
        self.headers: Headers = ()
        self.status: int | None = None
        self.sent: int | None = None
        """How many steps had been noted when the response went to the server."""
        self.match_start = self.match_end = 0
        self.opened = False
        """Whether it was told what ran before the first hook."""
        self.rendering: tuple[tuple[Site, int, Site | None], ...] = ()
        """The templates that are being rendered: site, start, and the step around each."""
        self.saving = 0
        """When the last after_request hook had ended."""
        self.ended: int | None = None
        self.environ: t.Mapping[str, Captured] | None = None
        self.current: Site | None = None
        """The step that runs now, for whoever asks from another thread."""

    @property
    def id(self) -> str:
        """8 hex digits, which no two recordings of a worker share."""
        return f"{(self.recorder.first_id + self.serial * SPREAD) & 0xFFFFFFFF:08x}"

    @property
    def started(self) -> int:
        return self.made[0]

    # -------------------------------------------------------------------- steps

    def note(self, site: Site, start: int, remark: Remark | None = None) -> None:
        """Note that a step ends now, with what it changed in ``g`` and the session."""
        end = now()
        session, log = self.session, self.log
        if self.g.log or self.looks or (session is not None and session.accessed):
            changes = self.look(site)
        elif remark is None and len(log) < self.room:
            log += (site, start, end)
            return
        else:
            changes = None
        self.add((site, start, end, changes, remark))

    def add(self, noted: Noted) -> None:
        """Add a step; of an over-long recording the middle is dropped and counted."""
        log = self.log
        if len(log) < self.room:
            site, start, end, changes, remark = noted
            if changes is not None:
                g, session, headers, status = changes
                self.extras += (len(log) // STEP, g, session, headers, status, remark)
            elif remark is not None:
                self.extras += (len(log) // STEP, None, None, None, None, remark)
            log += (site, start, end)
            return
        if self.tail is None:
            self.tail = deque(maxlen=self.room // STEP)
        if len(self.tail) == self.tail.maxlen:
            self.dropped += 1
        self.tail.append(noted)

    @property
    def count(self) -> int:
        """How many steps were noted before the first one that is only kept among the last."""
        return len(self.log) // STEP

    def all_steps(self) -> list[Noted]:
        """Every step that was kept, in the order of their ends."""
        log, extras = self.log, self.extras
        rows = {row[0]: (row[1:5], row[5]) for row in zip(*[iter(extras)] * EXTRA, strict=True)}
        steps = enumerate(zip(*[iter(log)] * STEP, strict=True))
        first = [(*step, *rows.get(n, _NO_EXTRA)) for n, step in steps]
        return t.cast("list[Noted]", [*first, *(self.tail or ())])

    # --------------------------------------------------------------------- looks

    def watch_g(self, g: t.Any, *, given: bool) -> None:
        """Watch *g* from now on.

        :param given: whether what it holds by now is older than this context.
        """
        live: t.Any = getattr(g, "__dict__", None)
        if type(g) is internals.GLOBALS_CLASS:
            if type(live) is not Tracked:
                live = tracked(live)
                object.__setattr__(g, "__dict__", live)
                if not given and live:
                    live.log = dict.fromkeys(live, MISSING)
            elif live.log:  # what nobody looked at is older than this context
                for key in live.log:
                    self.g_known.pop(name_of(key), None)
                live.log = {}
            self.g = live
        elif live is not None:
            self.other_g, self.looks = live, True
            self.g_seen = Watcher(self.recorder.capture, live if given else None)

    def watch_session(self, raw: t.Any) -> None:
        """Watch the session *raw* from now on. Looking never counts as access."""
        self.session = raw
        if not getattr(raw, "loaded", True):
            raw.on_load = self._session_read
        elif issubclass(type(raw), dict) and dict.__len__(raw):
            self.session_seen = Watcher(self.recorder.capture, raw)

    def _session_read(self, raw: t.Any) -> None:
        try:
            self.session_seen = Watcher(self.recorder.capture, raw)
        except BaseException as own:
            self.recorder.failed("session", own)

    def look(self, site: Site) -> Changes | None:
        """What *site* changed in ``g`` and the session: all since the last look."""
        g = None
        if self.g.log:
            g = written(self.g, self.g_known, self.recorder.capture)
        elif self.g_seen is not None:
            g = self.g_seen.look(self.other_g)
        raw, session = self.session, None
        if raw is not None and raw.accessed:
            session = self._look_session(site, raw)
        if self.pending:
            g, session = self._with_pending(site, g, session)
        if g is None and session is None:
            return None
        changed = self.changed
        changed.append(site)
        for delta in (g, session):
            if delta is not None:
                changed += (*delta[0], *delta[1], *delta[2])
            changed.append(delta is None)
        return (g, session, None, None)

    def _look_session(self, site: Site, raw: t.Any) -> Delta | None:
        if self.session_first is None:
            self.session_first = site
        if self.session_seen is None:
            if not issubclass(type(raw), dict):
                return None
            self.session_seen = Watcher(self.recorder.capture)
        return self.session_seen.look(raw)

    def look_inside(self, outer: Site) -> None:
        """A step begins inside *outer*: what changed up to now is the outer step's."""
        changes = self.look(outer)
        if changes is not None:
            self.pending = (*self.pending, (outer, changes))
            self.looks = True

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
        session, changes = self.session, None
        if self.g.log or self.looks or (session is not None and session.accessed):
            changes = self.look(site)
        pairs, status = header_pairs(response.headers), status_of(response)
        seen, headers = self.pairs, self.headers
        known = len(seen)
        same = self.response is response and known <= len(pairs) and all(map(is_, seen, pairs))
        if same and status == self.status and known == len(pairs):
            return changes
        capture = self.recorder.capture_headers
        # Most steps that change the headers add some.
        headers = (*headers, *capture(pairs[known:], known)) if same else capture(pairs)
        self.response, self.status, self.pairs, self.headers = response, status, pairs[:], headers
        self.changed += (site, len(pairs))
        if changes is None:
            return (None, None, headers, status)
        return (changes[0], changes[1], headers, status)

    def first_response(self, response: t.Any, start: int) -> None:
        """Note that Flask made *response* between the last step and *start*."""
        changes = self.look_response(response, MAKE_RESPONSE)
        self.add((MAKE_RESPONSE, self.last_end(), start, changes, None))

    def last_end(self) -> int:
        """When the last step ended."""
        if self.log and self.tail is None:
            return t.cast("int", self.log[-1])
        return self.tail[-1][2] if self.tail else self.match_end or self.push_app[1]

    def last_site(self) -> Site | None:
        """What ended last."""
        if self.tail:
            return self.tail[-1][0]
        return self.log[-STEP] if self.log else None

    # ----------------------------------------------------------------------- end

    def server_timing(self) -> str:
        """The milliseconds that each phase took so far, as a ``Server-Timing`` header.

        https://www.w3.org/TR/server-timing/
        """
        total: dict[str, int] = {}
        for site, start, end, _, _ in self.all_steps():
            total[site.phase] = total.get(site.phase, 0) + end - start
        return ", ".join(f"{phase};dur={spent / 1e6:.3f}" for phase, spent in total.items())

    def shape(self) -> t.Any:
        """What the findings can depend on, but for time: equal shapes have equal findings."""
        forwarded = self.environ is not None and "HTTP_X_FORWARDED_PROTO" in self.environ
        return (
            self.kind, self.endpoint, self.status, self.reused, forwarded,
            tuple(self.log[::STEP]), tuple(self.changed),
        )  # fmt: skip

    def release(self) -> None:
        """Let go of every object of the user's and of Flask's."""
        if self.session is not None:
            self.session_state = self.session_now()
            if not getattr(self.session, "loaded", True):
                del self.session.on_load
            self.session = None
            if self.session_seen is not None:
                self.session_seen.release()
        if self.g_seen is not None:
            self.g_known = dict(self.g_seen.known())
            self.g_seen = self.other_g = None
        elif len(self.g) > len(self.g_known):
            self._capture_given()
        if self.reused:  # the others go on with theirs
            self.g_known = dict(self.g_known)
        self.g = NO_G
        self.app_context = self.request = self.response = None
        self.pairs = ()

    def let_go(self, _: object) -> None:
        """The context vanished without a pop: hold nothing of the user's any longer.

        Called by the collector, so nothing is captured, and no code of the user's runs.
        """
        self.g, self.other_g, self.g_seen = NO_G, None, None
        self.session = self.session_seen = None
        self.app_context = self.request = self.response = None
        self.pairs = ()

    def _capture_given(self) -> None:
        for key in list(self.g)[:NAMES]:
            name = name_of(key)
            if name not in self.g_known:
                self.g_known[name] = self.recorder.capture(name, dict.get(self.g, key))

    def session_now(self) -> str | None:
        """One of "absent", "untouched", "read" and "changed"; None without a session."""
        if self.session is None:
            return self.session_state
        if self.session_first is not None:
            return "changed" if self.session.modified else "read"
        unread = not getattr(self.session, "loaded", True)
        if unread or (issubclass(type(self.session), dict) and dict.__len__(self.session)):
            return "untouched"
        return "absent"
