"""Contexts that were left behind, popped wrongly, shared by accident, or missing."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import typing as t
from dataclasses import replace

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    copy_current_request_context,
    current_app,
    g,
    request,
    stream_with_context,
)

from flask_ctxkit import CtxKit, OutsideContextError
from flask_ctxkit.config import Config
from flask_ctxkit.contexts.registry import Leak
from flask_ctxkit.findings import Finding, Rules
from flask_ctxkit.internals import ONE_CONTEXT
from flask_ctxkit.units import Unit

Watch = t.Callable[..., t.Any]


def in_thread(work: t.Callable[[], t.Any], name: str = "worker-1") -> list[BaseException]:
    """Run *work* in a new thread; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    return raised


def streaming(*, wrapped: bool = True) -> Flask:
    app = Flask(__name__)

    @app.route("/feed")
    def feed() -> Response:
        def generate() -> t.Iterator[str]:
            for _ in range(3):
                yield request.path

        body = generate()
        return Response(stream_with_context(body) if wrapped else body)

    return app


def call(app: Flask, path: str) -> t.Any:
    """Call the app as a server does, up to its body."""
    from werkzeug.test import EnvironBuilder

    return app(EnvironBuilder(path=path).get_environ(), lambda *args: lambda data: None)


# ------------------------------------------------------------------------------ leaks


def pushing(*, popping: bool) -> Flask:
    """An app in a middleware that pushes a context around each call."""
    app = Flask(__name__)
    inner = app.wsgi_app

    def middleware(environ: t.Any, start_response: t.Any) -> t.Any:
        ctx = app.app_context()
        ctx.push()
        try:
            return inner(environ, start_response)
        finally:
            if popping:
                ctx.pop()

    app.wsgi_app = middleware  # type: ignore[method-assign]
    return app


def test_a_context_that_outlives_its_call_is_named(watch: Watch) -> None:
    """A request that starts inside it is the same mistake, once more."""
    watched = watch(pushing(popping=False))

    def serve() -> None:
        call(watched.app, "/a").close()
        call(watched.app, "/b").close()
        seen.extend(watched.found)

    seen: list[Finding] = []
    assert in_thread(serve, "worker-7") == []
    assert {finding.code for finding in seen} == {"context-left-current"}
    assert len({finding.message for finding in seen}) == 1
    message = seen[0].message
    assert message.startswith("An application context stayed current in worker-7 after the call")
    assert "(pushed at findings/test_contexts.py:" in message
    assert watched.rules.tally.counts()["context-left-current"] == 3


def test_a_context_that_is_popped_with_its_call_is_sound(watch: Watch) -> None:
    watched = watch(pushing(popping=True))

    def serve() -> None:
        call(watched.app, "/a").close()
        call(watched.app, "/b").close()

    assert in_thread(serve) == []
    assert watched.found == ()


def test_a_context_that_a_view_pushed_and_left_is_named(watch: Watch) -> None:
    """Flask then pops its own context in the wrong order."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        app.app_context().push()
        return "x"

    watched = watch(app)

    def serve() -> None:
        call(watched.app, "/").close()

    (raised,) = in_thread(serve)
    gc.collect()
    assert "context-popped-wrongly" in watched.codes
    (finding,) = watched.rules.for_error(watched.state.recorder.describe(raised))
    assert finding.code == "context-wrong-pop"
    assert "was popped while another one was on top of it" in finding.message


def leak(kind: t.Any, **fields: t.Any) -> Leak:
    row = Leak(
        kind=kind,
        at="2026-04-01T10:00:00.000+00:00",
        unit=Unit("thread", "worker-1", 1, 1, 4711),
        method="GET",
        path="/feed",
        pushed="shop/views.py:120",
        message="told by the registry",
        trace="8f3a1c00",
        still=True,
    )
    return replace(row, **fields)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("left-current", "context-left-current"),
        ("dirty-start", "context-left-current"),
        ("never-popped", "context-never-popped"),
        ("wrong-pop", "context-popped-wrongly"),
    ],
)
def test_each_kind_of_leak_has_its_sentence(kind: str, code: str) -> None:
    rules = Rules(Config.from_mapping({}))
    (finding,) = rules.for_live((), [leak(kind), leak(kind)])
    assert rules.failures == ()
    assert (finding.code, finding.trace) == (code, "8f3a1c00")
    assert "GET /feed" in finding.message
    assert "(pushed at shop/views.py:120)" in finding.message
    assert "worker-1" in finding.message
    assert finding.evidence[-1].where == "shop/views.py:120"


def test_a_dirty_start_inside_a_context_that_nobody_recorded_is_no_mistake() -> None:
    """A test may have pushed it before the kit was there."""
    rules = Rules(Config.from_mapping({}))
    assert rules.for_live((), [leak("dirty-start", trace=None)]) == ()


def test_the_place_where_flask_pushes_is_not_told() -> None:
    rules = Rules(Config.from_mapping({}))
    (finding,) = rules.for_live((), [leak("left-current", pushed="flask/app.py:1529")])
    assert "pushed at" not in finding.message
    assert [e.where for e in finding.evidence] == [None]


def test_no_leaks_are_sound() -> None:
    assert Rules(Config.from_mapping({})).for_live((), ()) == ()


def test_a_stream_that_is_read_or_closed_is_sound(watch: Watch) -> None:
    watched = watch(streaming())
    assert watched.client.get("/feed").text == "/feed" * 3

    def half() -> None:
        body = call(watched.app, "/feed")
        next(iter(body))
        body.close()
        call(watched.app, "/missing").close()

    assert in_thread(half) == []
    assert watched.found == ()


def test_a_context_in_a_with_block_is_sound(watch: Watch) -> None:
    watched = watch(Flask(__name__))

    def work() -> None:
        with watched.app.app_context():
            g.x = 1

    assert in_thread(work) == []
    gc.collect()
    assert watched.found == ()


def test_a_context_that_is_popped_under_another_is_named(watch: Watch) -> None:
    watched = watch(Flask(__name__))
    errors: list[BaseException] = []

    def work() -> None:
        outer, inner = watched.app.app_context(), watched.app.app_context()
        outer.push()
        inner.push()
        try:
            outer.pop()
        except (AssertionError, RuntimeError) as error:
            errors.append(error)

    assert in_thread(work) == []
    assert errors
    assert "context-popped-wrongly" in watched.codes


def test_a_context_that_is_popped_in_another_thread_is_explained(watch: Watch) -> None:
    watched = watch(Flask(__name__))
    ctx = watched.app.app_context()

    def work() -> None:
        ctx.push()

    assert in_thread(work) == []
    raised = in_thread(ctx.pop)
    assert raised
    error = watched.state.recorder.describe(raised[0])
    (finding,) = watched.rules.for_error(error)
    assert finding.code == "context-wrong-pop"
    assert "in another thread, greenlet or task" in finding.message


def test_contexts_popped_in_order_are_sound(watch: Watch) -> None:
    watched = watch(Flask(__name__))

    def work() -> None:
        outer, inner = watched.app.app_context(), watched.app.app_context()
        outer.push()
        inner.push()
        inner.pop()
        outer.pop()

    assert in_thread(work) == []
    gc.collect()
    assert watched.found == ()


def test_a_copy_that_several_workers_push_is_named(watch: Watch) -> None:
    """One call of copy_current_request_context makes one context for all its calls."""
    app = Flask(__name__)
    barrier = threading.Barrier(2)
    failures: list[str] = []

    @app.route("/")
    def index() -> str:
        @copy_current_request_context
        def work() -> None:
            barrier.wait(5)
            barrier.wait(5)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(work) for _ in range(2)]:
                error = future.exception()
                if error is not None:
                    failures.append(type(error).__name__)
        return "x"

    watched = watch(app)
    watched.client.get("/")
    gc.collect()
    if failures:  # which line of Flask raises what differs; that it is named does not
        assert watched.codes & {"context-popped-wrongly", "context-wrong-pop"}


# ---------------------------------------------------------------------- missing contexts


def test_a_stream_without_its_context_is_named(watch: Watch) -> None:
    watched = watch(streaming(wrapped=False))
    if ONE_CONTEXT:
        call(watched.app, "/feed")
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        b"".join(call(watched.app, "/feed"))
    finding = next(f for f in watched.found if f.code == "context-missing")
    assert "generate (findings/test_contexts.py:" in finding.message
    assert "the body is streamed after the request's context was popped" in finding.message
    assert "stream_with_context" in finding.fix


def test_a_thread_without_a_context_is_explained(watch: Watch) -> None:
    watched = watch(Flask(__name__))

    def send_mail() -> str:
        return str(current_app.name)

    (raised,) = in_thread(send_mail, "mailer")
    error = watched.state.recorder.describe(raised)
    (finding,) = watched.rules.for_error(error, unit="mailer")
    assert finding.code == "context-missing"
    assert finding.message.startswith("send_mail (findings/test_contexts.py:")
    assert finding.message.endswith("needs an application context, and none is pushed in mailer.")
    assert "with app.app_context()" in finding.fix


def test_a_request_that_is_asked_for_in_an_application_context_is_explained(
    watch: Watch,
) -> None:
    watched = watch(Flask(__name__))

    def work() -> str:
        with watched.app.app_context():
            return str(request.path)

    (raised,) = in_thread(work)
    trace = watched.traces[0]
    (finding,) = watched.rules.for_error(watched.state.recorder.describe(raised), trace)
    assert "only an application context is pushed here" in finding.message


@pytest.mark.parametrize("asks", ["application", "request"])
def test_a_thread_of_a_pool_that_a_command_waits_for_is_explained(asks: str, watch: Watch) -> None:
    """It has no context of the command's either, and there is no request to take along."""
    watched = watch(Flask(__name__))

    def look() -> str:
        return str(current_app.name if asks == "application" else request.path)

    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(RuntimeError) as raised,
        watched.app.app_context(),
    ):
        pool.submit(look).result()
    error, trace = watched.state.recorder.describe(raised.value), watched.traces[0]
    (finding,) = watched.rules.for_error(error, trace)
    assert "none is pushed in the thread of a pool that ran it for" in finding.message
    assert "copy of the request" not in finding.fix
    assert ("propagate(function)" if asks == "application" else "pass what") in finding.fix


def test_what_a_stream_asks_the_kit_for_without_a_context_is_named(watch: Watch) -> None:
    """As what it asks Flask for."""
    app = Flask(__name__)

    @app.route("/feed")
    def feed() -> Response:
        def generate() -> t.Iterator[str]:
            yield from menu()

        return Response(generate())

    watched = watch(app)

    @CtxKit().cached
    def menu() -> list[str]:
        return ["tea"]

    with pytest.raises(OutsideContextError):
        b"".join(call(watched.app, "/feed"))
    finding = next(f for f in watched.found if f.code == "context-missing")
    assert "needs an application context for menu, and the body is streamed" in finding.message


def test_a_thread_with_a_context_of_its_own_is_sound(watch: Watch) -> None:
    watched = watch(Flask(__name__))

    def work() -> None:
        with watched.app.app_context():
            assert current_app.name

    assert in_thread(work) == []
    assert watched.found == ()


# ---------------------------------------------------------------------------------- g


def extension_hook(write: bool = True) -> t.Callable[[], None]:
    """A hook as an installed extension brings it."""

    def set_user() -> None:
        g.user = "of the extension"

    def refresh() -> None:
        setattr(g, "us" + "er", "of the extension")

    hook = set_user if write else refresh
    hook.__module__ = "markupsafe.login"
    return hook


def test_a_name_that_an_extension_and_the_app_write_is_named(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.before_request(extension_hook())
    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("g-two-owners")
    assert "before_request load_user (" in finding.message
    assert "before_request markupsafe's set_user (" in finding.message.lower()
    assert finding.fix == "Give the app's own value another name than g.user."


def test_a_name_that_changes_while_an_extension_runs_is_not_evidence(watch: Watch) -> None:
    """It may have called the app's own function: only code that writes the name counts."""
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.before_request(extension_hook(write=False))
    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def test_a_name_that_only_the_app_writes_has_one_owner(watch: Watch) -> None:
    app = Flask(__name__)
    shop = Blueprint("shop", __name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    @shop.before_request
    def load_customer() -> None:
        g.user = "customer ada"

    shop.add_url_rule("/", "index", lambda: g.user)
    app.register_blueprint(shop)
    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def test_requests_that_share_an_outer_g_are_named(watch: Watch) -> None:
    """Since 3.2 each request has its own."""
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        if "user" not in g:
            g.user = request.args["name"]

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    with app.app_context():
        assert watched.client.get("/?name=ada").text == "ada"
        second = watched.client.get("/?name=bob").text
    assert second == ("bob" if ONE_CONTEXT else "ada")
    if ONE_CONTEXT:
        assert watched.found == ()
        return
    finding = watched.one("g-shared")
    assert finding.message.startswith("GET / sees g.user of GET /: both ran inside one")
    assert "load_user (" in finding.evidence[0].text


def test_one_request_inside_an_application_context_is_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        g.user = g.get("user", "nobody")
        return str(g.user)

    watched = watch(app)
    for _ in range(3):
        with app.app_context():
            g.user = "ada"
            watched.client.get("/")
    assert watched.found == ()


def test_two_requests_that_set_their_own_names_are_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = request.args["name"]

    @app.teardown_request
    def forget(exc: BaseException | None) -> None:
        g.pop("user", None)

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    with app.app_context():
        watched.client.get("/?name=ada")
        watched.client.get("/?name=bob")
    assert watched.found == ()
