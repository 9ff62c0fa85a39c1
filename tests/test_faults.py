"""What fails inside the kit is counted and shown, and never reaches the app or its visitors."""

from __future__ import annotations

import contextlib
import contextvars
import typing as t

import flask
import pytest
from flask import Flask, g

from flask_ctxkit import CtxKit, internals, trace_finished
from flask_ctxkit.contexts.registry import Registry
from flask_ctxkit.findings.catalogue import Rules
from flask_ctxkit.findings.tally import Tally
from flask_ctxkit.pipeline import Pipeline
from flask_ctxkit.redact import Redactor
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.trace import beginning, calls, functions, opening, pushes, recorder, signals
from flask_ctxkit.trace.captures import Captures
from flask_ctxkit.trace.recorder import Recorder
from flask_ctxkit.trace.recording import Recording
from flask_ctxkit.trace.stores.memory import MemoryStore
from flask_ctxkit.web.guard import Guard
from flask_ctxkit.web.pages import Pages

from .neutral_app import Answer, build, call

LINES = [
    "GET /json", "GET /session/write", "GET /template", "GET /crash", "GET /teapot", "GET /nowhere",
    "GET /stream", "GET /context-stream", "GET /broken-stream", "GET /file", "GET /abrupt",
    "GET /html?late=1", "GET /html?after-crash=1", "GET /html?down-crash=1", "GET /none",
    "GET /html?values-abort=1", "GET /tea/pot/gone", "POST /items/3", "OPTIONS /html",
    "GET /session/unserializable", "GET /session/clear", "GET /inside", "GET /broken-template",
]  # fmt: skip


class OwnError(Exception):
    """A bug of the kit's."""


class OwnFault(BaseException):
    """A bug that no ``except Exception`` catches."""


LISTENED = (
    flask.appcontext_pushed, flask.request_started, flask.template_rendered,
    flask.request_finished, flask.request_tearing_down, flask.appcontext_tearing_down,
    flask.appcontext_popped,
)  # fmt: skip
STEPS: list[tuple[t.Any, str]] = [
    *((Recorder, name) for name in (
        "unseen", "escaped", "started_response", "describe", "_templates_raised",
    )),
    *((Captures, name) for name in (
        "headers", "_capture_list", "_capture_header", "environ", "_variable", "path", "_remember",
    )),
    *((Recording, name) for name in (
        "note", "add", "look", "look_inside", "look_response", "watch_g",
        "watch_session", "release", "shape", "last_end", "last_site", "session_now",
        "server_timing", "_with_pending", "all_steps",
    )),
    *((Redactor, name) for name in ("capture", "environ", "header", "text", "url")),
    *((Registry, name) for name in ("entered", "left")),
    *((Pipeline, name) for name in ("finished", "explain", "examine_app")),
    *((Rules, name) for name in ("for_trace", "for_app", "annotate")),
    (MemoryStore, "add"), (Tally, "add"), (CtxSessionInterface, "finish"),
    (Guard, "access"),
    (functions, "make_site"), (functions, "first_response"),
    *((beginning, name) for name in (
        "Recording", "block_of", "claim", "current_unit", "heard", "_begin_block", "_begin_inside",
        "_has_origin", "_share",
    )),
    (pushes, "heard"), (pushes, "flask_step"), (recorder, "flask_step"),
    (calls, "heard"), (calls, "Body"), (opening, "heard"), (opening, "preprocessors"),
    (signals, "function_name"), (signals, "Definition"),
    (recorder, "_sharing"), (recorder, "preprocessors"), (pushes, "note_skipped"),
    (pushes, "pushes_of"),
    *((internals, name) for name in (
        "app_context_of", "raw_session", "header_pairs", "whole_context",
    )),
]  # fmt: skip


def named(step: t.Any) -> str:
    return step if isinstance(step, str) else step.__name__.rpartition(".")[2]


class Saboteur:
    """Stands in for a step: it fails each *nth* time that it is called."""

    def __init__(self, step: t.Any, error: type[BaseException], nth: int) -> None:
        self.step, self.error, self.nth = step, error, nth
        self.calls = self.failures = 0

    def __get__(self, owner: t.Any, _cls: t.Any = None) -> t.Any:
        return lambda *args, **kwargs: self(owner, *args, **kwargs)

    def __call__(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self.calls += 1
        if self.calls % self.nth == 0:
            self.failures += 1
            raise self.error("a fault of the kit's own")
        return self.step(*args, **kwargs)


def answers(settings: dict[str, t.Any] | None, **config: t.Any) -> tuple[list[Answer], Flask]:
    log: list[str] = []
    app = build(settings, log, **config)
    return [call(app, log, line, {}) for line in LINES], app


def comparable(answered: list[Answer]) -> list[t.Any]:
    """Without what a clock says: the signature of a cookie holds the second."""
    return [
        (
            a.status, a.raised, a.body_type, b"".join(a.chunks), a.log,
            [(name, "" if name == "Set-Cookie" else value) for name, value in a.headers
             if name not in {"X-Ctxkit-Trace", "Server-Timing", "Date", "Expires"}],
        )
        for a in answered
    ]  # fmt: skip


@pytest.fixture(scope="module")
def expected() -> list[t.Any]:
    """The answers without the kit."""
    return comparable(answers(None, DEBUG=True)[0])


@pytest.mark.parametrize(("error", "nth"), [(OwnFault, 1), (OwnError, 3)])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=named)
def test_a_fault_in_a_step_changes_no_response(
    owner: t.Any,
    name: str,
    error: type[BaseException],
    nth: int,
    *,
    expected: list[t.Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saboteur = Saboteur(getattr(owner, name), error, nth)
    monkeypatch.setattr(owner, name, saboteur)
    answered, app = answers({"CTXKIT_TRACE": True}, DEBUG=True)
    assert comparable(answered) == expected
    failures = app.extensions["ctxkit"].recorder.cost()["failures"]
    if saboteur.failures:
        assert error.__name__ in {row["type"] for row in failures}


OUTSIDE: list[tuple[t.Any, str]] = [
    *((Recorder, name) for name in ("abandon", "finish", "describe")),
    *((beginning, name) for name in (
        "Recording", "block_of", "current_unit", "heard", "_begin_block", "_begin_inside", "_share",
    )),
    *((Recording, name) for name in ("note", "add", "watch_g", "last_end")),
    *((Registry, name) for name in (
        "entered", "left", "still_current", "started_dirty", "popped_wrongly", "_leak",
    )),
    (Pipeline, "examine_leak"), (Rules, "for_live"), (pushes, "heard"),
    (pushes, "flask_step"), (calls, "heard"), (opening, "heard"), (signals, "function_name"),
]  # fmt: skip


def script(app: Flask) -> list[str]:
    """Contexts of a script and of tests, listeners to each signal, and what was left behind."""
    told: list[str] = []

    def listen(_sender: t.Any, **_: t.Any) -> None:
        told.append("heard")

    for signal in LISTENED:
        signal.connect(listen, app)
    with app.app_context():
        g.first = 1
        with app.test_request_context("/html"):
            g.second = 2
            told.append(str(sorted(g)))
        told.append(app.test_client().get("/html").status)
    with contextlib.suppress(ZeroDivisionError), app.app_context():
        told.append(str(1 / 0))
    with app.test_client() as client:
        told.append(client.get("/json").status + str(sorted(g)))
    app.app_context().push()
    told.append(app.test_client().get("/html").status)
    lower, upper = app.app_context(), app.app_context()
    lower.push()
    upper.push()
    for ctx in (lower, upper, lower):
        try:
            ctx.pop()
        except (AssertionError, RuntimeError, LookupError, ValueError) as error:
            told.append(type(error).__name__)
    body = app.test_client().get("/context-stream", buffered=False).response
    told.append(type(next(iter(body))).__name__)
    del body
    told.append(app.test_client().get("/html").status)
    return told


@pytest.mark.parametrize(("error", "nth"), [(OwnFault, 1), (OwnError, 3)])
@pytest.mark.parametrize(("owner", "name"), OUTSIDE, ids=named)
def test_a_fault_changes_nothing_for_contexts_outside_of_requests(
    owner: t.Any, name: str, error: type[BaseException], nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = contextvars.Context().run(script, build(None, []))
    monkeypatch.setattr(owner, name, saboteur := Saboteur(getattr(owner, name), error, nth))
    app = build({"CTXKIT_TRACE": True}, [])
    assert contextvars.Context().run(script, app) == expected
    state = app.extensions["ctxkit"]
    if saboteur.failures:
        failures = state.recorder.cost()["failures"]
        assert error.__name__ in {row["type"] for row in failures}


def test_a_page_that_fails_is_left_to_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("paged")
    app.debug = True
    CtxKit(app)
    app.add_url_rule("/_ctx/", "own", lambda: "the app's own")
    client = app.test_client()
    assert client.get("/_ctx/").data != b"the app's own"
    steps: tuple[tuple[t.Any, str], ...] = ((Pages, "answer"), (Guard, "access"))
    for owner, name in steps:
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, Saboteur(None, OwnFault, 1))
            assert client.get("/_ctx/").data == b"the app's own"
    failures = app.extensions["ctxkit"].recorder.cost()["failures"]
    assert "OwnFault" in {row["type"] for row in failures}


@pytest.mark.parametrize("error", [OwnError, OwnFault])
def test_a_failing_sink_stops_no_other(error: type[BaseException]) -> None:
    log: list[str] = []
    app = build({"CTXKIT_TRACE": True}, log)
    state = app.extensions["ctxkit"]
    got: list[t.Any] = []

    def failing(_recording: t.Any) -> None:
        raise error("full disk")

    state.recorder.sinks[:] = [failing, *state.recorder.sinks, got.append]
    assert call(app, log, "GET /json", {}).status == "200 OK"
    assert len(got) == 1
    assert len(state.store) == 1
    [row] = state.recorder.cost()["failures"]
    assert row["type"] == error.__name__
    assert row["message"] == "full disk"
    assert row["count"] == 1
    assert "failing" in row["step"]


def test_a_failing_listener_is_counted() -> None:
    log: list[str] = []
    app = build({"CTXKIT_TRACE": True}, log)

    def listen(sender: Flask, **_: t.Any) -> None:
        raise OwnFault("in a listener")

    with trace_finished.connected_to(listen, app):
        assert call(app, log, "GET /json", {}).status == "200 OK"
    assert [row["type"] for row in app.extensions["ctxkit"].recorder.cost()["failures"]] == [
        "OwnFault"
    ]


def test_a_failing_rule_of_the_users_is_no_fault_of_the_response() -> None:
    app = Flask("ruled")
    app.config["CTXKIT_TRACE"] = True
    kit = CtxKit(app)
    app.add_url_rule("/", "index", lambda: "fine")

    @kit.rule
    def broken(trace: t.Any) -> t.Iterator[str]:
        """Something is broken."""
        raise OwnError("in a rule")
        yield "never"

    assert app.test_client().get("/").data == b"fine"


def test_failures_are_shown_on_the_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("shown")
    app.debug = True
    CtxKit(app)
    app.add_url_rule("/", "index", lambda: "fine")
    monkeypatch.setattr(Recording, "watch_g", Saboteur(None, OwnError, 1))
    client = app.test_client()
    client.get("/")
    client.get("/")
    overview = client.get("/_ctx/index.json").get_json()
    [row] = overview["cost"]["failures"]
    assert (row["type"], row["count"]) == ("OwnError", 2)
    assert b"OwnError" in client.get("/_ctx/", headers={"Accept": "text/html"}).data


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", ["watch_g", "note", "look_response"])
def test_what_is_sent_to_the_process_passes_through(
    step: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, or a worker's timeout, may arrive while the kit's code runs."""
    app = Flask("stopped")
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)

    @app.get("/")
    def index() -> str:
        g.tea = "green"
        return "fine"

    app.after_request(lambda response: response)
    monkeypatch.setattr(Recording, step, Saboteur(None, error, 1))
    with pytest.raises(error):
        app.test_client().get("/")


def test_many_kinds_of_failure_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("counted")
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)
    app.add_url_rule("/", "index", lambda: "fine")
    monkeypatch.setattr(MemoryStore, "add", Saboteur(None, OwnError, 1))
    client = app.test_client()
    for _ in range(50):
        assert client.get("/").data == b"fine"
    [row] = app.extensions["ctxkit"].recorder.cost()["failures"]
    assert row["count"] == 50
