"""What is wrong, what runs now, where does the time go, and what came last?"""

from __future__ import annotations

import os
import platform
import statistics
import time
import typing as t
from collections import Counter

from .. import internals
from .findings import collected
from .live import lives
from .summary import SERVER_ERROR, fold, iso, summary, utc_now

if t.TYPE_CHECKING:
    from ..trace.model import Trace
    from .sources import Sources

LAST: t.Final = 50
"""How many of the last requests are told."""

Row = dict[str, t.Any]


def index(sources: Sources) -> Row:
    """Everything the overview shows."""
    now = utc_now()
    kept = list(sources.store.newest())
    folds = [fold(trace) for trace in kept]
    shown = [trace for trace, kind in zip(kept, folds, strict=True) if kind is None]
    found = sources.registry.contexts(frames=True)
    return {
        "app": app_info(sources),
        "findings": collected(sources, found),
        "checks": {"rules": _asked(sources, len(kept)), "requests": len(kept)},
        "contexts": lives(found),
        "buckets": buckets(kept),
        "requests": [summary(trace, now) for trace in shown[:LAST]],
        "totals": totals(kept) | {"folded": dict(Counter(kind for kind in folds if kind))},
        "cost": cost(sources),
    }


def _asked(sources: Sources, requests: int) -> int:
    """How many rules had something to look at: before any request, those about the set-up."""
    return sum(rule.when == "app" or requests > 0 for rule in sources.rules.catalogue())


def cost(sources: Sources) -> Row:
    """What the kit itself costs, and every failure of its own."""
    told = dict(sources.recorder.cost())
    told["failures"] = [
        *told["failures"],
        *(
            {"step": f.step, "type": f.type, "message": f.message, "count": f.count}
            for f in sources.rules.failures
        ),
    ]
    return told


def app_info(sources: Sources) -> Row:
    """The app and its process; the uptime in seconds is that of the kit's registration."""
    from .. import __version__

    rate = sources.config.trace_rate
    return {
        "name": sources.app.name,
        "flask": internals.FLASK_VERSION,
        "python": platform.python_version(),
        "debug": bool(sources.app.debug),
        "pid": os.getpid(),
        "started_at": iso(sources.started_at),
        "uptime_s": round(max(0.0, time.time() - sources.started_at), 1),
        "recording": ("full" if rate >= 1 else f"{rate:g}") if sources.tracing else "off",
        "url_prefix": sources.config.url_prefix,
        "kit": __version__,
    }


def buckets(traces: t.Sequence[Trace]) -> list[Row]:
    """Requests by endpoint and latency, the one with the worst request first.

    Those that failed (a server error, or an exception) are counted in ``failed`` too.
    """
    rows: dict[str | None, Row] = {}
    for trace in traces:
        if trace.kind != "request" or trace.duration_ms is None:
            continue
        row = rows.get(trace.endpoint)
        if row is None:
            row = rows[trace.endpoint] = {
                "endpoint": trace.endpoint, "n": 0, "le_10": 0, "le_100": 0, "le_1000": 0,
                "slower": 0, "failed": 0, "worst_ms": 0.0,
            }  # fmt: skip
        row["n"] += 1
        row[_bucket(trace.duration_ms)] += 1
        row["failed"] += trace.exception is not None or (trace.status or 0) >= SERVER_ERROR
        row["worst_ms"] = max(row["worst_ms"], trace.duration_ms)
    return sorted(rows.values(), key=lambda row: (-bool(row["failed"]), -row["worst_ms"]))


def _bucket(duration_ms: float) -> str:
    for limit in (10, 100, 1000):
        if duration_ms <= limit:
            return f"le_{limit}"
    return "slower"


def totals(traces: t.Sequence[Trace]) -> Row:
    """Counts by class of status, and the spread of durations in milliseconds."""
    found = [trace for trace in traces if trace.kind == "request"]
    classes = Counter((trace.status or 500) // 100 for trace in found)
    times = sorted(trace.duration_ms for trace in found if trace.duration_ms is not None)
    return {
        "ok": classes[1] + classes[2],
        "redirect": classes[3],
        "client_error": classes[4],
        "server_error": classes[5],
        "median_ms": statistics.median(times) if times else None,
        "p95_ms": times[min(len(times) - 1, int(len(times) * 0.95))] if times else None,
        "worst_ms": times[-1] if times else None,
    }
