"""Traces made by hand, and a store that holds them, for reports about many of them."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest

from flask_ctxkit.trace.model import Event, Trace
from flask_ctxkit.units import Unit

UNIT: t.Final = Unit("thread", "Thread-5", 140_221, 5, 4711)


class Store:
    """Traces, the newest first."""

    def __init__(self, *traces: Trace) -> None:
        self.traces = traces

    def get(self, trace_id: str) -> Trace | None:
        return next((found for found in self.traces if found.id == trace_id), None)

    def find(self, prefix: str) -> list[Trace]:
        return [found for found in self.traces if found.id.startswith(prefix)]

    def newest(self) -> t.Iterator[Trace]:
        return iter(self.traces)


@pytest.fixture
def event() -> t.Callable[..., Event]:
    """Makes an event of an index, with any field set."""

    def make(index: int, phase: str = "view", **fields: t.Any) -> Event:
        given: dict[str, t.Any] = {"index": index, "phase": phase, "name": phase}
        given |= {"start_us": index * 100.0, "duration_us": 90.0} | fields
        return Event(**given)

    return make


@pytest.fixture
def trace() -> t.Callable[..., Trace]:
    """Makes the trace of a GET /cart, with any field set."""

    def make(trace_id: str = "00000001", **fields: t.Any) -> Trace:
        given: dict[str, t.Any] = {
            "id": trace_id, "kind": "request", "state": "finished", "name": "GET /cart",
            "method": "GET", "path": "/cart", "query": "", "endpoint": "shop.cart", "status": 200,
            "started_at": "2026-01-02T03:04:05.000000+00:00", "duration_ms": 10.0, "unit": UNIT,
            "events": (),
        }  # fmt: skip
        return Trace(**given | fields)

    return make


@pytest.fixture
def sources() -> t.Callable[..., t.Any]:
    """Makes what a report reads, from traces with the newest first."""

    def make(*traces: Trace) -> t.Any:
        return SimpleNamespace(
            store=Store(*traces),
            registry=SimpleNamespace(pushed=list),
            config=SimpleNamespace(max_traces=200),
            started_at=0.0,
            tracing=True,
        )

    return make
