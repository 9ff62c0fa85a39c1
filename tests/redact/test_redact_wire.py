"""Environ, headers, cookies and the configuration of an app."""

from __future__ import annotations

import datetime as dt
import io
import json
import typing as t

import flask
import pytest
from werkzeug.test import EnvironBuilder

from flask_ctxkit.redact import Redactor, mark, without_values


def environ(path: str = "/", **headers: str) -> dict[str, t.Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return EnvironBuilder(path=path, headers=[*named.items()]).get_environ()


def test_an_environ_shows_what_cgi_and_http_define() -> None:
    """Objects by type, and nothing that servers and middlewares added."""
    given = environ("/shop?page=2", User_Agent="test/1", Accept="*/*")
    given |= {
        "REMOTE_ADDR": "127.0.0.1",
        "AUTH_TYPE": "Basic",
        "werkzeug.request": object(),
        "gunicorn.socket": object(),
        "flask._preserve": True,
        "DB_URL": "x",
        "wsgi.file_wrapper": object,
    }
    odd: t.Any = {b"REMOTE_USER": "ann"}
    captured = Redactor().environ({**given, **odd})
    json.dumps(captured)
    assert captured["PATH_INFO"] == "/shop"
    assert captured["QUERY_STRING"] == "page=2"
    assert captured["REMOTE_ADDR"] == "127.0.0.1"
    assert captured["AUTH_TYPE"] == "Basic"
    assert captured["HTTP_USER_AGENT"] == "test/1"
    assert captured["wsgi.multithread"] is False
    assert captured["wsgi.url_scheme"] == "http"
    assert captured["wsgi.input"] == {"$type": "_io.BytesIO"}
    assert captured["wsgi.file_wrapper"] == {"$type": "type"}
    assert not {"werkzeug.request", "gunicorn.socket", "flask._preserve", "DB_URL"} & {*captured}


def test_the_body_is_not_read() -> None:
    body = io.BytesIO(b"dear diary")
    Redactor().environ({"wsgi.input": body, "CONTENT_LENGTH": "10"})
    assert body.tell() == 0


def test_secrets_of_an_environ_are_hidden() -> None:
    """By name, by shape, in the query and in the URL one came from."""
    given = environ(
        "/a?token=abc1&b=1",
        Authorization="Bearer abc2",
        X_Api_Key="abc3",
        X_CSRFToken="abc4",
        Cookie="session=abc5; theme=dark; empty=; =abc6; abc7; theme=light",
        Referer="http://u:abc8@h/?password=abc9",
        X_Other="Basic YWJjOmFiYw==",
    )
    given["REQUEST_URI"] = "/a?token=abc1&b=1"
    captured = Redactor().environ(given)
    shown = json.dumps(captured, ensure_ascii=False)
    for secret in (*(f"abc{n}" for n in range(1, 10)), "YWJj", "dark"):
        assert secret not in shown
    assert captured["QUERY_STRING"] == "token=•••&b=1"
    assert captured["REQUEST_URI"] == "/a?token=•••&b=1"
    assert captured["HTTP_REFERER"] == "http://•••@h/?password=•••"
    assert captured["HTTP_AUTHORIZATION"]["$hidden"] == 'name contains "authorization"'
    assert captured["HTTP_X_OTHER"]["$hidden"].startswith("looks like a Bearer or Basic")


def test_the_names_of_cookies_are_shown() -> None:
    """With size and mark of each value; one without a name, one without a value, one twice."""
    captured = Redactor().environ({"HTTP_COOKIE": "session=abc; theme=dark; e=; =a; b; theme=x"})
    cookies = captured["HTTP_COOKIE"]
    assert list(cookies) == ["session", "theme", "e", "", " (2)", "theme (2)"]
    assert cookies["session"] == {
        "$hidden": "value of a cookie", "$type": "str", "$size": 3, "$mark": mark("abc"),
    }  # fmt: skip
    assert cookies["e"] == ""
    assert "$mark" in without_values(captured)["HTTP_COOKIE"]["theme"]


@pytest.mark.parametrize("cookie", ["", ";", "=", ";;=;", "a", " = ", "\x00=\udc80"])
def test_a_malformed_cookie_header_never_raises(cookie: str) -> None:
    redactor = Redactor()
    json.dumps(redactor.environ({"HTTP_COOKIE": cookie})).encode()
    redactor.header("Set-Cookie", cookie)
    redactor.header("Cookie", cookie)
    assert redactor.failures == 0


def test_many_cookies_are_cut_and_counted() -> None:
    cookies = "; ".join(f"c{n}=v" for n in range(500))
    captured = Redactor().environ({"HTTP_COOKIE": cookies})["HTTP_COOKIE"]
    assert len(captured) == 51
    assert captured["$cut"] == 450


def test_values_of_an_environ_that_are_no_text_tell_their_type() -> None:
    """A test client or a middleware may have put anything there."""
    redactor = Redactor()
    given: t.Any = {
        "HTTP_COOKIE": 5, "HTTP_X": ["a"], "PATH_INFO": None, "QUERY_STRING": b"token=abc",
        "HTTP_AUTHORIZATION": b"abc", "wsgi.errors": None, "HTTP_" + "L" * 5000: "x",
    }  # fmt: skip
    captured = redactor.environ(given)
    assert captured["HTTP_COOKIE"] == {"$type": "int"}
    assert captured["QUERY_STRING"] == {"$type": "bytes"}
    assert "abc" not in json.dumps(captured)
    assert redactor.failures == 0
    assert redactor.environ(None) == {}  # type: ignore[arg-type]


def test_an_environ_of_thousands_of_headers_is_bounded() -> None:
    captured = Redactor().environ({f"HTTP_X_{n}": "x" * 300 for n in range(1500)})
    assert len(captured) == 201
    assert captured["$cut"] == 1300


def test_the_owners_words_hide_keys_of_cgi_too() -> None:
    """The query stays a text, for whoever shows it as one."""
    redactor = Redactor(words=("remote", "query"))
    captured = redactor.environ({"REMOTE_ADDR": "1.2.3.4", "QUERY_STRING": "q=1"})
    assert captured["REMOTE_ADDR"]["$hidden"] == 'name contains "remote"'
    assert captured["QUERY_STRING"] == "•••"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Content-Type", "text/html", "text/html"),
        ("Set-Cookie", "session=abc; Secure; HttpOnly; Path=/; SameSite=Lax",
         "session=•••MARK; Secure; HttpOnly; Path=/; SameSite=Lax"),
        ("Set-Cookie", "gone=; Max-Age=0", "gone=; Max-Age=0"),
        ("Set-Cookie", "abc", "=•••MARK"),
        ("set-cookie", "a=abc; Path=/\nb=abc", "a=•••MARK; Path=/\nb=•••MARK"),
        ("Location", "https://u:abc@h/?token=abc", "https://•••@h/?token=•••"),
    ],
)  # fmt: skip
def test_of_a_header_the_harmless_part_is_shown(name: str, value: str, shown: str) -> None:
    """Set-Cookie keeps its attributes, and the mark in place of the value, on each line: that is
    how headers that occur twice are compared.
    """
    redactor = Redactor()
    expected = shown.replace("MARK", mark("abc"))  # which is another one in each process
    assert [redactor.header(name, value) for _ in range(2)] == [expected] * 2


def test_a_secret_header_is_hidden() -> None:
    """By its name, and of cookies each value."""
    redactor = Redactor()
    assert redactor.header("X-Session-Token", "abc")["$hidden"] == 'name contains "token"'
    assert list(redactor.header("Cookie", "a=abc")) == ["a"]
    assert "abc" not in json.dumps(redactor.header("Cookie", "a=abc"))


def test_a_cookies_attribute_that_holds_a_secret_is_scrubbed_each_time() -> None:
    """What is remembered of attributes are the harmless ones."""
    redactor = Redactor()
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    for _ in range(2):
        assert token not in redactor.header("Set-Cookie", f"a=b; Path=/reset/{token}")
    assert token not in repr(redactor._wire._harmless)


def test_malformed_headers_never_raise() -> None:
    """What is no text is told by type."""
    redactor = Redactor()
    assert redactor.header("X-C", 5) == {"$type": "int"}
    assert redactor.header(t.cast("str", b"X-D"), b"2") == {"$type": "bytes"}
    assert redactor.failures == 0


def test_flasks_own_config_is_shown_by_a_list() -> None:
    """``SESSION_COOKIE_SECURE`` and ``SESSION_COOKIE_NAME`` contain "cookie" and are no secret."""
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY="t0ps3cret", SECRET_KEY_FALLBACKS=["t0ps3cret"], SESSION_COOKIE_DOMAIN="x.test"
    )
    captured = Redactor().config(app.config)
    json.dumps(captured)
    assert set(captured) == set(app.config)
    assert captured["SECRET_KEY"]["$size"] == 9
    assert captured["SECRET_KEY_FALLBACKS"]["$size"] == 1
    hidden = {name for name, value in captured.items() if "$hidden" in str(value)}
    assert hidden == {"SECRET_KEY", "SECRET_KEY_FALLBACKS"}
    assert captured["SESSION_COOKIE_NAME"] == "session"
    assert captured["SESSION_COOKIE_DOMAIN"] == "x.test"
    assert captured["PERMANENT_SESSION_LIFETIME"]["$text"] == "31 days, 0:00:00"


def test_a_missing_secret_key_is_told() -> None:
    """That there is none is what one looks for. A wrong type is hidden as well."""
    redactor = Redactor()
    assert redactor.config({"SECRET_KEY": None}) == {"SECRET_KEY": None}
    assert "$hidden" in redactor.config({"SECRET_KEY": 12345})["SECRET_KEY"]
    assert "$hidden" in redactor.config({"SECRET_KEY": b"abc"})["SECRET_KEY"]


def test_other_config_is_judged_by_name_and_value() -> None:
    odd: t.Any = {5: "five"}
    captured = Redactor().config(
        {
            "MAIL_PASSWORD": "abc1",
            "WTF_CSRF_ENABLED": True,
            "SQLALCHEMY_DATABASE_URI": "postgresql://u:abc2@h/d",
            "RESET_TOKEN_LIFETIME": dt.timedelta(hours=1),
            "STRIPE": {"key": "x", "secret": "abc3"},
            "CTXKIT_TOKEN": "abc4" * 8,
            "CTXKIT_VALUES": "abc5" * 8,
            "CACHE_TYPE": "simple",
            "SERVER_NAME": "http://u:abc6@h",
            **odd,
        }
    )
    shown = json.dumps(captured)
    assert not [n for n in range(1, 7) if f"abc{n}" in shown]
    assert captured["WTF_CSRF_ENABLED"] is True
    assert captured["RESET_TOKEN_LIFETIME"]["$text"] == "1:00:00"
    assert captured["CACHE_TYPE"] == "simple"
    assert captured["5"] == "five"
    assert Redactor().config({"CTXKIT_VALUES": "auto"}) == {"CTXKIT_VALUES": "auto"}
    assert Redactor().config({"CTXKIT_VALUES": True}) == {"CTXKIT_VALUES": True}


def test_the_owners_words_go_before_the_list() -> None:
    captured = Redactor(words=("server",)).config({"SERVER_NAME": "x.test", "DEBUG": True})
    assert captured["SERVER_NAME"]["$hidden"] == 'name contains "server"'
    assert captured["DEBUG"] is True


def test_a_large_config_is_bounded() -> None:
    captured = Redactor().config({f"K{n}": "v" for n in range(10_000)})
    assert captured["$cut"] == 8000
