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
    from ..resources.health import Ping, Resources
    from ..trace.model import Captured

MESSAGE: t.Final = "•••"
"""Stands for a text that may hold values, like an exception's message."""
SEEN: t.Final = "Seen here."


class VeiledSources:
    """The same sources, with every captured value reduced to its type and size, and without
    sentences that may quote one.
    """

    def __init__(self, sources: Sources) -> None:
        rules = _VeiledRules(sources.rules)
        self.app: Flask = sources.app
        self.config: Config = sources.config
        self.redactor: Redacts = _VeiledRedactor(sources.redactor)
        self.store: Traces = _VeiledStore(sources.store, rules)
        self.registry: t.Any = _VeiledRegistry(sources.registry)
        self.recorder: Costs = _VeiledCosts(sources.recorder)
        self.rules: t.Any = rules
        self.resources: t.Any = _VeiledResources(sources.resources)
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
    def __init__(self, store: Traces, rules: _VeiledRules) -> None:
        self._store = store
        self._rules = rules

    def get(self, trace_id: str, /) -> Trace | None:
        found = self._store.get(trace_id)
        return None if found is None else self._veiled(found)

    def find(self, prefix: str, /) -> t.Sequence[Trace]:
        return [self._veiled(found) for found in self._store.find(prefix)]

    def newest(self) -> t.Iterator[Trace]:
        return map(self._veiled, self._store.newest())

    def _veiled(self, trace: Trace) -> Trace:
        return veiled(replace(trace, findings=tuple(map(self._rules.row, trace.findings))))


class _VeiledRules:
    """Findings by the titles of their rules: their own sentences may quote values."""

    def __init__(self, rules: t.Any) -> None:
        self._rules = rules
        self._known = {rule.code: rule for rule in rules.catalogue()}
        self.tally = self

    def catalogue(self) -> t.Sequence[t.Any]:
        return t.cast("t.Sequence[t.Any]", self._rules.catalogue())

    @property
    def failures(self) -> t.Sequence[t.Any]:
        return [replace(failure, message=MESSAGE) for failure in self._rules.failures]

    def rows(self) -> t.Sequence[t.Any]:
        return [
            replace(row, finding=self._finding(row.finding)) for row in self._rules.tally.rows()
        ]

    def for_live(self, *seen: t.Any) -> t.Sequence[t.Any]:
        return [self._finding(found) for found in self._rules.for_live(*seen)]

    def _finding(self, found: t.Any) -> t.Any:
        proofs = tuple(replace(proof, text=SEEN) for proof in found.evidence)
        return replace(found, **self._texts(found.code), evidence=proofs)

    def row(self, found: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """The same for a finding that is plain data already."""
        proofs = [{**proof, "text": SEEN} for proof in found.get("evidence", ())]
        return {**found, **self._texts(str(found.get("code"))), "evidence": proofs}

    def _texts(self, code: str) -> dict[str, str]:
        rule = self._known.get(code)
        return {"message": rule.title if rule else code, "fix": rule.fix if rule else ""}


class _VeiledRegistry:
    def __init__(self, registry: Registry) -> None:
        self.contexts = registry.contexts
        self.pushed = registry.pushed
        self.missing = registry.missing
        self.shown = registry.shown
        self._registry = registry

    @property
    def leaks(self) -> t.Sequence[t.Any]:
        # An exception's text in it may show a whole URL.
        told = "A context did not end as it should: {}."
        return [replace(leak, message=told.format(leak.kind)) for leak in self._registry.leaks]


class _VeiledResources:
    """An answer without what was raised: its text may quote an address with a password."""

    def __init__(self, resources: Resources) -> None:
        self.known = resources.known
        self.tally = resources.tally
        self.ping = resources.ping
        self._resources = resources

    def last_ping(self, name: str) -> Ping | None:
        found = self._resources.last_ping(name)
        if found is None or found.error is None:
            return found
        return replace(found, error=f"{found.error.partition(':')[0]}: {MESSAGE}")


class _VeiledCosts:
    def __init__(self, recorder: Costs) -> None:
        self._recorder = recorder

    def cost(self) -> t.Mapping[str, t.Any]:
        told = self._recorder.cost()
        return {**told, "failures": [{**row, "message": MESSAGE} for row in told["failures"]]}


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
    if not (event.g or event.session or event.response or event.error or event.parameters):
        return event
    return replace(
        event,
        parameters=without_values(event.parameters),
        g=_change(event.g),
        session=_change(event.session),
        response=ResponseChange(*_sides(event.response), status=event.response.status)
        if event.response
        else event.response,
        error=_error(event.error),
    )


def _change(change: Change) -> Change:
    return Change(*_sides(change)) if change else change


def _sides(change: Change) -> tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]:
    pairs = {
        name: [without_values(value) for value in pair] for name, pair in change.changed.items()
    }
    return _names(change.added), pairs, _names(change.removed)


def _error(error: Error | None) -> Error | None:
    return None if error is None else replace(error, message=MESSAGE if error.message else "")


def _names(captured: t.Mapping[str, Captured]) -> dict[str, Captured]:
    return {name: without_values(value) for name, value in captured.items()}
