"""Run in a process of its own: greenlets share a context, with and without patched locks."""

from __future__ import annotations

import sys

if sys.argv[1] == "patched":
    from gevent import monkey

    monkey.patch_all()

import contextvars
import logging
import random
import time
import typing as t
from contextlib import suppress

import gevent
from flask import Flask

from flask_ctxkit import CtxKit, ReentranceError

logging.getLogger("flask_ctxkit").setLevel(logging.CRITICAL)
app = Flask(__name__)
kit = CtxKit(app)
opened: list[object] = []


def slow() -> object:
    gevent.sleep(0.02)
    opened.append(object())
    return opened[-1]


def spawn(function: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
    """A greenlet that shares the caller's context."""
    greenlet: t.Any = gevent.Greenlet(function, *args)
    greenlet.gr_context = contextvars.copy_context()
    greenlet.start()
    return greenlet


db = kit.resource("db", slow, lambda _: opened.append("closed"))


@kit.cached
def computed(number: int) -> object:
    gevent.sleep(0.02)
    opened.append(number)
    return object()


def share_one() -> None:
    """Many greenlets and the main one: one opens, the others wait, and the hub goes on."""
    ticks: list[int] = []

    def tick() -> None:
        for number in range(5):
            gevent.sleep(0.001)
            ticks.append(number)

    ticker = gevent.spawn(tick)
    with app.app_context():
        greenlets = [spawn(db) for _ in range(20)]
        gevent.sleep(0)
        mine = db()  # the main greenlet waits too, and must not stop the hub
        gevent.joinall(greenlets, timeout=10, raise_error=True)
        assert {id(g.value) for g in greenlets} == {id(mine)}
        values = [spawn(computed, 7) for _ in range(20)]
        gevent.joinall(values, timeout=10, raise_error=True)
        assert len({id(g.value) for g in values}) == 1
    ticker.join(10)
    assert len(ticks) == 5
    assert opened == [mine, 7, "closed"], opened
    opened.clear()


def native_threads() -> None:
    """Native threads and greenlets at once."""
    pool = gevent.get_hub().threadpool
    with app.app_context():
        context = contextvars.copy_context
        jobs = [pool.spawn(context().run, db) for _ in range(4)]
        greenlets = [spawn(db) for _ in range(4)]
        gevent.joinall(greenlets, timeout=10, raise_error=True)
        values = {id(job.get(timeout=10)) for job in jobs} | {id(g.value) for g in greenlets}
        assert len(values) == 1, values
    assert opened[1:] == ["closed"]
    opened.clear()


def killed() -> None:
    """The greenlet that opens is killed: the next one opens."""
    with app.app_context():
        first, second = spawn(db), spawn(db)
        gevent.sleep(0.005)
        first.kill()
        second.join(10)
        assert second.value is opened[0]
    assert opened[1:] == ["closed"]
    opened.clear()


def circle() -> None:
    """Two greenlets that wait for each other are told."""
    names: dict[str, t.Callable[[], object]] = {}

    def opener(other: str) -> t.Callable[[], str]:
        def open_it() -> str:
            gevent.sleep(0.01)
            names[other]()
            return "open"

        return open_it

    names["a"] = kit.resource("a", opener("b"))
    names["b"] = kit.resource("b", opener("a"))
    errors = []

    def work(name: str) -> None:
        try:
            names[name]()
        except ReentranceError as error:
            errors.append(error)

    with app.app_context():
        gevent.joinall([spawn(work, name) for name in names], timeout=10, raise_error=True)
    assert errors


def tree(seed: int) -> None:
    """Nested contexts, greenlets that share each, failures: each object is closed once."""
    rng = random.Random(seed)
    events: list[tuple[str, int, object]] = []

    def make(name: str) -> t.Callable[[], int]:
        def open_it() -> t.Iterator[int]:
            gevent.sleep(rng.random() / 1000)
            if rng.random() < 0.2:
                raise OSError(name)
            number = len(events)
            events.append(("open", number, name))
            try:
                yield number
            finally:
                events.append(("close", number, name))
            if rng.random() < 0.2:
                raise OSError(f"closing {name}")

        return kit.resource(f"{name}-{seed}", open_it)

    resources = [make(name) for name in "xyz"]

    def use() -> None:
        for resource in rng.sample(resources, 3):
            gevent.sleep(rng.random() / 1000)
            with suppress(OSError):
                resource()

    def level(depth: int) -> None:
        with suppress(ValueError), app.app_context():
            greenlets = [spawn(use) for _ in range(rng.randrange(4))]
            if depth:
                level(depth - 1)
            use()
            gevent.joinall(greenlets, timeout=10, raise_error=True)
            if rng.random() < 0.3:
                raise ValueError

    outer = [gevent.spawn(level, rng.randrange(4)) for _ in range(3)]
    gevent.joinall(outer, timeout=30, raise_error=True)
    opened_now = sorted(number for kind, number, _ in events if kind == "open")
    closed_now = [number for kind, number, _ in events if kind == "close"]
    assert sorted(closed_now) == opened_now, (seed, events)


start = time.monotonic()
share_one()
native_threads()
killed()
circle()
for seed in range(25):
    tree(seed)
print("sound", f"{time.monotonic() - start:.1f} s")
