"""What started a context, and what it started: told on the traces of both."""

from __future__ import annotations

import typing as t
from dataclasses import replace

if t.TYPE_CHECKING:
    from ..origin import Origin
    from .recording import Recording

CHILDREN: t.Final = 100
"""The most traces that are named as started by one; more are counted."""


class Lineage:
    """Made for the few recordings that started work, or are of such work.

    :param by: the name of the trace that started the work.
    """

    __slots__ = ("by", "children", "dropped", "origin", "outlived")

    def __init__(self, origin: Origin | None = None, by: str | None = None) -> None:
        self.origin = origin
        self.by = by
        self.outlived = 0
        self.children: list[str] = []
        self.dropped = 0

    def started(self, trace_id: str) -> None:
        """Remember that the trace *trace_id* was started from here."""
        if len(self.children) < CHILDREN:
            self.children.append(trace_id)
        else:
            self.dropped += 1

    def outlived_ns(self, moment: int) -> int:
        """Nanoseconds by which *moment* is later than the end of who started the work; 0 if
        that one goes on, or was not recorded. Once the work has ended, its own end counts.
        """
        parent: Recording | None = None if self.origin is None else self.origin.parent
        if parent is None or parent.ended is None:
            return self.outlived
        return max(0, moment - parent.ended)

    def settle(self, ended: int) -> None:
        """The work ended: keep nothing of the user's, and of work that starts itself again
        not all that came before.
        """
        self.outlived = self.outlived_ns(ended)
        if self.origin is not None:
            self.origin = replace(self.origin, parent=None, function=None)
