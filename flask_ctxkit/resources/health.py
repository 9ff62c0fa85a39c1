"""The resources of one app: which there are, what became of them, and whether they answer."""

from __future__ import annotations

import threading
import time
import typing as t
import weakref
from dataclasses import dataclass

from ..deferred import run_deferred
from ..internals import call_in_app_context
from .attachment import current_scope

if t.TYPE_CHECKING:
    from flask import Flask

    from .once import Waits
    from .resource import Resource
    from .scope import Scope


class Told(t.Protocol):
    """An exception as a record."""

    @property
    def type(self) -> str: ...
    @property
    def message(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Ping:
    """Whether a resource answered: ``ms`` is how long it took in milliseconds, ``error`` what
    it raised, or None; ``at`` when, in seconds since the epoch.
    """

    name: str
    ok: bool
    error: str | None
    ms: float
    at: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of one resource in this process, in numbers of objects.

    ``failed`` counts those whose close raised, ``forgotten`` those whose context was never
    popped; both are among the ``closed``.
    """

    name: str
    opened: int = 0
    closed: int = 0
    failed: int = 0
    forgotten: int = 0


class Resources:
    """The resources of one app.

    :param app: the app, or None once it is gone.
    :param describe: makes a record of an exception, without secrets.
    """

    def __init__(
        self, app: t.Callable[[], Flask | None], describe: t.Callable[[BaseException], Told]
    ) -> None:
        self.known: t.Mapping[str, Resource[t.Any]] = {}
        """By name; it grows as the kit's user registers more."""
        self.waits: Waits = {}
        self.on_forgotten: t.Callable[[], object] = _nothing
        """Called when something was closed whose context nobody popped."""
        self._app = app
        self._describe = describe
        self._counts: dict[str, list[int]] = {}
        """What a tally holds, by name, while it is counted."""
        # Taken again where the collector closes a stream in it, which then pops its context.
        self._lock = threading.RLock()
        self._scopes: weakref.WeakValueDictionary[int, Scope] = weakref.WeakValueDictionary()
        self._finalizer: object | None = None
        self._pings: dict[str, Ping] = {}
        self._running: dict[str, tuple[threading.Thread, float]] = {}

    # -------------------------------------------------------------- told by the scopes

    def opened(self, name: str) -> None:
        """One was opened."""
        with self._lock:
            self._counts.setdefault(name, [0, 0, 0, 0])[0] += 1

    def closed(self, name: str, *, failed: bool, forgotten: bool) -> None:
        """One was closed, or its close raised."""
        with self._lock:
            counts = self._counts[name]
            counts[1] += 1
            counts[2] += failed
            counts[3] += forgotten
        if forgotten:
            self.on_forgotten()

    def keep(self, scope: Scope) -> None:
        """*scope* holds something: should nobody end it, the interpreter's end does.

        Not that of a ping: its thread ends it, and one that hangs then goes with the process.
        """
        if isinstance(threading.current_thread(), _Asking):
            return
        if self._finalizer is None:
            self._finalizer = weakref.finalize(self, _forgotten, self._scopes)
        self._scopes[id(scope)] = scope

    # -------------------------------------------------------------------------- asked

    def tally(self, name: str) -> Tally:
        """What became of the resource *name* so far."""
        run_deferred()
        with self._lock:
            return Tally(name, *self._counts.get(name, ()))

    def last_ping(self, name: str) -> Ping | None:
        """How the resource *name* answered last; None where nobody asked."""
        return self._pings.get(name)

    def ping(self, timeout: float) -> list[Ping]:
        """Ask each resource, all at once and in contexts of their own, which no hook sees.

        Each is opened, handed to its ``ping``, and closed. One that does not answer in
        *timeout* seconds is not asked again while it is still busy with the first question.
        """
        app = self._app()
        names = [] if app is None else list(self.known)
        begun = time.monotonic()
        for name in names:
            running = self._running.get(name)
            if running is None or not running[0].is_alive():
                self._ask(t.cast("Flask", app), self.known[name])
        for name in names:
            thread, since = self._running[name]
            thread.join(max(0.0, begun + timeout - time.monotonic()))
            if thread.is_alive():
                waited = time.monotonic() - since
                error = f"no answer in {waited:.1f} seconds"
                self._pings[name] = Ping(name, False, error, waited * 1000, time.time())
        return [self._pings[name] for name in names]

    def _ask(self, app: Flask, resource: Resource[t.Any]) -> None:
        thread = _Asking(
            target=self._answer, args=(app, resource), name=f"ping {resource.name}", daemon=True
        )
        self._running[resource.name] = (thread, time.monotonic())
        thread.start()

    def _answer(self, app: Flask, resource: Resource[t.Any]) -> None:
        start, error = time.perf_counter(), None
        try:
            call_in_app_context(app, lambda _: _try(resource))
        except BaseException as raised:
            told = self._describe(raised)
            error = f"{told.type}: {told.message}"
        ms = (time.perf_counter() - start) * 1000
        self._pings[resource.name] = Ping(resource.name, error is None, error, ms, time.time())


class _Asking(threading.Thread):
    """Asks one resource."""


def _try(resource: Resource[t.Any]) -> None:
    scope, error = current_scope(resource.name), None
    try:
        opened = resource()
        if resource.check is not None:
            resource.check(opened)
    except BaseException as raised:
        error = raised
        raise
    finally:
        scope.end(error)


def _nothing() -> None:
    """Where nobody wants to know."""


def _forgotten(scopes: weakref.WeakValueDictionary[int, Scope]) -> None:
    # valuerefs() copies in one step; values() fails when another thread adds one.
    for reference in scopes.valuerefs():
        scope = reference()
        if scope is not None:
            scope.lost()
