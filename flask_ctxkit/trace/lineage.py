"""What started a context, and what it started: told on the traces of both."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..origin import Origin
    from .recording import Recording

CHILDREN: t.Final = 100
"""The most traces that are named as started by one; more are counted."""


class Lineage:
    """Made for the few recordings that started work, or are of such work."""

    __slots__ = ("children", "dropped", "origin")

    def __init__(self, origin: Origin | None = None) -> None:
        self.origin = origin
        self.children: list[str] = []
        self.dropped = 0

    def started(self, trace_id: str) -> None:
        """Remember that the trace *trace_id* was started from here."""
        if len(self.children) < CHILDREN:
            self.children.append(trace_id)
        else:
            self.dropped += 1


def outlived_ns(recording: Recording, moment: int) -> int:
    """Nanoseconds that *recording*, until its end or *moment*, ran beyond the end of the one
    that started it; 0 if it did not, or where that one was not recorded.
    """
    origin = None if recording.lineage is None else recording.lineage.origin
    parent: Recording | None = None if origin is None else origin.parent
    if parent is None or parent.ended is None:
        return 0
    return max(0, (recording.ended or moment) - parent.ended)
