"""What is wrong?"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..contexts.registry import Live
    from .sources import Sources

_ORDER: t.Final = ("error", "warning", "note")


def findings(sources: Sources) -> dict[str, t.Any]:
    """Every finding with how often and when it was seen, and the catalogue of all rules."""
    return {
        "findings": collected(sources),
        "catalogue": [rule.as_dict() for rule in sources.rules.catalogue()],
    }


def collected(sources: Sources, lives: t.Sequence[Live] | None = None) -> list[dict[str, t.Any]]:
    """The findings of the app and of its traces so far, and of what is pushed now: the most
    severe first, then the most frequent.

    :param lives: what is pushed now, where that was asked already.
    """
    rules, registry = sources.rules, sources.registry
    if lives is None:
        lives = registry.contexts()
    rows = [row.as_dict() for row in rules.tally.rows()]
    counted = {(row["code"], row["message"]) for row in rows}
    rows += [
        found.as_dict() | {"count": 1, "first_at": None, "last_at": None, "traces": []}
        for found in rules.for_live(lives, registry.leaks)
        if (found.code, found.message) not in counted
    ]
    return sorted(rows, key=lambda row: _ORDER.index(row["severity"]))
