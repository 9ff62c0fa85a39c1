"""Drivers whose steps fail when a test wants them to, and what tests ask of a database."""

from __future__ import annotations

import contextlib
import sqlite3
import typing as t

import pytest

if t.TYPE_CHECKING:
    from pathlib import Path

STEPS: t.Final = (
    "cursor", "execute", "executemany", "fetchone", "fetchall", "close cursor", "commit",
    "rollback", "close",
)  # fmt: skip
"""What a helper asks a driver's connections and cursors for."""


class FaultError(Exception):
    """A step failed because a test wanted it to."""


class Faulty:
    """A driver's connection or cursor: *plan* is asked before each step, and may raise."""

    def __init__(self, inner: t.Any, plan: t.Callable[[str], None], suffix: str = "") -> None:
        self._inner = inner
        self._plan = plan
        self._suffix = suffix

    def __getattr__(self, name: str) -> t.Any:
        found = getattr(self._inner, name)
        step = f"{name}{self._suffix}" if name == "close" else name
        if step not in STEPS:
            return found

        def planned(*args: t.Any, **options: t.Any) -> t.Any:
            self._plan(step)
            result = found(*args, **options)
            return Faulty(result, self._plan, " cursor") if name == "cursor" else result

        return planned


def add(cursor: t.Any, name: str) -> None:
    cursor.execute("insert into tea values (?)", name)


@contextlib.contextmanager
def failing(block: t.Any, error: type[BaseException] = ZeroDivisionError) -> t.Iterator[t.Any]:
    """A block that *error* leaves when its body is done."""
    with pytest.raises(error), block as value:  # noqa: PT012 - the body, then the error
        yield value
        raise error


def names(path: Path) -> list[str]:
    """What is committed."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("select name from tea order by rowid")]


class Counted:
    """A driver that counts what is open, and whose steps fail by name."""

    def __init__(self, *fail: str) -> None:
        self.fail = set(fail)
        self.open = 0
        self.cursors = 0
        self.log: list[str] = []

    def do(self, step: str) -> None:
        self.log.append(step)
        if step in self.fail:
            raise OSError(step)

    def connect(self) -> CountedConnection:
        self.do("connect")
        self.open += 1
        return CountedConnection(self)


class CountedConnection:
    def __init__(self, driver: Counted) -> None:
        self.counted = driver

    def cursor(self) -> CountedCursor:
        self.counted.do("cursor")
        self.counted.cursors += 1
        return CountedCursor(self.counted)

    def commit(self) -> None:
        self.counted.do("commit")

    def rollback(self) -> None:
        self.counted.do("rollback")

    def close(self) -> None:
        self.counted.open -= 1
        self.counted.do("close")


class CountedCursor:
    rowcount = 1
    description = (("n",),)

    def __init__(self, driver: Counted) -> None:
        self.counted = driver
        self.given: tuple[t.Any, ...] = ()

    def execute(self, *given: t.Any) -> None:
        self.given = given
        self.counted.do("execute")

    def fetchone(self) -> t.Any:
        self.counted.do("fetchone")
        return (1,)

    def close(self) -> None:
        self.counted.cursors -= 1
        self.counted.do("close cursor")
