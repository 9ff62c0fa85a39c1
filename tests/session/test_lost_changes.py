"""With the kit, a change that never came to save_session is told with its reason."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, Response, session

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
