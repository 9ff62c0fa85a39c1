"""SqlHelper: levels, pairs and transactions, and what becomes of them when a step fails."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import typing as t
from unittest import mock

import pytest

pytest.importorskip("sqlalchemy")


from flask_ctxkit import CtxKitError, RolledBackError, SqlHelper
from tests.resources.faults import Counted, CountedConnection, add, failing, names

if t.TYPE_CHECKING:
    from pathlib import Path

Helper = SqlHelper[tuple[t.Any, ...]]


# ---------------------------------------------------------------------------- as the notes have it


def test_the_first_way_of_the_notes(db: Helper) -> None:
    """One object, nested, each level with a cursor of its own."""
    with db as c1:
        c1.execute("select 1")
        with db as c2:
            c1.execute("select 2")
            assert c1 is not c2
            assert c1.fetchone() == (2,)
            assert (db.status().depth, db.status().held, db.status().cursors) == (2, 2, 2)
        assert db.status().depth == 1
    assert db.fetchall("select ? union select ?", 1, 2) == [(1,), (2,)]
    assert db.fetchone("select 1") == (1,)


def test_the_second_way_of_the_notes(path: Path) -> None:
    """An object for each block, which leaves nothing open behind it."""
    url = f"sqlite:///{path}"
    with SqlHelper.from_url(url) as c1:
        add(c1, "green")
    with SqlHelper.from_url(url) as c1:
        c1.execute("select 1")
        with SqlHelper.from_url(url) as c2:
            assert c2.execute("select name from tea").fetchall() == [("green",)]
        assert c1.fetchone() == (1,)
    gc.collect()


def test_independent_pairs_know_nothing_of_levels(db: Helper, path: Path) -> None:
    """Wherever they stand: a connection each, committed at their own end."""
    with db as cursor:
        cursor.execute("select 1")
        with db.cursor() as own:
            add(own, "green")
            assert db.status().depth == 1
            assert db.status().held == 2
        assert names(path) == ["green"]
        with db.connection() as connection:
            one, two = connection.cursor(), connection.cursor()
            add(one, "black")
            assert two.execute("select count(*) from tea").fetchone() == (2,)
            connection.rollback()
            add(two, "white")
            connection.commit()
            add(two, "red")
            assert names(path) == ["green", "white"]
    assert names(path) == ["green", "white", "red"]


# ------------------------------------------------------------------------------- commit, roll back


@pytest.mark.parametrize("way", ["level", "cursor", "connection", "transaction"])
def test_a_block_commits_at_its_end_and_rolls_back_on_error(
    db: Helper, path: Path, way: str
) -> None:
    """Of whatever kind, for whatever error."""
    block: t.Any = db if way == "level" else getattr(db, way)()
    with block as cursor:
        (cursor.cursor() if way == "connection" else cursor).execute("insert into tea values ('a')")
    assert names(path) == ["a"]
    for error in (ZeroDivisionError, KeyboardInterrupt, GeneratorExit):
        block = db if way == "level" else getattr(db, way)()
        with failing(block, error) as cursor:
            (cursor.cursor() if way == "connection" else cursor).execute("delete from tea")
    assert names(path) == ["a"]


def test_what_is_run_outside_of_a_level_is_committed_at_once(db: Helper, path: Path) -> None:
    """And tells how many rows it concerned."""
    assert db.execute("insert into tea values (?)", "a") == 1
    assert db.executemany("insert into tea values (?)", [("b",), ("c",)]) == 2
    assert names(path) == ["a", "b", "c"]
    assert db.execute("delete from tea where name > :first", {"first": "a"}) == 2
    with pytest.raises(sqlite3.OperationalError):
        db.execute("delete from nowhere")


def test_what_is_run_inside_of_a_level_belongs_to_it(db: Helper, path: Path) -> None:
    """It sees what the level wrote, and is rolled back with it."""
    with failing(db) as cursor:
        add(cursor, "a")
        db.execute("insert into tea values (?)", "b")
        assert db.fetchall("select name from tea") == [("a",), ("b",)]
        assert db.fetchmany("select name from tea", size=1) == [("a",)]
        assert (db.status().held, db.status().cursors) == (1, 1)
    assert names(path) == []


def test_levels_with_connections_of_their_own_commit_for_themselves(db: Helper, path: Path) -> None:
    """What the inner one wrote stays, whatever becomes of the outer one."""
    with failing(db) as outer:
        outer.execute("select * from tea").fetchall()
        with db as inner:
            add(inner, "a")
        assert names(path) == ["a"]
        add(outer, "b")
    assert names(path) == ["a"]


def test_levels_that_share_a_connection_commit_with_the_outermost(
    shared: Helper, path: Path
) -> None:
    """Savepoints: an inner one is undone alone, and nothing is there before the end."""
    with shared as outer:
        outer.execute("select 1")  # nothing that would begin a transaction
        with shared as inner:
            add(inner, "a")
            with failing(shared) as third:
                add(third, "b")
                assert (shared.status().depth, shared.status().held) == (3, 1)
        assert names(path) == []
        add(outer, "c")
    assert names(path) == ["a", "c"]


def test_a_transaction_is_a_savepoint_inside_of_a_level_and_a_level_outside(
    db: Helper, path: Path
) -> None:
    """Whatever the helper nests by."""
    with db as cursor:
        add(cursor, "a")
        with failing(db.transaction()) as inner:
            add(inner, "b")
            assert db.status().held == 1
        assert db.fetchall("select name from tea") == [("a",)]
    with db.transaction() as cursor:
        add(cursor, "c")
        with db.transaction():
            db.execute("insert into tea values ('d')")
    assert names(path) == ["a", "c", "d"]


# ----------------------------------------------------------------------------------- failing steps


@pytest.mark.parametrize(
    ("step", "raises", "log"),
    [
        ("connect", True, "connect"),
        ("cursor", True, "connect cursor rollback close"),
        ("execute", True, "connect cursor execute close cursor rollback close"),
        ("commit", True, "connect cursor execute close cursor commit rollback close"),
        ("close cursor", False, "connect cursor execute close cursor commit close"),
        # What is said to have failed is tried a second time.
        ("close", False, "connect cursor execute close cursor commit close close"),
    ],
)
def test_each_step_may_fail_and_all_is_given_back(step: str, raises: bool, log: str) -> None:
    """The error is the step's; one of cleaning up is counted and never raised."""
    driver = Counted(step)
    db = SqlHelper(driver.connect)
    with contextlib.ExitStack() as stack:
        if raises:
            stack.enter_context(pytest.raises(OSError, match=f"^{step}$"))
        with db as cursor:
            cursor.execute("select 1")
    assert " ".join(driver.log) == log
    assert driver.cursors == 0
    assert driver.open <= 0
    assert db.status().held == 0
    assert db.status().failed == {"close": 2, "close cursor": 1}.get(step, 0)


def test_an_error_that_leaves_a_block_is_not_masked_by_those_of_its_end() -> None:
    """All of them are told and counted instead."""
    driver = Counted("close cursor", "rollback", "close")
    db = SqlHelper(driver.connect)
    with failing(db):
        pass
    assert db.status().failed == 4
    assert db.status().held == 0


def test_a_savepoint_that_cannot_be_undone_is_not_committed_by_the_outer_level(
    shared: Helper, path: Path
) -> None:
    """It would commit what an error was to undo."""

    def block() -> None:
        with shared as outer:
            add(outer, "a")
            with failing(shared) as inner:
                add(inner, "b")
                inner.execute("release savepoint ctxkit_2")

    with pytest.raises(RolledBackError, match="OperationalError left the connection unusable"):
        block()
    assert names(path) == []


def test_a_connection_that_was_interrupted_in_the_middle_is_given_up() -> None:
    """Its next answer would be the rest of this one."""

    class Kill(BaseException):
        pass

    class Pooled(CountedConnection):
        def invalidate(self) -> None:
            self.counted.do("invalidate")

    driver = Counted()
    db = SqlHelper(lambda: Pooled(driver))

    def interrupted(*, caught: bool) -> None:
        with db as cursor, mock.patch.object(cursor.driver, "execute", side_effect=Kill):
            try:
                cursor.execute("select sleep(5)")
            except Kill:
                if not caught:
                    raise

    with pytest.raises(Kill):
        interrupted(caught=False)
    assert driver.log == ["cursor", "close cursor", "invalidate"]
    driver.log.clear()
    with pytest.raises(RolledBackError, match="Kill left"):
        interrupted(caught=True)
    assert driver.log == ["cursor", "close cursor", "invalidate"]


def test_a_connection_that_is_cut_off_while_it_is_closed_is_given_up() -> None:
    """The place in its pool is given back all the same."""

    class Kill(BaseException):
        pass

    class Slow(CountedConnection):
        kills: t.ClassVar = [Kill()]

        def close(self) -> None:
            self.counted.do("close")
            if self.kills:
                raise self.kills.pop()
            self.counted.open -= 1

    driver = Counted()
    driver.open = 1
    db = SqlHelper(lambda: Slow(driver))
    with pytest.raises(Kill), db:
        pass
    assert driver.log == ["cursor", "close cursor", "commit", "close", "close"]
    assert driver.open == 0
    assert db.status().held == 0


def test_a_connection_is_nobodys_after_its_block(db: Helper) -> None:
    """It may be somebody else's by then."""
    with db.connection() as connection:
        cursor = connection.cursor()
    with pytest.raises(RolledBackError, match=r"test_sql.py:\d+ took from 'db' was given back"):
        connection.cursor()
    for use in (connection.commit, connection.rollback, lambda: connection.in_transaction):
        with pytest.raises(RolledBackError):
            use()
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.execute("select 1")
    assert "given back" in repr(connection)


def test_a_connection_may_be_closed_before_its_block_ends(db: Helper, path: Path) -> None:
    """As often as one likes; what was not committed is rolled back."""
    with db.connection() as connection:
        connection.cursor().execute("insert into tea values ('a')")
        connection.close()
        connection.close()
        assert db.status().held == 0
    assert names(path) == []


def test_a_cursor_may_be_closed_before_its_block_ends(db: Helper) -> None:
    """As often as one likes, also by a with block of its own."""
    with db.connection() as connection:
        with connection.cursor() as cursor:
            assert cursor.execute("select 1").fetchall() == [(1,)]
        cursor.close()
        assert db.status().cursors == 0


# ---------------------------------------------------------------------------------------- the rows


def test_rows_are_dicts_where_that_was_asked_for(path: Path) -> None:
    """One by one, in lists, and by iteration."""
    with contextlib.closing(SqlHelper.from_url(f"sqlite:///{path}", rows="dict")) as db:
        db.executemany("insert into tea values (?)", [("a",), ("b",)])
        expected = [{"name": "a", "n": 1}, {"name": "b", "n": 1}]
        sql = "select name, 1 as n from tea"
        assert db.fetchall(sql) == expected
        assert db.fetchone(sql) == expected[0]
        assert db.fetchone("select 1 from tea where name = 'z'") is None
        with db as cursor:
            assert list(cursor.execute(sql)) == expected
            assert cursor.execute(sql).fetchmany(5) == expected
            assert cursor.execute("select 2 as two").fetchone() == {"two": 2}


def test_two_columns_of_one_name_are_refused_as_a_dict(path: Path) -> None:
    """One of them would be lost without a word."""
    with contextlib.closing(SqlHelper.from_url(f"sqlite:///{path}", rows="dict")) as db:
        with pytest.raises(CtxKitError, match="Two columns of the result are named 'id'"):
            db.fetchall("select 1 as id, 2 as id")
        assert db.status().held == 0


def test_rows_that_a_driver_makes_are_left_as_they_are() -> None:
    """Dicts of its own, for instance."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.row_factory = lambda _cursor, row: {"one": row[0]}
        return connection

    helpers: list[t.Any] = [SqlHelper(connect), SqlHelper(connect, rows="dict")]
    for db in helpers:
        assert db.fetchall("select 1") == [{"one": 1}]
