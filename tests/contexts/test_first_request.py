"""``kit.before_first_request``: once per process, whoever asks first and whatever fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import typing as t

import gevent
import pytest
from flask import Flask, request

from flask_ctxkit import CtxKit, current_ctxkit
from flask_ctxkit.contexts.first_request import FirstRequest

THREADS = 64


def shop(**config: t.Any) -> tuple[Flask, CtxKit]:
    app = Flask("shop")
    app.logger.disabled = True
    app.config.update(config)
    app.add_url_rule("/", "index", lambda: "tea")
    return app, CtxKit(app)


def noted(order: list[str]) -> str:
    order.append("view")
    return ""


def test_one_of_many_threads_runs_it_and_the_others_wait() -> None:
    """64 threads ask at once; no view runs before it has ended."""
    app, kit = shop()
    order, together = list[str](), threading.Barrier(THREADS)

    @kit.before_first_request
    def warm_up() -> None:
        time.sleep(0.1)
        order.append("warm")

    app.add_url_rule("/view", "view", lambda: noted(order))

    def ask() -> None:
        together.wait()
        app.test_client().get("/view")

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["warm"] + ["view"] * THREADS


def test_a_failure_among_many_threads_is_one_requests_alone() -> None:
    """Who ran it gets the error, one of those that waited runs it again, once."""
    app, kit = shop()
    calls, statuses, together = list[str](), list[int](), threading.Barrier(THREADS)

    @kit.before_first_request
    def warm_up() -> None:
        calls.append(request.path)
        time.sleep(0.05)
        if len(calls) <= 3:
            raise ConnectionError

    def ask() -> None:
        together.wait()
        statuses.append(app.test_client().get("/").status_code)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 4
    assert sorted(statuses) == [200] * (THREADS - 3) + [500] * 3


def test_only_what_failed_and_what_comes_after_it_runs_again() -> None:
    """Once per process holds for each function by itself."""
    app, kit = shop()
    calls = list[str]()
    kit.before_first_request(lambda: calls.append("first"))

    @kit.before_first_request
    def second() -> None:
        calls.append("second")
        if calls.count("second") == 1:
            raise ValueError

    kit.before_first_request(lambda: calls.append("third"))
    client = app.test_client()
    assert [client.get("/").status_code for _ in range(3)] == [500, 200, 200]
    assert calls == ["first", "second", "second", "third"]


def test_the_error_reaches_the_apps_own_handler() -> None:
    """As one of a before_request function would."""
    app, kit = shop()
    app.register_error_handler(LookupError, lambda error: (f"handled {error}", 503))
    stock: dict[str, int] = {}
    kit.before_first_request(lambda: stock["tea"])
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.text) == (503, "handled 'tea'")


def test_it_is_before_every_hook_and_sees_the_request() -> None:
    """Also before hooks that were registered before the kit."""
    app, calls = Flask("shop"), list[str]()
    app.before_request(lambda: calls.append("hook"))
    kit = CtxKit(app)
    kit.before_first_request(lambda: calls.append(f"warm {request.path}"))
    for path in ("/a", "/b"):
        app.test_client().get(path)
    assert calls == ["warm /a", "hook", "hook"]


def test_one_that_comes_late_runs_before_the_next_request() -> None:
    """A function is never silently left out."""
    app, kit = shop()
    calls, client = list[int](), app.test_client()
    client.get("/")
    kit.before_first_request(lambda: calls.append(1))
    client.get("/")
    client.get("/")
    assert calls == [1]


def test_each_app_of_a_kit_runs_all_of_them() -> None:
    """Whether the app was registered before or after the function."""
    calls, kit = list[str](), CtxKit()
    early, late = Flask("early"), Flask("late")
    kit.init_app(early)
    kit.before_first_request(lambda: calls.append(current_ctxkit.app.name))
    kit.init_app(late)
    for app in (late, early, late, early):
        app.test_client().get("/")
    assert calls == ["late", "early"]


def test_an_async_function_runs() -> None:
    """As every async hook of Flask's does."""
    pytest.importorskip("asgiref")
    app, kit = shop()
    calls = list[str]()

    @kit.before_first_request
    async def warm_up() -> None:
        calls.append(request.path)

    client = app.test_client()
    client.get("/")
    client.get("/")
    assert calls == ["/"]


def test_a_request_that_it_makes_itself_passes() -> None:
    """Warming a cache by a request neither waits for itself nor runs it again."""
    app, kit = shop()
    found = list[str]()
    kit.before_first_request(lambda: found.append(app.test_client().get("/").text))
    assert app.test_client().get("/").text == "tea"
    assert found == ["tea"]


def test_a_request_that_an_async_one_makes_itself_passes() -> None:
    """It runs in another thread than the request that it is for."""
    pytest.importorskip("asgiref")
    app, kit = shop()
    found = list[str]()

    @kit.before_first_request
    async def warm_up() -> None:
        found.append(app.test_client().get("/").text)

    assert app.test_client().get("/").text == "tea"
    assert found == ["tea"]


def test_it_stands_on_the_trace_of_the_request_that_ran_it() -> None:
    """With its time, its outcome and its place in the order."""
    app, kit = shop(CTXKIT_TRACE=True)

    @kit.before_first_request
    def warm_up() -> None:
        time.sleep(0.01)
        if fails:
            raise ValueError

    fails = True
    client = app.test_client()
    client.get("/")
    fails = False
    client.get("/")
    client.get("/")
    newest = list(app.extensions["ctxkit"].store.newest())
    steps = [
        [(e.outcome, e.duration_us >= 10_000) for e in trace.events
         if e.phase == "before_first_request"] for trace in reversed(newest)
    ]  # fmt: skip
    assert steps == [[("raised", True)], [("ok", True)], []]
    phases = [event.phase for event in newest[1].events]
    assert phases.index("before_first_request") < phases.index("view")


def test_a_request_that_waited_says_so_on_its_trace() -> None:
    """Else its time would be nobody's."""
    app, kit = shop(CTXKIT_TRACE=True)
    inside, leave = threading.Event(), threading.Event()

    @kit.before_first_request
    def warm_up() -> None:
        inside.set()
        leave.wait(20)

    first = threading.Thread(target=lambda: app.test_client().get("/"))
    first.start()
    assert inside.wait(20)
    second = threading.Thread(target=lambda: app.test_client().get("/"))
    second.start()
    time.sleep(0.1)
    leave.set()
    first.join()
    second.join()
    app.test_client().get("/")
    steps = [
        [(e.name.rpartition(".")[2], e.source, e.duration_us >= 40_000) for e in trace.events
         if e.phase == "before_first_request"]
        for trace in app.extensions["ctxkit"].store.newest()
    ]  # fmt: skip
    ran = ("warm_up", "this app", True)
    waited = ("waited for another request", "flask_ctxkit", True)
    assert steps[0] == []
    assert sorted(steps[1:]) == sorted([[ran], [waited]])


def test_greenlets_wait_for_each_other_without_patched_locks() -> None:
    """gevent may patch after the app was loaded, as gunicorn --preload does, or never."""
    app, kit = shop()
    order = list[str]()

    @kit.before_first_request
    def warm_up() -> None:
        gevent.sleep(0.05)
        order.append("warm")

    app.add_url_rule("/view", "view", lambda: noted(order))
    jobs = [gevent.spawn(lambda: app.test_client().get("/view")) for _ in range(10)]
    # joinall's own timeout counts from when this thread's hub last ran: for a test before this.
    with gevent.Timeout(20):
        gevent.joinall(jobs, raise_error=True)
    assert order == ["warm"] + ["view"] * 10


def test_a_thread_waits_for_a_greenlet_of_its_own() -> None:
    """In a process of its own, which can be ended: its one thread would wait for itself."""
    source = """
import gevent
from flask import Flask
from flask_ctxkit import CtxKit
app, order = Flask("shop"), []
kit = CtxKit(app)
@kit.before_first_request
def warm_up():
    gevent.sleep(0.05)
    order.append("warm")
app.add_url_rule("/", "view", lambda: order.append("view") or "")
job = gevent.spawn(lambda: app.test_client().get("/"))
gevent.sleep(0)
app.test_client().get("/")
job.get()
assert order == ["warm", "view", "view"], order
print("sound")
"""
    ran = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("sound", "")


def test_greenlets_under_patched_locks() -> None:
    """In a process of its own, since patching is for ever; patched after the app is made."""
    source = """
from flask import Flask
from flask_ctxkit import CtxKit
app, order = Flask("shop"), []
kit = CtxKit(app)
from gevent import monkey; monkey.patch_all()
import gevent, time
@kit.before_first_request
def warm_up():
    time.sleep(0.05)
    order.append("warm")
app.add_url_rule("/", "view", lambda: order.append("view") or "")
jobs = [gevent.spawn(lambda: app.test_client().get("/")) for _ in range(20)]
gevent.joinall(jobs, timeout=20, raise_error=True)
assert order == ["warm"] + ["view"] * 20, order
print("sound")
"""
    ran = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("sound", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_each_fork_runs_it_once() -> None:
    """Also where the parent had run it, as under gunicorn --preload with a warm-up."""
    app, kit = shop()
    calls = list[int]()
    kit.before_first_request(lambda: calls.append(os.getpid()))
    app.test_client().get("/")
    assert answers_of_child(lambda: asked_twice(app, calls)) == "2"
    assert calls == [os.getpid()]


def asked_twice(app: Flask, calls: list[int]) -> str:
    for _ in range(2):
        app.test_client().get("/")
    return str(len(calls))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_middle_of_it_waits_for_nobody() -> None:
    """The thread that runs it is not in the child, and would hold the lock for ever."""
    inside, leave = threading.Event(), threading.Event()
    calls, parent = list[int](), os.getpid()

    def warm_up() -> None:
        calls.append(os.getpid())
        if os.getpid() == parent:
            inside.set()
            leave.wait(20)

    first = FirstRequest(lambda function: function())
    first.functions.append(warm_up)
    thread = threading.Thread(target=first.run)
    thread.start()
    try:
        assert inside.wait(20)
        assert answers_of_child(lambda: run_and_count(first, calls)) == "2"
    finally:
        leave.set()
        thread.join()
    assert first.done


def run_and_count(first: FirstRequest, calls: list[int]) -> str:
    first.run()
    first.run()
    return str(len(calls))


def answers_of_child(work: t.Callable[[], str]) -> str:
    """What *work* returns in a fork of this process; "" where it fails or hangs."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            threading.Timer(20, os._exit, (1,)).start()
            os.write(writing, work().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    return answer
