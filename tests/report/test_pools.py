"""How full the pools of an app are, and where its helpers are looked for."""

from __future__ import annotations

import functools
import json
import sqlite3
import sys
import threading
import time
import types
import typing as t

import pytest
from flask import Flask

from flask_ctxkit import CtxKit, LocalProxy, PoolExhaustedError, SqlHelper
from flask_ctxkit.report import contexts
from flask_ctxkit.report.pools import HOLDERS, helpers, pools

if t.TYPE_CHECKING:
    from pathlib import Path


def make(name: str = "no_such_package") -> tuple[Flask, CtxKit]:
    app = Flask(name)
    return app, CtxKit(app)


def helper(path: Path, **options: t.Any) -> SqlHelper[t.Any]:
    pytest.importorskip("sqlalchemy")
    return SqlHelper.from_url(f"sqlite:///{path / 'x.db'}", **options)


def seen(app: Flask) -> list[SqlHelper[t.Any]]:
    return helpers(app, app.extensions["ctxkit"].resources)


def test_in_use_of_how_many_and_by_whom(tmp_path: Path) -> None:
    """The unit, the line and the request of each connection, the longest first."""
    app, _ = make()
    db = app.extensions["db"] = helper(tmp_path, pool_size=2, max_overflow=1)
    with app.test_request_context("/cart"), db as cursor:
        cursor.execute("select 1")
        told = json.loads(json.dumps(contexts(app.extensions["ctxkit"])))["pools"]
    [pool] = told
    assert {key: value for key, value in pool.items() if key != "holders"} == {
        "name": "db", "taken": 1, "limit": 3, "held": 1, "waiting": 0, "cursors": 1, "failed": 0,
    }  # fmt: skip
    [holder] = pool["holders"]
    assert holder["request"] == "GET /cart"
    assert holder["where"].startswith("report/test_pools.py:")
    assert holder["unit"]["kind"] == "thread"
    assert (holder["depth"], holder["age_s"] >= 0) == (1, True)


def test_who_waits_is_counted(tmp_path: Path) -> None:
    app, _ = make()
    db = app.extensions["db"] = helper(tmp_path, pool_size=1, max_overflow=0, pool_timeout=1)

    def ask() -> None:
        with pytest.raises(PoolExhaustedError):
            db.fetchone("select 1")

    with db:
        waiter = threading.Thread(target=ask)
        waiter.start()
        waiting: list[int] = []
        deadline = time.monotonic() + 0.8
        while 1 not in waiting and time.monotonic() < deadline:
            waiting = [row["waiting"] for row in pools(app, None)]
        assert waiting == [1]
        waiter.join(20)


def test_a_pool_that_does_not_tell() -> None:
    """Of a driver's own connections it is known what is out."""
    app, _ = make()
    db = app.extensions["db"] = SqlHelper(lambda: sqlite3.connect(":memory:"), name="own")
    with db:
        [pool] = pools(app, None)
    assert (pool["name"], pool["taken"], pool["limit"], pool["held"]) == ("own", None, None, 1)


def test_of_many_holders_the_longest_are_told() -> None:
    app, _ = make()
    db = app.extensions["db"] = SqlHelper(lambda: sqlite3.connect(":memory:"))
    blocks = [db.connection() for _ in range(HOLDERS + 5)]
    for block in blocks:
        block.__enter__()
    [pool] = pools(app, None)
    for block in blocks:
        block.__exit__(None, None, None)
    assert (pool["held"], len(pool["holders"])) == (HOLDERS + 5, HOLDERS)


def test_a_helper_is_found_behind_a_resource() -> None:
    app, kit = make()
    db = SqlHelper(lambda: sqlite3.connect(":memory:"))
    kit.resource("db", db.connection)
    kit.resource("other", object)
    assert seen(app) == [db]


def test_a_helper_is_found_in_a_module_of_the_apps_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in that of another package whose name begins alike."""
    found = {name: types.ModuleType(name) for name in ("tea_house.db", "tea_houses", "tea")}
    for name, module in found.items():
        module.db = SqlHelper(lambda: None, name=name)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    app, _ = make("tea_house")
    assert [one.name for one in seen(app)] == ["tea_house.db"]


def test_a_helper_is_found_where_views_look() -> None:
    """In a closure, a module of theirs, and beneath a decorator; each helper once."""
    app, _ = make()
    inner = SqlHelper(lambda: None, name="inner")
    space: dict[str, t.Any] = {"there": SqlHelper(lambda: None, name="there"), "again": inner}
    exec("def view(): return there", space)

    def decorated() -> str:
        return inner.name

    @functools.wraps(decorated)
    def wrapper() -> str:
        return decorated()

    app.add_url_rule("/1", "one", wrapper)
    app.add_url_rule("/2", "two", space["view"])
    assert [one.name for one in seen(app)] == ["inner", "there"]


def test_looking_calls_nothing_of_the_users() -> None:
    """No proxy is followed, no class of an object asked, and no cell read before it is set."""

    def never() -> t.NoReturn:
        raise AssertionError

    class Hostile:
        __class__ = property(lambda self: never())

    app, _ = make()

    def view() -> str:
        return str(later)

    app.extensions |= {"proxy": LocalProxy(never), "hostile": Hostile()}
    app.add_url_rule("/", "view", view)
    app.add_url_rule("/class", "class", t.cast("t.Any", Hostile()))
    assert seen(app) == []
    later = 1
