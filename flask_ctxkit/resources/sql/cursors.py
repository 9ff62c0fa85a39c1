"""A cursor that tells what it runs."""

from __future__ import annotations

import typing as t

from ...errors import CtxKitError
from ..steps import now
from .statements import Statement, begin
from .wording import shape_of, shape_of_many

if t.TYPE_CHECKING:
    from .connections import Connection

Row_co = t.TypeVar("Row_co", covariant=True)
Parameters = t.Sequence[object]

_ALONE: t.Final = (tuple, list, dict)
"""What one argument must be to stand for all parameters of a statement."""


def bound(parameters: tuple[t.Any, ...]) -> tuple[t.Any, ...]:
    """What is handed to a driver after the statement.

    One tuple, list or dict is what the DB-API takes; else they are its items. Nothing for no
    parameters: drivers then leave a ``%`` in the statement alone.
    """
    if len(parameters) == 1 and isinstance(parameters[0], _ALONE):
        return parameters
    return (parameters,) if parameters else ()


class Cursor(t.Generic[Row_co]):
    """A driver's cursor, with rows as the helper makes them.

    :attr:`driver` is the driver's own; what this one lacks is looked up there. It is closed
    with its block at the latest.
    """

    def __init__(self, connection: Connection[Row_co], driver: t.Any) -> None:
        self.driver = driver
        self._connection = connection
        self._statement: Statement | None = None
        self._names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"<Cursor of {self._connection!r}>"

    def __getattr__(self, name: str) -> t.Any:
        if name.startswith("_"):  # also before __init__ has set any
            raise AttributeError(name)
        return getattr(self.driver, name)

    # ---------------------------------------------------------------------- running

    def execute(self, sql: t.Any, *parameters: t.Any) -> Cursor[Row_co]:
        """Run *sql* and return this cursor.

        :param parameters: one by one, or as one tuple, list or dict; written in *sql* as the
            driver wants it (``%s``, ``?``, ``:name``).
        """
        self._run(self.driver.execute, sql, bound(parameters), shape_of)
        return self

    def executemany(self, sql: t.Any, rows: t.Iterable[t.Any]) -> Cursor[Row_co]:
        """Run *sql* once for each of *rows*, which are the parameters of one run each."""
        self._run(self.driver.executemany, sql, (rows,), shape_of_many)
        return self

    def callproc(self, name: str, parameters: Parameters = ()) -> t.Any:
        """Call a stored procedure; what the driver returns."""
        return self._run(self.driver.callproc, name, (parameters,), shape_of)

    def _run(
        self,
        call: t.Callable[..., t.Any],
        sql: t.Any,
        arguments: tuple[t.Any, ...],
        shape: t.Callable[[object], str],
    ) -> t.Any:
        self._end()
        self._names = None
        statement = begin(sql, self._connection.dialect, shape, arguments)
        try:
            result = call(sql, *arguments)
        except BaseException as error:
            self._failed(statement, error)
            raise
        if statement is not None:
            statement.ran(self.driver)
            self._statement = None if statement.told else statement
        return result

    def _failed(self, statement: Statement | None, error: BaseException) -> None:
        self._statement = None
        self._connection.failed(error)
        if statement is not None:
            statement.failed(error)

    def _end(self) -> None:
        statement, self._statement = self._statement, None
        if statement is not None:
            statement.tell()

    # --------------------------------------------------------------------- fetching

    def fetchone(self) -> Row_co | None:
        """The next row, or None."""
        row = self._fetch(self.driver.fetchone, ())
        return None if row is None else self._rows([row])[0]

    def fetchmany(self, size: int = 1) -> list[Row_co]:
        """The next *size* rows; fewer at the end, none after it."""
        return self._rows(self._fetch(self.driver.fetchmany, (size,)))

    def fetchall(self) -> list[Row_co]:
        """All rows that are left."""
        return self._rows(self._fetch(self.driver.fetchall, ()))

    def __iter__(self) -> t.Iterator[Row_co]:
        while (row := self.fetchone()) is not None:
            yield row

    def _fetch(self, call: t.Callable[..., t.Any], arguments: tuple[t.Any, ...]) -> t.Any:
        statement, start = self._statement, now()
        try:
            found = call(*arguments)
        except BaseException as error:
            self._failed(statement, error)
            raise
        if statement is not None:
            several = isinstance(found, (list, tuple)) and call != self.driver.fetchone
            count = len(found) if several else int(found is not None)
            statement.fetched(count, start)
        return found

    def _rows(self, found: t.Iterable[t.Any]) -> list[Row_co]:
        if not self._connection.as_dicts:
            return list(found)
        if self._names is None:
            self._names = _names_of(self.driver.description)
        names = self._names
        # A driver's cursor may be one that makes dicts itself.
        return [
            t.cast("Row_co", row if isinstance(row, dict) else dict(zip(names, row, strict=True)))
            for row in found
        ]

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self._connection.close_cursor(self)

    def closed(self) -> None:
        """Tell what is still to be told: the connection closed the driver's cursor."""
        self._end()

    def __enter__(self) -> Cursor[Row_co]:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _names_of(description: t.Any) -> tuple[str, ...]:
    names = tuple(column[0] for column in description or ())
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CtxKitError(
            f"Two columns of the result are named {twice!r}, and a dict holds one of them. Give "
            f"one another name (select a.{twice} as ...), or take the rows as tuples.",
            columns=names,
        )
    return names
