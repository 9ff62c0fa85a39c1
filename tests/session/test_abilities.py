"""What the ``CTXKIT_SESSION_`` keys make of an app's sessions, and which values are refused."""

from __future__ import annotations

import typing as t
from datetime import timedelta

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface

from flask_ctxkit import ConfigError, CtxKit
from flask_ctxkit.session.interface import CtxSessionInterface


def make_app(**config: t.Any) -> Flask:
    app = Flask("app")
    app.secret_key = "k"
    app.config.update(config)
    return app


def equipped(**config: t.Any) -> CtxSessionInterface:
    app = make_app(**config)
    CtxKit(app)
    interface = app.session_interface
    assert isinstance(interface, CtxSessionInterface)
    return interface


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NESTED", "yes"), ("NESTED", True), ("NESTED", None), ("NESTED", "SAVE"),
        ("SIZE", "Split"), ("SIZE", 4093), ("SIZE", None), ("SIZE", ["split"]),
        ("PARTS", 1), ("PARTS", 11), ("PARTS", 2.0), ("PARTS", True),
        ("IDLE", 0), ("IDLE", -1), ("IDLE", "60"), ("IDLE", True), ("IDLE", 1.5),
        ("IDLE", float("nan")), ("IDLE", float("inf")), ("IDLE", timedelta(-1)),
        ("ABSOLUTE", 401 * 86_400), ("ABSOLUTE", timedelta(days=401)), ("REISSUE", 0),
        ("LEEWAY", 61), ("LEEWAY", -1), ("LEEWAY", None), ("LEEWAY", "3"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_what_to_write(key: str, value: t.Any) -> None:
    with pytest.raises(ConfigError, match=f"^CTXKIT_SESSION_{key} is .*Set it to ") as caught:
        CtxKit(make_app(**{f"CTXKIT_SESSION_{key}": value}))
    assert caught.value.evidence["key"] == f"CTXKIT_SESSION_{key}"


@pytest.mark.parametrize(
    ("shorter", "longer"), [("IDLE", "ABSOLUTE"), ("REISSUE", "IDLE"), ("REISSUE", "ABSOLUTE")]
)
def test_timeouts_that_make_no_sense_together_are_refused(shorter: str, longer: str) -> None:
    """Also when they are the same."""
    keys = {f"CTXKIT_SESSION_{shorter}": 60, f"CTXKIT_SESSION_{longer}": 60}
    with pytest.raises(
        ConfigError, match=f"SESSION_{shorter} to less than CTXKIT_SESSION_{longer}"
    ):
        CtxKit(make_app(**keys))
    CtxKit(make_app(**{**keys, f"CTXKIT_SESSION_{shorter}": 59}))


def test_a_key_that_can_have_no_effect_is_refused_and_nothing_registered() -> None:
    """Who sets a timeout must not believe that there is one."""
    app = make_app(CTXKIT_SESSION_IDLE=60, CTXKIT_SESSION_INTERFACE=False)
    with pytest.raises(ConfigError, match=r"no effect on .* SecureCookieSessionInterface"):
        CtxKit(app)
    assert "ctxkit" not in app.extensions
    assert type(app.session_interface) is SecureCookieSessionInterface

    class Own(SecureCookieSessionInterface):
        pass

    other = make_app(CTXKIT_SESSION_SIZE="error")
    other.session_interface = Own()
    with pytest.raises(ConfigError, match="CTXKIT_SESSION_SIZE has no effect"):
        CtxKit(other)


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ({"CTXKIT_SESSION_PARTS": 3}, 'CTXKIT_SESSION_SIZE = "split"'),
        ({"CTXKIT_SESSION_PARTS": 3, "CTXKIT_SESSION_SIZE": "error"}, "CTXKIT_SESSION_SIZE"),
        ({"CTXKIT_SESSION_REVOCATIONS_DOWN": "closed"}, "CTXKIT_SESSION_REVOCATIONS"),
        (
            {"CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL": "2099-01-01"},
            "CTXKIT_SESSION_ENCRYPT = True",
        ),
    ],
)
def test_a_key_that_needs_another_says_which(config: dict[str, t.Any], remedy: str) -> None:
    """It would do nothing, and whoever set it would not know."""
    with pytest.raises(ConfigError, match=f"no effect.* Set {remedy}.*, or remove it"):
        CtxKit(make_app(**config))


def test_parts_are_of_use_to_a_subclass_that_splits() -> None:
    class Splits(CtxSessionInterface):
        size = "split"

    app = make_app(CTXKIT_SESSION_PARTS=3)
    app.session_interface = Splits()
    CtxKit(app)
    assert app.session_interface.parts == 3


def test_keys_at_their_defaults_refuse_nobody() -> None:
    app = make_app(
        CTXKIT_SESSION_NESTED="tell", CTXKIT_SESSION_LEEWAY=0, CTXKIT_SESSION_INTERFACE=False
    )
    CtxKit(app)
    assert type(app.session_interface) is SecureCookieSessionInterface


def test_the_keys_reach_the_interface() -> None:
    found = equipped(
        CTXKIT_SESSION_NESTED="save", CTXKIT_SESSION_SIZE="split", CTXKIT_SESSION_PARTS=3,
        CTXKIT_SESSION_LEEWAY=2, CTXKIT_SESSION_IDLE=timedelta(minutes=1),
        CTXKIT_SESSION_ABSOLUTE=600.0, CTXKIT_SESSION_REISSUE=30,
    )  # fmt: skip
    assert (found.nested, found.size, found.parts, found.leeway) == ("save", "split", 3, 2)
    assert found.timeouts is not None
    assert (found.timeouts.idle, found.timeouts.absolute, found.timeouts.reissue) == (60, 600, 30)


def test_without_a_key_everything_is_as_in_flask() -> None:
    found = equipped()
    assert (found.nested, found.size, found.leeway, found.timeouts) == ("tell", "warn", 0, None)
    assert found.__dict__.keys() <= {"_judge", "_cache"}


def test_a_subclass_of_ones_own_gets_the_keys_and_keeps_its_defaults() -> None:
    class Own(CtxSessionInterface):
        leeway = 5

    app = make_app(CTXKIT_SESSION_NESTED="off")
    app.session_interface = Own()
    CtxKit(app)
    assert app.session_interface.nested == "off"
    assert app.session_interface.leeway == 5


def test_a_nested_change_is_saved_by_key() -> None:
    for nested, kept in (("tell", "[1]"), ("off", "[1]"), ("save", "[1, 2]")):
        app = make_app(CTXKIT_SESSION_NESTED=nested)
        CtxKit(app)
        app.add_url_rule("/set", "set", lambda: str(session.update(cart=[1])))
        app.add_url_rule("/add", "add", lambda: str(session["cart"].append(2)))
        app.add_url_rule("/", "show", lambda: str(session["cart"]))
        client = app.test_client()
        client.get("/set")
        client.get("/add")
        assert client.get("/").text == kept, nested


def test_a_subclass_of_the_users_explains_itself_too() -> None:
    """Also what only the end of the request tells: an exception took the change along."""

    class Salted(CtxSessionInterface):
        salt = "of my own"

    app = Flask(__name__)
    app.config.update(SECRET_KEY="k" * 40, CTXKIT_TRACE=True, PROPAGATE_EXCEPTIONS=True)
    app.session_interface = Salted()
    CtxKit(app)

    @app.get("/")
    def index() -> str:
        session["n"] = 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/")
    (trace,) = app.extensions["ctxkit"].store.newest()
    codes = [verdict["code"] for verdict in trace.session["verdicts"]]
    assert codes[-1] == "exception-propagated"
