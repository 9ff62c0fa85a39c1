"""What a finalizer of the kit's does, and that what it leaves is done: soon, and once."""

from __future__ import annotations

import contextvars
import gc
import inspect
import os
import subprocess
import sys
import threading
import time
import typing as t
import warnings
from pathlib import Path

import pytest
from flask import Flask, Response, current_app, g
from werkzeug.test import EnvironBuilder

from flask_ctxkit import CtxKit, SqlHelper
from flask_ctxkit.deferred import defer, run_deferred, waiting

LOOKS: t.Final = {
    "the store": lambda state: len(state.store),
    "live": lambda state: state.registry.contexts(),
    "the stacks": lambda state: state.registry.pushed(),
    "leaks": lambda state: state.registry.leaks,
    "resources": lambda state: state.resources.tally("db"),
}


@pytest.fixture(autouse=True)
def nothing_waits() -> t.Iterator[None]:
    """What other tests dropped is not these ones'."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run_deferred()
        yield
        gc.collect()
        run_deferred()


def make() -> tuple[Flask, CtxKit, list[str]]:
    app, log = Flask("shop"), list[str]()
    app.secret_key = "a key of the tests that is long enough to be no finding"
    app.config["CTXKIT_TRACE"] = True
    kit = CtxKit(app)

    @app.get("/stream")
    def stream() -> Response:
        def chunks() -> t.Iterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                log.append("generator closed")

        return Response(chunks())

    app.add_url_rule("/", "index", lambda: "index")
    return app, kit, log


def begun(app: Flask) -> t.Any:
    """A streamed body of which one chunk was read."""
    environ = EnvironBuilder("/stream").get_environ()
    body = app.wsgi_app(environ, lambda *_args: lambda _data: None)
    assert next(iter(body)) == b"a"
    return body


def in_thread(function: t.Callable[[], object]) -> None:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it hangs"


# ---------------------------------------------------------------------------- what is dropped


def a_body() -> tuple[list[t.Any], list[str]]:
    app, _, log = make()
    # Nothing of Flask's is left to be torn down when the body goes.
    return [begun(app), app], log


def a_context_with_a_resource(*, keep_g: bool = False) -> tuple[list[t.Any], list[str]]:
    app, kit, log = make()
    db = kit.resource("db", object, lambda _: log.append("closed"))
    kept: list[t.Any] = [app]

    def forget() -> None:
        ctx = app.app_context()
        ctx.push()
        db()
        kept.insert(0, ctx)
        if keep_g:
            kept.append(vars(g._get_current_object()).copy())

    contextvars.Context().run(forget)
    return kept, log


def a_context_whose_g_is_kept() -> tuple[list[t.Any], list[str]]:
    return a_context_with_a_resource(keep_g=True)


def a_helper() -> tuple[list[t.Any], list[str]]:
    helper, log = SqlHelper.from_url("sqlite:///:memory:"), list[str]()
    engine = helper._pool._engine  # type: ignore[attr-defined]
    dispose = engine.dispose

    def disposed() -> None:
        dispose()
        log.append("closed")

    engine.dispose = disposed
    helper.fetchone("select 1")
    return [helper], log


DROPPED: t.Final = [a_body, a_context_with_a_resource, a_context_whose_g_is_kept, a_helper]


@pytest.mark.parametrize("make_one", DROPPED)
def test_a_finalizer_touches_no_context_variable_and_runs_no_other_code(
    make_one: t.Callable[[], tuple[list[t.Any], list[str]]],
) -> None:
    """CPython may call it inside of ContextVar.reset(), or under any lock."""
    kept, log = make_one()
    touched: list[str] = []
    ran: set[str] = set()

    def watch(frame: t.Any, event: str, called: t.Any) -> None:
        if event == "c_call" and type(getattr(called, "__self__", None)) is contextvars.ContextVar:
            touched.append(f"{called.__name__} in {frame.f_code.co_name}")
        elif event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            ran.add(frame.f_code.co_name)  # but for generators: they end as without the kit

    gc.collect()
    gc.disable()
    callbacks, gc.callbacks[:] = gc.callbacks[:], []  # of other libraries
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        del kept[0]
        gc.collect()
    finally:
        sys.setprofile(before)
        gc.callbacks[:] = callbacks
        gc.enable()
    assert touched == []
    assert len(waiting) == 1
    # __call__ and remove are the standard library's: of weak references.
    assert ran <= {"__del__", "lost", "dropped", "defer", "let_go", "__call__", "remove"}
    assert "closed" not in log
    run_deferred()
    assert log[-1:] == ["generator closed" if make_one is a_body else "closed"]
    assert not waiting


def test_a_body_that_is_collected_inside_of_reset_leaves_nothing_stale() -> None:
    """Up to Python 3.11 reset() collects; what is read there would stay in the variable."""
    app, kit, _ = make()
    var: contextvars.ContextVar[object] = contextvars.ContextVar("var")
    contextvars.ContextVar[int]("other").set(1)  # else reset() needs no memory
    value, read = object(), list[object]()

    @kit.rule
    def reads(_trace: object) -> None:
        read.append(var.get(None))

    limits = gc.get_threshold()
    try:
        for limit in range(1, 20):
            circle: list[t.Any] = [begun(app)]
            token = var.set(value)
            gc.collect()
            gc.disable()
            circle.append(circle)
            del circle
            gc.set_threshold(limit)
            gc.enable()
            var.reset(token)
            gc.disable()
            left = var.get(None) is None
            gc.set_threshold(*limits)
            assert left, f"a value that was reset is found, with a limit of {limit}"
    finally:
        gc.set_threshold(*limits)
        gc.enable()
    gc.collect()
    assert len(app.extensions["ctxkit"].store)
    assert read == [None] * 19


def test_a_body_can_be_dropped_under_the_kits_own_locks() -> None:
    app, _, _ = make()
    state = app.extensions["ctxkit"]

    def drop() -> None:
        body = begun(app)
        with state.store._lock, state.recorder._lock, state.rules.tally._lock:
            del body

    in_thread(drop)
    assert [trace.state for trace in state.store.newest()] == ["left"]


def test_a_context_can_be_dropped_under_the_kits_own_locks() -> None:
    app, kit, log = make()
    db = kit.resource("db", object, lambda _: log.append("closed"))
    state = app.extensions["ctxkit"]

    def forget() -> None:
        app.app_context().push()
        db()

    def drop() -> None:
        contextvars.Context().run(forget)
        with state.resources._lock, state.recorder._lock:
            gc.collect()

    in_thread(drop)
    assert state.resources.tally("db").forgotten == 1
    assert log == ["closed"]


def test_a_request_may_end_under_the_locks_of_what_it_is_told_to() -> None:
    """The collector closes Flask's own generators too, and so pops contexts anywhere."""
    app, kit, log = make()
    db = kit.resource("db", object, lambda _: log.append("closed"))
    app.add_url_rule("/db", "db", lambda: str(bool(db())))
    state = app.extensions["ctxkit"]

    @kit.rule
    def each_one(trace: t.Any) -> t.Iterator[str]:
        """A rule that finds, and then fails."""
        yield f"{trace.path} was asked for."
        raise ValueError("its own mistake")

    @app.before_request
    def note() -> None:
        g.noted = True  # is learnt

    def serve() -> None:
        rules = state.rules
        with (
            state.store._lock, state.recorder._lock, state.resources._lock,
            rules._lock, rules.tally._lock, rules._memory._lock,
        ):  # fmt: skip
            app.test_client().get("/db")

    in_thread(serve)
    assert log == ["closed"]
    assert [row.finding.message for row in state.rules.tally.rows()] == ["/db was asked for."]
    assert [failure.message for failure in state.rules.failures] == ["its own mistake"]
    assert state.rules._memory.writers("noted")


# ------------------------------------------------------------------------------- when it is done


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_an_abandoned_body_is_finished_for_whoever_looks(look: t.Callable[[t.Any], object]) -> None:
    """Its generator is closed at once, and its trace ends where the body was dropped."""
    app, _, log = make()
    recorder = app.extensions["ctxkit"].recorder
    start = time.perf_counter()
    body = begun(app)
    del body
    took = (time.perf_counter() - start) * 1000
    assert log == ["generator closed"]
    assert recorder.finished == 0
    time.sleep(0.05)
    look(app.extensions["ctxkit"])
    assert recorder.finished == 1
    (trace,) = app.extensions["ctxkit"].store.newest()
    assert trace.state == "left"
    assert trace.duration_ms < took
    (stream,) = (event for event in trace.events if event.phase == "stream")
    assert stream.note == "1 chunks"
    assert stream.duration_us < took * 1000


def test_an_abandoned_body_is_finished_by_the_next_request() -> None:
    app, _, _ = make()
    seen: list[int] = []
    app.before_request(lambda: seen.append(app.extensions["ctxkit"].recorder.finished))
    body = begun(app)
    del body
    app.test_client().get("/")
    assert seen == [0, 1]


def test_the_next_one_to_open_something_closes_what_a_lost_context_holds() -> None:
    app, kit, log = make()
    db = kit.resource("db", lambda: log.append("opened"), lambda _: log.append("closed"))

    def forget() -> None:
        app.app_context().push()
        db()

    contextvars.Context().run(forget)
    gc.collect()
    assert log == ["opened"]
    with app.app_context():
        db()
    assert log == ["opened", "closed", "opened", "closed"]


def test_the_next_helper_closes_the_pool_of_the_last_one() -> None:
    kept, log = a_helper()
    kept.clear()
    gc.collect()
    assert log == []
    SqlHelper.from_url("sqlite:///:memory:")
    assert log == ["closed"]


AT_EXIT: t.Final = """
import gc, weakref
class Other: pass
other = Other()
weakref.finalize(other, print, "other")  # somebody's finalizer, older than the kit's
from flask import Flask, Response
from flask_ctxkit import CtxKit, SqlHelper
from werkzeug.test import EnvironBuilder
import contextvars
app = Flask("app")
app.config["CTXKIT_TRACE"] = True
kit = CtxKit(app)
db = kit.resource("db", object, lambda _: print("resource", flush=True))
app.add_url_rule("/", "stream", lambda: Response(x for x in "abc"))
@kit.rule
def rule(trace):
    if trace.state == "left":
        print("body", flush=True)
body = app.wsgi_app(EnvironBuilder().get_environ(), lambda *_: None)
next(body)
def forget():
    app.app_context().push()
    db()
contextvars.Context().run(forget)
helper = SqlHelper.from_url("sqlite://")
engine = helper._pool._engine
dispose = engine.dispose
engine.dispose = lambda: (dispose(), print("helper", flush=True))
helper.fetchone("select 1")
del body
gc.collect()
print("exit", flush=True)
"""


def test_the_interpreters_end_does_what_waits() -> None:
    """Also what is only dropped by then, such as a helper that a module holds."""
    code = [sys.executable, "-W", "ignore", "-c", AT_EXIT]
    done = subprocess.run(code, capture_output=True, text=True, check=True, timeout=60)
    first, *rest = done.stdout.split()
    assert first == "exit"
    assert sorted(rest) == ["body", "helper", "other", "resource"]
    assert done.stderr == ""


# ------------------------------------------------------------------------------ what goes wrong


def test_what_fails_is_told_as_of_a_finalizer_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[t.Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.exc_value))
    done: list[int] = []

    def fails() -> None:
        raise ValueError("no")

    defer(fails)
    defer(lambda: done.append(1))
    app, _, _ = make()
    assert app.test_client().get("/").text == "index"
    assert done == [1]
    assert [str(error) for error in told] == ["no"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_sent_to_the_process_passes(error: type[BaseException]) -> None:
    """And what waits behind it is done the next time."""
    done: list[int] = []

    def interrupted() -> None:
        raise error

    defer(interrupted)
    defer(lambda: done.append(1))
    with pytest.raises(error):
        run_deferred()
    assert done == []
    run_deferred()
    assert done == [1]


def test_what_a_forked_child_inherits_is_its_parents_to_do() -> None:
    done: list[str] = []
    waiting.append((os.getpid() + 1, lambda: done.append("inherited")))
    defer(lambda: done.append("own"))
    run_deferred()
    assert done == ["own"]


def test_deferred_work_may_use_the_app_and_leave_more() -> None:
    app, _, _ = make()
    done: list[str] = []

    def work() -> None:
        defer(lambda: done.append("more"))
        with app.app_context():
            done.append(current_app.name)
        done.append(app.test_client().get("/").text)

    defer(work)
    run_deferred()
    assert done == ["shop", "more", "index"]


def test_no_finalizer_stands_where_it_was_not_looked_at() -> None:
    """Whoever adds one adds it here, and to what is dropped above."""
    package = Path(__file__).parent.parent / "flask_ctxkit"
    found = {
        (path.relative_to(package).as_posix(), sign)
        for path in package.rglob("*.py")
        for sign in ("def __del__", "weakref.finalize(")
        if sign in path.read_text(encoding="utf-8")
    }
    assert found == {
        ("deferred.py", "def __del__"),
        ("deferred.py", "weakref.finalize("),
        ("resources/health.py", "weakref.finalize("),
        ("resources/scope.py", "def __del__"),
        ("resources/sql/helper.py", "weakref.finalize("),
        ("trace/calls.py", "def __del__"),
    }
