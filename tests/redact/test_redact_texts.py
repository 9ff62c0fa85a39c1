"""Secrets in texts and URLs: what looks like one, and what stands behind a secret name."""

from __future__ import annotations

import base64
import hashlib
import json
import typing as t
from urllib.parse import quote

import flask
import itsdangerous
import pytest

from flask_ctxkit.redact import Redactor, mark

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34\n-----END RSA PRIVATE KEY-----"


def cookie(payload: dict[str, t.Any]) -> str:
    """The session cookie that Flask makes."""
    app = flask.Flask(__name__)
    app.secret_key = "k"
    interface = t.cast("flask.sessions.SecureCookieSessionInterface", app.session_interface)
    serializer = interface.get_signing_serializer(app)
    assert serializer is not None
    return str(serializer.dumps(payload))


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SECRETS = {
    "a JWT": (JWT, "looks like a JWT"),
    "a JWT with a spaced header": (basic('{ "alg": "none"}') + ".e30.", "looks like a JWT"),
    "a session": (cookie({"a": 1}), "looks like a signed value with its time"),
    "a session of text": (cookie({"user": "ann", "cart": [1]}), "looks like a JWT"),
    "a long session": (cookie({"a": "ab" * 300}), "looks like a JWT"),
    "a list": (
        itsdangerous.URLSafeTimedSerializer("k").dumps([1, 2]),
        "looks like a signed value with its time",
    ),
    "an id": (
        itsdangerous.TimestampSigner("k").sign("john").decode(),
        "looks like a signed value with its time",
    ),
    "no time": (itsdangerous.Signer("k").sign("john").decode(), "looks like a signed value"),
    "text": (itsdangerous.URLSafeSerializer("k").dumps("john"), "looks like a signed value"),
    "SHA-256": (
        itsdangerous.TimestampSigner("k", digest_method=hashlib.sha256).sign("7").decode(),
        "looks like a signed",
    ),
    "a Bearer": ("Bearer abc", "looks like a Bearer"),
    "a bearer": ("bearer x.y-z_~+/==", "looks like a Bearer"),
    "a BEARER": ("BEARER abc", "looks like a Bearer"),
    "a Basic": (f"Basic {basic('user:pass')}", "looks like a Bearer or Basic"),
    "a basic": (f"basic {basic('ab:cd')}", "looks like a Bearer or Basic"),
    "userinfo": ("https://user:hunter2@example.com/", "looks like a URL"),
    "a user": ("https://ghtoken@example.com/", "looks like a URL"),
    "a database": ("postgresql+psycopg://u:p@db:5432/shop", "looks like a URL"),
    "a cache": ("redis://:hunter2@localhost", "looks like a URL"),
    "a slash": ("postgres://u:p/w?#d@db/shop", "looks like a URL"),
    "an at": ("postgres://u:p@ss@db/shop", "looks like a URL"),
    "PEM": (PEM, "looks like a PEM"),
    "a certificate": ("-----BEGIN CERTIFICATE-----", "looks like a PEM"),
    "Amazon": ("AKIAIOSFODNN7EXAMPLE", "looks like the API key"),
    "GitHub": ("ghp_" + "a1B2" * 9, "looks like the API key"),
    "Stripe": ("sk_live_" + "4eC39HqLyjWDarjt", "looks like the API key"),
    "a parameter": ("/login?token=abc", 'a name inside contains "token"'),
    "JSON": ('{"user": 1, "password": "abc"}', 'a name inside contains "password"'),
    "a header": ("X-Api-Key: abc", 'a name inside contains "api key"'),
    "the cookie": ("session=abc; a=b", "the session cookie"),
    "an option": ("mysql --password hunter2", 'a name inside contains "password"'),
    "SQL": ("ALTER USER bob PASSWORD 'hunter2'", 'a name inside contains "password"'),
    "SQL, too": ("CREATE USER b IDENTIFIED BY 'x'", 'a name inside contains "password"'),
}

HARMLESS = [
    "hello world", "basic information", "Basic plan", "Missing Bearer token", "the bearer of it",
    "user@example.com", "mailto:user@example.com", "http://localhost:5000/@name",
    "http://localhost:80?a=b@c", "https://example.com/a@b", "https://example.com/?q=a@b",
    "2024-01-02T03:04:05.678+00:00", "12:30:45", "a.b.c", "flask.app.Flask.wsgi_app", "1.2.3",
    "some_module.some_submodule.SomeVeryLongClassName", "very/long/path/to.some/file-name.html",
    "my_package.models.shopping_cart_with_items", "text/html; charset=utf-8", "a=b&c=d",
    "tokenizer=x", "author: Ann", "password=", "password=None", '{"token": null}', "csrf: false",
    "SELECT users.password AS users_password FROM users", "key=abc", "ey, how are you doing?",
    "monkeyJumpsOverEverything", "The CSRF token is missing.", "-----", "a" * 64, "0" * 40,
    "3f786850e387550fdab836ed7e6dc881de23001b", "task-based-approach-to-things", "sk-learn",
    "no such table: user", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Safari/537.36",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "expected token 'end of print statement', got 'foo'", "/static/app.3f2a91c0b7d84e5f6a7b.js",
    'password authentication failed for user "bob"', "xoxo, love and kisses to you", "://@", "%",
]  # fmt: skip


@pytest.mark.parametrize("kind", SECRETS)
def test_a_value_that_looks_secret_is_hidden(kind: str) -> None:
    """Alone, in a sentence, as bytes, as a key, and under any name."""
    value, reason = SECRETS[kind]
    redactor = Redactor()
    captured = redactor.capture("x", value)
    assert reason in captured["$hidden"]
    assert captured["$mark"] == mark(value)
    assert captured["$size"] == len(value)
    assert "$hidden" in redactor.capture("x", f"it was {value}")
    assert "$hidden" in redactor.capture("x", value.encode())
    assert value not in json.dumps(redactor.capture("x", {value: 1}), ensure_ascii=False)
    assert redactor.failures == 0


@pytest.mark.parametrize("value", HARMLESS)
def test_a_value_that_only_resembles_a_secret_is_shown(value: str) -> None:
    """In a capture, and unchanged in a text."""
    redactor = Redactor()
    assert redactor.capture("x", value) == value
    assert redactor.text(value) == value


@pytest.mark.parametrize("kind", SECRETS)
def test_a_text_keeps_what_surrounds_a_secret(kind: str) -> None:
    value, _ = SECRETS[kind]
    text = Redactor().text(f"Before {value}\nafter it")
    assert text.startswith("Before ")
    assert "•••" in text
    for secret in ("hunter2", "abc", JWT[-20:], "MIIBOg", "ghtoken", "4eC39H", "a1B2", "p@"):
        assert secret not in text
    # What follows the begin of a certificate may be all of it.
    assert text.endswith("after it") or "CERTIFICATE" in value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UPDATE u SET password='it''s', a=1", "UPDATE u SET password=•••, a=1"),
        ("WHERE password=? AND token = %s", "WHERE password=? AND token = %s"),
        ("SET token = $1, secret=%(secret)s", "SET token = $1, secret=%(secret)s"),
        ("SET u.password = :password_1", "SET u.password = :password_1"),
        ("password=:hunter2", "password=:•••"),
        ("password == 'x'", "password == •••"),
        ("token != abc", "token != •••"),
        ("{'token': b'a\\'b', 'a': 1}", "{'token': •••, 'a': 1}"),
        ('{"token": "a\\"b", "a": 1}', '{"token": •••, "a": 1}'),
        ('{\\"token\\": \\"abc\\"', '{\\"token\\": •••'),
        ("Authorization: Digest a b, c\nHost: x", "Authorization: •••\nHost: x"),
        ("Cookie: a=b; c=d\r\nHost: x", "Cookie: •••\r\nHost: x"),
        ("{'Cookie': 'a=b; c=d', 'x': 1}", "{'Cookie': •••, 'x': 1}"),
        ("user(token=Secret('abc'), a=1)", "user(token=••• a=1)"),
        ("['psql', '--password', 'abc']", "['psql', '--password', •••]"),
        ("psql --password=abc -h db", "psql --password=••• -h db"),
        ("a?password%3Dabc", "a?password%3D•••"),
        ("user[password]=abc&a=1", "user[password]=•••&a=1"),
        ("token: a, token: b", "token: ••• token: •••"),
        ("token=•••", "token=•••"),
        ("see http://u:p@h/x and ftp://a@b", "see http://•••@h/x and ftp://•••@b"),
        ("Bearer abc, Bearer def", "Bearer •••, Bearer •••"),
    ],
)
def test_what_stands_behind_a_secret_name_is_replaced(text: str, expected: str) -> None:
    """To the end of its quotes, word or header line; placeholders of SQL stay."""
    assert Redactor().text(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@h:8/p?a=1&b=2#c", "https://•••@h:8/p?a=1&b=2#c"),
        ("/p?token=abc&a=1", "/p?token=•••&a=1"),
        ("?a=1&password=abc", "?a=1&password=•••"),
        ("password=abc&a=1", "password=•••&a=1"),
        ("/p?a=1;csrf_token=abc", "/p?a=1;csrf_token=•••"),
        ("/p;jsessionid=abc?a=1", "/p;jsessionid=•••?a=1"),
        ("/cb#access_token=abc&state=1", "/cb#access_token=•••&state=1"),
        ("?api%5Fkey=abc", "?api%5Fkey=•••"),
        ("?user%5Bpassword%5D=abc", "?user%5Bpassword%5D=•••"),
        (f"?next={quote('https://x/?token=abc', safe='')}", "?next=•••"),
        (f"?next={quote(quote('https://u:abc@x/', safe=''), safe='')}", "?next=•••"),
        (f"/reset/{JWT}/x", "/reset/•••"),
        (f"?x={JWT}", "?x=•••"),
        ("?session=abc", "?session=•••"),
        ("?token=&a=1", "?token=&a=1"),
        ("?q=a%20b+c&%zz=%", "?q=a%20b+c&%zz=%"),
        ("/shop/cart/12", "/shop/cart/12"),
        ("", ""),
        ("?", "?"),
        ("&&==;#?", "&&==;#?"),
    ],
)
def test_a_url_stays_readable(url: str, expected: str) -> None:
    """Without user name, password and the values of secret parameters, escaped or not."""
    redactor = Redactor()
    assert redactor.url(url) == expected
    assert redactor.url(expected) == expected


def test_words_and_exceptions_of_the_owner_count_in_texts_too() -> None:
    redactor = Redactor(words=("plate",), allow=("token",))
    assert redactor.text("plate=abc token=abc") == "plate=••• token=abc"
    assert redactor.url("/?plate=abc&token=abc") == "/?plate=•••&token=abc"


def test_a_long_text_is_cut_and_tells_its_size() -> None:
    redactor = Redactor()
    text = redactor.text("a b " * 5000)
    assert text.endswith("… (20,000 characters)")
    assert 2000 < len(text) < 2050
    assert redactor.text("a b " * 500) == "a b " * 500


@pytest.mark.parametrize("start", range(1940, 2060, 7))
@pytest.mark.parametrize("size", [0, 5000])
def test_no_secret_survives_a_cut(start: int, size: int) -> None:
    """A secret across the end of what is shown is seen as one, whatever its shape."""
    redactor = Redactor()
    secrets = (f"http://u:{'q' * 100}@h/", "Bearer " + "q" * 100, "token=" + "q" * 100)
    for secret in secrets:
        text = "a " * (start // 2) + secret + " b" * size
        assert "q" * 10 not in redactor.text(text)
        assert "q" * 10 not in redactor.url(text)
        for near in range(150, 210, 7):
            short = redactor.capture("x", "a " * (near // 2) + secret + " b" * size)
            assert "q" * 10 not in json.dumps(short)


def test_what_is_replaced_moves_no_secret_into_view() -> None:
    """Where much was replaced, the end of what was read comes nearer: it is not shown."""
    text = ("token=" + "q" * 100 + " ") * 37
    url = f"http://u:{'z' * 300}"
    for cut in range(0, 300, 13):
        shown = Redactor().text((text + "x" * cut + " " + url + "@h ") + "b" * 3000)
        assert "z" * 10 not in shown


def test_text_of_a_users_class_is_read_through_str() -> None:
    class Text(str):
        __slots__ = ()

        def __getitem__(self, key: object) -> str:
            raise AssertionError

        __len__ = __contains__ = isalnum = __hash__ = __getitem__  # type: ignore[assignment]

    redactor = Redactor()
    assert redactor.text(Text("token=abc")) == "token=•••"
    assert redactor.url(Text("/?token=abc")) == "/?token=•••"
    assert redactor.failures == 0


@pytest.mark.parametrize("wrong", [None, 5, b"token=abc", ["x"]])
def test_what_is_no_text_is_hidden_and_counted(wrong: t.Any) -> None:
    redactor = Redactor()
    assert redactor.text(wrong) == "•••"
    assert redactor.url(wrong) == "•••"
    assert redactor.failures == 2
