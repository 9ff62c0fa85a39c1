"""A session that begins anew: what goes, what stays, and where it can't be done."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, flash, get_flashed_messages, session
from flask.sessions import SecureCookieSession, SessionInterface

from flask_ctxkit import CtxKit, regenerate_session

Keep = tuple[t.Any, ...]


def visit(keep: Keep = (), **config: t.Any) -> dict[str, t.Any]:
    """What a visitor's full session holds after it was regenerated."""
    app = make_app(**config)
    with app.test_client() as client:
        with client.session_transaction() as opened:
            opened.update(csrf="planted", cart=[1], lang="en", _permanent=True)
            opened["_flashes"] = [("message", "planted")]
        app.add_url_rule("/login", "login", lambda: login(keep))
        answer = client.get("/login")
        assert answer.status_code == 200
        assert "Cookie" in answer.headers["Vary"]
        with client.session_transaction() as opened:
            return dict(opened)


def make_app(**config: t.Any) -> Flask:
    app = Flask("app")
    app.config.update(TESTING=True, SECRET_KEY="k", **config)
    CtxKit(app)
    return app


def login(keep: Keep) -> str:
    regenerate_session(*keep)
    session["user"] = 7
    return ""


def test_everything_goes_that_is_not_named() -> None:
    """CSRF tokens, flashed messages, permanence."""
    assert visit() == {"user": 7}


def test_named_keys_stay_and_absent_ones_are_not_made() -> None:
    assert visit(("lang", "cart", "absent")) == {"user": 7, "lang": "en", "cart": [1]}
    assert visit(("_permanent",)) == {"user": 7, "_permanent": True}


def test_its_begin_can_not_be_kept() -> None:
    """A planted session would bring its own."""
    found = visit(("_ctx_began",), CTXKIT_SESSION_ABSOLUTE=100)
    assert set(found) == {"user", "_ctx_began"}
    assert set(visit(("_ctx_began",))) == {"user"}


@pytest.mark.parametrize("keep", [["lang"], ("lang",), None, b"lang", 1])
def test_names_come_one_by_one(keep: t.Any) -> None:
    """A list of names would silently keep nothing; the session stays as it is."""
    app = make_app()
    with app.test_request_context():
        session["lang"] = "en"
        with pytest.raises(TypeError, match=r"regenerate_session\(\*names\)"):
            regenerate_session(keep)
        assert session["lang"] == "en"


def test_flashes_of_the_same_request_go_too() -> None:
    with make_app().test_request_context():
        flash("before")
        regenerate_session()
        flash("after")
        assert get_flashed_messages() == ["after"]


def test_twice_is_as_once() -> None:
    with make_app(CTXKIT_SESSION_ABSOLUTE=100).test_request_context():
        session["lang"] = "en"
        regenerate_session("lang")
        regenerate_session("lang")
        assert session["lang"] == "en"


def test_an_empty_session_stays_one() -> None:
    """No cookie is set for the begin alone."""
    app = make_app(CTXKIT_SESSION_ABSOLUTE=100)

    @app.get("/")
    def view() -> str:
        regenerate_session()
        return ""

    (header,) = app.test_client().get("/").headers.getlist("Set-Cookie")
    assert "Max-Age=0" in header


def test_without_a_secret_key_it_is_the_error_of_each_write() -> None:
    app = Flask("app")
    CtxKit(app)
    with app.test_request_context(), pytest.raises(RuntimeError, match="secret key"):
        regenerate_session()


def test_outside_of_a_request_it_is_flasks_error() -> None:
    with pytest.raises(RuntimeError, match="outside of request context"):
        regenerate_session()
    with make_app().app_context(), pytest.raises(RuntimeError, match="outside of request context"):
        regenerate_session("lang")


def test_it_works_without_the_kit_and_with_another_interface() -> None:
    class InMemory(SessionInterface):
        def open_session(self, app: t.Any, request: t.Any) -> t.Any:
            return SecureCookieSession({"lang": "en", "csrf": 1})

        def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
            response.headers["X-Saved"] = repr(dict(session))

    app = Flask("app")
    app.session_interface = InMemory()
    app.add_url_rule("/", "view", lambda: login(("lang",)))
    answer = app.test_client().get("/")
    assert answer.headers["X-Saved"] == "{'lang': 'en', 'user': 7}"
