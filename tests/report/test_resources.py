"""What contexts hold open now, and what resources an app has, as plain data."""

from __future__ import annotations

import json
import threading
import typing as t

import pytest
from flask import Flask

from flask_ctxkit import CtxKit
from flask_ctxkit.redact import Redactor
from flask_ctxkit.report import contexts, startup


def open_db() -> object:
    return object()


class Held:
    """A request that stands still in its view, or in the close of what it opened."""

    def __init__(self, *, trace: bool, where: str) -> None:
        self.app = Flask("held")
        self.app.config.update(CTXKIT_TRACE=trace)
        kit = CtxKit(self.app)
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self.db = kit.resource("db", open_db, self.wait if where == "close" else None)
        self.slow = kit.resource("slow", self.wait if where == "open" else object)
        self.where = where
        self.app.add_url_rule("/held", "view", self.view)

    def wait(self, *_: object) -> None:
        self.arrived.set()
        assert self.go_on.wait(20)

    def view(self) -> str:
        self.db()
        self.slow()
        if self.where == "view":
            self.wait()
        return ""

    def look(self) -> t.Any:
        thread = threading.Thread(target=self.app.test_client().get, args=("/held",), name="waiter")
        thread.start()
        try:
            assert self.arrived.wait(20)
            return json.loads(json.dumps(contexts(self.app.extensions["ctxkit"])))
        finally:
            self.go_on.set()
            thread.join()


@pytest.mark.parametrize("trace", [False, True], ids=["quiet", "traced"])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("view", [("db", "open"), ("slow", "open")]),
        ("open", [("db", "open"), ("slow", "opening")]),
        ("close", [("db", "closing")]),
    ],
)
def test_a_live_context_tells_what_it_holds(
    trace: bool, where: str, expected: list[tuple[str, str]]
) -> None:
    """Who opened it, where, since when, and what is being done with it."""
    [row] = Held(trace=trace, where=where).look()["contexts"]
    assert row["path"] == "/held"
    assert [(held["resource"], held["state"]) for held in row["resources"]] == expected
    first = row["resources"][0]
    assert first["unit"]["name"] == "waiter"
    assert first["where"].startswith("report/test_resources.py:")
    assert 0 <= first["age_s"] < 60


def test_what_a_request_found_open_is_told_once() -> None:
    """By the context that opened it: on Flask 3.0 and 3.1 a request inside it may share it."""
    app = Flask("shared")
    app.config.update(CTXKIT_TRACE=True)
    kit = CtxKit(app)
    db = kit.resource("db", open_db)
    with app.app_context():
        db()
        with app.test_request_context():
            rows = contexts(app.extensions["ctxkit"])["contexts"]
    assert sorted(len(row["resources"]) for row in rows) == [0, 1]
    assert [row["kind"] for row in rows if row["resources"]] != []


def test_an_app_tells_its_resources() -> None:
    """Who opens each, what became of it, and how it answered."""
    app = Flask("shop")
    kit = CtxKit(app)
    db = kit.resource("db", open_db, ping=lambda _: None)

    def refuse(_: object) -> None:
        raise OSError("no")

    kit.resource("bad", open_db, refuse, refuse)
    state = app.extensions["ctxkit"]
    with app.app_context():
        db()
        first, second = startup(app, Redactor(), state.resources)["resources"]
    assert first == {
        "name": "db", "function": "open_db", "module": __name__, "source": "this app",
        "where": first["where"], "opened": 1, "open": 1, "failed": 0, "forgotten": 0, "ping": None,
    }  # fmt: skip
    assert first["where"].startswith("report/test_resources.py:")
    state.resources.ping(5.0)
    first, second = json.loads(json.dumps(startup(app, Redactor(), state.resources)))["resources"]
    assert (first["open"], first["opened"]) == (0, 2)
    assert first["ping"]["ok"]
    assert (second["ping"]["ok"], second["ping"]["error"]) == (False, "OSError: no")
    assert second["failed"] == 1


def test_an_app_without_a_kit_has_none() -> None:
    """The report works on any app."""
    assert startup(Flask("bare"), Redactor())["resources"] == []
