"""A level is one open block of a unit: its cursor, on a connection or a part of what it does."""

from __future__ import annotations

import typing as t

from ...errors import RolledBackError
from ...units import Unit, current_unit
from ..callers import Site, caller
from .parts import TRANSACTION, begin, keep, part_of, transaction_on, undo

if t.TYPE_CHECKING:
    from types import FrameType

    from .connections import Connection
    from .cursors import Cursor
    from .ledger import Ledger
    from .parts import Part

R = t.TypeVar("R")


class Level(t.Generic[R]):
    """One open block.

    ``frame`` is the frame whose ``with`` entered it, where that is known: two generators of
    one thread take turns, and one may be closed by another thread, so the top of the stack is
    not always the level that is left. ``part`` is the savepoint or the transaction that it is,
    or None for all that its connection does; ``owns`` tells whether the connection is its own.
    """

    __slots__ = ("connection", "cursor", "frame", "orphaned", "owns", "part", "site", "unit")

    def __init__(
        self,
        unit: Unit,
        frame: FrameType | None,
        connection: Connection[R],
        cursor: Cursor[R],
        part: Part | None = None,
        *,
        owns: bool,
    ) -> None:
        self.unit = unit
        self.frame = frame
        self.connection = connection
        self.cursor = cursor
        self.part = part
        self.owns = owns
        self.site: Site = connection.claim.site if owns else caller()
        self.orphaned = False

    def end(self, error: BaseException | None) -> None:
        """Commit or roll back what was done in it, and give back what it took.

        :raises RolledBackError: if it ended well, and still can't be committed.
        """
        if self.orphaned:
            if error is None:
                raise RolledBackError(
                    f"What the block of {self.site} wrote was rolled back: the one that it is "
                    "nested in ended before it. Leave blocks in reverse order.",
                    where=str(self.site),
                    reason="left in the wrong order",
                )
        elif self.connection.is_inherited:
            return
        elif self.owns:
            self._end_connection(error)
        else:
            self.cursor.close()
            self._end_part(error)

    def _end_connection(self, error: BaseException | None) -> None:
        if self.part is not None:
            try:
                self.connection.close_cursors()
                self._end_part(error)
            except BaseException as raised:
                self.connection.end(raised)
                raise
        self.connection.end(error)

    def _end_part(self, error: BaseException | None) -> None:
        assert self.part is not None
        (keep if error is None else undo)(self.connection, self.part)


def enter(
    ledger: Ledger[R], frame: FrameType | None, *, share: bool, whole: bool = False
) -> Level[R]:
    """Open a level on top of the stack of the current unit.

    :param share: be a part of the level below, if there is one, and take no connection.
    :param whole: be done whole or not at all, also in autocommit mode.
    """
    ledger.after_fork()
    unit = current_unit()
    stack = ledger.stacks.get(unit, ())
    if share and stack:
        level = _inside(stack[-1], unit, frame, len(stack) + 1)
    else:
        level = alone(ledger, unit, frame, len(stack) + 1, whole=whole)
    with ledger.lock:
        ledger.stacks.setdefault(unit, []).append(level)
    return level


def alone(
    ledger: Ledger[R],
    unit: Unit,
    frame: FrameType | None = None,
    depth: int = 0,
    *,
    whole: bool = False,
) -> Level[R]:
    """A level with a connection of its own, on no stack."""
    connection = ledger.take(unit, depth)
    try:
        part = transaction_on(connection) if whole else None
        if part is not None:
            begin(connection, part)
        return Level(unit, frame, connection, connection.cursor(), part, owns=True)
    except BaseException as error:
        # Seen from outside this is a block that failed at once.
        connection.end(error)
        raise


def _inside(outer: Level[R], unit: Unit, frame: FrameType | None, depth: int) -> Level[R]:
    """A level on the connection of *outer*."""
    connection = outer.connection
    part = part_of(connection, depth)
    cursor = connection.cursor()
    try:
        begin(connection, part)
    except BaseException:
        connection.close_cursor(cursor)
        raise
    return Level(unit, frame, connection, cursor, part, owns=False)


def leave(ledger: Ledger[R], level: Level[R], error: BaseException | None) -> None:
    """End *level*, which need not be on top, nor the current unit's."""
    inner = _taken_off(ledger, level)
    level.frame = None
    if inner and not level.orphaned:
        for other in inner:
            other.orphaned = True
        if inner[0].part is TRANSACTION and not level.connection.is_inherited:
            # The level has nothing to roll back, in autocommit mode.
            undo(level.connection, TRANSACTION)
        level.end(error or _left_first(level, inner[0]))
        if error is None:
            raise _left_first(level, inner[0])
        return
    level.end(error)


def _taken_off(ledger: Ledger[R], level: Level[R]) -> list[Level[R]]:
    """Take *level* off its stack; the levels that are parts of it."""
    with ledger.lock:
        stack = ledger.stacks.get(level.unit, [])
        place = stack.index(level) if level in stack else len(stack)
        inner = [
            other
            for other in stack[place + 1 :]
            if not other.owns and other.connection is level.connection
        ]
        del stack[place : place + 1]
        if not stack:
            ledger.stacks.pop(level.unit, None)
    return inner


def _left_first(level: Level[t.Any], inner: Level[t.Any]) -> RolledBackError:
    return RolledBackError(
        f"The block of {level.site} was left before the one of {inner.site}, which is nested in "
        "it, so both were rolled back. Leave blocks in reverse order.",
        where=str(level.site),
        inner=str(inner.site),
        reason="left in the wrong order",
    )


def level_of(ledger: Ledger[R], frame: FrameType) -> Level[R] | None:
    """The level that *frame* leaves: the one that it entered, else the current unit's last."""
    own = ledger.stacks.get(current_unit(), [])
    if own and own[-1].frame is frame:
        return own[-1]
    with ledger.lock:
        for stack in [*ledger.stacks.values(), *ledger.inherited.values()]:
            for level in reversed(stack):
                if level.frame is frame:
                    return level
    # An ExitStack's, or entered by hand: its frame is not there any more.
    return next((level for level in reversed(own) if level.frame is None), own[-1] if own else None)
