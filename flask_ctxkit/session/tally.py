"""How often each verdict was given, by minute: counted on every request, traced or not."""

from __future__ import annotations

import typing as t
from collections import defaultdict

Key = tuple[str, str, str]
"""Step, code, and the fingerprint of the key that was used ("" for none)."""

UNKNOWN: t.Final = "unknown-key"
"""The verdict on a cookie that was signed with a key that this worker doesn't have."""
MINUTES: t.Final = 60
"""How many minutes are kept apart; older ones only count in the totals."""


class Tally:
    """Counts of verdicts.

    Lifetime: its interface's. No lock: between reading and writing one number the
    interpreter runs no other thread's bytecode, and a lock could be held by a thread that a
    fork leaves behind.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, defaultdict[Key, int]] = {}
        self._before: defaultdict[Key, int] = defaultdict(int)
        self.since: int | None = None
        """When the first verdict was counted, in seconds since 1970; None before."""
        self.last_used: dict[str, int] = {}
        """When each key, by fingerprint, last opened a session; seconds since 1970."""

    def count(self, now: int, key: Key) -> None:
        """One more of *key* at *now*, seconds since 1970."""
        counts = self._minutes.get(now // 60)
        if counts is None:
            counts = self._turn(now)
        counts[key] += 1

    def _turn(self, now: int) -> defaultdict[Key, int]:
        if self.since is None:
            self.since = now
        counts = self._minutes.setdefault(now // 60, defaultdict(int))
        # The largest minutes stay, so a clock that was set back loses nothing but them.
        for minute in sorted(self._minutes)[:-MINUTES]:
            old = self._minutes.pop(minute, None)
            for key, number in {} if old is None else old.items():
                self._before[key] += number
        return counts

    def window(self, now: int, seconds: int = 300) -> dict[Key, int]:
        """The counts of the last *seconds*, to the minute."""
        first = (now - seconds) // 60
        return _sum(counts for minute, counts in tuple(self._minutes.items()) if minute >= first)

    def totals(self) -> dict[Key, int]:
        """The counts since the first verdict."""
        return _sum((self._before, *tuple(self._minutes.values())))


def _sum(many: t.Iterable[t.Mapping[Key, int]]) -> dict[Key, int]:
    total: dict[Key, int] = {}
    for counts in many:
        for key, number in tuple(counts.items()):
            total[key] = total.get(key, 0) + number
    return total


def unknown_keys(counts: t.Mapping[Key, int]) -> tuple[int, int]:
    """How many of the cookies in *counts* that were looked at have an unknown key, of how
    many.
    """
    looked = unknown = 0
    for (step, code, _), number in counts.items():
        if step == "open" and code not in {"absent", "untouched", "no-key"}:
            looked += number
            unknown += number if code == UNKNOWN else 0
    return unknown, looked
