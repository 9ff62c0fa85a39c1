"""Revocations in the memory of one process: for tests, and servers with one worker."""

from __future__ import annotations

import threading

from .base import KEPT


class MemoryRevocations:
    """Revocations that end with the process.

    Lifetime: its interface's.
    """

    shared = False

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()  # held while writing only

    def revoke(self, user: str, before: int, keep: int = KEPT) -> None:
        """Refuse what was signed for *user* until *before*."""
        with self._lock:
            times = {u: time for u, time in self._times.items() if time >= before - keep}
            times[user] = max(before, times.get(user, before))
            self._times = times

    def revoked_before(self, user: str) -> int | None:
        """Until when what was signed for *user* is refused; None if nothing is."""
        return self._times.get(user)
