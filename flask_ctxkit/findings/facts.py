"""What is known about an app: its hooks and settings as plain data, and what its traces told."""

from __future__ import annotations

import threading
import typing as t
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from ..definition import define
from .bytecode import names_set_on_g
from .wording import identity

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..trace.model import Event, Trace

TABLES: t.Final[t.Mapping[str, str]] = {
    "before_request": "before_request_funcs",
    "after_request": "after_request_funcs",
    "teardown_request": "teardown_request_funcs",
    "url_value_preprocessor": "url_value_preprocessors",
}
"""Phases with a table per blueprint, and its attribute on the app."""
REMEMBERED: t.Final = 500
"""The most names, refusals and outer contexts that are remembered, the last ones."""
WRITERS: t.Final = 5
"""The most functions that are remembered for one name of ``g``."""
REFUSALS: t.Final = frozenset({"Unauthorized", "Forbidden"})


@dataclass(frozen=True, slots=True)
class Hook:
    """A registered hook. ``order`` counts within its phase and blueprint, from 0; ``sets``
    are the names in ``g.NAME = ...`` written in it.
    """

    phase: str
    blueprint: str | None
    order: int
    name: str
    where: str | None
    source: str
    sets: frozenset[str] = frozenset()

    def is_in(self, event: Event) -> bool:
        """Whether *event* is a run of this hook, or of one defined in the same place."""
        return self.phase == event.phase and self.name == event.name and self.where == event.where


def hooks_of(app: Flask) -> tuple[Hook, ...]:
    """Every hook of *app* but the kit's own, in the order of registration."""
    found: list[Hook] = []
    for phase, attribute in TABLES.items():
        for blueprint, functions in getattr(app, attribute).items():
            found += _hooks(app, phase, blueprint, functions)
    found += _hooks(app, "teardown_appcontext", None, app.teardown_appcontext_funcs)
    return tuple(found)


def _hooks(
    app: Flask, phase: str, blueprint: str | None, functions: t.Iterable[object]
) -> t.Iterator[Hook]:
    for order, function in enumerate(functions):
        made = define(function, app)
        if made.source == "flask_ctxkit":
            continue
        source = made.source
        if blueprint and source == "this app":
            source = f"blueprint {blueprint}"
        yield Hook(phase, blueprint, order, made.name, made.where, source, names_set_on_g(function))


@dataclass(frozen=True, slots=True)
class Facts:
    """An app's hooks and the settings that rules over traces need. No object of the app's."""

    hooks: tuple[Hook, ...] = ()
    debug: bool = False
    testing: bool = False
    propagate: bool = False
    secure_cookie: bool = False
    in_container: bool = False

    @classmethod
    def of(cls, app: Flask) -> Facts:
        return cls(
            hooks=hooks_of(app),
            debug=bool(app.debug),
            testing=bool(app.testing),
            propagate=app.config.get("PROPAGATE_EXCEPTIONS") is True,
            secure_cookie=bool(app.config.get("SESSION_COOKIE_SECURE")),
            in_container=any(Path(p).exists() for p in ("/.dockerenv", "/run/.containerenv")),
        )

    def of_phase(self, phase: str, trace: Trace) -> list[Hook]:
        """The hooks of *phase* that Flask runs for the endpoint of *trace*, as registered."""
        scopes = {None, *blueprints_of(trace)}
        return [h for h in self.hooks if h.phase == phase and h.blueprint in scopes]

    def setters(self, name: str) -> list[Hook]:
        """The hooks in which ``g.NAME = ...`` is written."""
        return [hook for hook in self.hooks if name in hook.sets]


def blueprints_of(trace: Trace) -> tuple[str, ...]:
    """The names of the blueprints of the trace's endpoint, the outermost first."""
    parts = (trace.endpoint or "").split(".")[:-1]
    return tuple(".".join(parts[: i + 1]) for i in range(len(parts)))


@dataclass(frozen=True, slots=True)
class Writer:
    """A step that set a name of ``g`` in a finished trace."""

    event: Event
    trace: str
    request: str
    endpoint: str | None
    started_at: str
    kind: str


class Memory:
    """What finished traces told that others need: bounded, and safe to use from any thread."""

    def __init__(self) -> None:
        # Taken again where the collector closes a stream in it, which then pops its context.
        self._lock = threading.RLock()
        self._writers: OrderedDict[str, dict[str, Writer]] = OrderedDict()
        self._refusals: OrderedDict[tuple[str | None, str | None, str], str] = OrderedDict()
        self._left: OrderedDict[str, dict[str, Writer]] = OrderedDict()

    def learn(self, trace: Trace) -> None:
        """Remember who set which name of ``g``, and which hook refused a request."""
        written: dict[str, dict[str, Event]] = {}
        for event in trace.events:
            if event.g:
                key = identity(event)
                for name in event.g.added:
                    written.setdefault(name, {})[key] = event
            if event.phase == "before_request" and _refused(event, trace):
                with self._lock:
                    refused = trace.endpoint, trace.method, identity(event)
                    _put(self._refusals, refused, trace.id)
        if written:
            with self._lock:
                for name, events in written.items():
                    self._wrote(name, events, trace)

    def learn_shared(self, trace: Trace) -> None:
        """Remember what a request left in the ``g`` of an app context that outlives it."""
        outer = shared_context(trace)
        if outer is None:
            return
        left: dict[str, Writer] = {}
        for event in trace.events:
            for name in event.g.added:
                left[name] = _writer(event, trace)
            for name in event.g.removed:
                left.pop(name, None)
        with self._lock:
            before = self._left.get(outer, {})
            _put(self._left, outer, {**before, **left})

    def writers(self, name: str) -> list[Writer]:
        """Who set ``g.NAME`` in finished traces, the last one first."""
        with self._lock:
            return [*reversed(self._writers.get(name, {}).values())]

    def refusal(self, trace: Trace, hook: Hook) -> str | None:
        """The id of a trace of the same endpoint and method that *hook* refused."""
        key = trace.endpoint, trace.method, identity(hook)
        with self._lock:
            return self._refusals.get(key)

    def left_in(self, outer: str) -> dict[str, Writer]:
        """What earlier requests left in the ``g`` of the context of the trace *outer*."""
        with self._lock:
            return {**self._left.get(outer, {})}

    def _wrote(self, name: str, events: dict[str, Event], trace: Trace) -> None:
        known = self._writers.get(name, {})
        last = {key: events[key] for key in [*events][-WRITERS:]}
        kept = {key: writer for key, writer in known.items() if key not in last}
        kept |= {key: _writer(event, trace) for key, event in last.items()}
        _put(self._writers, name, dict([*kept.items()][-WRITERS:]))


def shared_context(trace: Trace) -> str | None:
    """The id of the trace of the app context that a request found pushed and shares, or None."""
    if trace.parent is None or trace.method is None:
        return None
    return trace.parent if any(row.get("reused") for row in trace.contexts) else None


def _writer(event: Event, trace: Trace) -> Writer:
    return Writer(event, trace.id, trace.name, trace.endpoint, trace.started_at, trace.kind)


def _refused(event: Event, trace: Trace) -> bool:
    if event.error is not None:
        return event.error.type in REFUSALS
    if event.outcome != "answered" or trace.status is None:
        return False
    return trace.status in {401, 403} or 300 <= trace.status < 400  # noqa: PLR2004


_Key = t.TypeVar("_Key")
_Value = t.TypeVar("_Value")


def _put(table: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What a rule may know beside the trace itself; ``facts`` is None before the app was
    looked at.
    """

    config: Config
    facts: Facts | None = None
    memory: Memory = field(default_factory=Memory)
