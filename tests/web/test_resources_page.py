"""Resources in the browser: who holds what now, and whether each answers."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import typing as t

import pytest
from flask import Flask

from flask_ctxkit import CtxKit, SqlHelper, propagate

TOKEN: t.Final = "look-" + "a" * 32


def make(**config: object) -> tuple[Flask, CtxKit]:
    app = Flask("shop")
    app.debug = True
    app.config.update(SECRET_KEY="k" * 32, **config)
    return app, CtxKit(app)


def refuse() -> object:
    raise ConnectionError("the password hunter2 is wrong")


def test_live_shows_who_holds_what() -> None:
    """A context that is pushed while the page is asked for."""
    app, kit = make()
    db = kit.resource("db<b>", object)
    with app.app_context():
        db()
        client = app.test_client()
        html = client.get("/_ctx/live").text
        [row] = [r for r in client.get("/_ctx/live.json").get_json()["contexts"] if r["resources"]]
    assert "<dt>holds</dt>" in html
    assert "db&lt;b&gt;" in html
    assert "web/test_resources_page.py:" in html
    assert row["resources"][0]["resource"] == "db<b>"


def test_live_tells_work_from_the_request_that_started_it() -> None:
    """Both have its method and path. Who asked for a resource is told only of another unit."""
    app, kit = make()
    db = kit.resource("db", object)
    begun, seen = threading.Event(), threading.Event()

    def work() -> None:
        db()
        begun.set()
        seen.wait(20)

    @app.get("/tea")
    def tea() -> str:
        threading.Thread(target=propagate(work), name="kitchen").start()
        return ""

    client = app.test_client()
    client.get("/tea")
    begun.wait(20)
    html = client.get("/_ctx/live").text
    seen.set()
    assert "<b>GET</b> /tea <small>work that it started</small>" in html
    assert "asked for at <code" in html


def test_live_shows_how_full_the_pools_are() -> None:
    """With who has what, also out of every context; a full one is marked by a word."""
    pytest.importorskip("sqlalchemy")
    app, _ = make()
    db = app.extensions["db"] = SqlHelper.from_url("sqlite://", name="db<b>")
    client = app.test_client()
    empty = client.get("/_ctx/live").text
    assert "db&lt;b&gt;" in empty
    assert "<b>0</b> of 1 in use" in empty
    with db:
        html, told = client.get("/_ctx/live").text, client.get("/_ctx/live.json").get_json()
    assert "<b>1</b> of 1 in use" in html
    assert "<b>!</b> full" in html
    assert 'taken at <code class="where">web/test_resources_page.py:' in html
    assert [pool["taken"] for pool in told["pools"]] == [1]
    assert 'id="pools"' not in make()[0].test_client().get("/_ctx/live").text


def test_the_page_changes_with_its_pools() -> None:
    """Who polls gets a new page when a connection is taken, and none while nothing happens."""
    app, _ = make()
    db = app.extensions["db"] = SqlHelper(lambda: sqlite3.connect(":memory:"))
    client = app.test_client()
    since = re.search(r'data-since="(\w+)"', client.get("/_ctx/live").text)
    assert since
    assert client.get(f"/_ctx/live?since={since[1]}").status_code == 204
    with db:
        assert client.get(f"/_ctx/live?since={since[1]}").status_code == 200


def test_the_start_up_page_asks_each_resource() -> None:
    """And shows the answer, with how long it took or what was raised."""
    app, kit = make()
    kit.resource("good", object)
    kit.resource("refused", refuse)
    client = app.test_client()
    html = client.get("/_ctx/app").text
    assert "ConnectionError" in html
    good, refused = client.get("/_ctx/app.json").get_json()["app"]["resources"]
    assert good["ping"]["ok"]
    assert not refused["ping"]["ok"]
    assert (good["opened"], good["open"]) == (2, 0)


def test_an_app_without_resources_says_so() -> None:
    """With what to write."""
    app, _ = make()
    assert "kit.resource(...)" in app.test_client().get("/_ctx/app").text


def test_who_may_not_see_values_sees_no_text_of_an_error() -> None:
    """It may quote an address, and so a password."""
    app, kit = make(CTXKIT_TOKEN=TOKEN, CTXKIT_VALUES=False)
    kit.resource("refused", refuse)
    client = app.test_client()
    asked = client.get("/_ctx/app.json", headers={"Authorization": f"Bearer {TOKEN}"})
    assert asked.status_code == 200
    assert "hunter2" not in asked.text
    [row] = json.loads(asked.data)["app"]["resources"]
    assert row["ping"]["error"].startswith("ConnectionError: ")
