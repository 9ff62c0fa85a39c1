"""What a context opens is closed when it ends: once, last in first out, whatever happens."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
import typing as t
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from flask import (
    Flask,
    Response,
    appcontext_popped,
    appcontext_tearing_down,
    copy_current_request_context,
    current_app,
    g,
    stream_with_context,
)
from flask.ctx import AppContext

from flask_ctxkit import (
    ClosedContextError,
    CtxKit,
    NotRegisteredError,
    OutsideContextError,
    ReentranceError,
    propagate,
)
from flask_ctxkit.deferred import run_deferred
from flask_ctxkit.internals import ONE_CONTEXT, current_app_context
from flask_ctxkit.resources import attachment
from flask_ctxkit.resources.holders import held_by
from flask_ctxkit.resources.scope import Scope

if t.TYPE_CHECKING:
    from flask_ctxkit.resources.resource import Resource

Log = list[t.Any]


def make(kit: CtxKit | None = None, *, trace: bool = False) -> tuple[Flask, CtxKit]:
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=trace, PROPAGATE_EXCEPTIONS=False)
    kit = kit or CtxKit()
    kit.init_app(app)
    return app, kit


def logged(kit: CtxKit, log: Log, name: str = "db") -> Resource[object]:
    """A resource that notes its opening, and its closing with the type of what ended it."""

    def open_it() -> object:
        log.append(f"open {name}")
        return object()

    def close_it(_: object, exc: BaseException | None) -> None:
        log.append(f"close {name} {type(exc).__name__}")

    return kit.resource(name, open_it, close_it)


@contextmanager
def caught() -> t.Iterator[Log]:
    """What escapes the block, as a list; Flask 3.2 puts the errors of teardowns in a group."""
    errors: Log = []
    try:
        yield errors
    except BaseException as error:
        errors.append(repr(error))


@pytest.fixture
def quick_switches() -> t.Iterator[None]:
    """Threads take turns after 10 µs instead of 5 ms, so that races are met."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


both = pytest.mark.parametrize("trace", [False, True], ids=["quiet", "traced"])


# --------------------------------------------------------------------------- how it ends


@both
def test_it_is_opened_once_on_first_use_and_closed_at_the_end(trace: bool) -> None:
    """Not before it is asked for, and for each context anew."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)
    with app.app_context():
        assert log == []
        first = db()
        assert db() is first
        with app.app_context():
            assert db() is not first
        assert log == ["open db", "open db", "close db NoneType"]
    assert log[-1] == "close db NoneType"
    assert len(log) == 4


@both
def test_the_last_opened_is_closed_first(trace: bool) -> None:
    """Also where opening one opens another one: what it needs outlives it."""
    app, kit = make(trace=trace)
    log: Log = []
    inner = logged(kit, log, "inner")

    def open_outer() -> t.Iterator[object]:
        held = inner()
        yield held
        assert inner() is held
        log.append("close outer")

    outer = kit.resource("outer", open_outer)
    with app.app_context():
        outer()
    assert log == ["open inner", "close outer", "close inner NoneType"]


@both
def test_the_view_failed(trace: bool) -> None:
    """The close is told what nobody handled; an HTTP error is an answer."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)

    @app.get("/<how>")
    def view(how: str) -> tuple[str, int]:
        db()
        if how == "raise":
            raise OSError(how)
        return "", int(how)

    client = app.test_client()
    assert [client.get(f"/{how}").status_code for how in ("raise", "500", "200")] == [500, 500, 200]
    assert log[1::2] == ["close db OSError", "close db NoneType", "close db NoneType"]


@both
@pytest.mark.parametrize("kind", ["app", "request"])
def test_another_teardown_raised(trace: bool, kind: str) -> None:
    """Flask 3.0 and 3.1 then skip the other ones, the kit's own among them."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)

    def fails(exc: BaseException | None) -> None:
        raise ZeroDivisionError

    if kind == "app":
        app.teardown_appcontext(fails)
    else:
        app.teardown_request(fails)
    with caught() as errors, app.test_request_context():
        db()
    assert log == ["open db", "close db NoneType"]
    if kind == "app":
        with caught() as more, app.app_context():
            db()
        assert len(log) == 4
        errors += more
    assert errors
    assert all("ZeroDivisionError" in error for error in errors)


@both
def test_a_teardown_may_use_it_and_even_open_it(trace: bool) -> None:
    """The kit closes after all teardown functions, and after what listens to the end."""
    app, kit = make(trace=trace)
    log: Log = []
    db, late, last = (logged(kit, log, name) for name in ("db", "late", "last"))

    @app.teardown_appcontext
    def uses(exc: BaseException | None) -> None:
        late()
        log.append("teardown")

    def listens(sender: object, **_: object) -> None:
        last()
        log.append("signal")

    with appcontext_tearing_down.connected_to(listens, app), app.app_context():
        db()
    assert log == [
        "open db", "open late", "teardown", "close late NoneType", "close db NoneType",
        "open last", "signal", "close last NoneType",
    ]  # fmt: skip


def test_it_is_first_opened_by_a_teardown() -> None:
    """Nothing watches the pop of that context then: the kit's own teardown closes it."""
    app, kit = make()
    log: Log = []
    late = logged(kit, log)

    @app.teardown_appcontext
    def uses(exc: BaseException | None) -> None:
        late()

    with app.app_context():
        pass
    assert log == ["open db", "close db NoneType"]


@both
def test_it_is_first_opened_behind_all_teardowns(trace: bool) -> None:
    """By who listens to the end: closed as soon as the pop is done, once, and nothing is told."""
    app, kit = make(trace=trace)
    log: Log = []
    late = logged(kit, log)
    listeners = dict(appcontext_popped.receivers)

    def listens(sender: object, **_: object) -> None:
        late()
        log.append("signal")

    with appcontext_tearing_down.connected_to(listens, app), warnings.catch_warnings():
        warnings.simplefilter("error")
        with app.app_context():
            pass
        with app.test_request_context():
            pass
        with app.app_context(), app.app_context():
            pass
    assert log == ["open db", "signal", "close db NoneType"] * 4
    assert dict(appcontext_popped.receivers) == listeners


@both
def test_a_close_that_fails_stops_no_other(trace: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and counted, and masks neither the first error nor the next close."""
    app, kit = make(trace=trace)
    log: Log = []
    first = logged(kit, log, "first")

    def fail(_: object) -> None:
        raise OSError("the disk is full")

    bad = kit.resource("bad", object, fail)
    last = logged(kit, log, "last")
    with caught() as errors, app.app_context():
        for resource in (first, bad, last):
            resource()
        raise ValueError("the view's")
    assert errors == ['ValueError("the view\'s")']
    assert log[2:] == ["close last ValueError", "close first ValueError"]
    [record] = [row for row in caplog.records if row.exc_info]
    assert record.levelno == logging.ERROR
    assert "Closing bad, opened at resources/test_scope.py:" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], OSError)
    tally = app.extensions["ctxkit"].resources.tally("bad")
    assert (tally.opened, tally.closed, tally.failed) == (1, 1, 1)


def test_an_interrupt_while_closing_arrives_when_all_is_closed() -> None:
    """Ctrl-C is the process's, and not a failing close to be logged away."""
    app, kit = make()
    log: Log = []
    first = logged(kit, log)

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    bad = kit.resource("bad", object, interrupted)
    with caught() as errors, app.app_context():
        first()
        bad()
    assert "KeyboardInterrupt" in errors[0]
    assert log == ["open db", "close db NoneType"]


def test_a_close_may_use_what_is_open_and_not_what_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else two that open each other again would never end."""
    app, kit = make()
    seen: Log = []
    kept: dict[str, Resource[object]] = {}

    def close_low(_: object) -> None:
        kept["high"]()

    def close_high(opened: object) -> None:
        seen.append(kept["high"]() is opened)
        seen.append(kept["low"]() is low)
        kept["new"]()

    kept["low"] = kit.resource("low", object, close_low)
    kept["high"] = kit.resource("high", object, close_high)
    kept["new"] = logged(kit, seen, "new")
    with app.app_context():
        low = kept["low"]()
        kept["high"]()
    assert seen == [True, True, "open new", "close new NoneType"]
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ClosedContextError)


def test_the_app_and_g_are_there_while_it_is_closed() -> None:
    """Also behind the pop of a context whose other teardowns were skipped."""
    app, kit = make()
    seen: Log = []
    db = kit.resource("db", object, lambda _: seen.append((current_app.name, g.name)))

    @app.teardown_appcontext
    def fails(exc: BaseException | None) -> None:
        if g.get("fails"):
            raise ZeroDivisionError

    for fails_too in (False, True):
        with caught() as errors, app.app_context():
            g.name, g.fails = "told", fails_too
            db()
            raise OSError
        assert len(errors) == 1
    assert seen == [(app.name, "told")] * 2
    assert current_app_context(None) is None


# -------------------------------------------------------------------- more than one end


@both
def test_a_context_that_is_pushed_again_opens_it_again(trace: bool) -> None:
    """As the debugger does for each line that is typed."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)
    ctx = app.app_context()
    for _ in range(3):
        with ctx:
            db()
            with ctx:
                db()
    assert log == ["open db", "close db NoneType"] * 3


@both
def test_the_test_client_keeps_the_context(trace: bool) -> None:
    """``with client:`` pushes it again after the response, and each end closes."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)
    app.add_url_rule("/", "view", lambda: str(db())[:0])
    with app.test_client() as client:
        client.get("/")
        assert log == ["open db", "close db NoneType"]
        db()
    assert log == ["open db", "close db NoneType"] * 2


@both
def test_a_streamed_body_opens_and_closes_its_own(trace: bool) -> None:
    """Flask 3.1.2 and 3.1.3 end the context once before the body, and once after it."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)

    @app.get("/")
    def view() -> Response:
        db()

        def body() -> t.Iterator[str]:
            for _ in range(3):
                db()
                yield "."

        return Response(stream_with_context(body()))

    assert app.test_client().get("/").text == "..."
    assert log[0::2] == ["open db"] * (len(log) // 2)
    assert log[1::2] == ["close db NoneType"] * (len(log) // 2)


def test_a_wrong_pop_closes_what_is_its_own() -> None:
    """Flask 3.0 and 3.1 run the teardown of a lower context while the upper one is on top."""
    app, kit = make()
    log: Log = []
    lower_only, upper_only = logged(kit, log, "lower"), logged(kit, log, "upper")
    lower, upper = app.app_context(), app.app_context()
    lower.push()
    lower_only()
    upper.push()
    upper_only()
    with pytest.raises((AssertionError, RuntimeError)):
        lower.pop()
    assert "close upper NoneType" not in log
    if ONE_CONTEXT:  # it refuses, and nothing happened
        upper.pop()
        lower.pop()
    else:
        with caught() as errors:
            upper.pop()
        assert "LookupError" in errors[0]
        assert sorted(log[2:]) == ["close lower NoneType", "close upper NoneType"]


def test_a_context_class_of_the_apps_own_is_closed_too() -> None:
    """One that overrides ``pop``, and one whose ``pop`` is called with a keyword."""
    app, kit = make()
    log: Log = []
    db = logged(kit, log)

    class Own(AppContext):
        def pop(self, *args: t.Any, **kwargs: t.Any) -> None:
            log.append("own pop")
            super().pop(*args, **kwargs)

    ctx = Own(app)
    ctx.push()
    db()
    ctx.pop(exc=OSError())
    assert log == ["open db", "own pop", "close db OSError"]
    assert "pop" not in vars(ctx)


# ------------------------------------------------------------------------ nobody ends it


def test_a_forgotten_one_warns_and_is_closed() -> None:
    """With the place that opened it; its close still finds the app."""
    app, kit = make()
    log: Log = []
    db = kit.resource("db", object, lambda _: log.append(current_app.name))

    def forget() -> None:
        app.app_context().push()
        db()

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        gc.collect()
        seen.clear()
        thread = threading.Thread(target=forget)
        thread.start()
        thread.join()
        del thread
        gc.collect()
        run_deferred()
    [warning] = [str(w.message) for w in seen if w.category is ResourceWarning]
    assert "db (opened at resources/test_scope.py:" in warning
    assert log == [app.name]
    tally = app.extensions["ctxkit"].resources.tally("db")
    assert (tally.opened, tally.closed, tally.forgotten) == (1, 1, 1)


AT_EXIT = """
import os
from flask import Flask
from flask_ctxkit import CtxKit
app = Flask("app")
kit = CtxKit(app)
db = kit.resource("db", object, lambda _: print("closed", flush=True))
app.app_context().push()
db()
if not os.fork():
    raise SystemExit  # a child: what is open is its parent's
os.wait()
print("exit", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_interpreters_end_closes_once() -> None:
    """And a forked child's end leaves alone what its parent has open."""
    code = [sys.executable, "-W", "default", "-c", AT_EXIT]
    done = subprocess.run(code, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["exit", "closed"]
    assert done.stderr.count("ResourceWarning") == 1


def test_no_context_and_no_app_is_kept_alive() -> None:
    """Once a context is popped it is gone at once, without the cyclic collector."""
    import weakref

    app, kit = make()
    db = kit.resource("db", object)
    gc.collect()
    gc.disable()
    try:
        with app.app_context() as ctx:
            db()
            reference = weakref.ref(ctx)
        del ctx
        assert reference() is None
    finally:
        gc.enable()


# -------------------------------------------------------------------------- out of place


def test_outside_of_a_context_it_is_a_clear_error() -> None:
    """And a RuntimeError, like Flask's own."""
    _, kit = make()
    db = kit.resource("db", object)
    with pytest.raises(OutsideContextError, match="db was asked for outside of a context") as told:
        db()
    assert isinstance(told.value, RuntimeError)


def test_an_app_without_the_kit_is_a_clear_error() -> None:
    """Nobody would close it there."""
    _, kit = make()
    db = kit.resource("db", object)
    with Flask("other").app_context(), pytest.raises(NotRegisteredError, match="'other'"):
        db()


def test_work_that_outlives_its_request_is_a_clear_error() -> None:
    """A thread that inherited the context sees it after its end; nothing is opened there."""
    app, kit = make()
    log: Log = []
    db = logged(kit, log)
    with app.app_context():
        inherited = contextvars.copy_context()
        db()
    with pytest.raises(ClosedContextError, match="has ended"):
        inherited.run(db)
    assert log == ["open db", "close db NoneType"]


def test_a_copied_request_context_has_its_own() -> None:
    """Flask's own copies share nothing that is open."""
    app, kit = make()
    log: Log = []
    db = logged(kit, log)
    with app.test_request_context():
        mine = db()
        copied = copy_current_request_context(db)
        thread = threading.Thread(target=lambda: log.append(copied() is mine))
        thread.start()
        thread.join()
    assert log == ["open db", "open db", "close db NoneType", False, "close db NoneType"]


@both
@pytest.mark.parametrize("teardown", [False, True])
def test_work_that_runs_elsewhere_closes_what_it_opens(trace: bool, teardown: bool) -> None:
    """Also where it runs no teardown functions; the close is told of its error."""
    app, kit = make(trace=trace)
    log: Log = []
    db = logged(kit, log)

    def work() -> None:
        db()
        raise ValueError

    with app.app_context():
        elsewhere = propagate(work, teardown=teardown)
        with ThreadPoolExecutor(1) as pool, caught() as errors:
            pool.submit(elsewhere).result()
    assert errors == ["ValueError()"]
    assert log == ["open db", "close db ValueError"]


# ------------------------------------------------------------------------- many at once


def test_threads_that_share_a_context_open_it_once() -> None:
    """One opens, and the others wait for it."""
    app, kit = make()
    opened: Log = []

    def slow() -> object:
        time.sleep(0.05)
        opened.append(object())
        return opened[-1]

    db = kit.resource("db", slow, lambda _: opened.append("closed"))
    got: Log = []
    with app.app_context():
        contexts = [contextvars.copy_context() for _ in range(16)]
        threads = [threading.Thread(target=lambda c=c: got.append(c.run(db))) for c in contexts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert opened == [got[0], "closed"]
    assert set(map(id, got)) == {id(opened[0])}


def test_where_opening_fails_the_next_one_tries() -> None:
    """A failure is raised where it happened, and kept nowhere."""
    app, kit = make()
    tries = iter([OSError("first"), OSError("second")])

    def flaky() -> str:
        time.sleep(0.02)
        for error in tries:
            raise error
        return "open"

    db = kit.resource("db", flaky)
    got: Log = []

    def work() -> None:
        try:
            got.append(db())
        except OSError as error:
            got.append(str(error))

    with app.app_context():
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got) == ["first", "open", "open", "second"]


def test_the_context_ends_while_a_thread_opens_it() -> None:
    """What comes too late is closed at once, and whoever asked is told."""
    app, kit = make()
    log: Log = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> object:
        begun.set()
        assert go_on.wait(10)
        return object()

    db = kit.resource("db", slow, lambda _, exc: log.append(type(exc).__name__))

    def work() -> None:
        try:
            db()
        except ClosedContextError as error:
            log.append(str(error))

    with app.app_context():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        assert begun.wait(10)
    go_on.set()
    thread.join()
    assert log[0] == "NoneType"
    assert "ended while db was opened" in log[1]


def test_threads_that_race_with_the_end(quick_switches: None) -> None:
    """Whatever is opened is closed once, and who comes too late is told, at any moment."""
    app, kit = make()
    numbers, opened, closed = itertools.count(), list[int](), list[int]()

    def open_it() -> int:
        number = next(numbers)
        opened.append(number)
        return number

    resources = [kit.resource(name, open_it, closed.append) for name in "abc"]
    errors: Log = []

    def work() -> None:
        for resource in resources:
            try:
                resource()
            except Exception as error:
                errors.append(type(error))

    for _ in range(200):
        with app.app_context():
            threads = [
                threading.Thread(target=contextvars.copy_context().run, args=(work,))
                for _ in range(3)
            ]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(closed) == sorted(opened)
    assert len(set(closed)) == len(closed)
    assert set(errors) <= {ClosedContextError}


@both
def test_a_context_that_ends_between_two_looks(
    trace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread saw it pushed, and it was popped before the thread noted anything on it."""
    app, kit = make(trace=trace)
    looked, popped = threading.Event(), threading.Event()
    opened, closed = list[object](), list[object]()

    def open_it() -> object:
        opened.append(object())
        return opened[-1]

    def dawdle(tallies: t.Any, ctx: t.Any) -> Scope:
        looked.set()
        assert popped.wait(20)
        return Scope(tallies, ctx)

    thing = kit.resource("thing", open_it, closed.append)
    monkeypatch.setattr(attachment, "Scope", dawdle)
    with ThreadPoolExecutor(1) as pool:
        with app.app_context():
            asked = pool.submit(contextvars.copy_context().run, thing)
            assert looked.wait(20)
        popped.set()
        with pytest.raises(ClosedContextError, match="context ended while thing was opened"):
            asked.result(20)
    assert opened == closed != []


def test_opening_it_needs_itself() -> None:
    """A clear error, and no deadlock; also through another one, and through another thread."""
    app, kit = make()
    names: dict[str, Resource[t.Any]] = {}
    names["a"] = kit.resource("a", lambda: names["b"]())  # noqa: PLW0108 - there is none yet
    names["b"] = kit.resource("b", names["a"])
    with app.app_context():
        with pytest.raises(ReentranceError, match="a is needed to make a") as told:
            names["a"]()
        assert "test_scope.py:" in told.value.evidence["where"]
        with pytest.raises(ReentranceError, match="b is needed to make b"):
            names["b"]()


def test_two_threads_that_wait_for_each_other() -> None:
    """Each opens what the other one needs: at least one is told, and both go on."""
    app, kit = make()
    names: dict[str, Resource[t.Any]] = {}
    meet = threading.Barrier(2)

    def opener(other: str) -> t.Callable[[], str]:
        def open_it() -> str:
            if names and not met.is_set():
                meet.wait(10)
                met.set()
            names[other]()
            return "open"

        return open_it

    met = threading.Event()
    names["a"] = kit.resource("a", opener("b"))
    names["b"] = kit.resource("b", opener("a"))
    errors: Log = []

    def work(name: str) -> None:
        try:
            names[name]()
        except ReentranceError as error:
            errors.append(error)

    with app.app_context():
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(work, name))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
    assert errors


def test_a_loop_inside_an_opener_that_needs_it_is_told() -> None:
    """It runs in the very thread that opens it, as another unit."""
    app, kit = make()
    kept: Log = []

    async def connect() -> None:
        kept[0]()

    def open_it() -> None:
        asyncio.run(connect())

    kept.append(kit.resource("db", open_it))
    with app.app_context(), pytest.raises(ReentranceError, match="db is needed to make db"):
        kept[0]()


def test_a_coroutine_can_await_what_a_thread_opens() -> None:
    """The loop goes on meanwhile, which the thread may need."""
    app, kit = make()
    begun = threading.Event()

    def slow() -> str:
        begun.set()
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02, "open"), loop).result(10)

    db = kit.resource("db", slow)
    loop: asyncio.AbstractEventLoop

    async def main() -> list[str]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        thread = asyncio.create_task(asyncio.to_thread(db))
        await asyncio.to_thread(begun.wait)
        return [await db.ready(), await thread, db()]

    with app.app_context():
        assert asyncio.run(main()) == ["open"] * 3


def test_a_coroutine_awaits_the_next_thread_where_the_first_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second thread may need the loop too."""
    from flask_ctxkit.resources import once

    monkeypatch.setattr(once, "LOOP_WAIT", 0.05)
    app, kit = make()
    first, second, fail = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        if not first.is_set():
            first.set()
            assert fail.wait(10)
            raise OSError
        second.set()
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02, "open"), loop).result(10)

    db = kit.resource("db", slow)
    loop: asyncio.AbstractEventLoop

    async def main() -> list[object]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        failing = asyncio.create_task(asyncio.to_thread(db))
        await asyncio.to_thread(first.wait)
        waiting = asyncio.create_task(db.ready())
        opening = asyncio.create_task(asyncio.to_thread(db))
        await asyncio.sleep(0)
        fail.set()
        assert second.wait(10)  # before the loop hears of the failure
        ended = await asyncio.gather(failing, waiting, opening, return_exceptions=True)
        return [*ended]

    with app.app_context():
        failed, *opened = asyncio.run(main())
    assert isinstance(failed, OSError)
    assert opened == ["open", "open"]


def test_a_plain_call_that_would_stop_the_loop_for_ever_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that opens it waits for that very loop."""
    from flask_ctxkit.resources import once

    monkeypatch.setattr(once, "LOOP_WAIT", 0.05)
    app, kit = make()
    begun, blocked = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert blocked.wait(10)
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "open"), loop).result(10)

    db = kit.resource("db", slow)
    loop: asyncio.AbstractEventLoop

    async def main() -> str:
        nonlocal loop
        loop = asyncio.get_running_loop()
        thread = asyncio.create_task(asyncio.to_thread(db))
        await asyncio.to_thread(begun.wait)
        blocked.set()  # from here to the end of the next call, nothing else runs in the loop
        with pytest.raises(ReentranceError, match=r"ready\(\)"):
            db()
        return await thread

    with app.app_context():
        assert asyncio.run(main()) == "open"


# --------------------------------------------------------------------------------- seen


def test_every_step_is_on_the_trace() -> None:
    """The opening, a failed opening, the closing and a failed closing, before the pop."""
    app, kit = make(trace=True)
    good = kit.resource("good", object, lambda _: None)

    def fail(*_: object) -> t.NoReturn:
        raise OSError("no")

    bad = kit.resource("bad", object, fail)
    broken: Resource[object] = kit.resource("broken", fail)

    @app.teardown_appcontext
    def fails(exc: BaseException | None) -> None:
        raise ZeroDivisionError

    with caught() as errors, app.app_context():
        good()
        bad()
        with pytest.raises(OSError, match="no"):
            broken()
    assert "ZeroDivisionError" in errors[0]
    [trace] = app.extensions["ctxkit"].store.newest()
    steps = [(e.name, e.outcome) for e in trace.events if e.phase == "resource"]
    assert steps == [
        ("open good", "ok"), ("open bad", "ok"), ("open broken", "raised"),
        ("close bad", "raised"), ("close good", "ok"),
    ]  # fmt: skip
    assert all("test_scope.py:" in (e.where or "") for e in trace.events if e.phase == "resource")
    names = [event.phase for event in trace.events]
    assert names.index("pop") > max(i for i, phase in enumerate(names) if phase == "resource")


def test_a_unit_that_shares_the_context_is_told_with_what_it_opens() -> None:
    """Not the one that pushed it."""
    app, kit = make(trace=True)
    mine, theirs = kit.resource("mine", object), kit.resource("theirs", object)
    with app.app_context():
        mine()
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(theirs,), name="errand")
        thread.start()
        thread.join()
    [trace] = app.extensions["ctxkit"].store.newest()
    events = [event for event in trace.events if event.phase == "resource"]
    assert [(event.name, event.note) for event in events] == [
        ("open mine", None), ("open theirs", "in errand"),
        ("close theirs", None), ("close mine", None),
    ]  # fmt: skip


def test_the_holders_of_a_context() -> None:
    """Who opened what, where and since when; also what is being opened just now."""
    app, kit = make()
    db = kit.resource("db", object)
    seen: Log = []
    slow = kit.resource("slow", lambda: seen.extend(held_by(current_app_context(None))))
    with app.app_context():
        db()
        slow()
    assert [(h.resource, h.state) for h in seen] == [("db", "open"), ("slow", "opening")]
    assert seen[0].unit.kind == "thread"
    assert "resources/test_scope.py:" in seen[0].where
    assert 0 <= seen[1].age_s <= seen[0].age_s < 60


def test_an_app_without_resources_pays_for_none() -> None:
    """No teardown function, and no context has a ``pop`` of its own."""
    app, kit = make()
    assert app.teardown_appcontext_funcs == []
    db = kit.resource("db", object)
    assert len(app.teardown_appcontext_funcs) == 1
    with app.app_context() as ctx:
        assert "pop" not in vars(ctx)
        db()
        assert "pop" in vars(ctx)


def test_a_context_that_uses_none_pays_one_call() -> None:
    """The kit's teardown function, which looks into one dict and calls nothing else."""
    app, kit = make()
    db = kit.resource("db", object)
    called: Log = []

    def profile(frame: t.Any, event: str, _: object) -> None:
        # Not what the pytest plugin of the kit does around it.
        ours = ("flask_ctxkit/hooks.py", "flask_ctxkit/internals.py", "flask_ctxkit/resources/")
        if event == "call" and any(place in frame.f_code.co_filename for place in ours):
            called.append(frame.f_code.co_name)

    ctx = app.app_context()
    sys.setprofile(profile)
    try:
        ctx.push()
        ctx.pop()
    finally:
        sys.setprofile(None)
    assert called == ["ctxkit_teardown_appcontext"]
    called.clear()
    with app.app_context():
        db()
        sys.setprofile(profile)
        try:
            db()
        finally:
            sys.setprofile(None)
    assert called == ["__call__"]
