"""The fixture ``ctx_session``, used as a suite uses it."""

from __future__ import annotations

import decimal
import time
import typing as t
import uuid
from datetime import datetime, timezone

import pytest
from flask import Flask, g, session
from flask.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_ctxkit import CtxKit
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.testing.sessions import SessionError, Sessions

if t.TYPE_CHECKING:
    from flask import Request, Response
    from flask.testing import FlaskClient

KEY = "0123456789abcdef" * 2
Config = dict[str, t.Any]


def make_shop(*, kit: bool = True, **config: t.Any) -> Flask:
    app = Flask("shop")
    app.config.update({"SECRET_KEY": KEY} | config)
    if kit:
        CtxKit(app)

    @app.get("/add")
    def add() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/out")
    def out() -> str:
        session.clear()
        return "out"

    return app


@pytest.fixture
def app() -> Flask:
    return make_shop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("kit", [True, False])
def test_a_session_goes_into_a_client_and_out_of_it(*, kit: bool) -> None:
    """The app reads what was set, and what the app wrote is read; also without a kit."""
    app = make_shop(kit=kit)
    client, ctx_session = app.test_client(), Sessions(app)
    assert ctx_session.get(client) == {}
    ctx_session.set(client, {"n": 4, "user": "ann"})
    assert ctx_session.get(client) == {"n": 4, "user": "ann"}
    assert client.get("/add").text == "5"
    assert ctx_session.get(client) == {"n": 5, "user": "ann"}


def test_setting_replaces_the_whole_session(client: FlaskClient, ctx_session: Sessions) -> None:
    """And nothing ends it, like a browser without the cookie."""
    ctx_session.set(client, {"n": 4})
    ctx_session.set(client, {"user": "ann"})
    assert ctx_session.get(client) == {"user": "ann"}
    ctx_session.set(client, {})
    assert ctx_session.get(client) == {}
    assert client.get_cookie("session") is None
    ctx_session.set(client, {})
    client.get("/add")
    client.get("/out")
    assert ctx_session.get(client) == {}


def test_a_cookie_is_signed_and_read(client: FlaskClient, ctx_session: Sessions) -> None:
    """By itself; a client takes it as a browser would."""
    text = ctx_session.sign({"n": 7})
    assert ctx_session.read(text) == {"n": 7}
    client.set_cookie("session", text)
    assert client.get("/add").text == "8"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.uuids(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_signed_is_what_is_read(ctx_session: Sessions, data: Config) -> None:
    """Of every type that Flask's sessions keep, like a real request does it."""
    if data:
        assert ctx_session.read(ctx_session.sign(data)) == data


def test_values_come_back_as_flask_gives_them(ctx_session: Sessions) -> None:
    """Each with its type, as a view would get it."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    data = {"at": moment, "id": uuid.UUID(int=7), "raw": b"x", "pair": (1, 2)}
    assert ctx_session.read(ctx_session.sign(data)) == data
    assert ctx_session.read(ctx_session.sign({"price": decimal.Decimal("1.5")})) == {"price": "1.5"}
    with pytest.raises(TypeError):
        ctx_session.sign({"set": {1, 2}})


@pytest.mark.parametrize(
    ("text", "code"),
    [("x.y.z", "truncated"), ("nonsense", "malformed")],
)
def test_a_refused_cookie_says_why(
    client: FlaskClient, ctx_session: Sessions, text: str, code: str
) -> None:
    """Read by itself, and in a client; it can be replaced."""
    with pytest.raises(SessionError, match="refuses the session's cookie: ") as caught:
        ctx_session.read(text)
    assert caught.value.evidence == {"code": code}
    client.set_cookie("session", text)
    with pytest.raises(SessionError):
        ctx_session.get(client)
    ctx_session.set(client, {"n": 1})
    assert ctx_session.get(client) == {"n": 1}


def test_a_cookie_of_another_app_is_refused(ctx_session: Sessions) -> None:
    """It is well-formed, and signed with another key."""
    text = Sessions(make_shop(SECRET_KEY="another key, of 32 bytes and more")).sign({"n": 1})
    with pytest.raises(SessionError, match="a key that this worker doesn't have"):
        ctx_session.read(text)


def test_the_client_says_which_app(ctx_session: Sessions) -> None:
    """Not the fixture: a test may have several."""
    other = make_shop(SECRET_KEY="another key, of 32 bytes and more", SESSION_COOKIE_NAME="other")
    client = other.test_client()
    ctx_session.set(client, {"n": 1})
    assert client.get("/add").text == "2"
    assert ctx_session.get(client) == {"n": 2}
    assert client.get_cookie("session") is None


@pytest.mark.parametrize(
    "config",
    [
        {
            "SESSION_COOKIE_NAME": "sid",
            "SESSION_COOKIE_PATH": "/add",
            "SESSION_COOKIE_SECURE": True,
        },
        {"SERVER_NAME": "shop.example:8000", "APPLICATION_ROOT": "/shop"},
        {"SERVER_NAME": "shop.example", "SESSION_COOKIE_DOMAIN": "shop.example"},
        {"CTXKIT_SESSION_ENCRYPT": True},
        {"CTXKIT_SESSION_ABSOLUTE": 600},
        {"CTXKIT_SESSION_INTERFACE": False},
    ],
    ids=lambda config: next(iter(config)),
)
def test_it_works_whatever_the_cookie_is_like(config: Config) -> None:
    """A request finds the cookie where the app itself would have put it."""
    if "CTXKIT_SESSION_ENCRYPT" in config:
        pytest.importorskip("cryptography")
    app = make_shop(**config)
    client, sessions = app.test_client(), Sessions(app)
    sessions.set(client, {"n": 1})
    assert client.get("/add").text == "2"
    assert sessions.get(client)["n"] == 2
    assert len(client._cookies or ()) == 1


def test_a_client_that_asks_elsewhere() -> None:
    """The cookie goes to that address; sessions of two addresses are told apart."""
    app = make_shop()
    client, sessions = app.test_client(), Sessions(app)
    sessions.set(client, {"n": 1}, base_url="https://tea.example/")
    assert client.get("/add", base_url="https://tea.example/").text == "2"
    assert client.get("/add").text == "1"
    with pytest.raises(SessionError, match="holds sessions of localhost/, tea"):
        sessions.get(client)


def test_a_session_in_several_cookies() -> None:
    """It is put together, and can't be one text."""
    app = make_shop(CTXKIT_SESSION_SIZE="split")
    client, sessions = app.test_client(), Sessions(app)
    large = {"n": 1, "text": "".join(map(chr, range(0x4E00, 0x4E00 + 2500)))}
    sessions.set(client, large)
    assert client.get_cookie("session.1") is not None
    assert sessions.get(client) == large
    assert client.get("/add").text == "2"
    with pytest.raises(SessionError, match=r"into \d cookies. Use ctx_session.set"):
        sessions.sign(large)
    sessions.set(client, {"n": 5})
    assert sessions.get(client) == {"n": 5}
    assert client.get_cookie("session.1") is None


def test_a_session_that_is_not_saved_says_why() -> None:
    """One that does not fit, where that is an error; and an app without a key."""
    from flask_ctxkit import SessionTooLargeError

    app = make_shop(CTXKIT_SESSION_SIZE="error")
    with pytest.raises(SessionTooLargeError):
        Sessions(app).sign({"text": "".join(map(chr, range(0x4E00, 0x4E00 + 2500)))})
    app = make_shop(SECRET_KEY=None)
    with pytest.raises(SessionError, match="it has no secret key"):
        Sessions(app).sign({"n": 1})
    assert Sessions(app).get(app.test_client()) == {}


def test_a_client_without_cookies_is_refused(app: Flask, ctx_session: Sessions) -> None:
    """With what to write instead."""
    client = app.test_client(use_cookies=False)
    for ask in (lambda: ctx_session.get(client), lambda: ctx_session.set(client, {"n": 1})):
        with pytest.raises(TypeError, match="use_cookies=True"):
            ask()


class ServerSide(SessionInterface):
    """Keeps sessions in memory, and their ids in the cookie."""

    class Own(dict[str, t.Any], SessionMixin):
        sid = ""

    def __init__(self) -> None:
        self.kept: dict[str, Config] = {}

    def open_session(self, app: Flask, request: Request) -> Own:
        sid = request.cookies.get("session", "")
        opened = self.Own(self.kept.get(sid, {}))
        opened.sid = sid or uuid.uuid4().hex
        return opened

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, self.Own)
        self.kept[session.sid] = dict(session)
        response.set_cookie("session", session.sid)


def test_sessions_on_the_server_work() -> None:
    """Any interface is asked as Flask asks it."""
    app = make_shop()
    app.session_interface = ServerSide()
    client, sessions = app.test_client(), Sessions(app)
    sessions.set(client, {"n": 1})
    assert client.get("/add").text == "2"
    assert sessions.get(client) == {"n": 2}
    assert sessions.read(sessions.sign({"n": 3})) == {"n": 3}
    assert sessions.read("unknown") == {}


def test_nothing_runs_and_nothing_is_counted() -> None:
    """No hook, no context, no trace, no verdict: a session is set as if by a browser."""
    app = make_shop(CTXKIT_TRACE=True)
    state, ran = app.extensions["ctxkit"], list[str]()
    app.before_request(lambda: ran.append("before"))
    app.teardown_appcontext(lambda _: ran.append("teardown"))
    client, sessions = app.test_client(), Sessions(app)
    with app.test_request_context("/"):
        g.mine = session["mine"] = "untouched"
        sessions.set(client, {"n": 1})
        assert sessions.get(client) == {"n": 1}
        assert (g.mine, dict(session)) == ("untouched", {"mine": "untouched"})
        assert ran == []
    interface = app.session_interface
    assert isinstance(interface, CtxSessionInterface)
    with pytest.raises(SessionError):
        sessions.read("nonsense")
    assert "malformed" not in {code for _, code, _ in interface.tally.window(int(time.time()))}
    assert [trace.kind for trace in state.store.newest()] == ["test"]


def test_an_interface_of_flasks_kind_keeps_its_ways() -> None:
    """Another salt, and cookies that are due at other times."""

    class Own(SecureCookieSessionInterface):
        salt = "own"

        def get_cookie_name(self, app: Flask) -> str:
            return "own"

    app = make_shop(kit=False)
    app.session_interface = Own()
    client, sessions = app.test_client(), Sessions(app)
    sessions.set(client, {"n": 1})
    assert client.get("/add").text == "2"
    assert sessions.get(client) == {"n": 2}
