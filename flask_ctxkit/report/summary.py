"""One line about a trace, for lists; and what kind of traffic it is."""

from __future__ import annotations

import re
import typing as t
from datetime import datetime, timezone

from .families import strip
from .story import short

if t.TYPE_CHECKING:
    from ..trace.model import Trace

Fold = t.Literal["static", "health", "head_options"]

SERVER_ERROR: t.Final = 500
_REDIRECTS: t.Final = {301: "GET", 302: "GET", 303: "GET", 307: None, 308: None}
_HEALTH: t.Final = re.compile(
    r"/(?:[\w-]+/)*(?:health(?:z|y|-?check)?|livez?|liveness|readyz?|readiness|ping|heartbeat)/?",
    re.IGNORECASE,
)


def moment(iso: str) -> datetime:
    """An ISO time of a trace as a datetime in UTC."""
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(iso.replace("Z", "+00:00"))


def age(iso: str, now: datetime) -> float:
    """Seconds from *iso* to *now*; 0 for a time that lies ahead."""
    return round(max(0.0, (now - moment(iso)).total_seconds()), 3)


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def iso(seconds: float) -> str:
    """Seconds since the epoch as an ISO time in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def fold(trace: Trace) -> Fold | None:
    """Which everyday traffic *trace* is, or None.

    A server error is never everyday.
    """
    if trace.kind != "request" or (trace.status or 0) >= SERVER_ERROR:
        return None
    if (trace.endpoint or "").rpartition(".")[2] == "static" or trace.path == "/favicon.ico":
        return "static"
    if trace.method in {"HEAD", "OPTIONS"}:
        return "head_options"
    return "health" if trace.path and _HEALTH.fullmatch(trace.path) else None


def summary(trace: Trace, now: datetime) -> dict[str, t.Any]:
    """One line about *trace*; ages in seconds at *now*."""
    return {
        "id": trace.id,
        "kind": trace.kind,
        "state": trace.state,
        "name": trace.name,
        "method": trace.method,
        "path": trace.path,
        "endpoint": trace.endpoint,
        "status": trace.status,
        "started_at": trace.started_at,
        "age_s": age(trace.started_at, now),
        "duration_ms": trace.duration_ms,
        "streamed": bool(trace.response and trace.response.get("streamed")),
        "unit": trace.unit.key,
        "worker": trace.unit.worker,
        "strip": strip(trace),
        "findings": [
            {"code": finding.get("code"), "severity": finding.get("severity")}
            for finding in trace.findings
        ],
        "exception": None if trace.exception is None else trace.exception.type,
        "note": note(trace),
    }


def note(trace: Trace) -> str | None:
    """What is worth a word beside the numbers: the exception, where a redirect leads, what work
    it was that somebody started, ``g``.
    """
    if trace.exception is not None:
        return trace.exception.type
    if trace.status in _REDIRECTS:
        target = header(trace, "Location")
        return f"-> {_REDIRECTS[trace.status] or trace.method} {target}" if target else None
    if trace.state == "left":
        return "never ended"
    if trace.lineage is not None:
        ran = next((event for event in trace.events if event.phase == "view"), None)
        return None if ran is None else f"ran {short(ran.name)}"
    if trace.kind != "request" and trace.g:
        return "g " + " ".join(f"+{name}" for name in list(trace.g)[:3])
    return None


def header(trace: Trace, name: str) -> str | None:
    """The text of response header *name*, as far as it may be shown."""
    for row in (trace.response or {}).get("headers", ()):
        if row[0].lower() == name.lower():
            value = row[1]
            return str(value.get("$text", "•••")) if isinstance(value, dict) else str(value)
    return None
