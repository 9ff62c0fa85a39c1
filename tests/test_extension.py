"""Registering the kit: once, on several apps, before and after whatever else touches an app."""

from __future__ import annotations

import gc
import threading
import typing as t
import weakref

import pytest
from flask import Blueprint, Flask, Request, Response, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_ctxkit import (
    AlreadyRegisteredError,
    CtxKit,
    CtxKitError,
    NotRegisteredError,
    current_ctxkit,
    unwrap,
)
from flask_ctxkit.internals import ONE_CONTEXT
from flask_ctxkit.session.interface import CtxSessionInterface

if t.TYPE_CHECKING:
    from flask.ctx import AppContext

TRACING = pytest.mark.parametrize("trace", [True, False])


def shop(name: str = "shop", *, trace: bool = True) -> Flask:
    app = Flask(name)
    app.config.update(CTXKIT_TRACE=trace, SECRET_KEY="k" * 32)
    app.add_url_rule("/", "index", lambda: "fine")
    return app


def newest(app: Flask) -> t.Any:
    return next(app.extensions["ctxkit"].store.newest())


# ------------------------------------------------------------------------- registration


def test_a_second_registration_is_refused_and_changes_nothing() -> None:
    app = shop()
    kit = CtxKit(app)
    state, wsgi_app, hooks = app.extensions["ctxkit"], app.wsgi_app, app.before_request_funcs[None]
    for register in (kit.init_app, CtxKit().init_app, CtxKit):
        with pytest.raises(AlreadyRegisteredError, match="'shop' already has a kit") as caught:
            register(app)
        assert caught.value.evidence == {"app": "shop"}
    assert app.extensions["ctxkit"] is state
    assert app.wsgi_app is wsgi_app
    assert app.before_request_funcs[None] == hooks
    assert app.test_client().get("/").data == b"fine"


def test_one_kit_serves_several_apps_apart() -> None:
    kit, calls = CtxKit(), list[str]()
    kit.before_first_request(lambda: calls.append(current_app.name))
    apps = [shop(name) for name in ("one", "two", "three")]
    for app in apps:
        kit.init_app(app)
        app.test_client().get("/")
        app.test_client().get("/nowhere")
    assert calls == ["one", "two", "three"]
    assert [len(app.extensions["ctxkit"].store) for app in apps] == [2, 2, 2]


def test_the_kit_may_be_dropped() -> None:
    app = shop()
    kit = weakref.ref(CtxKit(app))
    gc.collect()
    assert kit() is None
    assert app.test_client().get("/").data == b"fine"
    assert newest(app).status == 200


@TRACING
def test_an_app_is_freed_when_its_last_reference_goes(*, trace: bool) -> None:
    """As without the kit: no reference cycle needs the collector."""
    gc.collect()
    gc.disable()
    try:
        app = shop(trace=trace)
        CtxKit(app)
        reference = weakref.ref(app)
        del app
        assert reference() is None
    finally:
        gc.enable()


@TRACING
def test_an_app_that_answered_is_freed(*, trace: bool) -> None:
    app = shop(trace=trace)
    CtxKit(app)
    app.test_client().get("/")
    with app.app_context():
        g.tea = 1
    reference = weakref.ref(app)
    del app
    gc.collect()
    assert reference() is None


def test_current_ctxkit_is_what_the_app_owns() -> None:
    app, bare = shop(), Flask("bare")
    CtxKit(app)
    with app.app_context():
        assert current_ctxkit.app is app
        with bare.app_context(), pytest.raises(NotRegisteredError, match="'bare' has no kit"):
            _ = current_ctxkit.app
    with pytest.raises(RuntimeError, match="context"):
        _ = current_ctxkit.app


def test_a_state_whose_app_is_gone_says_so() -> None:
    app = shop()
    CtxKit(app)
    state = app.extensions["ctxkit"]
    del app
    gc.collect()
    assert state.app_or_none() is None
    with pytest.raises(RuntimeError, match="is gone"):
        _ = state.app


def test_tracing_can_be_switched_on_late_and_twice() -> None:
    """After requests were answered, with one running, and whatever the config says."""
    app = shop(trace=False)
    app.before_request(lambda: None)
    CtxKit(app)
    state, client = app.extensions["ctxkit"], app.test_client()
    client.get("/")
    with app.test_request_context("/earlier"):
        state.trace_on()
        state.trace_on()
        client.get("/")
    (trace,) = state.store.newest()
    assert (trace.path, trace.status) == ("/", 200)
    phases = [event.phase for event in trace.events]
    assert phases.count("view") == phases.count("before_request") == 1
    assert state.recorder.cost()["failures"] == []


def test_registering_late_sees_the_hooks_of_before() -> None:
    app, order = shop(), list[str]()
    app.before_request(lambda: order.append("before"))
    app.teardown_request(lambda _exc: order.append("teardown"))
    kit = CtxKit(app)
    kit.before_first_request(lambda: order.append("first"))
    app.test_client().get("/")
    assert order == ["first", "before", "teardown"]
    assert [event.name for event in newest(app).events if event.phase == "before_request"]


# -------------------------------------------------------------- what is set after the kit


@TRACING
def test_what_is_set_after_the_kit_works(*, trace: bool) -> None:
    app = shop(trace=trace)
    CtxKit(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    synced: list[str] = []
    inner = app.ensure_sync

    def ensure_sync(function: t.Any) -> t.Any:
        synced.append(function.__name__)
        return inner(function)

    app.ensure_sync = ensure_sync  # type: ignore[assignment,method-assign]
    app.session_interface = interface = SecureCookieSessionInterface()

    @app.get("/who")
    def who() -> str:
        session["n"] = 1
        return f"{request.remote_addr} {type(unwrap(session)).__name__}"

    answer = app.test_client().get("/who", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.text == "203.0.113.9 SecureCookieSession"
    assert "session=" in answer.headers["Set-Cookie"]
    assert app.session_interface is interface
    assert "who" in synced
    if trace:
        [view] = [event for event in newest(app).events if event.phase == "view"]
        assert view.name.endswith("who")


def test_the_session_interface_is_replaced_only_where_it_is_flasks_own() -> None:
    class Own(SessionInterface):
        def open_session(self, app: Flask, request: Request) -> t.Any:
            return None

    class Derived(SecureCookieSessionInterface):
        pass

    salted = SecureCookieSessionInterface()
    salted.salt = "of-my-own"
    for interface in (Own(), Derived(), salted):
        app = shop()
        app.session_interface = interface
        CtxKit(app)
        assert app.session_interface is interface
    app = shop()
    CtxKit(app)
    assert isinstance(app.session_interface, CtxSessionInterface)
    app = shop()
    app.config["CTXKIT_SESSION_INTERFACE"] = False
    CtxKit(app)
    assert type(app.session_interface) is SecureCookieSessionInterface


def test_a_middleware_of_before_stays_inside() -> None:
    app, seen = shop(), list[str]()
    inner = app.wsgi_app

    def middleware(environ: t.Any, start_response: t.Any) -> t.Any:
        seen.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/health":
            start_response("200 OK", [])
            return [b"well"]
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]
    CtxKit(app)
    client = app.test_client()
    assert (client.get("/").data, client.get("/health").data) == (b"fine", b"well")
    assert seen == ["/", "/health"]
    assert len(app.extensions["ctxkit"].store) == 1


# ------------------------------------------------------------------------- subclasses


class OwnG:
    """A ``g`` that is no subclass of Flask's, with slots."""

    __slots__ = ("tea",)


class OwnRequest(Request):
    color = "green"


class OwnResponse(Response):
    default_mimetype = "text/tea"


class OwnFlask(Flask):
    request_class = OwnRequest
    response_class = OwnResponse
    app_ctx_globals_class = OwnG  # type: ignore[assignment]  # Flask asks for no base class

    def __init__(self, *args: t.Any) -> None:
        super().__init__(*args)
        self.made: list[str] = []

    def app_context(self) -> AppContext:
        self.made.append("app_context")
        return super().app_context()

    def request_context(self, environ: t.Any) -> t.Any:
        self.made.append("request_context")
        return super().request_context(environ)

    def ensure_sync(self, func: t.Any) -> t.Any:
        self.made.append("ensure_sync")
        return super().ensure_sync(func)

    def wsgi_app(self, environ: t.Any, start_response: t.Any) -> t.Any:
        self.made.append("wsgi_app")
        return super().wsgi_app(environ, start_response)


def test_subclasses_are_asked_as_without_the_kit() -> None:
    def made(*, kit: bool) -> tuple[str, str | None, list[str]]:
        app = OwnFlask("own")
        app.config["CTXKIT_TRACE"] = True
        if kit:
            CtxKit(app)

        @app.get("/")
        def index() -> str:
            g.tea = t.cast("OwnRequest", request).color
            assert type(unwrap(g)) is OwnG
            return str(g.tea)

        answer = app.test_client().get("/")
        return answer.text, answer.mimetype, app.made

    bare, ours = made(kit=False), made(kit=True)
    assert ours[:2] == bare[:2] == ("green", "text/tea")
    names = [name for name in ours[2] if name != "ensure_sync"]
    assert names == [name for name in bare[2] if name != "ensure_sync"]
    assert names.count("app_context") == (0 if ONE_CONTEXT else 1)


# ------------------------------------------------------------------ before_first_request


def test_before_first_request_runs_once_under_many_threads() -> None:
    app, calls = shop(), list[int]()
    kit = CtxKit(app)
    together = threading.Barrier(8)
    done: list[bool] = []

    @app.get("/done")
    def view() -> str:
        done.append(bool(calls))
        return ""

    @kit.before_first_request
    def warm_up() -> None:
        threading.Event().wait(0.05)
        calls.append(1)

    def ask() -> None:
        together.wait()
        app.test_client().get("/done")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]
    assert done == [True] * 8


def test_before_first_request_that_raises_runs_again() -> None:
    app, calls = shop(), list[int]()
    app.logger.disabled = True
    kit = CtxKit(app)

    @kit.before_first_request
    def warm_up() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError

    client = app.test_client()
    assert [client.get("/").status_code for _ in range(3)] == [500, 200, 200]
    assert calls == [1, 1]


def test_a_rule_is_known_to_apps_of_before_and_after() -> None:
    kit, early, late = CtxKit(), shop("early"), shop("late")
    kit.init_app(early)

    @kit.rule
    def tea_is_cold(trace: t.Any) -> t.Iterator[str]:
        """The tea is cold."""
        yield f"{trace.path} served cold tea."

    kit.init_app(late)
    for app in (early, late):
        app.test_client().get("/")
        assert [finding["code"] for finding in newest(app).findings] == ["tea-is-cold"]
    with pytest.raises(CtxKitError):
        kit.rule(tea_is_cold)


def test_a_blueprint_under_the_prefix_is_the_apps_where_pages_are_off() -> None:
    app = shop()
    CtxKit(app)
    own = Blueprint("own", __name__, url_prefix="/_ctx")
    own.add_url_rule("/", "page", lambda: "my own")
    app.register_blueprint(own)
    assert app.test_client().get("/_ctx/").data == b"my own"
