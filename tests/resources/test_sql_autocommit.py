"""A transaction is done whole or not at all also where the driver commits each statement."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import typing as t

import pytest

pytest.importorskip("sqlalchemy")

from flask import Flask

from flask_ctxkit import CtxKit, CtxKitError, RolledBackError, SqlHelper
from tests.resources.faults import Counted, CountedConnection, add, failing, names

if t.TYPE_CHECKING:
    from pathlib import Path

Helper = SqlHelper[tuple[t.Any, ...]]
Make = t.Callable[..., Helper]


def of_driver(path: Path, **options: t.Any) -> Helper:
    return SqlHelper(lambda: sqlite3.connect(path, isolation_level=None), **options)


def of_engine(path: Path, **options: t.Any) -> Helper:
    return SqlHelper.from_url(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", **options)


def of_dbutils(path: Path, **options: t.Any) -> Helper:
    module = pytest.importorskip("dbutils.pooled_db")
    pool = module.PooledDB(sqlite3, database=str(path), isolation_level=None)
    return SqlHelper(pool.connection, **options)


def since_312(path: Path, **options: t.Any) -> Helper:
    """Whose commit() and rollback() do nothing."""
    return SqlHelper.from_url(f"sqlite:///{path}", connect_args={"autocommit": True}, **options)


MAKERS = [of_driver, of_engine, of_dbutils, *[since_312][: sys.version_info >= (3, 12)]]


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, path: Path) -> t.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def made(**options: t.Any) -> Helper:
            helper: Helper = request.param(path, **options)
            return stack.enter_context(contextlib.closing(helper))

        yield made


@pytest.fixture
def db(make: Make) -> t.Iterator[Helper]:
    db = make()
    yield db
    status = db.status()
    assert (status.depth, status.cursors, status.held, status.failed) == (0, 0, 0, 0)


def test_a_block_alone_is_whole(db: Helper, path: Path) -> None:
    """Nothing of it is there before its end, and nothing at all after an error."""
    with failing(db.transaction()) as cursor:
        add(cursor, "a")
        db.execute("insert into tea values ('b')")
    assert names(path) == []
    with db.transaction() as cursor:
        add(cursor, "a")
        db.execute("insert into tea values ('b')")
        assert names(path) == []
    assert names(path) == ["a", "b"]
    assert db.execute("insert into tea values ('c')") == 1
    assert names(path) == ["a", "b", "c"]


def test_a_block_inside_of_a_level_is_whole(db: Helper, path: Path) -> None:
    """Around it each statement of the level is committed by itself, as the mode says."""
    with failing(db) as cursor:
        add(cursor, "before")
        with failing(db.transaction()) as inner:
            add(inner, "gone")
            db.execute("insert into tea values ('gone too')")
        with db.transaction() as inner:
            add(inner, "a")
            db.execute("insert into tea values ('b')")
            assert names(path) == ["before"]
        assert names(path) == ["before", "a", "b"]
        add(cursor, "after")
    assert names(path) == ["before", "a", "b", "after"]


@pytest.mark.parametrize("around", ["level", "nothing"])
def test_a_block_inside_of_a_block_is_a_savepoint(db: Helper, path: Path, around: str) -> None:
    """It can be undone alone, and is there with the outer one."""
    with db if around == "level" else contextlib.nullcontext():
        with db.transaction() as outer:
            add(outer, "a")
            with failing(db.transaction()) as inner:
                add(inner, "b")
            with db.transaction() as inner:
                add(inner, "c")
            assert names(path) == []
        assert names(path) == ["a", "c"]
        with failing(db.transaction()), db.transaction() as inner:
            add(inner, "d")
    assert names(path) == ["a", "c"]


def test_levels_that_share_a_connection_are_whole_too(make: Make, path: Path) -> None:
    """The innermost of them: the outer one has no transaction that it could be a part of."""
    db = make(nested="savepoint")
    with failing(db) as outer:
        add(outer, "a")
        with failing(db) as inner:
            add(inner, "b")
        with db as inner:
            add(inner, "c")
            assert names(path) == ["a"]
    assert names(path) == ["a", "c"]
    assert db.status().held == db.status().failed == 0


def test_a_transaction_begun_by_hand_is_the_outer_one(make: Make, path: Path) -> None:
    """The block is a savepoint of that, whose end is not the helper's."""
    db = make()
    with db as cursor:
        cursor.execute("begin")
        with db.transaction() as inner:
            add(inner, "a")
        assert names(path) == []
        cursor.execute("rollback")
    assert names(path) == []


def test_a_commit_that_fails_leaves_nothing_behind(make: Make, path: Path) -> None:
    """The error is the driver's, and the connection is good for what comes next."""
    db = make()
    db.execute("create table pot (id integer primary key)")
    db.execute("create table lid (pot integer references pot deferrable initially deferred)")
    with db as level:
        level.execute("pragma foreign_keys = on")
        block = db.transaction()
        add(block.__enter__(), "a")
        level.execute("insert into lid values (7)")
        with pytest.raises(sqlite3.IntegrityError):
            block.__exit__(None, None, None)
        add(level, "b")
        with db.transaction() as cursor:
            add(cursor, "c")
    assert names(path) == ["b", "c"]
    assert (db.status().held, db.status().failed) == (0, 0)


def test_a_server_that_rolled_back_by_itself_is_not_asked_again(db: Helper, path: Path) -> None:
    """It would call that an error, and the connection would be given up."""
    db.execute("create unique index one on tea (name)")

    def write(*again: str) -> None:
        with db.transaction() as cursor:
            for name in ("a", "b", *again):
                cursor.execute("insert or rollback into tea values (?)", name)

    with pytest.raises(sqlite3.IntegrityError):
        write("a")
    assert names(path) == []
    assert db.status().failed == 0
    write()
    assert names(path) == ["a", "b"]


def test_a_level_that_is_left_first_rolls_its_transaction_back(make: Make, path: Path) -> None:
    """Whoever gets the connection next finds none open."""
    db = make()
    block = db.transaction()
    db.__enter__()
    add(block.__enter__(), "a")
    with pytest.raises(RolledBackError, match="both were rolled back"):
        db.__exit__(None, None, None)
    with pytest.raises(RolledBackError, match="nested in ended before it"):
        block.__exit__(None, None, None)
    with db.transaction() as cursor:
        add(cursor, "b")
    assert names(path) == ["b"]


def test_steps_are_told_by_their_names(make: Make) -> None:
    """Like those of a savepoint."""
    app = Flask("shop")
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)
    db = make()
    with app.app_context(), db:
        with db.transaction():
            pass
        with contextlib.suppress(ZeroDivisionError), db.transaction():
            raise ZeroDivisionError
    [trace] = app.extensions["ctxkit"].store.newest()
    events = [event for event in trace.events if event.phase == "resource"]
    assert [event.name for event in events] == [
        "open db", "begin transaction", "commit transaction", "begin transaction",
        "rollback transaction of db", "commit db", "close db",
    ]  # fmt: skip
    assert all("test_sql_autocommit.py:" in event.where for event in events)


class Unknown(CountedConnection):
    """Of a driver whose server may begin a transaction in words of its own."""

    autocommit = True


@pytest.mark.parametrize("inside", [False, True])
def test_a_driver_that_is_not_known_is_refused(inside: bool) -> None:
    """Before anything is written; and nothing is lost."""
    driver = Counted()

    def connect() -> Unknown:
        driver.open += 1
        return Unknown(driver)

    db = SqlHelper(connect, name="shop")
    with db if inside else contextlib.nullcontext():
        with pytest.raises(CtxKitError) as raised:
            db.transaction().__enter__()
        assert db.status().held == int(inside)
    assert str(raised.value) == (
        "'shop' is in autocommit mode, and how a transaction begins on "
        f"{__name__}.Unknown is not known, so this block would not be done whole or not at all. "
        "Connect with that mode off: autocommit=False."
    )
    assert "execute" not in driver.log
    assert (driver.open, driver.cursors) == (0, 0)
