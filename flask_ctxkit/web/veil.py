"""What a viewer sees who may look, but not see values: names, types, sizes and marks."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..redact import without_values
from ..trace.model import Change, Error, Event, ResponseChange, Trace

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..contexts.registry import Registry
    from ..report.sources import Costs, Redacts, Sources, Traces
    from ..trace.model import Captured

MESSAGE: t.Final = "•••"
"""Stands for a text that may hold values, like an exception's message."""


class VeiledSources:
    """The same sources, with every captured value reduced to its type and size."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.app: Flask = sources.app
        self.config: Config = sources.config
        self.redactor: Redacts = _VeiledRedactor(sources.redactor)
        self.store: Traces = _VeiledStore(sources.store)
        self.registry: Registry = sources.registry
        self.recorder: Costs = sources.recorder
        self.rules = sources.rules
        self.started_at = sources.started_at
        self.tracing = sources.tracing
        self.pages = sources.pages


class _VeiledRedactor:
    def __init__(self, redactor: Redacts) -> None:
        self._redactor = redactor

    def capture(self, name: str, value: object) -> Captured:
        return without_values(self._redactor.capture(name, value))

    def config(self, config: t.Mapping[str, object]) -> t.Mapping[str, Captured]:
        return _names(self._redactor.config(config))


class _VeiledStore:
    def __init__(self, store: Traces) -> None:
        self._store = store

    def get(self, trace_id: str, /) -> Trace | None:
        found = self._store.get(trace_id)
        return None if found is None else veiled(found)

    def find(self, prefix: str, /) -> t.Sequence[Trace]:
        return [veiled(found) for found in self._store.find(prefix)]

    def newest(self) -> t.Iterator[Trace]:
        return map(veiled, self._store.newest())


def veiled(trace: Trace) -> Trace:
    """*trace* without values. Its path stays: without it nothing could be told apart."""
    session, response = trace.session, trace.response
    if session is not None:
        session = {**session, "names": _names(session.get("names", {}))}
    if response is not None:
        rows = response.get("headers", ())
        response = {**response, "headers": [[n, without_values(v), e] for n, v, e in rows]}
    return replace(
        trace,
        query=MESSAGE if trace.query else trace.query,
        events=tuple(map(_event, trace.events)),
        session=session,
        response=response,
        exception=_error(trace.exception),
        environ=_names(trace.environ),
        g=_names(trace.g),
    )


def _event(event: Event) -> Event:
    if not (event.g or event.session or event.response or event.error):
        return event
    return replace(
        event,
        g=Change(*_sides(event.g)),
        session=Change(*_sides(event.session)),
        response=ResponseChange(*_sides(event.response), status=event.response.status),
        error=_error(event.error),
    )


def _sides(change: Change) -> tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]:
    pairs = {
        name: [without_values(value) for value in pair] for name, pair in change.changed.items()
    }
    return _names(change.added), pairs, _names(change.removed)


def _error(error: Error | None) -> Error | None:
    return None if error is None else replace(error, message=MESSAGE if error.message else "")


def _names(captured: t.Mapping[str, Captured]) -> dict[str, Captured]:
    return {name: without_values(value) for name, value in captured.items()}
