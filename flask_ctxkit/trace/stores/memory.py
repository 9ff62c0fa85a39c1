"""Finished traces in bounded memory: a flood of one kind pushes nothing else out."""

from __future__ import annotations

import heapq
import itertools
import threading
import typing as t
from collections import OrderedDict, deque

from ...deferred import run_deferred
from ..freezing import freeze

if t.TYPE_CHECKING:
    from ..model import Trace
    from ..recording import Recording

FAILED: t.Final = 50
SLOW: t.Final = 30
PER_ENDPOINT: t.Final = 5
ENDPOINTS: t.Final = 200
FROZEN: t.Final = 500
"""The most frozen traces that are remembered."""


class MemoryStore:
    """The last traces, and with places of their own the failed, the slow, and the last few of
    each endpoint.

    :param limit: how many of the last traces are kept, whatever they are.
    """

    def __init__(self, limit: int = 200) -> None:
        self._last: deque[Recording] = deque(maxlen=limit)
        self._failed: deque[Recording] = deque(maxlen=FAILED)
        self._slow: list[tuple[int, int, Recording]] = []
        self._least_slow = -1
        """Nanoseconds that a trace must last longer to be kept as slow."""
        self._by_endpoint: OrderedDict[str | None, deque[Recording]] = OrderedDict()
        self._frozen: OrderedDict[tuple[int, int, int], Trace] = OrderedDict()
        self._order = itertools.count()
        # Taken again where the collector closes a stream in it, which then pops its context.
        self._lock = threading.RLock()
        self.added = 0

    def add(self, recording: Recording) -> None:
        """Keep *recording*; the oldest of its places goes."""
        self.added += 1
        ring = self._by_endpoint.get(recording.endpoint)
        if ring is None:
            ring = self._new_ring(recording.endpoint)
        ring.append(recording)
        self._last.append(recording)
        if recording.error is not None or (recording.status or 0) >= 500:  # noqa: PLR2004
            self._failed.append(recording)
        if recording.lasted > self._least_slow:
            self._add_slow(recording)

    def _add_slow(self, recording: Recording) -> None:
        slow = self._slow
        with self._lock:
            # Counted, so that two of the same duration are never compared themselves.
            row = (recording.lasted, next(self._order), recording)
            heapq.heappush(slow, row) if len(slow) < SLOW else heapq.heapreplace(slow, row)
            if len(slow) == SLOW:
                self._least_slow = slow[0][0]

    def _new_ring(self, endpoint: str | None) -> deque[Recording]:
        with self._lock:
            while len(self._by_endpoint) >= ENDPOINTS:
                self._by_endpoint.popitem(last=False)
            return self._by_endpoint.setdefault(endpoint, deque(maxlen=PER_ENDPOINT))

    def _kept(self) -> dict[int, Recording]:
        run_deferred()  # an abandoned one is finished by who looks for it, at the latest
        with self._lock:
            rows = [*self._last, *self._failed, *(row[2] for row in self._slow)]
            for ring in [*self._by_endpoint.values()]:
                rows.extend(ring)
        return {recording.serial: recording for recording in rows}

    def newest(self) -> t.Iterator[Trace]:
        """Every trace that is kept, the newest first."""
        for recording in self._by_age():
            yield self._freeze(recording)

    def _by_age(self) -> list[Recording]:
        return sorted(self._kept().values(), key=lambda r: r.ended or r.started, reverse=True)

    def get(self, trace_id: str) -> Trace | None:
        """The trace of that id, or None."""
        for recording in self._kept().values():
            if recording.id == trace_id:
                return self._freeze(recording)
        return None

    def find(self, prefix: str) -> list[Trace]:
        """The traces whose id begins with *prefix*, the newest first."""
        return [self._freeze(r) for r in self._by_age() if r.id.startswith(prefix)]

    def __len__(self) -> int:
        return len(self._kept())

    @property
    def dropped(self) -> int:
        """How many traces were added and are gone."""
        return self.added - len(self)

    def clear(self) -> None:
        """Forget every trace."""
        with self._lock:
            self._last.clear()
            self._failed.clear()
            self._slow.clear()
            self._least_slow = -1
            self._by_endpoint.clear()
            self._frozen.clear()

    def _freeze(self, recording: Recording) -> Trace:
        # A context that is pushed again after its end (a test client's) adds steps, and work
        # may begin after the end of the request that started it.
        children = 0 if recording.lineage is None else len(recording.lineage.children)
        key = (recording.serial, recording.count, children)
        trace = self._frozen.get(key)
        if trace is None or len(trace.findings) != len(recording.findings):
            trace = freeze(recording)
            with self._lock:
                self._frozen[key] = trace
                while len(self._frozen) > FROZEN:
                    self._frozen.popitem(last=False)
        return trace
