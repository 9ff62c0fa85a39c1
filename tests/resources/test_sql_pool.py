"""Where a SqlHelper has its connections from, and who holds them."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import sys
import threading
import typing as t
from unittest import mock

import pytest

pytest.importorskip("sqlalchemy")

from flask import Flask

from flask_ctxkit import CtxKit, CtxKitError, PoolExhaustedError, SqlHelper
from flask_ctxkit.deferred import run_deferred
from flask_ctxkit.resources.sql import Gauge
from tests.resources.faults import Counted, CountedConnection, CountedCursor, add, failing, names

if t.TYPE_CHECKING:
    from pathlib import Path

Helper = SqlHelper[tuple[t.Any, ...]]


# ---------------------------------------------------------------------------------------- from_url


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    """It has one connection, which levels share; who asks for another one hears who has it."""
    with contextlib.closing(SqlHelper.from_url(pool_timeout=0.1)) as db:
        with db as cursor:
            cursor.execute("create table tea (name text)")
            with db as inner:
                add(inner, "a")
            with pytest.raises(PoolExhaustedError) as raised:
                db.cursor().__enter__()
        assert "which asks and holds 1 itself" in str(raised.value)
        found: list[t.Any] = []
        thread = threading.Thread(target=lambda: found.extend(db.fetchall("select * from tea")))
        thread.start()
        thread.join()
        assert found == [("a",)]
        assert db.status().pool == Gauge(0, 1)


def test_a_database_in_memory_has_no_second_connection() -> None:
    """That is said before anything is lost in it."""
    with pytest.raises(CtxKitError, match="has one connection"):
        SqlHelper.from_url(nested="connection")


def test_a_helper_that_is_forgotten_closes_its_pool(path: Path) -> None:
    """No connection is left for the collector to complain of."""
    db = SqlHelper.from_url(f"sqlite:///{path}")
    pool = db._pool._engine.pool  # type: ignore[attr-defined]
    db.fetchone("select 1")
    assert pool.checkedin() == 1
    del db
    gc.collect()
    run_deferred()
    assert pool.checkedin() == 0


def test_a_helper_that_was_closed_can_be_used_again(db: Helper) -> None:
    """It makes new connections."""
    db.fetchone("select 1")
    db.close()
    assert db.fetchone("select 1") == (1,)


def test_without_sqlalchemy_it_says_what_to_install() -> None:
    """And what works without."""
    with (
        mock.patch.dict(sys.modules, {"sqlalchemy": None}),
        pytest.raises(CtxKitError, match=r"pip install 'flask-ctxkit\[sql\]'"),
    ):
        SqlHelper.from_url()


def test_a_password_in_a_url_is_never_shown() -> None:
    """Not by the helper, nor in what goes wrong."""
    pytest.importorskip("psycopg")
    db = SqlHelper.from_url("postgresql+psycopg://user:hunter2@127.0.0.1:1/shop?connect_timeout=1")
    with pytest.raises(Exception, match=r".") as raised:  # the driver's own
        db.fetchone("select 1")
    assert "hunter2" not in f"{db!r} {db.status()} {raised.value!r}"
    assert db.status().held == db.status().waiting == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SqlHelper("sqlite://"), "takes a callable"),  # type: ignore[call-overload]
        (lambda: SqlHelper(print, rows="list"), "rows is 'list'. Write 'tuple' or 'dict'"),  # type: ignore[call-overload]
        (lambda: SqlHelper(print, nested="no"), "Write 'connection' or 'savepoint'"),  # type: ignore[call-overload]
        (lambda: SqlHelper.from_url(rows="list"), "rows is 'list'"),  # type: ignore[call-overload]
    ],
)
def test_wrong_use_is_told_when_the_helper_is_made(make: t.Any, says: str) -> None:
    """With what to write."""
    with pytest.raises(CtxKitError, match=says):
        make()


# ---------------------------------------------------------------------------------- any connection


def test_a_context_manager_may_give_the_connection() -> None:
    """It is left as often as it is entered, also after an error."""
    driver = Counted()
    left: list[object] = []

    @contextlib.contextmanager
    def lend() -> t.Iterator[CountedConnection]:
        connection = driver.connect()
        yield connection
        left.append(connection)

    db = SqlHelper(lend)
    db.execute("select 1")
    with failing(db):
        pass
    assert len(left) == 2
    assert db.status().held == 0


def test_what_is_no_connection_is_refused(path: Path) -> None:
    """A connection of SQLAlchemy's own kind, or one that must be awaited; and it is closed."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with pytest.raises(CtxKitError, match="no DB-API connection: Connection"):
        SqlHelper(engine.connect).fetchone("select 1")
    assert str(SqlHelper(engine.raw_connection).status().pool) == "0 of 15"
    engine.dispose()
    with pytest.raises(CtxKitError, match=r"no DB-API connection: int\..* nothing that is awaited"):
        SqlHelper(lambda: 5).fetchone("select 1")


def test_a_drivers_connect_is_pool_enough(path: Path) -> None:
    """A connection for each block, closed at its end."""
    db = SqlHelper(lambda: sqlite3.connect(path))
    with db as cursor:
        add(cursor, "a")
        with db.transaction() as inner:
            add(inner, "b")
    assert names(path) == ["a", "b"]
    assert db.status().pool == Gauge(None, None)
    assert str(db.status().pool) == "unknown"
    gc.collect()


def test_a_pool_of_sqlalchemys_tells_how_full_it_is(path: Path) -> None:
    """By its own method, or the engine's."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{path}", pool_size=2, max_overflow=1)
    for connect in (engine.raw_connection, engine.pool.connect):
        db = SqlHelper(connect)
        with db, db:
            assert str(db.status().pool) == "2 of 3"
    engine.dispose()


def test_parameters_reach_the_driver_as_it_takes_them() -> None:
    """None at all where there are none, so that a % in the statement is left alone."""
    db = SqlHelper(Counted().connect)
    with db as cursor:
        driver: CountedCursor = cursor.driver
        for given, expected in [
            ((), ()),
            ((1, 2), ((1, 2),)),
            (((1, 2),), ((1, 2),)),
            (([1, 2],), ([1, 2],)),
            (({"a": 1},), ({"a": 1},)),
            (("ab",), (("ab",),)),
            ((([1, 2],),), (([1, 2],),)),
            ((None,), ((None,),)),
        ]:
            cursor.execute("select 1", *given)
            assert driver.given == ("select 1", *expected)


def test_what_a_wrapper_lacks_is_the_drivers(db: Helper) -> None:
    """Read through to it; and a private name is never looked up there."""
    with db as cursor, db.connection() as connection:
        assert cursor.lastrowid is not None or cursor.description is None
        assert connection.in_transaction is False
        assert not hasattr(cursor, "_nothing")
        assert not hasattr(connection, "_nothing")


# ------------------------------------------------------------------------------------- the holders


def test_holders_are_told_with_unit_place_age_and_request(db: Helper) -> None:
    """The longest first; a secret in the path is not told."""
    app = Flask(__name__)
    seen: list[t.Any] = []

    @app.route("/reset/<step>")
    def view(step: str) -> str:
        with db, db:
            seen.extend(db.holders())
        return ""

    with db.connection():
        app.test_client().get("/reset/password=hunter2hunter2")
        app.test_client().get("/reset/tée")
    outer, first, second, *_, last = seen
    assert last.request == "GET /reset/tée"
    assert [outer.depth, first.depth, second.depth] == [0, 1, 2]
    assert outer.seconds >= first.seconds >= second.seconds >= 0
    assert outer.request is None
    assert first.request is not None
    assert first.request.startswith("GET /reset/")
    assert "hunter2" not in first.request
    assert all("test_sql_pool.py:" in holder.where for holder in seen)
    assert {holder.unit.kind for holder in seen} == {"thread"}
    assert f"{first} {first.as_dict()}".count("GET /reset/") == 2


@pytest.mark.parametrize("with_kit", [True, False])
def test_a_holders_path_is_told_by_the_words_of_its_own_app(path: Path, with_kit: bool) -> None:
    """Whoever asks stands in no context, or in that of another app."""
    app, other = Flask("shop"), Flask("other")
    CtxKit(other)
    if with_kit:
        app.config["CTXKIT_REDACT"] = ["tea"]
        CtxKit(app)
    token = "0123456789abcdef012345"
    told: list[str] = []

    def ask(where: t.ContextManager[object]) -> None:
        with where, pytest.raises(PoolExhaustedError) as raised:
            db.execute("select 1")
        told.append(raised.value.evidence["holders"][0]["request"])
        assert told[-1] in str(raised.value)
        assert token not in str(raised.value)

    @app.get("/reset/<token>/<tea>")
    def view(**_: str) -> str:
        with db:
            for where in (contextlib.nullcontext(), other.app_context()):
                thread = threading.Thread(target=ask, args=(where,))
                thread.start()
                thread.join()
        return ""

    url = f"sqlite:///{path}"
    with contextlib.closing(
        SqlHelper.from_url(url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    ) as db:
        assert app.test_client().get(f"/reset/{token}/green").status_code == 200
    assert told == [f"GET /reset/•••/{'•••' if with_kit else 'green'}"] * 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(1040, "Too many connections"),
        OSError("FATAL:  sorry, too many clients already"),
        type("PoolTimeout", (Exception,), {"__module__": "psycopg_pool"})("couldn't get one"),
    ],
)
def test_what_pools_and_servers_say_when_they_are_full_is_understood(error: Exception) -> None:
    """And is the cause of what is raised; the advice is for who holds nothing itself."""
    db = SqlHelper(mock.Mock(side_effect=error))
    with pytest.raises(PoolExhaustedError, match="nobody holds one") as raised:
        db.fetchone("select 1")
    assert raised.value.__cause__ is error
    assert str(raised.value).endswith("or the pool be larger.")
    assert db.status().waiting == 0


def test_another_error_of_a_pool_is_its_own() -> None:
    """Untouched."""
    error = OSError("no route to host")
    db = SqlHelper(mock.Mock(side_effect=error))
    with pytest.raises(OSError, match="no route") as raised:
        db.fetchone("select 1")
    assert raised.value is error


def test_who_waits_for_a_connection_is_counted(db: Helper) -> None:
    """While it waits."""
    asked, given = threading.Event(), threading.Event()

    def slow() -> sqlite3.Connection:
        asked.set()
        given.wait(20)
        return sqlite3.connect(":memory:")

    slow_db = SqlHelper(slow)
    thread = threading.Thread(target=slow_db.fetchone, args=("select 1",))
    thread.start()
    asked.wait(20)
    assert (slow_db.status().waiting, slow_db.status().held) == (1, 0)
    given.set()
    thread.join()
    assert slow_db.status().waiting == 0
