"""What is wrong?"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..findings.model import Finding
    from .sources import Sources

TRACES: t.Final = 20
"""The most traces that are named per finding, the newest ones."""
_ORDER: t.Final = {"error": 0, "warning": 1, "note": 2}

Row = dict[str, t.Any]


def findings(sources: Sources) -> dict[str, t.Any]:
    """Every finding with how often and when it was seen, and the catalogue of all rules."""
    return {
        "findings": collected(sources),
        "catalogue": [rule.data() for rule in sources.rules.catalogue()],
    }


def collected(sources: Sources) -> list[Row]:
    """The findings of the app, of what is pushed now and of the kept traces: equal ones as
    one row, the most severe first and the newest first among equals."""
    rows: dict[tuple[t.Any, t.Any], Row] = {}
    for trace in sources.store.newest():
        for found in trace.findings:
            _add(rows, dict(found) | {"trace": found.get("trace") or trace.id}, trace.started_at)
    for standing in _standing(sources):
        _add(rows, standing.data(), None)
    # Stable: what was met first, the newest, stays first.
    return sorted(rows.values(), key=lambda row: _ORDER.get(row["severity"], len(_ORDER)))


def _standing(sources: Sources) -> t.Iterator[Finding]:
    rules, registry = sources.rules, sources.registry
    yield from rules.for_app(sources.app)
    yield from rules.for_live(registry.contexts(), registry.leaks)


def _add(rows: dict[tuple[t.Any, t.Any], Row], found: Row, seen: str | None) -> None:
    row = rows.setdefault(
        (found["code"], found["message"]),
        found | {"count": 0, "first_at": seen, "last_at": seen, "traces": []},
    )
    row["count"] += 1
    if seen is not None:
        row["first_at"] = min(seen, row["first_at"] or seen)
        row["last_at"] = max(seen, row["last_at"] or seen)
    if found.get("trace") and found["trace"] not in row["traces"][:TRACES]:
        row["traces"] = [*row["traces"], found["trace"]][:TRACES]
