"""Resources: each mistake is planted, and named; sound use is not."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import re
import sqlite3
import threading
import time
import typing as t
import warnings

import pytest
from flask import Flask, Response, current_app, stream_with_context

from flask_ctxkit import SqlHelper, finding_raised
from flask_ctxkit.config import Config
from flask_ctxkit.contexts.frames import Frame
from flask_ctxkit.contexts.registry import Live
from flask_ctxkit.findings import resources
from flask_ctxkit.findings.facts import Known
from flask_ctxkit.resources.resource import Resource
from flask_ctxkit.resources.scope import Holder
from flask_ctxkit.trace.model import Event, Trace
from flask_ctxkit.units import current_unit

Watch = t.Callable[..., t.Any]
KNOWN: t.Final = Known(Config.from_mapping({}))


def step(index: int, name: str, start: float, end: float, **fields: t.Any) -> Event:
    """An event from *start* to *end*, both in seconds."""
    given: dict[str, t.Any] = {"phase": "resource", "where": "shop.py:7", **fields}
    return Event(index, name=name, start_us=start * 1e6, duration_us=(end - start) * 1e6, **given)


def trace_of(*events: Event, **fields: t.Any) -> Trace:
    given: dict[str, t.Any] = {
        "id": "00000001", "kind": "request", "state": "finished", "name": "GET /cart",
        "method": "GET", "path": "/cart", "query": "", "endpoint": "cart", "status": 200,
        "started_at": "2026-01-02T03:04:05.000000+00:00", "duration_ms": 10.0,
        "unit": current_unit(), "events": events,
    }  # fmt: skip
    return Trace(**given | fields)


# --------------------------------------------------------------------------- not closed


def test_a_context_that_is_never_popped_leaves_it_open(watch: Watch) -> None:
    """Named with the place that opened it."""
    app = Flask(__name__)
    watched = watch(app)
    db = Resource[object]("db", object)

    def forget() -> None:
        app.app_context().push()
        db()

    thread = threading.Thread(target=forget)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        thread.start()
        thread.join()
        del thread
        gc.collect()
        codes = [found.code for found in (*watched.found, *watched.found)]
    assert "resource-not-closed" in codes
    found = next(f for f in watched.found if f.code == "resource-not-closed")
    assert "db, opened at findings/test_resources.py:" in found.message
    assert found.message.endswith("was dropped without being popped.")


def test_it_is_told_by_the_next_request_where_nobody_looks(watch: Watch) -> None:
    """In the log and by the signal; at once, not after so many more contexts."""
    app = Flask(__name__)
    watched = watch(app)
    db = Resource[object]("db", object)
    told = []

    def hear(_sender: object, finding: t.Any, **_: object) -> None:
        told.append(finding.code)

    def forget() -> None:
        app.app_context().push()
        db()

    with finding_raised.connected_to(hear, app), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        thread = threading.Thread(target=forget)
        thread.start()
        thread.join()
        del thread
        gc.collect()
        assert told == []
        watched.client.get("/")
        watched.client.get("/")
    assert sorted(told) == ["context-never-popped", "resource-not-closed"]


def test_what_is_not_known_to_be_open_is_not_told() -> None:
    """A trace that still grows, lost its middle, or shares the context of another one."""
    opened = step(0, "open db", 0, 0.1)
    assert [*resources.not_closed(trace_of(opened), KNOWN)] != []
    sound = [
        trace_of(opened, state="running"),
        trace_of(opened, dropped_events=1),
        trace_of(opened, parent="00000002", contexts=({"reused": True},)),
        trace_of(opened, contexts=({"reused": True},)),  # of one that was not recorded
        trace_of(step(0, "open db", 0, 0.1, outcome="raised")),
        trace_of(opened, step(1, "close db", 0.2, 0.3, outcome="raised")),
    ]
    for trace in sound:
        assert [*resources.not_closed(trace, KNOWN)] == []


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_work_that_outlives_the_context_it_shares_is_told_what_it_needs(
    watch: Watch, kind: str
) -> None:
    """A context of its own: no with block around the context would help."""
    app = Flask(__name__)
    watched = watch(app)
    db = SqlHelper(lambda: sqlite3.connect(":memory:", check_same_thread=False))
    begun, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        with db:
            begun.set()
            assert go_on.wait(10)

    async def task() -> None:
        await asyncio.create_task(asyncio.to_thread(work), name="errand")

    @app.get("/")
    def view() -> str:
        run = work if kind == "thread" else lambda: asyncio.run(task())
        target = functools.partial(contextvars.copy_context().run, run)
        threads.append(threading.Thread(target=target, name="errand"))
        threads[0].start()
        assert begun.wait(10)
        return ""

    watched.client.get("/")
    go_on.set()
    threads[0].join()
    found = next(found for found in watched.found if found.code == "resource-not-closed")
    assert re.fullmatch(
        r"db, opened at findings/test_resources\.py:\d+ in (errand|asyncio_\d), which shares the "
        r"context of GET /, was still open when that ended\.",
        found.message,
    )
    assert found.fix.startswith("Start work that may outlive its request as propagate(function)")


def test_what_a_unit_of_the_contexts_own_leaves_open_is_another_mistake(watch: Watch) -> None:
    """That of an async view too, which runs in a thread of its own."""
    pytest.importorskip("asgiref")
    app = Flask(__name__)
    watched = watch(app)
    db = SqlHelper(lambda: sqlite3.connect(":memory:", check_same_thread=False))
    blocks: list[t.Any] = []

    @app.get("/sync")
    def sync() -> str:
        blocks.append(db.connection())
        blocks[-1].__enter__()
        return ""

    @app.get("/async")
    async def in_a_loop() -> str:
        return await asyncio.create_task(asyncio.sleep(0, sync()))

    for path in ("/sync", "/async"):
        watched.client.get(path)
    notes = [e.note for trace in watched.traces for e in trace.events if e.name == "open db"]
    assert all(note.startswith("a pair of its own; ") for note in notes)
    fixes = [row.fix for row in watched.found if row.code == "resource-not-closed"]
    assert fixes
    assert all(fix.startswith("Pop contexts with a with block") for fix in fixes)
    for block in blocks:
        block.__exit__(None, None, None)


def test_each_opening_needs_its_own_closing() -> None:
    """Told apart by name and place."""
    events = (
        step(0, "open db", 0, 0.1), step(1, "open db", 0.1, 0.2), step(2, "open mail", 0.2, 0.3),
        step(3, "close mail", 0.4, 0.5, where="other.py:1"), step(4, "close db", 0.5, 0.6),
    )  # fmt: skip
    found = [*resources.not_closed(trace_of(*events), KNOWN)]
    assert [f.evidence[0].event for f in found] == [0, 2]


# ------------------------------------------------------------------------- close failed


def test_a_close_that_raises_is_named(watch: Watch) -> None:
    """With what it raised; the request was answered all the same."""
    app = Flask(__name__)
    watched = watch(app)

    def fail(_: object) -> None:
        raise OSError("the server has gone away")

    bad = Resource[object]("bad", object, fail)
    app.add_url_rule("/", "view", lambda: str(bad())[:0])
    for _ in range(2):
        assert watched.client.get("/").status_code == 200
    found = watched.one("resource-close-failed")
    assert "Closing bad, opened at findings/test_resources.py:" in found.message
    assert found.evidence[0].text == "OSError: the server has gone away"


# --------------------------------------------------------------------- held for too long


def test_it_is_held_while_a_slow_body_is_sent(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow client keeps the connection from others."""
    monkeypatch.setattr(resources, "LEAST", 0.05)
    app = Flask(__name__)
    watched = watch(app, CTXKIT_SLOW_HOOK=0.05)
    db = Resource[object]("db", object)

    @app.get("/")
    def view() -> Response:
        def rows() -> t.Iterator[str]:
            db()
            for _ in range(4):
                time.sleep(0.03)
                yield "row"

        return Response(stream_with_context(rows()))

    assert watched.client.get("/").text == "row" * 4
    found = watched.one("resource-held-while-slow")
    assert "while the body was sent" in found.message


def test_it_is_held_while_another_one_is_opened() -> None:
    """Named by the slow one; one that is opened after it was closed is no matter."""
    events = (
        step(0, "open db", 0, 0.1), step(1, "open mail", 0.2, 3.2), step(2, "close mail", 3.3, 3.3),
        step(3, "close db", 3.4, 3.5), step(4, "open late", 3.6, 9),
    )  # fmt: skip
    [found] = resources.held_while_slow(trace_of(*events), KNOWN)
    assert found.message == (
        "db, opened at shop.py:7, was held for 3.0 s while mail was being opened."
    )
    assert [proof.event for proof in found.evidence] == [0, 1]


def test_nothing_was_asked_of_it_while_something_else_ran() -> None:
    """Where each statement is seen, the longest pause between two is known."""
    view = step(0, "checkout", 0, 5, phase="view", where="shop.py:1")
    seen = (
        step(1, "open db", 0, 0.1, depth=1), step(2, "select 1", 0.2, 0.3, depth=1),
        step(3, "select 2", 3.4, 3.5, depth=1),
    )  # fmt: skip
    closed = step(4, "close db", 3.6, 3.7, note="held 3,500.0 ms")
    [found] = resources.held_while_slow(trace_of(view, *seen, closed), KNOWN)
    assert "held for 3.1 s while view checkout ran, and asked nothing of it" in found.message
    # Of what tells nothing of its use, nobody knows whether it was idle.
    unseen = step(4, "close db", 3.6, 3.7)
    assert [*resources.held_while_slow(trace_of(view, *seen, unseen), KNOWN)] == []


def test_a_connection_that_a_resource_has_is_told_once() -> None:
    """By the resource's name, whatever line took it; and its use is seen."""
    view = step(0, "checkout", 0, 3.3, phase="view", where="shop.py:1")
    opened = step(1, "open conn", 0, 0.2), step(2, "open db", 0.1, 0.2, where="shop.py:3")
    closed = (
        step(4, "close conn", 3.6, 3.8),
        step(5, "close db", 3.7, 3.8, where="shop.py:3", note="held 3,500.0 ms"),
    )
    [found] = resources.held_while_slow(trace_of(view, *opened, *closed), KNOWN)
    assert found.message.startswith("conn, opened at shop.py:7, was held for 3.4 s while")
    mail = step(3, "open mail", 0.3, 3.5)
    [found] = resources.held_while_slow(trace_of(*opened, mail, *closed), KNOWN)
    assert found.message.endswith("was held for 3.2 s while mail was being opened.")
    [found] = resources.not_closed(trace_of(*opened), KNOWN)
    assert found.message.startswith("conn, opened at shop.py:7, was still open")


def test_what_outlives_the_resource_that_took_it_is_told() -> None:
    """What it did not give back, and a resource that it needs."""
    opened = step(1, "open conn", 0, 0.2), step(2, "open db", 0.1, 0.2)
    [found] = resources.not_closed(trace_of(*opened, step(3, "close conn", 1, 1.1)), KNOWN)
    assert found.message.startswith("db, opened at shop.py:7, was still open")
    closed = step(3, "close conn", 3.6, 3.7), step(5, "close db", 3.8, 3.9)
    slow = step(4, "open mail", 0.3, 3.5)
    told = [*resources.held_while_slow(trace_of(*opened, slow, *closed), KNOWN)]
    assert [found.message[:4] for found in told] == ["conn", "db, "]


def test_what_ran_meanwhile_need_not_run_to_the_close() -> None:
    """What a context holds is closed after its view; no step of the resource's own is named."""
    opened = step(1, "open db", 0, 0.1, depth=1)
    closed = step(2, "close db", 3.6, 3.7, note="held 3,500.0 ms")
    view = step(0, "checkout", 0, 3.3, phase="view", where="shop.py:1")
    [found] = resources.held_while_slow(trace_of(view, opened, closed), KNOWN)
    assert "held for 3.5 s while view checkout ran, and asked nothing of it" in found.message
    quick = step(0, "checkout", 0, 0.3, phase="view", where="shop.py:1")
    [found] = resources.held_while_slow(trace_of(quick, opened, closed), KNOWN)
    assert found.message.endswith("was held for 3.5 s while nothing was asked of it.")


def test_a_request_that_hangs_and_holds() -> None:
    """Who holds what, and where it stands."""
    unit = current_unit()
    live = Live(
        id="00000001", kind="request", app="shop", unit=unit, method="GET", path="/report",
        endpoint="report", age_s=31.0, age_exact=True, phase="view", hook="report",
        where="shop.py:1", pushed=None, state="running", stuck=True, parent=None,
        frames=(Frame("ssl.py", 1106, "SSLSocket.recv"),),
        held=(Holder("db", unit, "shop.py:7", 30.6, "open"),),
    )  # fmt: skip
    [found] = resources.held_by_stuck((live,), ())
    assert found.message == (
        "GET /report has held db for 31 s (open), and stands in SSLSocket.recv (ssl.py:1106)."
    )
    assert found.trace == "00000001"


def test_a_request_that_hangs_is_found(watch: Watch) -> None:
    """While it hangs; afterwards all is sound, and a script that takes its time always is."""
    app = Flask(__name__)
    watched = watch(app, CTXKIT_STUCK_AFTER=0.01)
    db = Resource[object]("db", object)

    def stands() -> set[str]:
        db()
        time.sleep(0.02)
        return t.cast("set[str]", watched.codes)

    app.add_url_rule("/", "view", lambda: " ".join(stands()))
    with app.app_context():
        assert stands() == set()
    assert watched.client.get("/").text == "resource-held-by-stuck"
    assert watched.found == ()


# -------------------------------------------------------------------------------- sound


def test_sound_use_is_not_told(watch: Watch) -> None:
    """In views, commands, scripts, nested contexts, a failed request, and pushed again."""
    app = Flask(__name__)
    watched = watch(app)
    log: list[str] = []

    def open_it() -> t.Iterator[str]:
        try:
            yield current_app.name
        finally:
            log.append("closed")

    db = Resource[str]("db", open_it)

    @app.get("/<int:status>")
    def view(status: int) -> tuple[str, int]:
        with app.app_context():
            db()
        return db(), status

    @app.cli.command("job")
    def job() -> None:
        db()

    for status in (200, 404, 500):
        watched.client.get(f"/{status}")
    with watched.client as client:
        client.get("/200")
        db()
    assert app.test_cli_runner().invoke(args=["job"]).exit_code == 0
    with app.app_context(), app.test_request_context("/200"):
        db()
    gc.collect()
    assert watched.found == ()
    assert len(log) == 11
