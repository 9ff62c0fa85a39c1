"""SQL by hand: a stack of cursors per unit, over a pool that somebody else wrote."""

from __future__ import annotations

import sys
import typing as t
import weakref
from dataclasses import dataclass

from ...deferred import defer, run_deferred
from ...errors import CtxKitError
from ...units import current_unit
from .ledger import Holder, Ledger
from .levels import alone, enter, leave, level_of
from .pool import CallablePool, Gauge, Pool, engine_pool

if t.TYPE_CHECKING:
    from types import FrameType, TracebackType

    from .connections import Connection
    from .cursors import Cursor

R = t.TypeVar("R")
T = t.TypeVar("T")

TupleRow = tuple[t.Any, ...]
DictRow = dict[str, t.Any]
Rows = t.Literal["tuple", "dict"]
Nested = t.Literal["connection", "savepoint"]
Leave = t.Callable[[BaseException | None], None]
"""Ends a block, given the error that leaves it."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a helper stands.

    ``depth`` counts the open levels of the current unit; ``cursors``, ``held`` and
    ``waiting`` (who asks for a connection and has none yet) are of all units, ``failed`` the
    steps that failed on the way out of a block, since the start.
    """

    name: str
    depth: int
    cursors: int
    held: int
    waiting: int
    failed: int
    pool: Gauge


class Block(t.Generic[T]):
    """A block to enter with ``with``, once at a time."""

    def __init__(self, open_: t.Callable[[], tuple[T, Leave]]) -> None:
        self._open = open_
        self._leave: Leave | None = None

    def __enter__(self) -> T:
        if self._leave is not None:
            raise CtxKitError("This block is open already. Ask the helper for another one.")
        value, self._leave = self._open()
        return value

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(error)


class SqlHelper(t.Generic[R]):
    """A stack of cursors per unit, over a pool.

    ::

        db = SqlHelper.from_url("sqlite:///shop.db")

        with db as cursor:
            cursor.execute("insert into tea (name) values (?)", "green")

    A block commits at its end and rolls back when an error leaves it. It works in a context
    and outside of one, in threads, greenlets and tasks: each has a stack of its own.

    :param connect: returns a DB-API connection whose ``close()`` gives it back, or a context
        manager for one: the method of a pool, or a driver's ``connect``.
    :param name: what traces and errors call it.
    :param rows: "tuple": rows as the driver makes them. "dict": each a dict by column.
    :param nested: what a ``with`` inside another takes. "connection": one of its own, so that
        each commits for itself. "savepoint": a savepoint on the outer one's, so that the
        outermost commits.
    """

    @t.overload
    def __init__(
        self: SqlHelper[TupleRow],
        connect: t.Callable[[], t.Any],
        *,
        name: str = ...,
        rows: t.Literal["tuple"] = ...,
        nested: Nested = ...,
    ) -> None: ...

    @t.overload
    def __init__(
        self: SqlHelper[DictRow],
        connect: t.Callable[[], t.Any],
        *,
        name: str = ...,
        rows: t.Literal["dict"],
        nested: Nested = ...,
    ) -> None: ...

    def __init__(
        self,
        connect: t.Callable[[], t.Any],
        *,
        name: str = "db",
        rows: Rows = "tuple",
        nested: Nested = "connection",
    ) -> None:
        if not callable(connect):
            raise CtxKitError(
                f"SqlHelper() takes a callable that returns a connection, not a "
                f"{type(connect).__name__}. Hand it pool.connect, PooledDB(...).connection or the "
                "like, or use SqlHelper.from_url().",
                given=type(connect).__name__,
            )
        self._set_up(CallablePool(connect), name, rows, nested)

    def _set_up(self, pool: Pool, name: str, rows: Rows, nested: Nested) -> None:
        _one_of("rows", rows, t.get_args(Rows))
        _one_of("nested", nested, t.get_args(Nested))
        self.name = name
        self._pool = pool
        self._share = nested == "savepoint"
        self._ledger: Ledger[R] = Ledger(name, pool, as_dicts=rows == "dict")

    @t.overload
    @classmethod
    def from_url(
        cls,
        url: str = ...,
        *,
        name: str = ...,
        rows: t.Literal["tuple"] = ...,
        nested: Nested | None = ...,
        **options: t.Any,
    ) -> SqlHelper[TupleRow]: ...

    @t.overload
    @classmethod
    def from_url(
        cls,
        url: str = ...,
        *,
        name: str = ...,
        rows: t.Literal["dict"],
        nested: Nested | None = ...,
        **options: t.Any,
    ) -> SqlHelper[DictRow]: ...

    @classmethod
    def from_url(
        cls,
        url: str = "sqlite://",
        *,
        name: str = "db",
        rows: Rows = "tuple",
        nested: Nested | None = None,
        **options: t.Any,
    ) -> SqlHelper[t.Any]:
        """A helper over the pool of an engine that SQLAlchemy makes for *url*.

        A SQLite database in memory, the default, has one connection: blocks in it share that
        by savepoints, and threads take turns. Elsewhere *nested* is "connection", and each
        connection is tested as it is taken, so that one which the server dropped is replaced.

        :param url: like ``sqlite:///shop.db``, ``mysql+pymysql://user@host/shop`` or
            ``postgresql+psycopg://user@host/shop``.
        :param options: what :func:`sqlalchemy.create_engine` takes, like ``pool_size``.
        :raises CtxKitError: where there is no SQLAlchemy, or for ``nested="connection"`` with
            a database in memory.
        """
        run_deferred()  # first close what other helpers left
        pool, in_memory = engine_pool(url, options)
        if in_memory and nested == "connection":
            raise CtxKitError(
                'A SQLite database in memory has one connection. Use nested="savepoint", or a '
                "file: sqlite:///shop.db."
            )
        helper: SqlHelper[t.Any] = cls.__new__(cls)
        helper._set_up(pool, name, rows, nested or ("savepoint" if in_memory else "connection"))
        # Who forgets a helper leaves no connection open behind it.
        weakref.finalize(helper, defer, pool.close)
        return helper

    def __repr__(self) -> str:
        status = self.status()
        return f"<SqlHelper({self.name!r}, depth={status.depth}, held={status.held})>"

    # ----------------------------------------------------------------------- blocks

    def __enter__(self) -> Cursor[R]:
        """Open a level on the stack of the current unit."""
        return enter(self._ledger, _entering(sys._getframe(1)), share=self._share).cursor  # noqa: SLF001

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        level = level_of(self._ledger, sys._getframe(1))  # noqa: SLF001
        if level is None:
            raise CtxKitError(
                f"{current_unit().key} leaves a block of {self.name!r} that it did not enter. "
                "Enter and leave it in one unit, with a with statement.",
                unit=current_unit().key,
            )
        leave(self._ledger, level, error)

    def cursor(self) -> Block[Cursor[R]]:
        """A block with a cursor on a connection of its own, whatever is open around it."""

        def open_() -> tuple[Cursor[R], Leave]:
            self._ledger.after_fork()
            level = alone(self._ledger, current_unit())
            return level.cursor, level.end

        return Block(open_)

    def connection(self) -> Block[Connection[R]]:
        """A block with a connection of its own, whatever is open around it."""

        def open_() -> tuple[Connection[R], Leave]:
            self._ledger.after_fork()
            connection = self._ledger.take(current_unit(), 0)
            return connection, connection.end

        return Block(open_)

    def transaction(self) -> Block[Cursor[R]]:
        """A block that is done whole or not at all.

        In a level of this unit it is a savepoint of that one, so that an error which is
        caught around it costs only what was done in it; else a level of its own. On a
        connection in autocommit mode it is a transaction, begun and ended by statements.

        :raises CtxKitError: in autocommit mode of a driver that is not known.
        """

        def open_() -> tuple[Cursor[R], Leave]:
            level = enter(self._ledger, None, share=True, whole=True)
            return level.cursor, lambda error: leave(self._ledger, level, error)

        return Block(open_)

    # ------------------------------------------------------------------- statements

    def execute(self, sql: t.Any, *parameters: t.Any) -> int:
        """Run *sql*; how many rows it concerned, or -1 where the driver can't say.

        Inside of a level of this unit it runs on that one's connection, and is committed with
        it; else on a connection of its own, at once. So do all that follow.

        :param parameters: one by one, or as one tuple, list or dict.
        """
        with self._anywhere() as cursor:
            return int(cursor.execute(sql, *parameters).rowcount)

    def executemany(self, sql: t.Any, rows: t.Iterable[t.Any]) -> int:
        """Run *sql* once for each of *rows*; how many rows it concerned in all, or -1."""
        with self._anywhere() as cursor:
            return int(cursor.executemany(sql, rows).rowcount)

    def fetchone(self, sql: t.Any, *parameters: t.Any) -> R | None:
        """The first row of what *sql* selects, or None."""
        with self._anywhere() as cursor:
            return cursor.execute(sql, *parameters).fetchone()

    def fetchmany(self, sql: t.Any, *parameters: t.Any, size: int) -> list[R]:
        """The first *size* rows of what *sql* selects."""
        with self._anywhere() as cursor:
            return cursor.execute(sql, *parameters).fetchmany(size)

    def fetchall(self, sql: t.Any, *parameters: t.Any) -> list[R]:
        """All rows of what *sql* selects."""
        with self._anywhere() as cursor:
            return cursor.execute(sql, *parameters).fetchall()

    def _anywhere(self) -> t.ContextManager[Cursor[R]]:
        self._ledger.after_fork()
        stack = self._ledger.stacks.get(current_unit())
        return stack[-1].connection.cursor() if stack else self.cursor()

    # ---------------------------------------------------------------------- looking

    def holders(self) -> tuple[Holder, ...]:
        """Who has a connection now, of all units of this process, the longest first."""
        return self._ledger.holders()

    def status(self) -> Status:
        """Depth, open cursors, and how full the pool is."""
        ledger = self._ledger
        ledger.after_fork()
        return Status(
            name=self.name,
            depth=len(ledger.stacks.get(current_unit(), ())),
            cursors=ledger.cursors,
            held=len(ledger.held),
            waiting=len(ledger.waiting),
            failed=ledger.failed,
            pool=ledger.gauge(),
        )

    def close(self) -> None:
        """Close the connections that nobody holds, if the pool is the helper's own.

        It can be used again: it then makes new ones.
        """
        self._pool.close()


def _entering(frame: FrameType) -> FrameType | None:
    """The frame whose ``with`` it is; None for an ExitStack's, which leaves from another."""
    return None if frame.f_code.co_filename.endswith("/contextlib.py") else frame


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        words = " or ".join(repr(choice) for choice in choices)
        raise CtxKitError(f"{name} is {value!r}. Write {words}.", given=value)
