"""With the kit, a change that never came to save_session is told with its reason."""

from __future__ import annotations

import threading
import typing as t

import pytest
from flask import Flask, Response, session, stream_with_context

from flask_ctxkit import CtxKit
from flask_ctxkit.signals import session_verdict

if t.TYPE_CHECKING:
    from flask_ctxkit.session.model import Verdict

KEY = "a key of more than thirty-two characters"


def verdicts_of(app: Flask, path: str) -> list[str]:
    """The codes that were given while *path* was asked for."""
    heard: list[str] = []

    def hear(sender: Flask, verdict: Verdict) -> None:
        heard.append(verdict.code)

    with session_verdict.connected_to(hear, app):
        app.test_client().get(path)
    return heard


def shop(*, trace: bool) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=KEY, CTXKIT_TRACE=trace)
    CtxKit(app)

    @app.get("/fail")
    def fail() -> str:
        session["cart"] = 1
        raise ZeroDivisionError

    @app.get("/")
    def index() -> str:
        session["cart"] = 1
        return "x"

    return app


@pytest.mark.parametrize("trace", [False, True])
def test_an_exception_that_left_the_app(trace: bool) -> None:
    app = shop(trace=trace)
    app.testing = True
    heard: list[str] = []

    def hear(sender: Flask, verdict: Verdict) -> None:
        heard.append(verdict.code)

    with session_verdict.connected_to(hear, app), pytest.raises(ZeroDivisionError):
        app.test_client().get("/fail")
    assert heard[-1] == "exception-propagated"


@pytest.mark.parametrize("trace", [False, True])
def test_an_after_request_that_raised(trace: bool) -> None:
    app = shop(trace=trace)

    @app.after_request
    def boom(response: Response) -> Response:
        raise ZeroDivisionError

    assert verdicts_of(app, "/")[-1] == "after-request-raised"


@pytest.mark.parametrize("trace", [False, True])
def test_a_saved_session_is_not_told_as_lost(trace: bool) -> None:
    assert verdicts_of(shop(trace=trace), "/") == ["absent", "saved"]


def test_a_write_without_a_secret_key() -> None:
    app = shop(trace=False)
    app.secret_key = None
    assert verdicts_of(app, "/")[-1] == "null-session"


# --------------------------------------------------------------- on the trace, or in the log


def traced_codes(app: Flask) -> list[str]:
    """The codes on the trace of the last request."""
    trace = next(iter(app.extensions["ctxkit"].store.newest()))
    return [verdict["code"] for verdict in trace.session["verdicts"]]


@pytest.mark.parametrize("keeps_context", [True, False])
def test_a_change_in_a_stream_stands_on_the_trace(keeps_context: bool) -> None:
    """Also where the context is gone by then, as it is without stream_with_context."""
    app = shop(trace=True)

    @app.get("/stream")
    def stream() -> Response:
        session["cart"] = 1
        raw = t.cast("t.Any", session)._get_current_object()

        def body() -> t.Iterator[str]:
            yield "first"
            raw["late"] = 1
            yield "last"

        return Response(stream_with_context(body()) if keeps_context else body())

    with app.test_client().get("/stream") as response:
        assert response.data == b"firstlast"
    assert traced_codes(app)[-2:] == ["saved", "changed-in-stream"]


def test_what_has_no_trace_any_more_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A thread that writes when the request is over: no finding could tell of it."""
    app, kept = shop(trace=True), []

    @app.get("/keep")
    def keep() -> str:
        session["cart"] = 1
        kept.append(t.cast("t.Any", session)._get_current_object())
        return ""

    client = app.test_client()
    client.get("/keep")
    caplog.clear()
    writer = threading.Thread(target=kept[0].update, kwargs={"late": 1})
    writer.start()
    writer.join()
    assert traced_codes(app)[-1] == "saved"
    assert "The session changed after it was saved: the change is lost." in caplog.text


def test_a_session_that_is_opened_outside_of_a_request_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As for a WebSocket: its cookie is refused, and there is no trace to say so."""
    app = shop(trace=True)
    request = app.request_class({"HTTP_COOKIE": "session=x.y.z"})
    opened = app.session_interface.open_session(app, request)
    assert opened is not None
    assert not opened
    assert "was cut off" in caplog.text
    assert "(trace " not in caplog.text
