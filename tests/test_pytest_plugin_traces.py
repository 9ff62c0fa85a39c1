"""The fixture ``ctx_traces``, used as a suite uses it."""

from __future__ import annotations

import threading
import typing as t

import pytest
from flask import Flask, Response, abort, g, request, session, stream_with_context

from flask_ctxkit import CtxKit
from flask_ctxkit.testing.questions import CheckedTrace, TraceAssertionError
from flask_ctxkit.testing.traces import LIMIT, SHOWN, Traces

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient
    from flask.typing import ResponseReturnValue

    from flask_ctxkit.state import State

pytest_plugins = ["pytester"]


class Till:
    """Something to open; ``sticks`` makes closing it fail."""

    def __init__(self, *, sticks: bool = False) -> None:
        self.sticks = sticks

    def shut(self) -> None:
        if self.sticks:
            raise OSError("it sticks")


def make_shop(**config: t.Any) -> Flask:
    app = Flask("shop")
    app.config.update(SECRET_KEY="k" * 32, **config)
    kit = CtxKit(app)
    till = kit.resource("till", Till, close=Till.shut)
    broken = kit.resource("broken", lambda: Till(sticks=True), close=Till.shut)

    @app.before_request
    def load_user() -> None:
        g.user = "ann"

    @app.before_request
    def close_early() -> ResponseReturnValue | None:
        return "closed" if request.path == "/closed" else None

    @app.errorhandler(404)
    def missing(error: Exception) -> ResponseReturnValue:
        return "nothing here", 404

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers["X-Stamp"] = "1"
        return response

    @app.after_request
    def refuse(response: Response) -> Response:
        if request.path == "/refused":
            raise OSError("no stamp for this")
        return response

    @app.get("/refused")
    def refused() -> str:
        return "refused"

    @app.get("/")
    def index() -> str:
        return "fine"

    @app.get("/cart")
    def cart() -> str:
        session.setdefault("items", []).append("tea")
        return str(len(session["items"]))

    @app.get("/read")
    def read() -> str:
        return str(session.get("items"))

    @app.get("/out")
    def out() -> str:
        session.clear()
        return "out"

    @app.get("/till")
    def use_till() -> str:
        return type(till()).__name__

    @app.get("/broken")
    def use_broken() -> str:
        return type(broken()).__name__

    @app.get("/boom")
    def boom() -> str:
        raise KeyError("boom")

    @app.get("/gone")
    def gone() -> str:
        abort(404)

    @app.get("/stream")
    def stream() -> Response:
        return Response(stream_with_context(iter(["a", "b"])))

    return app


# Not "app" in the arguments of the tests: pytest-flask would push a context around each.
@pytest.fixture
def app() -> Flask:
    return make_shop()


@pytest.fixture
def client(ctxkit: State) -> FlaskClient:
    return ctxkit.app.test_client()


# --------------------------------------------------------------------------- which traces


def test_requests_are_there_in_order(client: FlaskClient, ctx_traces: Traces) -> None:
    """The oldest first; they are traces, and their text is short."""
    assert len(ctx_traces) == 0
    for path in ("/", "/cart", "/read"):
        client.get(path)
    assert [trace.path for trace in ctx_traces] == ["/", "/cart", "/read"]
    assert ctx_traces[0].endpoint == "index"
    assert ctx_traces.last.path == ctx_traces[-1].path == "/read"
    assert [trace.status for trace in ctx_traces[1:]] == [200, 200]
    assert repr(ctx_traces.last).startswith("<GET /read -> 200 in ")
    assert isinstance(ctx_traces.last, CheckedTrace)


def test_contexts_of_all_kinds_are_there(
    client: FlaskClient, ctxkit: State, ctx_traces: Traces
) -> None:
    """In the order of their beginning, also where one is inside another."""
    with ctxkit.app.app_context():
        client.get("/")
    with ctxkit.app.test_request_context("/cart"):
        pass
    assert [trace.kind for trace in ctx_traces] == ["script", "request", "test"]
    assert [trace.path for trace in ctx_traces.requests] == ["/"]


def test_traces_are_picked_by_what_they_are(client: FlaskClient, ctx_traces: Traces) -> None:
    """All that match, or the only one; else it says what there is."""
    for path in ("/", "/cart", "/", "/boom"):
        client.get(path)
    assert len(ctx_traces.of(path="/")) == 2
    assert ctx_traces.of(path="/", status=500) == []
    assert ctx_traces.one(endpoint="cart").path == "/cart"
    with pytest.raises(
        TraceAssertionError, match=r"2 traces have path='/': 4 are finished\.\n  GET"
    ):
        ctx_traces.one(path="/")
    with pytest.raises(TraceAssertionError, match="No trace has status=201, method='GET'"):
        ctx_traces.one(status=201, method="GET")
    with pytest.raises(TypeError, match="no attribute pth"):
        ctx_traces.of(pth="/")


def test_what_is_not_finished_is_named(client: FlaskClient, ctx_traces: Traces) -> None:
    """A streamed response ends when it is closed."""
    with pytest.raises(TraceAssertionError, match="There is no trace -1: none is finished"):
        _ = ctx_traces.last
    response = client.get("/stream")
    with pytest.raises(TraceAssertionError, match="closed\\):\n  GET /stream -> 200 running"):
        _ = ctx_traces[0]
    response.close()
    assert ctx_traces.last.path == "/stream"


def test_what_happened_so_far_can_be_forgotten(client: FlaskClient, ctx_traces: Traces) -> None:
    """Such as what prepared the test, also if it ends only now."""
    client.get("/")
    late = client.get("/stream")
    ctx_traces.clear()
    late.close()
    client.get("/cart")
    assert [trace.path for trace in ctx_traces] == ["/cart"]


def test_other_threads_count(client: FlaskClient, ctxkit: State, ctx_traces: Traces) -> None:
    """They are of this test too."""
    threads = [threading.Thread(target=lambda: ctxkit.app.test_client().get("/")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trace.status for trace in ctx_traces] == [200] * 4


def test_many_traces_are_bounded(ctxkit: State, ctx_traces: Traces) -> None:
    """The last ones are kept."""
    for number in range(LIMIT + 1):
        with ctxkit.app.test_request_context(f"/{number}"):
            pass
    assert len(ctx_traces) == LIMIT
    assert (ctx_traces[0].path, ctx_traces.last.path) == ("/1", f"/{LIMIT}")


@pytest.mark.parametrize("config", [{"CTXKIT_TRACE": False}, {"CTXKIT_TRACE_RATE": 0.0}])
def test_each_request_is_recorded_whatever_the_config_says(config: dict[str, t.Any]) -> None:
    """Also of an app that was used before; afterwards the rate is as it was."""
    app = make_shop(**config)
    client, state = app.test_client(), app.extensions["ctxkit"]
    client.get("/")
    sinks = list(state.recorder.sinks)
    traces = Traces(state)
    traces.begin()
    client.get("/cart")
    traces.end()
    client.get("/read")
    assert [trace.path for trace in traces] == ["/cart"]
    assert state.recorder.rate == state.config.trace_rate
    assert state.recorder.sinks == sinks


def test_an_app_of_many_tests_gives_each_its_own(app: Flask) -> None:
    """What finishes in a later test but began before is not of it."""
    client, state = app.test_client(), app.extensions["ctxkit"]
    first, second = Traces(state), None
    first.begin()
    client.get("/")
    late = client.get("/stream")
    first.end()
    second = Traces(state)
    second.begin()
    late.close()
    client.get("/cart")
    second.end()
    assert [trace.path for trace in first] == ["/"]
    assert [trace.path for trace in second] == ["/cart"]


# ------------------------------------------------------------------------------ functions


def test_what_ran_and_how_often(client: FlaskClient, ctx_traces: Traces) -> None:
    """By the function's name, with or without its place, or by the function itself."""
    client.get("/")
    trace = ctx_traces.last
    trace.assert_ran("load_user")
    trace.assert_ran("make_shop.<locals>.load_user")
    trace.assert_ran(client.application.view_functions["index"])
    trace.assert_did_not_run("boom")
    assert [event.phase for event in trace.runs("stamp")] == ["after_request"]
    with pytest.raises(
        TraceAssertionError, match=r"load_user should have run twice, and ran once\."
    ):
        trace.assert_ran("load_user", 2)
    with pytest.raises(TraceAssertionError, match=r"ran never\. Did you mean load_user\?"):
        trace.assert_ran("load_usr")
    with pytest.raises(TraceAssertionError, match="index should have run never, and ran once"):
        trace.assert_did_not_run("index")


def test_what_flask_skipped_did_not_run(client: FlaskClient, ctx_traces: Traces) -> None:
    """A step of the trace says that it was skipped, and why."""
    client.application.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(OSError, match="no stamp"):
        client.get("/refused")
    assert "after_request stamp" in ctx_traces.last.text
    ctx_traces.last.assert_ran("refuse")
    ctx_traces.last.assert_did_not_run("stamp")


def test_the_order_of_functions(client: FlaskClient, ctx_traces: Traces) -> None:
    """Others may run between them."""
    client.get("/")
    trace = ctx_traces.last
    trace.assert_order("load_user", "index", "stamp")
    with pytest.raises(TraceAssertionError, match=r"^load_user did not run after index\.\n"):
        trace.assert_order("index", "load_user")
    with pytest.raises(TraceAssertionError, match=r"^boom did not run\.\n"):
        trace.assert_order("boom", "index")


@pytest.mark.parametrize(
    ("path", "who"),
    [("/", "index"), ("/closed", "close_early"), ("/gone", "missing"), ("/nowhere", "missing")],
)
def test_who_answered(client: FlaskClient, ctx_traces: Traces, path: str, who: str) -> None:
    """The view, a hook that answered early, or a handler, also where no view was found."""
    client.get(path)
    ctx_traces.last.assert_answered_by(who)
    with pytest.raises(TraceAssertionError, match=rf"load_user should have .* {who} did\."):
        ctx_traces.last.assert_answered_by("load_user")


# ------------------------------------------------------------------------ g, the session


def test_g_untouched(client: FlaskClient, ctx_traces: Traces) -> None:
    """It says who touched what."""
    client.get("/")
    ctx_traces.last.assert_g_untouched(but=["user"])
    with pytest.raises(TraceAssertionError, match=r"^before_request load_user touched g: user\.\n"):
        ctx_traces.last.assert_g_untouched()


def test_session_saved(client: FlaskClient, ctx_traces: Traces) -> None:
    """Also an emptied one, whose cookie is deleted."""
    client.get("/cart")
    client.get("/out")
    for trace in ctx_traces:
        trace.assert_session_saved()
        with pytest.raises(TraceAssertionError, match="The session was saved"):
            trace.assert_session_not_saved()


def test_session_not_saved_says_why(client: FlaskClient, ctx_traces: Traces) -> None:
    """A change inside a value, one that was only read, and one that was not looked at."""
    for path in ("/cart", "/cart", "/read", "/"):
        client.get(path)
    ctx_traces.clear()
    for path in ("/cart", "/read", "/"):
        client.get(path)
    why = [
        r"not saved\. Your change to .*items.* was not saved",
        r"not saved\. The session did not change",
        r"not saved\. (It was untouched|The session did not change)",
    ]
    for trace, text in zip(ctx_traces, why, strict=True):
        trace.assert_session_not_saved()
        with pytest.raises(TraceAssertionError, match=text):
            trace.assert_session_saved()


def test_session_untouched(client: FlaskClient, ctx_traces: Traces) -> None:
    """It says who touched it first."""
    client.get("/")
    ctx_traces.last.assert_session_untouched()
    client.get("/read")
    with pytest.raises(TraceAssertionError, match=r"^The session was read, first by view read\.\n"):
        ctx_traces.last.assert_session_untouched()


def test_a_session_of_another_kind_is_told_by_its_cookie() -> None:
    """An interface that tells no verdicts."""
    from flask.sessions import SecureCookieSessionInterface

    class Own(SecureCookieSessionInterface):
        salt = "own"

    app = make_shop()
    app.session_interface = Own()
    traces = Traces(app.extensions["ctxkit"])
    traces.begin()
    client = app.test_client()
    client.get("/cart")
    client.get("/read")
    traces[0].assert_session_saved()
    traces[1].assert_session_not_saved()
    with pytest.raises(TraceAssertionError, match="It was read"):
        traces[1].assert_session_saved()
    traces.end()


# ------------------------------------------------------------------- resources, findings


def test_resources_closed(client: FlaskClient, ctx_traces: Traces) -> None:
    """Those that were opened, and those that should have been."""
    client.get("/till")
    ctx_traces.last.assert_resources_closed()
    ctx_traces.last.assert_resources_closed("till")
    with pytest.raises(TraceAssertionError, match=r"^The resource db was not opened\.\n"):
        ctx_traces.last.assert_resources_closed("till", "db")
    client.get("/broken")
    with pytest.raises(TraceAssertionError, match=r"^The resource broken was closed with OSError"):
        ctx_traces.last.assert_resources_closed()


def test_a_resource_that_is_still_open_is_named(
    client: FlaskClient, ctxkit: State, ctx_traces: Traces
) -> None:
    """Older Flasks let a request use a context that it finds pushed, which goes on."""
    from flask_ctxkit.internals import ONE_CONTEXT

    with ctxkit.app.app_context():
        client.get("/till")
        trace = ctx_traces.one(kind="request")
        if ONE_CONTEXT:
            trace.assert_resources_closed("till")
        else:
            with pytest.raises(TraceAssertionError, match=r"^Not closed: till\. .* goes on\.\n"):
                trace.assert_resources_closed()


def test_no_findings(client: FlaskClient, ctx_traces: Traces) -> None:
    """A mistake is told with what to write instead."""
    client.get("/")
    ctx_traces.last.assert_no_findings()
    client.get("/cart")
    client.get("/cart")
    with pytest.raises(TraceAssertionError, match=r"^session-nested-change: .*session\.modified"):
        ctx_traces.last.assert_no_findings()
    ctx_traces.last.assert_no_findings(but=["session-nested-change"])


# --------------------------------------------------------------------------- what is shown


def test_an_error_shows_the_trace_as_text(client: FlaskClient, ctx_traces: Traces) -> None:
    """Who answered, every step with its place, and what each changed; no value."""
    client.get("/cart")
    with pytest.raises(TraceAssertionError) as caught:
        ctx_traces.last.assert_ran("nobody")
    lines = str(caught.value).splitlines()
    assert lines[2].startswith("GET /cart -> 200 in ")
    assert "  The session was changed and saved." in lines
    (hook,) = [line for line in lines if "load_user" in line]
    assert "before_request load_user (tests/test_pytest_plugin_traces.py:" in hook
    assert hook.endswith("g +user")
    assert "tea" not in str(caught.value)
    assert "ann" not in str(caught.value)


SUITE = """
import pytest
from flask import Flask
from flask_ctxkit import CtxKit

@pytest.fixture(scope="session")
def app():
    app = Flask("shop")
    app.add_url_rule("/", "index", lambda: "fine")
    CtxKit(app)
    return app

@pytest.fixture
def client(app):
    return app.test_client()

def test_before(client):
    client.get("/")

def test_plain(client, ctx_traces):
    for _ in range(5):
        client.get("/")
    assert ctx_traces.last.status == 201

def test_helper(client, ctx_traces):
    client.get("/")
    ctx_traces.last.assert_ran("nobody")

def test_nothing_happened(ctx_traces):
    assert False

def test_without(client):
    client.get("/")
    assert False
"""


@pytest.mark.parametrize("arguments", [(), ("-p", "no:flask"), ("-n", "2", "--dist", "loadfile")])
def test_the_report_of_a_failed_test_shows_its_last_traces(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    """Once, and only of a test that asked for them. With pytest-flask, without, and in workers."""
    pytester.makepyfile(SUITE)
    always = ("-p", "no:cacheprovider", "-W", "error")
    result = pytester.runpytest_subprocess(*always, *arguments, timeout=100)
    result.assert_outcomes(passed=1, failed=4)
    text = result.stdout.str()
    assert text.count("- Flask traces -") == 1
    result.stdout.fnmatch_lines(["*Flask traces*", "(2 earlier traces are not shown.)"])
    assert sum(line.startswith("GET / -> 200 in") for line in result.outlines) == SHOWN
