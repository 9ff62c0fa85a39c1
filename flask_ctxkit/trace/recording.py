"""What is noted while a context lives. It is on the request's path: every call counts.

A step is noted as a plain tuple, and becomes an :class:`~flask_ctxkit.trace.model.Event` only
when somebody looks (:mod:`flask_ctxkit.trace.freezing`). Values are redacted as they are
noted, so nothing that is kept holds a secret or an object of the user's.
"""

from __future__ import annotations

import time
import typing as t
from collections import deque

from .. import internals
from ..globals import OURS
from ..internals import header_pairs, status_of
from .captures import NO_VARIABLES
from .site import Site
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
    from .captures import Variables
    from .lineage import Lineage
    from .model import Captured, Error, Kind, Outcome, State

KEY: t.Final = "_ctxkit"
"""The attribute of a context that holds its recording."""
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
    parameters: Captured = None


ANSWERED: t.Final = Remark("answered")

STEP: t.Final = 5
"""How many items of a recording's log make a step."""
NO_PAIRS: t.Final[list[tuple[str, str]]] = []
"""Stands for the headers of a response that nobody looked at."""
_NO_SIGNALS: t.Final[dict[str, tuple[str, ...]]] = {}


def _nobody() -> None:
    return None


def _add_names(names: list[t.Any], delta: Delta) -> None:
    added, changed, removed = delta
    names += added
    if changed or removed:
        names += (*changed, *removed)


Noted = tuple[Site, int, int, "Changes | None", "Remark | None"]
"""A step: its site, when it began and ended by :func:`now`, and what it changed."""


class Recording:
    """The growing record of one context."""

    # What each request sets or reads is a slot: to read a default of the class takes the
    # interpreter ten times as long. What few requests come across is an attribute of the class
    # until then: it costs the others no time and no memory.
    __slots__ = (
        "__dict__", "alone", "app_context", "block", "changed", "current", "ended", "endpoint",
        "environ", "error", "g", "g_known", "has_request", "headers", "kind", "lasted", "lineage",
        "log", "looks", "made", "match_end", "match_start", "method", "odd", "pairs", "path",
        "push_end", "push_start", "pushed_at", "pushed_by", "recorder", "request", "response",
        "reused", "room", "saving", "sent", "serial", "session", "session_first", "session_seen",
        "session_state", "session_writes", "state", "status", "streamed", "streaming", "tail",
        "told", "touched", "unit", "verdicts", "wall",
    )  # fmt: skip

    name = ""
    parent: str | None = None
    query: str | None = None
    shares: t.Callable[[], t.Any] = staticmethod(_nobody)
    """The application context that a request found pushed, if it still is one."""
    leaked = False
    errors: tuple[int, ...] = ()
    """The identities of the exceptions that steps raised."""
    raisers: tuple[Site, ...] = ()
    """The steps that raised."""
    pending: tuple[tuple[Site, t.Any], ...] = ()
    """What an open step had changed when a step inside it began."""
    other_g: t.Any = None
    """A ``g`` that is not a stock one, and is compared after every step."""
    g_seen: Watcher | None = None
    signals: t.Mapping[str, tuple[str, ...]] = _NO_SIGNALS
    templates: tuple[tuple[str, Site], ...] = ()
    rendering: tuple[tuple[Site, int, Site | None], ...] = ()
    """The templates that are being rendered: site, start, and the step around each."""
    findings: tuple[t.Any, ...] = ()
    dropped = 0
    left_at = 0
    """When its body was dropped, if it was: nobody tells of that before a while has passed."""
    opened = False
    """Whether it was told what ran before the first hook."""
    skips_told = False
    """Whether it was told what Flask left out: once, though a context can be pushed again."""
    thread: int | None = None
    """The ident of the thread that runs an async view, where it is another one."""

    kind: Kind
    unit: Unit
    made: tuple[int, int]
    """When the making of the context began and ended."""
    push_start: int
    push_end: int
    pushed_by: CodeType
    pushed_at: int
    """The line at which ``pushed_by`` pushed the context."""
    state: State
    method: str | None
    path: str | None
    endpoint: str | None
    request: t.Any
    app_context: t.Any
    alone: bool
    """Whether it is the recording of each application context that it is found on."""
    block: Site | None
    """What a context was pushed for that no server asked for, until it ended."""
    current: Site | None
    """The step that runs now, for whoever asks from another thread."""
    lineage: Lineage | None
    """What started it, and what it started, if either is known."""
    reused: bool
    """Whether a request found its application context pushed (Flask 3.0 and 3.1)."""
    looks: bool
    """Whether every step ends with a look, since nothing tells of a change."""
    told: bool
    """Whether the session tells when it is touched, and of each change."""
    touched: bool
    """Whether the next step ends with a look, since the session told of something."""
    odd: bool
    """Whether a step raised, was cut short or was not expected. It is always examined."""
    error: Error | None
    log: list[t.Any]
    """The steps, flat: the five items of one after the other. A tuple for each would be an
    object more for the cyclic collector to visit, as long as the recording is kept."""
    tail: deque[Noted] | None
    changed: list[t.Any]
    """The names that steps changed, in order, for :meth:`shape`."""
    g: Tracked
    g_known: dict[str, Captured]
    """What ``g`` held at the last look."""
    session: t.Any
    session_seen: Watcher | None
    session_first: Site | None
    """The step that touched the session first."""
    session_state: str | None
    session_writes: int
    """How often the session had been written to at the last look."""
    verdicts: tuple[t.Any, ...]
    """What was said of the session when it was opened and saved, as records."""
    response: t.Any
    headers: Headers
    """The captured headers of the response at the last look."""
    pairs: list[tuple[str, str]]
    """Those headers as they are, until the end."""
    status: int | None
    sent: bool
    """Whether the response went to the server."""
    saving: int
    """When the last after_request hook had ended."""
    ended: int | None
    lasted: int
    """Nanoseconds, once it ended."""
    environ: Variables

    def __init__(
        self, recorder: t.Any, serial: int, kind: Kind, unit: Unit, made: tuple[int, int]
    ) -> None:
        # Where and when it was pushed is set by who begins it.
        self.recorder, self.serial, self.kind, self.unit = recorder, serial, kind, unit
        self.made = made
        self.wall = time.time()
        self.alone = internals.ONE_CONTEXT
        self.room: int = recorder.limit * STEP
        self.state = "running"
        self.has_request = self.reused = self.looks = self.odd = False
        self.told = self.touched = False
        self.streamed = self.streaming = self.sent = False
        self.method = self.path = self.endpoint = self.status = self.ended = self.error = None
        self.request = self.app_context = self.session = self.response = self.current = None
        self.block = self.lineage = self.tail = None
        self.session_seen = self.session_first = self.session_state = None
        self.log, self.changed, self.g_known = [], [], {}
        self.g, self.session_writes = NO_G, -1
        self.verdicts = self.headers = ()
        self.pairs, self.environ = NO_PAIRS, NO_VARIABLES
        self.match_start = self.match_end = self.saving = self.lasted = 0

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
        changes = self.look(site) if self.g.log or self.touched else None
        log = self.log
        if len(log) < self.room:
            log += (site, start, end, changes, remark)
        else:
            self._note_late((site, start, end, changes, remark))

    def add(self, noted: Noted) -> None:
        """Add a step; of an over-long recording the middle is dropped and counted."""
        if len(self.log) < self.room:
            self.log += noted
        else:
            self._note_late(noted)

    def _note_late(self, noted: Noted) -> None:
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
        first = zip(*[iter(self.log)] * STEP, strict=True)
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
            self.other_g, self.looks, self.touched = live, True, True
            self.g_seen = Watcher(self.recorder.capture, live if given else None)

    def watch_session(self, raw: t.Any) -> None:
        """Watch the session *raw* from now on. Looking never counts as access."""
        self.session = raw
        # A copy of a context has the same session, which tells one of both.
        if type(raw) in self.recorder.telling and raw.__dict__.get("on_touch") is None:
            raw.on_touch = self._session_touched
            self.told = True
            return
        self.looks = self.touched = True
        if issubclass(type(raw), dict) and dict.__len__(raw):
            self.session_seen = Watcher(self.recorder.capture, raw)

    def _session_touched(self, raw: t.Any) -> None:
        self.touched = True
        try:
            # What was just read from the cookie was there before.
            if self.session_seen is None and not raw.writes and dict.__len__(raw):
                self.session_seen = Watcher(self.recorder.capture, raw)
        except BaseException as own:
            self.recorder.failed("session", own)

    def look(self, site: Site) -> Changes | None:
        """What *site* changed in ``g`` and the session: all since the last look."""
        g = session = None
        if self.g.log:
            g = written(self.g, self.g_known, self.recorder.capture)
        if self.touched:
            g, session = self._look_closer(site, g)
        if g is None and session is None:
            return None
        changed = self.changed
        changed.append(site)
        if g is not None:
            _add_names(changed, g)
        if session is not None:
            changed.append(MISSING)  # what follows are names in the session
            _add_names(changed, session)
        return (g, session, None, None)

    def _look_closer(self, site: Site, g: Delta | None) -> tuple[Delta | None, Delta | None]:
        """What *site* changed, where more than a stock ``g`` may have changed."""
        raw, session = self.session, None
        self.touched = self.looks
        if raw is not None and raw.accessed:
            session = self._look_session(site, raw)
        if self.g_seen is not None:
            g = self.g_seen.look(self.other_g)
        return self._with_pending(site, g, session) if self.pending else (g, session)

    def _look_session(self, site: Site, raw: t.Any) -> Delta | None:
        if self.session_first is None:
            self.session_first = site
        if self.session_seen is None:
            if not issubclass(type(raw), dict):
                return None
            self.session_seen = Watcher(self.recorder.capture)
        writes = getattr(raw, "writes", None)
        if writes is not None:
            if writes == self.session_writes:
                return None
            self.session_writes = writes
        return self.session_seen.look(raw)

    def look_inside(self, outer: Site) -> None:
        """A step begins inside *outer*: what changed up to now is the outer step's."""
        changes = self.look(outer)
        if changes is not None:
            self.pending = (*self.pending, (outer, changes))
            self.looks = self.touched = True

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
        changes = self.look(site) if self.g.log or self.touched else None
        pairs, status = header_pairs(response.headers), status_of(response)
        self.response = response
        if pairs == self.pairs and status == self.status:
            return changes
        self.pairs = pairs.copy()
        headers = self.recorder.captures.headers(pairs)
        self.status, self.headers = status, headers
        self.changed += (site, len(pairs))
        if changes is None:
            return (None, None, headers, status)
        return (changes[0], changes[1], headers, status)

    def last_end(self) -> int:
        """When the last step ended."""
        if self.log and self.tail is None:
            return self.log[2 - STEP]  # type: ignore[no-any-return]  # a cast would be a call
        return self.tail[-1][2] if self.tail else self.match_end or self.push_end

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
        forwarded = "HTTP_X_FORWARDED_PROTO" in self.environ[0]
        return (
            self.kind, self.endpoint, self.status, self.reused, forwarded,
            tuple(self.log[::STEP]), tuple(self.changed),
        )  # fmt: skip

    def release(self) -> None:
        """Let go of every object of the user's and of Flask's."""
        if self.session is not None:
            self.session_state = self.session_now()
            if self.told:
                self.session.on_touch = None
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
        self.pairs = NO_PAIRS

    def let_go(self, _: object) -> None:
        """The context vanished without a pop: hold nothing of the user's any longer.

        Called by the collector, so nothing is captured, and no code of the user's runs.
        """
        self.g, self.other_g, self.g_seen = NO_G, None, None
        self.session = self.session_seen = None
        self.app_context = self.request = self.response = None
        self.pairs = NO_PAIRS

    def _capture_given(self) -> None:
        for key in list(self.g)[:NAMES]:
            name = name_of(key)
            if name not in self.g_known and name != OURS:
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
