"""The tea house, asked by what happened in it: traces, sessions, and what was left behind."""

from __future__ import annotations

import sys
import threading
import typing as t

import pytest
from flask import g

from example.background import kettle
from example.database import SoldOutError, db, menu, place_order, reader
from example.shop import start_clock, tea
from flask_ctxkit import explain_threads

if t.TYPE_CHECKING:
    from flask import Flask

    from flask_ctxkit.testing.sessions import Sessions
    from flask_ctxkit.testing.traces import Traces


def test_a_tea_is_read_once_and_all_is_closed(app: Flask, ctx_traces: Traces) -> None:
    app.test_client().get("/teas/4")
    trace = ctx_traces.last
    trace.assert_order("load_guest", start_clock, tea)
    trace.assert_answered_by(tea)
    trace.assert_resources_closed("reader", "db")
    trace.assert_no_findings()
    assert [event.name for event in trace.events if event.name.startswith("SELECT")] == [
        "SELECT * FROM tea ORDER BY id"
    ]


def test_only_the_cart_is_saved(app: Flask, ctx_traces: Traces, ctx_session: Sessions) -> None:
    visitor = app.test_client()
    visitor.get("/teas")
    ctx_traces.last.assert_session_not_saved()
    visitor.post("/cart/2")
    ctx_traces.last.assert_session_saved()
    assert ctx_session.get(visitor)["cart"] == [2]


def test_a_guest_is_known(app: Flask, ctx_session: Sessions) -> None:
    visitor = app.test_client()
    ctx_session.set(visitor, {"guest": "Mei"})
    assert "Mei" in visitor.get("/teas").text


def test_an_order_starts_a_job_that_closes_what_it_opened(app: Flask, ctx_traces: Traces) -> None:
    visitor = app.test_client()
    visitor.post("/cart/2")
    visitor.post("/orders")
    app.extensions["kitchen"].shutdown()
    job, order = ctx_traces.one(kind="task"), ctx_traces.one(kind="request", path="/orders")
    assert job.parent == order.id
    job.assert_resources_closed("kettle", "reader")
    opened = [event.name for event in job.events if event.name in {"open kettle", "open reader"}]
    closed = [event.name for event in job.events if event.name in {"close kettle", "close reader"}]
    assert opened == ["open kettle", "open reader"]
    assert closed == ["close reader", "close kettle"]


def test_errands_start_with_the_guest_alone(app: Flask, ctx_traces: Traces) -> None:
    app.test_client().get("/errands/threads")
    sender, jobs = ctx_traces.one(kind="request"), ctx_traces.of(kind="task")
    assert {job.parent for job in jobs} == {sender.id}
    for job in jobs:
        assert list(job.g) == ["basket"]  # beside what it took along
        job.assert_no_findings()
    assert "basket" not in sender.g


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes on tracebacks came with 3.11")
def test_a_thread_without_a_context_says_who_started_it(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_threads()()  # undone, and asked for again around what this test listens with
    ended: list[BaseException] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: ended.append(args.exc_value))
    undo = explain_threads()
    with app.test_request_context("/teas"):
        waiter = threading.Thread(target=place_order, args=("Mei", 2), name="waiter")
        waiter.start()
        waiter.join()
    undo()
    [error] = ended
    assert "waiter, which GET /teas (" in error.__notes__[0]


def test_what_is_sold_out_changes_nothing(app: Flask) -> None:
    with app.app_context():
        db.execute("UPDATE tea SET tins = 0 WHERE id = 2")
        with pytest.raises(SoldOutError):
            place_order("Mei", 2)
        assert db.fetchall("SELECT * FROM tea_order") == []


def test_something_else_stands_in(app: Flask) -> None:
    """No file and no kettle, for whoever asks in here."""
    with kettle.override("cold"), app.app_context():
        assert kettle() == "cold"


def test_nothing_is_left_pushed(app: Flask) -> None:
    """Without the last line this test would fail, and say where the context was pushed."""
    context = app.app_context()
    context.push()
    g.tins = len(menu())
    assert reader() is reader()
    context.pop()
