"""What a report reads: the rooms of one app, as the extension hands them in."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..contexts.registry import Registry
    from ..findings.catalogue import Rules
    from ..resources.health import Resources
    from ..trace.model import Captured, Trace


class Redacts(t.Protocol):
    """What reports need of the redactor."""

    def capture(self, name: str, value: object) -> Captured: ...
    def config(self, config: t.Mapping[str, object]) -> t.Mapping[str, Captured]: ...


class Traces(t.Protocol):
    """The store of finished traces."""

    def get(self, trace_id: str, /) -> Trace | None: ...
    def find(self, prefix: str, /) -> t.Sequence[Trace]: ...
    def newest(self) -> t.Iterator[Trace]: ...


class Costs(t.Protocol):
    """The recorder, asked what it costs."""

    def cost(self) -> t.Mapping[str, t.Any]: ...


class Sources(t.Protocol):
    """The state of one app's kit. ``started_at`` is in seconds since the epoch."""

    @property
    def app(self) -> Flask: ...
    @property
    def config(self) -> Config: ...
    @property
    def redactor(self) -> Redacts: ...
    @property
    def store(self) -> Traces: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def recorder(self) -> Costs: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def resources(self) -> Resources: ...
    @property
    def started_at(self) -> float: ...
    @property
    def tracing(self) -> bool: ...
    @property
    def pages(self) -> bool: ...
