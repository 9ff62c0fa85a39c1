"""What is wrong with how sessions are set up: each rule by the setting that breaks it."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import typing as t
from datetime import timedelta

import pytest
from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface, SessionInterface

from flask_ctxkit.session.check import CHECKS, check
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.settings import Problem, Settings, settings_of

KEY: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"
SOUND: t.Final = Settings(
    secret_key=KEY,
    secure=True,
    samesite="Lax",
    lifetime=timedelta(days=31),
    known_keys=frozenset(Flask("x").default_config) | {"SECRET_KEY_FALLBACKS"},
)


def problems(**changes: t.Any) -> dict[str, Problem]:
    return {p.code: p for p in check(dataclasses.replace(SOUND, **changes))}


def severities(**changes: t.Any) -> dict[str, str]:
    return {code: problem.severity for code, problem in problems(**changes).items()}


def app_with(interface: SessionInterface | None = None, **config: t.Any) -> Flask:
    app = Flask("app")
    app.config.update(
        {"SECRET_KEY": KEY, "SESSION_COOKIE_SAMESITE": "Lax", "SESSION_COOKIE_SECURE": True}
        | config
    )
    app.session_interface = interface or CtxSessionInterface()
    return app


def codes_of(app: Flask) -> set[str]:
    return {problem.code for problem in check(settings_of(app))}


def test_a_sound_setup_has_no_problem() -> None:
    assert problems() == {}
    assert codes_of(app_with()) == set()
    assert codes_of(app_with(SESSION_COOKIE_NAME="__Host-session")) == set()


def test_an_app_as_flask_makes_it_has_notes_only() -> None:
    """No error and no warning for what is only left as it was."""
    app = Flask("app")
    app.secret_key = KEY
    assert {p.severity for p in check(settings_of(app))} == {"note"}
    assert codes_of(app) == {"samesite-unset", "secure-off"}


# --------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("key", [None, "", b""])
def test_no_key_is_a_note(key: t.Any) -> None:
    assert severities(secret_key=key) == {"key-missing": "note"}


@pytest.mark.parametrize(
    ("key", "code", "outside", "in_debug"),
    [
        ("dev", "key-known", "error", "warning"),
        (b"dev", "key-known", "error", "warning"),
        (" Secret ", "key-known", "error", "warning"),
        ("192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", "key-known",
         "error", "warning"),
        ("k" * 15, "key-short", "error", "warning"),
        ("k" * 16, "key-short", "warning", "warning"),
        ("k" * 31, "key-short", "warning", "warning"),
        ("ü" * 15, "key-short", "warning", "warning"),
    ],
)  # fmt: skip
def test_a_key_that_can_be_guessed(key: t.Any, code: str, outside: str, in_debug: str) -> None:
    """By a known default, or under 32 bytes; bytes are counted, not characters."""
    assert severities(secret_key=key).pop(code) == outside
    assert severities(secret_key=key, debug=True).pop(code) == in_debug
    assert code not in severities(secret_key=key, testing=True)


def test_a_long_key_is_sound() -> None:
    assert severities(secret_key="k" * 32) == {}
    assert severities(secret_key="ü" * 16) == {}


@pytest.mark.parametrize("key", [1, 1.5, ["k" * 40], object()])
def test_a_key_of_another_type_signs_nothing(key: t.Any) -> None:
    assert severities(secret_key=key) == {"key-type": "error"}


@pytest.mark.parametrize("key", [KEY + "\n", b" " + KEY.encode()])
def test_a_key_with_the_end_of_its_line(key: t.Any) -> None:
    assert severities(secret_key=key) == {"key-space": "note"}


@pytest.mark.parametrize("key", ["dev", KEY, "super secret key", "kurz", b"kurzb", 12345678])
def test_no_message_shows_a_key(key: t.Any) -> None:
    shown = key.decode() if isinstance(key, bytes) else str(key)
    settings = dataclasses.replace(SOUND, secret_key=key, fallbacks=[key, "x" + shown, [shown]])
    told = [f"{p.message} {p.fix}" for p in check(settings)]
    assert not [text for text in told if f'"{shown}"' in text or f"'{shown}'" in text]
    assert shown == "dev" or not [text for text in told if shown in text]
    assert shown not in repr(settings)


@pytest.mark.parametrize("value", ["old-key", b"old-key"])
@pytest.mark.parametrize("reader", ["ctxkit", "flask", "other"])
def test_one_string_of_fallbacks_is_an_error(value: t.Any, reader: t.Any) -> None:
    """Its characters are taken for keys, and "o" then forges cookies."""
    found = problems(fallbacks=value, reader=reader)
    assert found["fallbacks-string"].severity == "error"
    assert "[old_key]" in found["fallbacks-string"].fix
    assert set(found) == {"fallbacks-string"}


def test_a_string_of_fallbacks_does_forge_cookies_of_flasks_own() -> None:
    """What the message says of Flask's interface is so, and not so under the kit's."""
    app = app_with(SecureCookieSessionInterface(), SECRET_KEY_FALLBACKS="old")
    forger = app_with(SecureCookieSessionInterface(), SECRET_KEY="o")
    serializer = forger.session_interface.get_signing_serializer(forger)  # type: ignore[attr-defined]
    cookie = serializer.dumps({"admin": True})
    reading = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    if "SECRET_KEY_FALLBACKS" in app.default_config:
        assert reading.loads(cookie) == {"admin": True}
    ours = CtxSessionInterface()
    with pytest.raises(Exception, match="does not match"):
        ours.get_signing_serializer(app).loads(cookie)  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [{KEY}, {"a": KEY}, 5, object()])
def test_fallbacks_of_another_type(value: t.Any) -> None:
    assert severities(fallbacks=value) == {"fallbacks-type": "error"}


@pytest.mark.parametrize("value", [None, [], (), "", {}])
def test_no_fallbacks_are_sound(value: t.Any) -> None:
    assert severities(fallbacks=value) == {}


def test_each_fallback_is_looked_at() -> None:
    """A fallback lets in whoever can sign with it, as the current key does."""
    found = check(dataclasses.replace(SOUND, fallbacks=["", "dev", 3, KEY, "k" * 20, "z" * 40]))
    assert [(p.code, p.setting.partition("[")[2]) for p in found] == [
        ("fallback-empty", "0]"), ("key-known", "1]"), ("key-type", "2]"),
        ("key-short", "4]"), ("fallback-current", "3]"),
    ]  # fmt: skip


def test_an_empty_fallback_does_let_anybody_in() -> None:
    app = app_with(SECRET_KEY_FALLBACKS=[""])
    forger = CtxSessionInterface().get_signing_serializer
    nobody = Flask("nobody")
    nobody.secret_key = "x"
    serializer = forger(nobody)
    assert serializer is not None
    serializer.secret_keys = [b""]
    reading = CtxSessionInterface().get_signing_serializer(app)
    assert reading is not None
    assert reading.loads(serializer.dumps({"admin": True})) == {"admin": True}


def test_fallbacks_that_flask_does_not_read() -> None:
    """On Flask 3.0 with its own interface; the kit's reads them on every line."""
    known = SOUND.known_keys - {"SECRET_KEY_FALLBACKS"}
    given: dict[str, t.Any] = {"fallbacks": ["z" * 40], "known_keys": known, "flask": "3.0.3"}
    assert severities(**given, reader="flask") == {"fallbacks-ignored": "warning"}
    assert severities(**given, reader="ctxkit") == {}


def test_the_flask_that_signs_with_a_fallback() -> None:
    given: dict[str, t.Any] = {"fallbacks": ["z" * 40], "flask": "3.1.0"}
    assert severities(**given, reader="flask") == {"fallbacks-sign": "error"}
    assert severities(**given, reader="ctxkit") == {}
    assert severities(fallbacks=["z" * 40], flask="3.1.1", reader="flask") == {}


# ------------------------------------------------------------------------------ signing


def test_a_pickled_session_is_an_error() -> None:
    class Pickles(CtxSessionInterface):
        serializer = t.cast("t.Any", pickle)

    class Wrapper:
        dumps = staticmethod(pickle.dumps)
        loads = staticmethod(pickle.loads)

    class Wrapped(SecureCookieSessionInterface):
        serializer = t.cast("t.Any", Wrapper())

    for interface in (Pickles(), Wrapped()):
        assert codes_of(app_with(interface)) == {"serializer-pickle"}


def test_weak_ways_of_signing() -> None:
    class Weak(CtxSessionInterface):
        digest_method = staticmethod(hashlib.md5)
        key_derivation = "none"

    class Odd(SecureCookieSessionInterface):
        key_derivation = "hkdf"
        digest_method = staticmethod(t.cast("t.Any", lambda *args: None))

    class Strong(CtxSessionInterface):
        digest_method = staticmethod(hashlib.sha256)
        salt = "other"

    assert codes_of(app_with(Weak())) == {"digest-weak", "derivation-none"}
    assert codes_of(app_with(Odd())) == {"derivation-unknown"}
    assert codes_of(app_with(Strong())) == set()


# --------------------------------------------------------------------------------- time


@pytest.mark.parametrize("value", ["31", None, [31], float("nan"), float("inf"), 10**30])
def test_a_lifetime_of_another_type(value: t.Any) -> None:
    assert severities(lifetime=value) == {"lifetime-type": "error"}


@pytest.mark.parametrize("value", [0, -1, 0.5, timedelta(0), timedelta(seconds=-5)])
def test_a_lifetime_that_ends_at_once(value: t.Any) -> None:
    assert severities(lifetime=value) == {"lifetime-none": "error"}


@pytest.mark.parametrize("value", [1, 3600.5, timedelta(days=400), timedelta(seconds=1)])
def test_a_sound_lifetime(value: t.Any) -> None:
    assert severities(lifetime=value) == {}


def test_a_lifetime_longer_than_browsers_keep_a_cookie() -> None:
    assert severities(lifetime=timedelta(days=401)) == {"lifetime-long": "note"}


# --------------------------------------------------------------------------- the cookie


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "ä", "a,b", None, 5, "a\r\nb"])
def test_a_name_that_does_not_come_back(name: t.Any) -> None:
    assert severities(name=name) == {"name-invalid": "error"}


def test_a_name_that_flask_login_uses_too() -> None:
    assert severities(name="session", remember_name="session") == {"name-taken": "error"}
    assert severities(name="session", remember_name="remember_token") == {}


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"name": "__Host-s", "secure": False}, "Secure"),
        ({"name": "__Host-s", "domain": "shop.test"}, "no Domain"),
        ({"name": "__Host-s", "path": "/app"}, "Path=/"),
        ({"name": "__host-s", "path": "/app"}, "Path=/"),
        ({"name": "__Secure-s", "secure": False}, "Secure"),
    ],
)
def test_name_prefixes_have_rules(changes: dict[str, t.Any], needs: str) -> None:
    found = problems(**changes)["prefix-rules"]
    assert found.severity == "error"
    assert needs in found.message


def test_a_secure_prefix_may_have_a_domain() -> None:
    assert "prefix-rules" not in severities(name="__Secure-s", domain="shop.test")


def test_samesite_none_needs_secure() -> None:
    assert severities(samesite="None", secure=False)["samesite-none"] == "error"
    assert severities(samesite="none") == {}


@pytest.mark.parametrize("value", ["Loose", "", True, 1])
def test_a_samesite_that_does_not_exist(value: t.Any) -> None:
    assert severities(samesite=value) == {"samesite-invalid": "error"}


def test_an_invalid_samesite_does_fail_to_save() -> None:
    app = app_with(SESSION_COOKIE_SAMESITE="Loose")
    assert "samesite-invalid" in codes_of(app)
    with app.test_request_context():
        response = app.response_class()
        with pytest.raises(ValueError, match="SameSite"):
            _save(app, response)


def _save(app: Flask, response: t.Any) -> None:
    session = CtxSessionInterface.session_class({"a": 1})
    session.modified = True
    app.session_interface.save_session(app, session, response)


def test_secure_samesite_and_httponly() -> None:
    assert severities(secure=False) == {"secure-off": "note"}
    assert severities(samesite=None) == {"samesite-unset": "note"}
    assert severities(httponly=False) == {"httponly-off": "warning"}


def test_partitioned() -> None:
    known = SOUND.known_keys | {"SESSION_COOKIE_PARTITIONED"}
    given: dict[str, t.Any] = {"partitioned": True, "known_keys": known}
    assert severities(**given, samesite="None") == {}
    assert severities(**given) == {"partitioned-samesite": "note"}
    assert severities(**given, samesite="None", secure=False) == {"partitioned-secure": "warning"}
    old = SOUND.known_keys - {"SESSION_COOKIE_PARTITIONED"}
    found = severities(partitioned=True, known_keys=old, flask="3.0.3")
    assert found == {"partitioned-ignored": "warning"}


@pytest.mark.parametrize("value", ["http://shop.test", "shop.test/", "a b", "*.shop.test", 5, "ä"])
def test_a_domain_that_is_none(value: t.Any) -> None:
    assert severities(domain=value) == {"domain-invalid": "error"}


@pytest.mark.parametrize(
    ("domain", "server", "code"),
    [
        ("shop.test", None, "domain-shared"),
        (".shop.test", None, "domain-shared"),
        ("shop.test:5000", None, "domain-shared"),
        ("shop.test", "www.shop.test:5000", "domain-shared"),
        ("shop.test", "other.test", "domain-mismatch"),
        ("www.shop.test", "shop.test", "domain-mismatch"),
        ("localhost", "localhost:5000", "domain-single"),
        ("localhost", None, "domain-single"),
    ],
)
def test_domains(domain: str, server: str | None, code: str) -> None:
    assert set(severities(domain=domain, server_name=server)) == {code}


@pytest.mark.parametrize("value", [None, False, ""])
def test_no_domain_is_sound(value: t.Any) -> None:
    assert severities(domain=value) == {}


@pytest.mark.parametrize("value", ["app", "./", 5])
def test_a_path_without_a_slash(value: t.Any) -> None:
    assert severities(path=value) == {"path-relative": "error"}


def test_urls_outside_of_the_path_are_named() -> None:
    rules = ("/app/cart", "/app", "/login", "/application", "/a", "/b")
    found = problems(path="/app", rules=rules)["path-outside"]
    assert found.severity == "note"
    assert "/login, /application, /a and 1 more" in found.message
    assert severities(path="/app", rules=("/app", "/app/x")) == {}
    assert severities(path="/app", root="/app", rules=("/login",)) == {}


def test_misspelled_keys_name_the_right_one() -> None:
    app = app_with(SESSION_COOKIE_SAME_SITE="Lax", secret_key="x", SESSION_TYPE="redis")
    app.config.update(MY_SESSION=1, PERMANENT_SESSION_LIFETIMES=3)
    found = {p.setting: p.fix for p in check(settings_of(app))}
    assert found == {
        "SESSION_COOKIE_SAME_SITE": "Did you mean SESSION_COOKIE_SAMESITE?",
        "secret_key": "Did you mean SECRET_KEY?",
        "PERMANENT_SESSION_LIFETIMES": "Did you mean PERMANENT_SESSION_LIFETIME?",
    }


# ------------------------------------------------------------------------- of an app


def test_what_the_interface_says_of_the_cookie_counts() -> None:
    """Also where the config says otherwise."""

    class Own(CtxSessionInterface):
        def get_cookie_httponly(self, app: Flask) -> bool:
            return False

        def get_cookie_domain(self, app: Flask) -> str | None:
            return request.host  # needs a request, so the config is asked

    assert codes_of(app_with(Own())) == {"httponly-off"}
    assert codes_of(app_with(Own(), SESSION_COOKIE_DOMAIN="shop.test")) == {
        "httponly-off",
        "domain-shared",
    }


def test_an_interface_of_another_kind_is_checked_as_far_as_it_goes() -> None:
    class Server(SessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> None:
            return None

    app = app_with(Server(), SECRET_KEY="dev", SESSION_COOKIE_HTTPONLY=False)
    assert settings_of(app).reader == "other"
    assert codes_of(app) == {"key-known", "httponly-off"}


def test_the_worst_comes_first_and_each_says_what_to_write() -> None:
    app = app_with(
        SECRET_KEY="dev", SECRET_KEY_FALLBACKS=["", "k" * 20], SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SAMESITE=None, SESSION_COOKIE_DOMAIN="x y", SESSION_COOKIE_PATH="x",
        PERMANENT_SESSION_LIFETIME=timedelta(0),
    )  # fmt: skip
    found = check(settings_of(app))
    order = ["error", "warning", "note"]
    assert [p.severity for p in found] == sorted((p.severity for p in found), key=order.index)
    assert len({p.severity for p in found}) == 3
    assert all(p.fix and p.message.endswith((".", "?")) and p.setting for p in found)
    assert set(found[0].as_dict()) == {"code", "severity", "setting", "message", "fix"}


@pytest.mark.parametrize("value", [None, 0, -1, "", "x", b"x", [], {}, 1.5, object(), True])
def test_no_setting_of_any_type_raises(value: t.Any) -> None:
    for field in dataclasses.fields(Settings):
        if field.type == "t.Any":
            check(dataclasses.replace(SOUND, **{field.name: value}))
    assert len(CHECKS) >= 12
