"""Looking at a session: the same verdicts as a visitor gets, and nobody hears of them."""

from __future__ import annotations

import hashlib
import logging
import typing as t

from flask import Flask, Response, session
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from werkzeug.test import EnvironBuilder

from flask_ctxkit.internals import current_request_context, raw_session, run_placed
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.witness import reads_like_flask, witnessed
from flask_ctxkit.signals import session_verdict

if t.TYPE_CHECKING:
    import pytest

KEY: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"


def app_with(interface: SessionInterface, **config: t.Any) -> Flask:
    app = Flask("app")
    app.config.update({"SECRET_KEY": KEY} | config)
    app.session_interface = interface

    @app.get("/")
    def home() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    return app


def cookie_of(app: Flask, name: str = "session") -> str:
    client = app.test_client()
    client.get("/")
    cookie = client.get_cookie(name)
    assert cookie is not None
    return cookie.value


def looked_at(app: Flask, cookie: str, name: str = "session") -> tuple[list[str], t.Any]:
    """The codes of the verdicts on a look at *cookie*, and the session that it gave."""
    twin = witnessed(app.session_interface)
    assert twin is not None
    interface, witness = twin
    environ = {**EnvironBuilder().get_environ(), "HTTP_COOKIE": f"{name}={cookie}"}
    found = run_placed(
        app, environ, lambda: dict(raw_session(current_request_context())), interface
    )
    return [verdict.code for verdict in witness.of("open")], found


def test_a_look_says_what_a_visitor_would_get() -> None:
    app = app_with(CtxSessionInterface(), SECRET_KEY_FALLBACKS=["o" * 32])
    old = app_with(CtxSessionInterface(), SECRET_KEY="o" * 32)
    other = app_with(CtxSessionInterface(), SECRET_KEY="x" * 32)
    assert looked_at(app, cookie_of(app)) == (["valid"], {"n": 1})
    assert looked_at(app, cookie_of(old)) == (["valid-fallback"], {"n": 1})
    assert looked_at(app, cookie_of(other)) == (["unknown-key"], {})
    assert looked_at(app, "abc") == (["malformed"], {})


def test_a_look_is_not_counted_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a good cookie nor a refused one."""
    interface = CtxSessionInterface()
    app = app_with(interface)
    cookie = cookie_of(app)
    before, used = interface.tally.totals(), dict(interface.tally.last_used)
    heard: list[t.Any] = []

    def hear(sender: object, **given: object) -> None:
        heard.append(given)

    interface.on_verdict = heard.append
    with session_verdict.connected_to(hear, app), caplog.at_level(logging.DEBUG):
        looked_at(app, cookie)
        looked_at(app, cookie + "x.x")
    assert interface.tally.totals() == before
    assert interface.tally.last_used == used
    assert heard == []
    assert caplog.records == []


def test_a_look_leaves_the_interface_as_it_is() -> None:
    interface = CtxSessionInterface()
    app = app_with(interface)
    cookie = cookie_of(app)
    known = dict(vars(interface))
    looked_at(app, cookie)
    assert {name: vars(interface)[name] for name in known} == known
    twin = witnessed(interface)
    assert twin is not None
    assert twin[0].tally is not interface.tally
    assert twin[0].tally is twin[1].tally


def test_a_class_built_on_the_kits_keeps_its_ways() -> None:
    class Own(CtxSessionInterface):
        salt = "own"
        digest_method = staticmethod(hashlib.sha256)

        def get_cookie_name(self, app: Flask) -> str:
            return "own"

    app = app_with(Own())
    assert looked_at(app, cookie_of(app, "own"), "own") == (["valid"], {"n": 1})
    plain = app_with(CtxSessionInterface())
    assert looked_at(app, cookie_of(plain), "own")[0] != ["valid"]


def test_flasks_own_interface_is_read_as_it_reads() -> None:
    """Also a subclass with another salt, or another name for the cookie."""

    class Own(SecureCookieSessionInterface):
        salt = "own"
        key_derivation = "django-concat"
        digest_method = staticmethod(hashlib.sha256)

        def get_cookie_name(self, app: Flask) -> str:
            return "own"

    stock = app_with(SecureCookieSessionInterface())
    assert looked_at(stock, cookie_of(stock)) == (["valid"], {"n": 1})
    app = app_with(Own())
    assert looked_at(app, cookie_of(app, "own"), "own") == (["valid"], {"n": 1})
    assert looked_at(app, cookie_of(stock), "own")[0] != ["valid"]


def test_an_attribute_set_on_the_interface_counts() -> None:
    interface = SecureCookieSessionInterface()
    interface.salt = "set-later"
    app = app_with(interface)
    assert looked_at(app, cookie_of(app)) == (["valid"], {"n": 1})


def test_interfaces_with_ways_of_their_own_are_left_alone() -> None:
    class Opens(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.Any:
            raise AssertionError

    class Signs(SecureCookieSessionInterface):
        def get_signing_serializer(self, app: Flask) -> None:
            raise AssertionError

    patched = SecureCookieSessionInterface()
    patched.save_session = t.cast("t.Any", lambda *args: None)  # type: ignore[method-assign]
    for interface in (SessionInterface(), Opens(), Signs(), patched):
        assert not reads_like_flask(interface)
        assert witnessed(interface) is None


def test_saving_is_judged_as_well() -> None:
    counted = CtxSessionInterface()
    app = app_with(counted, SESSION_COOKIE_NAME="__Host-s")
    twin = witnessed(counted)
    assert twin is not None
    interface, witness = twin
    with app.test_request_context():
        tried = interface.session_class({"a": 1})
        tried.modified = True
        response = Response()
        interface.save_session(app, tried, response)
    assert [v.code for v in witness.of("save")] == ["prefix-rules"]
    assert "Secure" in witness.verdicts[-1].evidence["needs"]
    assert not [key for key in counted.tally.totals() if key[0] == "save"]


def test_what_goes_wrong_in_looking_is_counted_with_the_look() -> None:
    twin = witnessed(CtxSessionInterface())
    assert twin is not None
    twin[1].failed(ValueError())
    assert twin[0].failures == 1
