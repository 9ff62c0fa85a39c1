"""``flask ctx tail``: finished requests as they come, one a line."""

from __future__ import annotations

import time
import typing as t
from collections import deque

from . import fields
from .client import NobodyError
from .document import Span, cell, line
from .tables import marks
from .tables.requests import notes_cell, total_text
from .text import clock

if t.TYPE_CHECKING:
    from .client import Client
    from .document import Block
    from .rendering import Console

PAGE: t.Final = 200
MOST: t.Final = 1000
REMEMBERED: t.Final = 10_000
"""Ids that are known as printed already."""
_COMES_BACK: t.Final = frozenset({"refused", "reset", "timeout", "unreachable"})
"""A development server that reloads is away for a moment."""


class Tail:
    """Prints each finished request once, oldest first."""

    def __init__(self, client: Client, console: Console, asked: t.Mapping[str, t.Any]) -> None:
        self._client = client
        self._console = console
        self._asked = asked
        self._order: deque[str] = deque()
        self._seen: set[str] = set()
        self._away = False

    def run(self, lines: int, interval: float | None) -> None:
        """Print the last *lines* requests; with an *interval* in seconds go on for ever.

        :raises AskError: nobody answers at first, or later not the kit.
        """
        # One answer for both, so that nothing falls between what is shown and what is known.
        rows = self._rows(max(lines, 1) if interval is None else MOST)
        self._print(rows[:lines])
        self._remember(rows)
        while interval is not None:
            time.sleep(interval)
            self._print_new()

    def _rows(self, limit: int) -> list[fields.Row]:
        return fields.rows(self._client.ask("requests", limit=limit, **self._asked), "requests")

    def _print_new(self) -> None:
        try:
            fresh = self._fresh(PAGE)
            if len(fresh) == PAGE:
                fresh = self._fresh(MOST)
        except NobodyError as error:
            self._wait_for(error)
            return
        if self._away:
            self._away = False
            self._say("The app is back.")
        if len(fresh) == MOST:
            self._say(f"More than {MOST:,} requests came at once; the oldest are not listed.")
        self._print(fresh)
        self._remember(fresh)

    def _fresh(self, limit: int) -> list[fields.Row]:
        return [row for row in self._rows(limit) if fields.text(row, "id") not in self._seen]

    def _wait_for(self, error: NobodyError) -> None:
        if error.code not in _COMES_BACK:
            raise error
        if not self._away:
            self._away = True
            self._say(f"The app is away ({error.evidence['said']}); waiting for it.")

    def _say(self, message: str) -> None:
        self._console.aside([line(Span(message, "dim"))])

    def _remember(self, rows: t.Sequence[fields.Row]) -> None:
        for row in reversed(rows):
            trace_id = fields.text(row, "id")
            self._order.append(trace_id)
            self._seen.add(trace_id)
        while len(self._order) > REMEMBERED:
            self._seen.discard(self._order.popleft())

    def _print(self, newest_first: t.Sequence[fields.Row]) -> None:
        for row in reversed(newest_first):
            if self._console.format == "json":
                self._console.json(row, one_line=True)
            else:
                self._console.draw([tail_line(row)])


def tail_line(row: fields.Row) -> Block:
    """``10:44:12  8f3a1c07  GET    200   41.8 ms  /cart  ✗ session-nested-change``."""
    method = fields.text(row, "method") or "-"
    status = marks.status_cell(row)
    pad = " " * max(4 - len(status[0].text), 0)
    notes = notes_cell(row)
    return line(
        Span(clock(fields.text(row, "started_at")), "dim"),
        f"  {marks.short_id(row)}  {method:<7}",
        cell(status, pad),
        f" {total_text(row):>10}  ",
        Span(fields.text(row, "path") or fields.text(row, "name"), "strong"),
        *((Span("  "), *notes) if notes else ()),
        hang=10,
    )
