"""How often each mistake was found, when, and in which traces last."""

from __future__ import annotations

import logging
import threading
import time
import typing as t
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime, timezone

from .model import Finding

KEPT: t.Final = 500
"""The most different mistakes that are counted; the one not seen for longest goes."""
TRACES: t.Final = 10
"""The most trace ids that are kept of one mistake, the last ones."""
LOG_EVERY: t.Final = 60.0
"""Seconds between two lines of the log with the same code."""
SYMBOLS: t.Final = {"error": "✗", "warning": "!", "note": "·"}
LEVELS: t.Final = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}

Raised = t.Callable[[Finding, t.Any], object]


@dataclass(frozen=True, slots=True)
class Count:
    """A mistake, as it was found last, and how often. Times are in seconds since 1970, UTC;
    ``traces`` are the ids of the last traces with it, the newest first.
    """

    finding: Finding
    count: int
    first_at: float
    last_at: float
    traces: tuple[str, ...]

    def as_dict(self) -> dict[str, t.Any]:
        """The finding with its count, as a JSON-safe dictionary; times in ISO 8601, UTC."""
        return {
            **self.finding.as_dict(),
            "count": self.count,
            "first_at": _iso(self.first_at),
            "last_at": _iso(self.last_at),
            "traces": list(self.traces),
        }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


class _Row:
    __slots__ = ("count", "finding", "first_at", "last_at", "traces")

    def __init__(self, finding: Finding, moment: float) -> None:
        self.finding = finding
        self.count = 0
        self.first_at = self.last_at = moment
        self.traces: deque[str] = deque(maxlen=TRACES)


class Tally:
    """Counts findings, logs each code once a minute, and tells who listens.

    Safe to use from any thread. What a listener raises is given to *failed*.

    :param raised: called with each finding and its app.
    :param failed: called with the name of a step and the exception that it raised.
    :param clock: seconds since 1970.

    """

    def __init__(
        self,
        raised: Raised | None = None,
        failed: t.Callable[[str, BaseException], object] | None = None,
        clock: t.Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        """How many different mistakes were forgotten to bound memory."""
        self._raised = raised
        self._failed = failed
        self._clock = clock
        self._rows: OrderedDict[tuple[str, str], _Row] = OrderedDict()
        self._logged: dict[str, float] = {}
        # Taken again where the collector closes a stream in it, which then pops its context.
        self._lock = threading.RLock()
        self._logger = logging.getLogger("flask_ctxkit")

    def add(self, finding: Finding, app: t.Any = None, about: str = "") -> None:
        """Count *finding*.

        :param app: the app it is about, for those who listen.
        :param about: the request, for the log, like "GET /cart".
        """
        moment = self._clock()
        with self._lock:
            self._count(finding, moment)
            due = self._is_due(finding.code, moment)
        if due:
            self._try("log", self._log, finding, about)
        if self._raised is not None:
            self._try("finding_raised", self._raised, finding, app)

    def _count(self, finding: Finding, moment: float) -> None:
        row = self._rows.get(finding.key)
        if row is None:
            row = self._rows[finding.key] = _Row(finding, moment)
        self._rows.move_to_end(finding.key)
        row.finding, row.last_at = finding, moment
        row.count += 1
        if finding.trace is not None and finding.trace not in row.traces:
            row.traces.appendleft(finding.trace)
        if len(self._rows) > KEPT:
            self._rows.popitem(last=False)
            self.dropped += 1

    def _is_due(self, code: str, moment: float) -> bool:
        last = self._logged.get(code)
        if last is not None and 0 <= moment - last < LOG_EVERY:
            return False
        self._logged[code] = moment
        return True

    def _log(self, finding: Finding, about: str) -> None:
        severity = finding.severity or "warning"
        trace = f" (trace {finding.trace})" if finding.trace else ""
        subject = f"{about}: " if about else ""
        text = f"{SYMBOLS[severity]} {subject}{finding.message} {finding.fix}{trace}"
        self._logger.log(LEVELS[severity], "ctxkit %s", text)

    def _try(self, step: str, function: t.Callable[..., object], *args: t.Any) -> None:
        try:
            function(*args)
        except (KeyboardInterrupt, SystemExit):
            raise  # sent to the process, and only arrived in here
        except BaseException as error:
            if self._failed is not None:
                self._failed(step, error)

    def rows(self) -> tuple[Count, ...]:
        """Every mistake with its count: errors first, then the most frequent."""
        with self._lock:
            rows = [
                Count(r.finding, r.count, r.first_at, r.last_at, tuple(r.traces))
                for r in [*self._rows.values()]
            ]
        order = {severity: position for position, severity in enumerate(SYMBOLS)}
        rows.sort(key=lambda r: (order.get(r.finding.severity or "note", 9), -r.count))
        return tuple(rows)

    def counts(self) -> dict[str, int]:
        """How often each code was found."""
        found: dict[str, int] = {}
        for row in self.rows():
            found[row.finding.code] = found.get(row.finding.code, 0) + row.count
        return found

    def clear(self) -> None:
        """Forget every count, and what was logged when."""
        with self._lock:
            self._rows.clear()
            self._logged.clear()
