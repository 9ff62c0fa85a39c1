"""Every context of the process that is pushed now, in whatever thread, greenlet or task."""

from __future__ import annotations

import gc
import sys
import time
import typing as t
import weakref
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from .. import internals
from ..deferred import run_deferred
from ..definition import short_path
from ..units import current_unit, units_alive
from .frames import Frame, find_wsgi_contexts, frames_of

if t.TYPE_CHECKING:
    from types import CodeType

    from ..units import Unit

LEAKS: t.Final = 100
"""The most leaks that are remembered, the last ones."""

COLLECT_EVERY: t.Final = 1.0
"""Seconds between two runs of the cyclic collector, which pages that poll would ask for."""
SWEEP: t.Final = 1000
"""How many entries there may be before those whose context vanished are looked for."""

LeakKind = t.Literal["left-current", "wrong-pop", "never-popped", "dirty-start", "shared-copy"]
State = t.Literal["running", "left", "suspended"]


class Watched(t.Protocol):
    """What the registry reads of the record of a context."""

    serial: int
    kind: t.Any
    unit: Unit
    wall: float
    current: t.Any
    method: str | None
    path: str | None
    endpoint: str | None
    parent: str | None
    pushed_by: CodeType
    pushed_at: int
    thread: int | None
    ended: int | None
    leaked: bool
    streaming: bool
    reused: bool
    app_context: t.Any

    @property
    def id(self) -> str: ...
    def let_go(self, _: object, /) -> None: ...
    @property
    def started(self) -> int: ...


class Held(t.Protocol):
    """Something that a context holds open, as the room that opened it tells it."""

    @property
    def resource(self) -> str: ...
    @property
    def unit(self) -> Unit: ...
    @property
    def where(self) -> str | None: ...
    @property
    def age_s(self) -> float: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Live:
    """A context that is pushed now. ``age_s`` counts seconds; where it was not recorded,
    it is the least age that is known, and ``age_exact`` is False.
    """

    id: str | None
    kind: str
    app: str
    unit: Unit
    method: str | None
    path: str | None
    endpoint: str | None
    age_s: float | None
    age_exact: bool
    phase: str | None
    hook: str | None
    where: str | None
    pushed: str | None
    state: State
    stuck: bool
    parent: str | None
    frames: tuple[Frame, ...] = ()
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Leak:
    """A context that did not end as it should, or can't. ``at`` is in UTC, ISO 8601; ``still``
    tells whether it is still current; ``popped`` is the place and unit of a pop that failed.
    """

    kind: LeakKind
    at: str
    unit: Unit
    method: str | None
    path: str | None
    pushed: str | None
    message: str
    trace: str | None
    still: bool
    wall: float = 0.0
    popped: str | None = None


class Registry:
    """The live contexts of one app.

    :param stuck_after: seconds after which a context is called stuck.
    :param shown: what may be shown of a request's path.
    """

    def __init__(
        self, app_name: str, stuck_after: float = 10.0, shown: t.Callable[[str], str] = str
    ) -> None:
        self.shown = shown
        self.app_name = app_name
        self.stuck_after = stuck_after
        self.recording = False
        """Whether contexts tell of themselves; if not, they are read from the frames."""
        self._entries: dict[int, tuple[weakref.ref[t.Any], Watched]] = {}
        """Contexts are held weakly: that one is watched must not keep it alive."""
        self._leaks: deque[tuple[Leak, weakref.ref[t.Any] | None]] = deque(maxlen=LEAKS)
        self._sweep_at = SWEEP
        self._collected = float("-inf")
        self.held: t.Callable[[t.Any], tuple[Held, ...]] = _nothing
        """Asked for what an application context holds open."""
        self.on_leak: t.Callable[[Leak], object] | None = None
        """Called with each leak when it is noticed."""
        self.on_wrong_pop: t.Callable[[BaseException, Leak], object] | None = None
        """Called with what a wrong pop raised, while it is on its way."""
        self.on_orphan: t.Callable[[t.Any], object] | None = None
        """Called with the record of a context that nobody will pop any more."""
        self._left: weakref.WeakSet[t.Any] = weakref.WeakSet()
        """Contexts that were current when the call that pushed them ended."""
        self._dirty: weakref.WeakSet[t.Any] = weakref.WeakSet()
        """Those that another call began on."""
        self._seen: dict[int, tuple[weakref.ref[t.Any], float]] = {}

    # ------------------------------------------------- told by whoever watches contexts

    def entered(self, ctx: t.Any, recording: Watched) -> None:
        """*ctx* is about to be pushed."""
        self._entries[recording.serial] = (weakref.ref(ctx, recording.let_go), recording)
        if len(self._entries) > self._sweep_at:
            self._sweep()
            self._sweep_at = max(SWEEP, 2 * len(self._entries))

    def left(self, recording: Watched) -> None:
        """The context of *recording* was popped for the last time."""
        self._entries.pop(recording.serial, None)

    def has_lost(self) -> None:
        """A context that held something vanished: the next push looks for it, so that it is told
        also where nobody asks.
        """
        self._sweep_at = 0

    def _sweep(self) -> list[tuple[t.Any, Watched]]:
        """The contexts that are pushed; one that vanished was never popped."""
        alive: list[tuple[t.Any, Watched]] = []
        for serial, (reference, recording) in list(self._entries.items()):
            ctx = reference()
            if ctx is not None:
                alive.append((ctx, recording))
            elif self._entries.pop(serial, None) is not None:
                if not recording.leaked:
                    self._leak("never-popped", recording, None)
                self._orphaned(recording)
        return alive

    def _orphans(self, entries: list[tuple[t.Any, Watched]]) -> None:
        """Name the contexts whose unit has ended, and that somebody keeps."""
        alive = {unit.key for unit in units_alive()}
        for ctx, recording in entries:
            if recording.unit.key in alive:
                continue
            if not recording.leaked:
                recording.leaked = True
                self._leak("never-popped", recording, ctx)
            self._orphaned(recording)

    def _orphaned(self, recording: Watched) -> None:
        if self.on_orphan is not None:
            self.on_orphan(recording)

    def popped_wrongly(
        self, ctx: t.Any, recording: Watched, error: BaseException, where: str | None = None
    ) -> None:
        """Popping *ctx* raised *error*, at the place and in the unit that *where* names."""
        # Not Flask's message: it shows the request's URL, query and all.
        detail = f"Flask raised {type(error).__name__}."
        leak = self._leak("wrong-pop", recording, ctx, detail, popped=where)
        if self.on_wrong_pop is not None:
            self.on_wrong_pop(error, leak)
        if not internals.is_pushed(ctx):
            self._entries.pop(recording.serial, None)

    def shared_copy(self, ctx: t.Any, recording: Watched, unit: Unit) -> None:
        """*unit* pushes *ctx*, a copy that another unit has pushed."""
        self._leak("shared-copy", recording, ctx, detail=unit.name)

    def still_current(self, ctx: t.Any, recording: Watched | None) -> None:
        """*ctx* is current although the worker's call that pushed it has ended."""
        if recording is None or not recording.leaked:
            self._leak("left-current", recording, ctx)
        if recording is not None:
            recording.leaked = True

    def started_dirty(self, ctx: t.Any, recording: Watched | None, path: str) -> None:
        """A request to *path* started while *ctx* of an earlier one was still current."""
        self._leak("dirty-start", recording, ctx, detail=path)

    def call_ends(self, ctx: t.Any, recording: Watched | None) -> None:
        """A call of the app ended while *ctx*, which it did not find, is current.

        A streamed body may keep a request's context to its end; where nothing is recorded it
        is not known whether it does, and the next call on this context will tell.
        """
        self._left.add(ctx)
        if recording is None:
            streams = internals.request_of(ctx) is not None
        else:
            streams = recording.streaming
        if not streams:
            self.still_current(ctx, recording)

    def call_begins(self, ctx: t.Any, recording: Watched | None, path: str) -> None:
        """A call of the app for *path* begins while *ctx* is current.

        That is legal in tests, and inside of another context; not on one that was popped, or
        that another call left behind. One that does several times is told once.
        """
        left = ctx in self._left
        if recording is not None and recording.streaming:
            left = recording.current is None  # else the call is a part of the body
        if (left or not internals.is_pushed(ctx)) and ctx not in self._dirty:
            self._dirty.add(ctx)
            self.started_dirty(ctx, recording, path)

    # ----------------------------------------------------------------------------- asked

    def contexts(self, *, frames: bool = False) -> list[Live]:
        """All live contexts of the process, the oldest first.

        :param frames: with the Python frames of each, innermost first.
        """
        run_deferred()
        entries = self._sweep()
        self._orphans(entries)
        wanted = frames or not self.recording
        running = sys._current_frames() if wanted else {}  # noqa: SLF001  # documented
        look = _Look(running)
        lives = [
            self._live(ctx, recording, look)
            for ctx, recording in entries
            # While its application context is torn down, a request's own is popped already.
            # And what closes the resources of any is no step.
            if internals.is_pushed(ctx)
            or recording.current is not None
            or self._held(ctx, recording)
        ]
        if not self.recording:
            known = {id(ctx) for ctx, _ in entries}
            lives += self._from_frames(known, running, frames=frames)
        lives.sort(key=lambda live: -(live.age_s or 0))
        return lives

    def pushed(self) -> list[tuple[Unit, t.Any, Watched]]:
        """The contexts that are pushed, with their units and records, in order of pushing."""
        run_deferred()
        return [(r.unit, ctx, r) for ctx, r in self._sweep() if internals.is_pushed(ctx)]

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """What did not end as it should, the newest last."""
        # A context that is only waiting for the cyclic collector is no leak, and one that
        # vanished is told of only when it was collected.
        moment = time.monotonic()
        if moment - self._collected >= COLLECT_EVERY:
            self._collected = moment
            gc.collect()
        run_deferred()
        self._orphans(self._sweep())
        return tuple(
            leak if leak.still == _still(ref) else _replaced(leak, still=_still(ref))
            for leak, ref in list(self._leaks)
        )

    def missing(self) -> tuple[str, ...]:
        """What can't be seen just now, in sentences."""
        if self.recording:
            return ()
        sentence = (
            "Recording is off: contexts are read from the threads' frames, so streams between "
            "two chunks, bodies of async views and application contexts outside requests are "
            "not seen, and an age is the least that is known."
        )
        return (sentence,)

    # ------------------------------------------------------------------------------ own

    def _live(self, ctx: t.Any, recording: Watched, look: _Look) -> Live:
        age = (look.moment - recording.started) / 1e9
        site = recording.current
        phase = None if site is None else site.phase
        state: State = "running"
        if recording.leaked:
            state = "left"
        elif recording.streaming and site is None:
            state, phase = "suspended", "stream"
        return Live(
            id=recording.id,
            kind=recording.kind,
            app=ctx.app.name,
            unit=recording.unit,
            method=recording.method,
            path=recording.path,
            endpoint=recording.endpoint,
            age_s=age,
            age_exact=True,
            phase=phase,
            hook=None if site is None else site.definition.name,
            where=None if site is None else site.definition.where,
            pushed=push_site(recording),
            state=state,
            stuck=age >= self.stuck_after,
            parent=recording.parent,
            frames=look.frames(recording),
            held=self._held(ctx, recording),
        )

    def _held(self, ctx: t.Any, recording: Watched) -> tuple[Held, ...]:
        """What *ctx* holds open: not what another context does that it found pushed."""
        owner = internals.own_app_context(ctx)
        if owner is None and not recording.reused:
            # The old line takes a request off its stack before its application context ends.
            owner = recording.app_context
        return () if owner is None else self.held(owner)

    def _from_frames(
        self, known: set[int], running: t.Mapping[int, t.Any], *, frames: bool
    ) -> t.Iterator[Live]:
        moment = time.monotonic()
        seen = {key: row for key, row in self._seen.items() if row[0]() is not None}
        for found in find_wsgi_contexts(running):
            if id(found.context) in known or not self._is_ours(found.context):
                continue
            row = seen.setdefault(id(found.context), (weakref.ref(found.context), moment))
            request = internals.request_of(found.context)
            age = moment - row[1]
            yield Live(
                id=None,
                kind="request",
                app=found.context.app.name,
                unit=found.unit,
                method=None if request is None else request.method,
                path=None if request is None else self.shown(request.path),
                endpoint=None if request is None else request.endpoint,
                age_s=age,
                age_exact=False,
                phase=found.phase,
                hook=found.hook,
                where=found.where,
                pushed=found.pushed,
                state="running",
                stuck=age >= self.stuck_after,
                parent=None,
                frames=found.frames if frames else (),
                held=() if found.owner is None else self.held(found.owner),
            )
        self._seen = seen

    def _is_ours(self, ctx: t.Any) -> bool:
        return getattr(ctx.app.extensions.get("ctxkit"), "registry", None) is self

    def _leak(
        self,
        kind: LeakKind,
        recording: Watched | None,
        ctx: t.Any,
        detail: str = "",
        *,
        popped: str | None = None,
    ) -> Leak:
        wall = time.time()
        request = None if ctx is None else internals.request_of(ctx)
        method = recording.method if recording else request.method if request else None
        path = recording.path if recording else self.shown(request.path) if request else None
        what = f"the context of {method} {path}" if path else "an application context"
        pushed = push_site(recording) if recording else None
        message = _SENTENCES[kind].format(what=what, detail=detail)
        leak = Leak(
            kind=kind,
            at=datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="milliseconds"),
            unit=recording.unit if recording else current_unit(),
            method=method,
            path=path,
            pushed=pushed,
            message=f"{message[0].upper()}{message[1:]}",
            trace=recording.id if recording else None,
            still=ctx is not None,
            wall=wall,
            popped=popped,
        )
        self._leaks.append((leak, None if ctx is None else weakref.ref(ctx)))
        if self.on_leak is not None:
            self.on_leak(leak)
        return leak


_SENTENCES: t.Final[dict[LeakKind, str]] = {
    "left-current": "{what} was still current when the worker's call that pushed it ended.",
    "wrong-pop": "{what} was popped in the wrong order or place. {detail}",
    "never-popped": "{what} was pushed and never popped: its unit ended, or dropped it.",
    "shared-copy": "{what} is a copy: {detail} pushed it while another unit had it pushed.",
    "dirty-start": "The request to {detail} started while {what} was still current.",
}


class _Look:
    """One look at all contexts: each age is told of one moment, and the frames of a unit are
    told once, since many contexts may be pushed in it.

    :param running: the innermost frame of each thread; empty where none is asked for.
    """

    def __init__(self, running: t.Mapping[int, t.Any]) -> None:
        self.moment = time.perf_counter_ns()
        self._running = running
        self._known: dict[tuple[str, int | None], tuple[Frame, ...]] = {}

    def frames(self, recording: Watched) -> tuple[Frame, ...]:
        if not self._running:
            return ()
        key = recording.unit.key, recording.thread
        found = self._known.get(key)
        if found is None:
            found = frames_of(recording.unit, recording.thread, self._running)
            self._known[key] = found
        return found


def _nothing(_: t.Any) -> tuple[Held, ...]:
    return ()


def push_site(recording: Watched) -> str:
    """Where the context of *recording* was pushed, as "file:line"."""
    return f"{short_path(recording.pushed_by.co_filename)}:{recording.pushed_at}"


def _still(reference: weakref.ref[t.Any] | None) -> bool:
    ctx = None if reference is None else reference()
    return ctx is not None and internals.is_pushed(ctx)


def _replaced(leak: Leak, *, still: bool) -> Leak:
    return replace(leak, still=still)
