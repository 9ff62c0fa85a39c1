"""Finished traces in bounded memory: what matters outlives a flood of what doesn't."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
import typing as t

from flask import Flask, render_template_string

from flask_ctxkit import CtxKit
from flask_ctxkit.trace.stores.memory import FAILED, PER_ENDPOINT, SLOW, MemoryStore

KEY = "a key of more than thirty-two characters"


def shop(**config: t.Any) -> tuple[Flask, MemoryStore]:
    app = Flask("shop")
    app.config.update({"SECRET_KEY": KEY, "CTXKIT_TRACE": True, "CTXKIT_MAX_TRACES": 20, **config})
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True
    CtxKit(app)
    app.add_url_rule("/health", "health", lambda: "well")
    app.add_url_rule("/rare/<int:number>", "rare", lambda number: f"{number}")

    @app.get("/slow")
    def slow() -> str:
        time.sleep(0.05)
        return "at last"

    @app.get("/boom")
    def boom() -> str:
        raise ZeroDivisionError

    return app, t.cast("MemoryStore", app.extensions["ctxkit"].store)


def test_a_flood_pushes_out_neither_the_slow_nor_the_failed_nor_the_rare() -> None:
    app, store = shop()
    client = app.test_client()
    client.get("/slow")
    client.get("/boom")
    for number in range(8):
        client.get(f"/rare/{number}")
    for _ in range(500):
        client.get("/health")
    paths = [trace.path for trace in store.newest()]
    assert "/slow" in paths
    assert "/boom" in paths
    rare = [path for path in paths if path and path.startswith("/rare")]
    assert rare[:PER_ENDPOINT] == [f"/rare/{number}" for number in range(7, 7 - PER_ENDPOINT, -1)]
    assert len(store) <= 20 + FAILED + SLOW + 4 * PER_ENDPOINT
    assert store.dropped == 510 - len(store)


def test_an_id_is_found_by_itself_and_by_how_it_begins() -> None:
    app, store = shop()
    app.test_client().get("/health")
    (trace,) = store.newest()
    assert store.get(trace.id) == trace
    assert store.find(trace.id[:3]) == [trace]
    assert store.get("nothing") is None
    assert store.find("zzz") == []


def test_the_newest_comes_first_and_clear_forgets_all() -> None:
    app, store = shop()
    client = app.test_client()
    for number in range(5):
        client.get(f"/rare/{number}")
    assert [trace.path for trace in store.newest()] == [f"/rare/{n}" for n in (4, 3, 2, 1, 0)]
    store.clear()
    assert list(store.newest()) == []


def test_many_threads_at_once_lose_nothing_that_has_a_place() -> None:
    app, store = shop(CTXKIT_MAX_TRACES=2000)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            client = app.test_client()
            for turn in range(20):
                client.get(f"/rare/{number * 100 + turn}")
                list(store.newest())[:1]
        except BaseException as error:  # told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({trace.id for trace in store.newest()}) == 16 * 20
    assert app.extensions["ctxkit"].recorder.cost()["failures"] == []


def test_a_long_trace_drops_its_middle_and_says_how_much() -> None:
    app, store = shop(CTXKIT_MAX_EVENTS=40)

    @app.get("/hundred")
    def hundred() -> str:
        for _ in range(100):
            render_template_string("x")
        return "done"

    app.test_client().get("/hundred")
    (trace,) = store.newest()
    assert trace.dropped_events > 0
    assert trace.events[0].phase == "make_request"
    assert trace.events[-1].phase == "pop"
    assert len(trace.events) <= 40 + 10


def test_memory_stays_where_it_was() -> None:
    app, _ = shop(CTXKIT_MAX_TRACES=200)
    client = app.test_client()

    def ask(times: int) -> int:
        for number in range(times):
            client.get(f"/rare/{number % 7}?page={number}")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    ask(300)
    tracemalloc.start()
    try:
        before = ask(500)
        after = ask(1500)
    finally:
        tracemalloc.stop()
    assert after - before < 2 * 1024 * 1024
