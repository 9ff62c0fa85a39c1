"""Work that runs elsewhere: each mistake is planted and named, and sound work is not."""

from __future__ import annotations

import functools
import sys
import threading
import typing as t
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, copy_current_request_context, g, request, session

from flask_ctxkit import CapturedProxyWarning, ContextExecutor, propagate

Watch = t.Callable[..., t.Any]
Work = t.Callable[[], t.Any]

OURS = {"context-copy-shared", "work-proxy-captured", "work-outlives-request", "work-without-g"}


def shop(view: Work) -> Flask:
    """An app whose one view calls *view*."""
    app = Flask(__name__)

    @app.get("/tea")
    def tea() -> str:
        view()
        return "x"

    return app


def started(*works: Work) -> list[threading.Thread]:
    threads = [threading.Thread(target=w, name=f"worker-{n}") for n, w in enumerate(works)]
    for thread in threads:
        thread.start()
    return threads


def run(*works: Work) -> None:
    for thread in started(*works):
        thread.join(20)


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What ended threads."""
    found: list[BaseException] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_value))
    return found


# -------------------------------------------------------- a copy that several workers push


def test_one_copy_for_two_workers_is_named(watch: Watch, raised: list[BaseException]) -> None:
    """Whether or not Flask then happens to fail."""
    barrier = threading.Barrier(2)

    def view() -> None:
        @copy_current_request_context
        def work() -> None:
            barrier.wait(10)

        run(work, work)

    watched = watch(shop(view))
    watched.client.get("/tea")
    finding = next(f for f in watched.found if f.code == "context-copy-shared")
    assert finding.severity == "error"
    assert finding.message.startswith("The context of GET /tea was copied once and is used by")
    assert "worker-" in finding.message
    assert "propagate(function)" in finding.fix
    where = finding.evidence[-1].where
    assert where is not None
    assert where.startswith("findings/test_propagation.py:")  # no line of threading's
    assert watched.rules.tally.counts()["context-copy-shared"] == 1
    assert watched.state.recorder.cost()["failures"] == []


def test_one_copy_for_many_workers_of_a_pool_is_named(watch: Watch) -> None:
    barrier = threading.Barrier(4)

    def view() -> None:
        work = copy_current_request_context(lambda: barrier.wait(10))
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work) for _ in range(4)]
        for future in futures:
            future.exception()

    watched = watch(shop(view))
    watched.client.get("/tea")
    assert watched.rules.tally.counts()["context-copy-shared"] == 3


def test_a_copy_for_each_worker_is_sound(watch: Watch) -> None:
    barrier = threading.Barrier(2)

    def view() -> None:
        run(*(copy_current_request_context(lambda: barrier.wait(10)) for _ in range(2)))

    watched = watch(shop(view))
    watched.client.get("/tea")
    assert watched.found == ()


def test_a_copy_that_is_used_again_later_is_sound(watch: Watch) -> None:
    """By another worker, when the first one has ended."""

    def view() -> None:
        work = copy_current_request_context(lambda: request.path)
        run(work)
        run(work)

    watched = watch(shop(view))
    watched.client.get("/tea")
    assert watched.found == ()


def test_propagated_work_for_many_workers_is_sound(watch: Watch) -> None:
    barrier = threading.Barrier(4)

    def view() -> None:
        work = propagate(lambda _: barrier.wait(10))
        run(*(functools.partial(work, n) for n in range(4)))
        with ContextExecutor(4) as pool:
            [*pool.map(lambda _: barrier.wait(10), range(4))]

    watched = watch(shop(view))
    watched.client.get("/tea")
    assert watched.found == ()
    assert len([trace for trace in watched.traces if trace.kind == "task"]) == 8


# -------------------------------------------------------------------- captured proxies


def quietly(work: t.Callable[[], t.Any]) -> t.Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapturedProxyWarning)
        return work()


def send_mail(user: t.Any, path: t.Any = None) -> None:
    pass


def test_a_proxy_among_the_arguments_is_named(watch: Watch) -> None:
    def view() -> None:
        work = functools.partial(propagate(send_mail), g, path=request)
        quietly(lambda: run(work))

    watched = watch(shop(view))
    watched.client.get("/tea")
    finding = watched.one("work-proxy-captured")
    assert finding.message.startswith("send_mail (findings/test_propagation.py:")
    assert "got g as argument 1 and request as argument path, from GET /tea" in finding.message
    assert "unwrap(" in finding.fix
    assert finding.evidence[0].where.startswith("findings/test_propagation.py:")


def test_a_proxy_in_the_closure_is_named(watch: Watch) -> None:
    """Each time, not for the first request of its shape alone."""

    def view() -> None:
        held = t.cast("t.Any", session)
        run(quietly(lambda: propagate(lambda: held)))

    watched = watch(shop(view))
    for _ in range(2):
        watched.client.get("/tea")
    finding = watched.one("work-proxy-captured")
    assert "session in the closure variable held" in finding.message
    assert watched.rules.tally.counts()["work-proxy-captured"] == 2


def test_a_proxy_is_named_after_a_sound_call_that_took_the_same_steps(watch: Watch) -> None:
    """What was sound once is not taken for sound for ever."""

    def work(_: t.Any) -> None:
        pass

    def view() -> None:
        given = g if request.args.get("proxy") else "value"
        run(functools.partial(propagate(work), given))

    watched = watch(shop(view))
    watched.client.get("/tea")
    watched.client.get("/tea")
    assert watched.found == ()
    quietly(lambda: watched.client.get("/tea?proxy=1"))
    watched.one("work-proxy-captured")


def test_sound_work_is_not_remembered_in_place_of_requests(watch: Watch) -> None:
    """No other call takes its steps, so nothing is won, and what requests take is kept."""
    watched = watch(shop(lambda: run(propagate(lambda: None))))
    for _ in range(3):
        watched.client.get("/tea")
    assert len([trace for trace in watched.traces if trace.kind == "task"]) == 3
    assert len(watched.state.pipeline._sound) == 1


def test_values_and_names_of_modules_are_sound(watch: Watch) -> None:
    def view() -> None:
        path, user = request.path, g.get("user")
        run(propagate(lambda: (request.path, g.get("user"), path, user)))

    watched = watch(shop(view))
    watched.client.get("/tea")
    assert watched.found == ()


# ------------------------------------------------------------ work that outlives its request


@pytest.mark.parametrize("when", ["still running", "not yet begun"])
def test_a_copy_that_outlives_its_request_is_named(watch: Watch, when: str) -> None:
    go = threading.Event()
    begun = threading.Event()
    works: list[Work] = []
    threads: list[threading.Thread] = []

    def view() -> None:
        def work() -> None:
            begun.set()
            assert go.wait(20)

        works.append(copy_current_request_context(work))
        if when == "still running":
            threads.extend(started(works[0]))
            assert begun.wait(20)

    watched = watch(shop(view))
    watched.client.get("/tea")
    assert watched.found == ()
    if when == "not yet begun":
        threads.extend(started(works[0]))
    go.set()
    threads[0].join(20)
    finding = watched.one("work-outlives-request")
    assert finding.message.startswith("work (findings/test_propagation.py:")
    assert "longer than GET /tea, whose context it uses a copy of" in finding.message
    assert "propagate(function)" in finding.fix
    task = next(trace for trace in watched.traces if trace.kind == "task")
    assert finding.trace == task.id
    assert task.lineage["outlived_ms"] > 0


def test_a_copy_that_the_view_waits_for_is_sound(watch: Watch) -> None:
    watched = watch(shop(lambda: run(copy_current_request_context(lambda: request.path))))
    for _ in range(3):
        watched.client.get("/tea")
    assert watched.found == ()


def test_a_copy_that_outlives_is_named_after_one_that_did_not(watch: Watch) -> None:
    """Though it takes the same steps."""
    go = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        assert go.wait(20)

    def view() -> None:
        threads[:] = started(copy_current_request_context(work))
        if go.is_set():
            threads[0].join(20)

    watched = watch(shop(view))
    go.set()
    watched.client.get("/tea")
    watched.client.get("/tea")
    assert watched.found == ()
    go.clear()
    watched.client.get("/tea")
    go.set()
    threads[0].join(20)
    watched.one("work-outlives-request")


def test_propagated_work_may_outlive_its_request(watch: Watch) -> None:
    go = threading.Event()
    threads: list[threading.Thread] = []
    paths: list[str] = []

    def work() -> None:
        assert go.wait(20)
        paths.append(request.path)

    watched = watch(shop(lambda: threads.extend(started(propagate(work)))))
    watched.client.get("/tea")
    go.set()
    threads[0].join(20)
    assert paths == ["/tea"]
    assert watched.found == ()


# --------------------------------------------------------------------- the g that is missing


def load_user() -> None:
    g.user = "ada"


def greet() -> str:
    return f"Hello, {g.user}!"


@pytest.mark.parametrize("how", ["propagate", "copy"])
def test_a_name_of_g_that_stayed_behind_is_named(
    watch: Watch, raised: list[BaseException], how: str
) -> None:
    """Also on the traceback itself."""
    start = propagate if how == "propagate" else copy_current_request_context
    watched = watch(shop(lambda: run(t.cast("t.Any", start)(greet))))
    watched.app.before_request(load_user)
    watched.client.get("/tea")
    finding = watched.one("work-without-g")
    assert finding.message.startswith("greet (findings/test_propagation.py:")
    assert "asks for g.user, which load_user (findings/" in finding.message
    assert "work that GET /tea started has a g of its own" in finding.message
    assert 'propagate(greet, g=["user"])' in finding.fix
    (error,) = raised
    if sys.version_info >= (3, 11):
        assert finding.message in error.__notes__[0]


def test_a_name_that_nobody_sets_is_pythons_own_message(
    watch: Watch, raised: list[BaseException]
) -> None:
    watched = watch(shop(lambda: run(propagate(greet))))
    watched.client.get("/tea")
    assert watched.found == ()
    assert len(raised) == 1


def test_a_name_that_was_taken_along_is_sound(watch: Watch) -> None:
    def view() -> None:
        for names in ("copy", ["user"]):
            run(propagate(greet, g=names))

    watched = watch(shop(view))
    watched.app.before_request(load_user)
    watched.client.get("/tea")
    assert watched.found == ()


def test_a_name_that_the_work_took_off_itself_did_not_stay_behind(
    watch: Watch, raised: list[BaseException]
) -> None:
    def work() -> str:
        g.pop("user")
        return str(g.user)

    watched = watch(shop(lambda: run(propagate(work, g=["user"]))))
    watched.app.before_request(load_user)
    watched.client.get("/tea")
    assert len(raised) == 1
    assert watched.found == ()


# ------------------------------------------------------------------------------ wrong pops


def wrongly_popped(how: str, app: Flask) -> BaseException:
    """What popping a context of *app* raises, as *how* says."""
    errors: list[BaseException] = []

    def pop() -> None:
        try:
            ctx.pop()
        except BaseException as error:
            errors.append(error)

    ctx: t.Any = app.test_request_context("/tea") if "request" in how else app.app_context()
    if "elsewhere" in how:
        # In a thread of its own, which is then gone with what it still had pushed.
        run(lambda: ctx.push())  # noqa: PLW0108  # Python's own line is no place to look at
        run(pop)
    else:

        def order() -> None:
            ctx.push()
            app.app_context().push() if "request" not in how else app.test_request_context().push()
            pop()

        run(order)
    (error,) = errors
    return error


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
@pytest.mark.parametrize("how", ["elsewhere", "request elsewhere", "in order", "request in order"])
def test_a_wrong_pop_tells_both_places_on_its_traceback(watch: Watch, how: str) -> None:
    """AssertionError, LookupError, ValueError or RuntimeError, as the Flask line has it."""
    watched = watch(Flask(__name__))
    error = wrongly_popped(how, watched.app)
    assert isinstance(error, (AssertionError, LookupError, ValueError, RuntimeError))
    (note,) = t.cast("t.Any", error).__notes__
    first, fix = note.splitlines()
    assert first.startswith("ctxkit: ")
    assert "was popped in the wrong order or place, at findings/test_propagation.py:" in first
    assert (
        " in worker-0. It was pushed in worker-0 (pushed at findings/test_propagation.py:" in first
    )
    assert "use with blocks" in fix
    (message,) = {f.message for f in watched.found if f.code == "context-popped-wrongly"}
    assert message in note


def test_the_catalogue_knows_each(watch: Watch) -> None:
    watched = watch(Flask(__name__))
    assert {rule.code for rule in watched.rules.catalogue()} >= OURS


# -------------------------------------------------------------- what ran in another unit


def outside() -> str:
    return request.path


def test_an_error_of_a_pools_thread_is_not_told_of_the_waiting_one(watch: Watch) -> None:
    """The request's own thread has a context; that of the pool has none."""

    def view() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(outside).result(20)

    watched = watch(shop(view))
    assert watched.client.get("/tea").status_code == 500
    finding = watched.one("context-missing")
    assert finding.message.startswith("outside (findings/test_propagation.py:")
    assert finding.message.endswith(
        "none is pushed in the thread of a pool that ran it for GET /tea."
    )
    assert "ContextExecutor" in finding.fix


GREENLETS = """
    from flask import copy_current_request_context, g, request
    from flask_ctxkit import propagate

    late = []

    def outside():
        return request.path

    def waits():
        gevent.sleep(0.01)
        return request.path

    @app.before_request
    def load_user():
        g.user = "ada"

    @app.get("/shared")
    def shared():
        copy = copy_current_request_context(waits)
        gevent.joinall([gevent.spawn(copy) for _ in range(2)])
        return "x"

    @app.get("/late")
    def late_view():
        late.append(gevent.spawn(copy_current_request_context(waits)))
        gevent.sleep(0)
        return "x"

    @app.get("/outside")
    def outside_view():
        return gevent.spawn(outside).get()

    @app.get("/without")
    def without():
        return gevent.spawn(propagate(lambda: g.user)).get()

    client = app.test_client()
    for path in ("/shared", "/late", "/outside", "/without"):
        client.get(path)
    gevent.joinall(late)
    rules = app.extensions["ctxkit"].rules
    assert rules.failures == (), rules.failures
    found = {row.finding.code: row.finding.message for row in rules.tally.rows()}
    for code in ("context-copy-shared", "work-outlives-request", "work-without-g"):
        assert code in found, (code, found)
    assert found["context-missing"].endswith("in the greenlet that ran it for GET /outside."), found
    print("named")
"""


def test_the_same_mistakes_of_greenlets_are_named(in_greenlets: t.Callable[[str], str]) -> None:
    assert in_greenlets(GREENLETS) == "named"
