"""Any tree of blocks, any of which may fail: committed is what ended well all the way up."""

from __future__ import annotations

import contextlib
import itertools
import typing as t
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sqlalchemy")

from flask_ctxkit import SqlHelper
from tests.resources.faults import Counted

Helper = SqlHelper[tuple[t.Any, ...]]


@dataclass(frozen=True)
class Tree:
    """A block that writes a row, then runs its children, then may fail; who runs it catches."""

    way: str
    children: tuple[Tree, ...]
    fails: bool

    def enter(self, db: Helper) -> t.Any:
        return db if self.way == "level" else db.transaction()


class FailedError(Exception):
    pass


def trees(ways: t.Sequence[str]) -> st.SearchStrategy[Tree]:
    def block(children: st.SearchStrategy[tuple[Tree, ...]]) -> st.SearchStrategy[Tree]:
        return st.builds(Tree, st.sampled_from(ways), children, st.booleans())

    return st.recursive(
        block(st.just(())),
        lambda below: block(st.lists(below, max_size=3).map(tuple)),
        max_leaves=8,
    )


def run(db: Helper, tree: Tree, names: t.Iterator[int], depth: int) -> set[int]:
    """Run *tree*; the rows that it leaves to the block around it."""
    written: set[int] = set()
    with contextlib.suppress(FailedError):
        with tree.enter(db) as cursor:
            assert db.status().depth == depth
            name = next(names)
            cursor.execute("insert into tea values (?)", name)
            inside = [run(db, child, names, depth + 1) for child in tree.children]
            assert db.status().depth == depth
            if tree.fails:
                raise FailedError
        written = {name}.union(*inside)
    assert db.status().depth == depth - 1
    return written


@given(trees(["level", "transaction"]))
def test_what_is_committed_is_what_ended_well_all_the_way_up(tree: Tree) -> None:
    """With savepoints: a block that fails takes all that was done in it along, and no more."""
    with contextlib.closing(SqlHelper.from_url()) as db:
        db.execute("create table tea (n integer)")
        expected = run(db, tree, itertools.count(), 1)
        assert {row[0] for row in db.fetchall("select n from tea")} == expected
        assert (db.status().held, db.status().cursors) == (0, 0)


@given(trees(["level"]), st.sets(st.sampled_from(["close", "close cursor", "rollback"])))
def test_each_connection_is_closed_once_and_the_last_one_first(tree: Tree, fail: set[str]) -> None:
    """With a connection for each level, also where steps fail on the way out."""
    driver = Counted(*fail)
    opened: list[int] = []
    numbers = itertools.count()

    def connect() -> t.Any:
        connection, number = driver.connect(), next(numbers)
        opened.append(number)
        close = connection.close
        tried: list[int] = []

        def close_last() -> None:
            if not tried:  # one that fails is tried twice
                assert opened.pop() == number
                tried.append(number)
                close()

        connection.close = close_last  # type: ignore[method-assign]
        return connection

    db = SqlHelper(connect)
    run(db, tree, itertools.count(), 1)
    assert opened == []
    assert driver.open == driver.cursors == 0
    assert db.status().held == 0
    assert (db.status().failed > 0) is bool(fail & {"close", "close cursor"} or _undone(tree, fail))


def _undone(tree: Tree, fail: set[str]) -> bool:
    """Whether a rollback failed."""
    failed = tree.fails or any(_undone(child, {"rollback"}) for child in tree.children)
    return "rollback" in fail and failed
