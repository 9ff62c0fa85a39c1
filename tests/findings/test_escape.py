"""What stands on the traceback of an exception that escapes."""

from __future__ import annotations

import sys
import traceback
import typing as t

import pytest
from flask import Flask, g

from flask_ctxkit.config import Config
from flask_ctxkit.findings import Evidence, Finding, Rules, annotate, note_of
from flask_ctxkit.trace.model import Error

Watch = t.Callable[..., t.Any]
FOUND: t.Final = Finding("g.user is not set.", (Evidence("seen"),), "Set it.", code="g-not-set")
notes = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes yet")


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@notes
def test_the_note_stands_on_the_traceback_with_its_fix_and_link() -> None:
    error = AttributeError("user")
    assert annotate(error, [FOUND], "/_ctx/requests/8f3a1c00")
    assert shown(error).splitlines()[-3:] == [
        "ctxkit: g.user is not set.",
        "        Set it.",
        "        /_ctx/requests/8f3a1c00",
    ]


@notes
def test_an_exception_that_passes_twice_is_explained_once() -> None:
    error = AttributeError("user")
    error.__dict__["__notes__"] = ["a note of the user's own"]
    assert annotate(error, [FOUND])
    assert not annotate(error, [FOUND])
    assert shown(error).count("ctxkit: ") == 1
    assert "a note of the user's own" in shown(error)


def test_without_findings_the_exception_stays_as_it_is() -> None:
    error = AttributeError("user")
    assert not annotate(error, [], "/_ctx/requests/8f3a1c00")
    assert note_of([]) is None
    assert not hasattr(error, "__notes__")


@notes
def test_an_exception_class_with_odd_attributes_is_not_asked() -> None:
    class Odd(Exception):  # noqa: N818
        def __getattribute__(self, name: str) -> t.Any:
            raise RuntimeError(name)

    assert not annotate(Odd(), [FOUND])


def test_an_exception_is_explained_by_what_earlier_requests_did(watch: Watch) -> None:
    """In a context of its own, g is empty, whatever a request had set."""
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/checkout", "checkout", lambda: g.user)
    watched = watch(app)
    watched.client.get("/checkout")

    def send_mail() -> str:
        with app.app_context():
            return str(g.user)

    with pytest.raises(AttributeError) as caught:
        send_mail()
    error = watched.state.recorder.describe(caught.value)
    trace = watched.traces[0]
    assert trace.method is None
    (finding,) = watched.rules.for_error(error, trace)
    assert finding.code == "g-elsewhere"
    assert "send_mail (findings/test_escape.py:" in finding.message
    assert "load_user (findings/test_escape.py:" in finding.message
    assert finding.message.endswith("set it in GET /checkout.")
    assert "pass the value as an argument" in finding.fix


def test_before_any_request_the_hook_itself_tells(watch: Watch) -> None:
    """That g.user = ... stands in it is known from the start."""
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    watched = watch(app)
    watched.rules.for_app(app)
    with pytest.raises(AttributeError) as caught, app.app_context():
        str(g.user)
    error = watched.state.recorder.describe(caught.value)
    (finding,) = watched.rules.for_error(error, watched.traces[0])
    assert "in an application context without a request, and before_request load_user (" in (
        finding.message
    )


@notes
def test_rules_put_the_note_by_the_record_of_the_exception(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)

    def outside() -> str:
        return str(g.user)

    with pytest.raises(RuntimeError) as caught:
        outside()
    error = watched.state.recorder.describe(caught.value)
    assert watched.rules.annotate(caught.value, error, unit="MainThread", link="/_ctx/")
    text = shown(caught.value)
    assert "ctxkit: outside (findings/test_escape.py:" in text
    assert "none is pushed in MainThread." in text


@pytest.mark.parametrize(
    "error",
    [
        Error("AttributeError", "user"),
        Error("AttributeError", "user", "a.py:1", ("a.py:1 f", "b.py:2 __getattr__")),
        Error("AttributeError", "not a name", "a.py:1", ("flask/ctx.py:50 __getattr__",)),
        Error("KeyError", "user", "a.py:1", ("flask/ctx.py:50 __getattr__",)),
        Error("RuntimeError", "Working outside of office hours"),
        Error("ValueError", "was created in a different Context", "a.py:1", ("a.py:1 pop",)),
        Error("RuntimeError", "", None, ()),
    ],
)
def test_exceptions_that_only_look_alike_are_not_explained(error: Error) -> None:
    rules = Rules(Config.from_mapping({}))
    assert rules.for_error(error) == ()
    assert rules.failures == ()


@notes
def test_an_exception_that_nobody_handled_carries_its_explanation(watch: Watch) -> None:
    """Where it propagates, and in the log where Flask answers with an error."""
    app = Flask(__name__)

    @app.before_request
    def limiter() -> None:
        g.rate = g.user

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(AttributeError) as caught:
        watched.client.get("/")
    text = shown(caught.value)
    assert text.count("ctxkit: limiter asks for g.user before load_user sets it.") == 1
    assert "Register load_user first" in text


@notes
def test_the_log_of_an_error_carries_its_explanation(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask(__name__)

    @app.route("/set")
    def set_user() -> str:
        g.user = "ada"
        return "x"

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    watched.client.get("/set")
    watched.client.get("/")
    record = next(r for r in caplog.records if r.name == app.logger.name)
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert "ctxkit: " in shown(record.exc_info[1])
    assert "set it in GET /set." in shown(record.exc_info[1])


def test_an_exception_that_needs_no_explanation_stays_as_it_is(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: str(1 / 0))
    watched = watch(app, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(ZeroDivisionError) as caught:
        watched.client.get("/")
    assert not hasattr(caught.value, "__notes__")


@notes
def test_an_error_in_a_context_without_a_request_carries_its_explanation(watch: Watch) -> None:
    app = Flask("shop")
    watch(app)

    @app.before_request
    def load_guest() -> None:
        g.guest = "Mei"

    @app.get("/")
    def index() -> str:
        return str(g.guest)

    for _ in range(2):
        assert app.test_client().get("/").status_code == 200
    with pytest.raises(AttributeError, match="guest") as caught, app.app_context():
        str(g.guest)
    (note,) = t.cast("t.Any", caught.value).__notes__
    assert "load_guest" in note
    assert "g starts empty in each context" in note
