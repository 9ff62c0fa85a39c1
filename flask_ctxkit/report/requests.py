"""Which requests were there?"""

from __future__ import annotations

import typing as t
from collections import Counter

from .query import Query
from .summary import fold, summary, utc_now

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..trace.model import Trace
    from .sources import Sources

NEAR: t.Final = 5
"""The most ways out that are named where nothing matches."""


def requests(sources: Sources, query: Query | None = None, since: str = "") -> dict[str, t.Any]:
    """The finished traces that match *query*, as summaries.

    ``total`` counts all that match, ``shown`` those in the list, ``folded`` the everyday
    ones that were left out by kind. Where nothing matches, ``near`` tells how many there
    would be without one of the conditions.

    :param since: the id of the newest trace that is known already: only newer ones are
        wanted. An id that is gone wants all.
    """
    query = query or Query()
    now = utc_now()
    everything = _newer(sources.store.newest(), since)
    tests = list(query.conditions().values())
    matching = [trace for trace in everything if all(test(trace) for test in tests)]
    folded: Counter[str] = Counter()
    if not query.all and not tests:
        matching = _unfolded(matching, folded)
    shown = _sorted(matching, query)[: query.limit]
    return {
        "requests": [summary(trace, now) for trace in shown],
        "total": len(matching),
        "shown": len(shown),
        "folded": dict(folded),
        "query": query.as_parameters(),
        "near": {} if matching else _near(everything, query),
    }


def _newer(traces: Iterable[Trace], since: str) -> list[Trace]:
    found = []
    for trace in traces:
        if since and trace.id == since:
            break
        found.append(trace)
    return found


def _unfolded(traces: list[Trace], folded: Counter[str]) -> list[Trace]:
    kept = []
    for trace in traces:
        kind = fold(trace)
        if kind is None:
            kept.append(trace)
        else:
            folded[kind] += 1
    return kept


def _sorted(traces: list[Trace], query: Query) -> list[Trace]:
    keys: dict[str, Callable[[Trace], float]] = {
        "slowest": lambda trace: -(trace.duration_ms or 0.0),
        "status": lambda trace: -(trace.status or 0),
    }
    return sorted(traces, key=keys[query.sort]) if query.sort in keys else traces


def _near(traces: list[Trace], query: Query) -> dict[str, int]:
    tests = query.conditions()
    near = {}
    for name in tests:
        others = [test for other, test in tests.items() if other != name]
        count = sum(all(test(trace) for test in others) for trace in traces)
        if count:
            near[f"without {name}"] = count
    best = sorted(near.items(), key=lambda row: -row[1])[:NEAR]
    return dict(best)
