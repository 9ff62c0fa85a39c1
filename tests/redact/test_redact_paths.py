"""Secrets in paths: what stands where a URL rule has an argument with a secret name."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import PurePosixPath

import pytest
from flask import Blueprint, Flask, g, session

from flask_ctxkit import CtxKit
from flask_ctxkit.redact import Redactor

RULES: t.Final = (
    "/reset/<token>", "/u/<token>/<path:rest>", "/api/<api_key>/x/<string(length=2):password>",
    "/a/<path:folder>/b/<token>", "/files/<path:secret>/", "/cart/<int:tea_id>", "/<token>",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/reset/abc", "/reset/•••"),
        ("/reset/abc/", "/reset/•••/"),
        ("/reset/a%2Fb;c?x=1", "/reset/•••?x=1"),
        ("https://shop.example/mount/reset/abc", "https://shop.example/mount/reset/•••"),
        ("/login?next=/reset/abc", "/login?next=/reset/•••"),
        ("/u/abc/photos/1", "/u/•••/photos/1"),
        ("/api/abc/x/de", "/api/•••/x/•••"),
        ("/a/1/2/b/abc", "/a/•••"),
        ("/files/abc/def/", "/files/•••"),
        ("/reset/", "/reset/"),
        ("/reset/abc/other", "/reset/abc/other"),
        ("/cart/3", "/cart/3"),
        ("/about", "/about"),
    ],
)
def test_an_argument_with_a_secret_name_is_hidden(text: str, shown: str) -> None:
    redactor = Redactor()
    redactor.hide_arguments(RULES)
    assert redactor.url(text) == shown


VALUES: t.Final = (
    "/reset/0f9c", "https://x/reset/0f9c", "read <a href='/reset/0f9c'>this</a>", "/u/0f9c/1",
    "GET /api/0f9c/x/0f9c failed", "/files/0f9c",
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_value_with_such_a_path_in_it_is_hidden(value: str) -> None:
    """Alone, in a list, as a key, as bytes and as a path; also one that was shown before."""
    redactor = Redactor()
    assert redactor.capture("link", value) == value
    redactor.hide_arguments(RULES)
    captured = redactor.capture("link", value)
    assert captured["$hidden"].startswith('holds an argument of a URL: name contains "')
    assert captured["$size"] == len(value)
    held = [value, {value: 1}, value.encode(), PurePosixPath(value)]
    assert "0f9c" not in json.dumps([redactor.capture("link", one) for one in held])
    assert "0f9c" not in redactor.text(f"Mail: {value}")
    assert redactor.text(f"Mail: {value}").startswith("Mail: ")
    assert redactor.failures == 0


@pytest.mark.parametrize(
    "value",
    [
        "/reset", "/reset/", "reset/abc", "a word / another", "/cart/3", "/reset/•••",
        "/reset/abc/other", "https://x/u/1", "0f9c" * 16,
    ],
)  # fmt: skip
def test_a_value_without_such_a_path_is_shown(value: str) -> None:
    redactor = Redactor()
    redactor.hide_arguments(RULES)
    assert redactor.capture("link", value) == value
    assert redactor.text(value) == value


def test_an_argument_that_is_named_like_the_session_cookie_is_hidden() -> None:
    redactor = Redactor(cookie_names=("sess",))
    redactor.hide_arguments(["/take/<sess>"])
    told = redactor.capture("x", "/take/abc")["$hidden"]
    assert told == "holds an argument of a URL: the session cookie"


@pytest.mark.parametrize("text", ["/a/" * 1300, "/reset/" * 600, "/api/x/x/" * 400])
def test_a_hostile_path_takes_bounded_time(text: str) -> None:
    redactor = Redactor()
    redactor.hide_arguments([*RULES, "/a/<path:one>/a/<path:two>/a/<token>"])
    start = time.perf_counter()
    redactor.url(text)
    redactor.capture("x", text)
    redactor.text(text)
    assert time.perf_counter() - start < 0.5


def test_the_token_of_a_link_is_on_no_page() -> None:
    app, accounts = Flask("shop"), Blueprint("accounts", __name__, url_prefix="/accounts")
    app.debug = True
    CtxKit(app)
    app.secret_key = "k" * 32

    @accounts.get("/reset/<token>")
    def reset(token: str) -> str:
        g.link = session["came_by"] = f"https://shop.example/accounts/reset/{token}"
        return f"for {token[:1]}"

    app.register_blueprint(accounts)
    client = app.test_client()
    path = "/accounts/reset/9f86d081884c"
    assert client.get(path).status_code == 200
    assert client.get("/other", headers={"Referer": f"http://localhost{path}"}).status_code == 404
    rows = client.get("/_ctx/requests.json").get_json()["requests"]
    assert [row["path"] for row in rows] == ["/other", "/accounts/reset/•••"]
    urls = [f"/_ctx/requests/{row['id']}" for row in rows]
    for url in ("/_ctx/", "/_ctx/index.json", *urls, *(f"{url}.json" for url in urls)):
        page = client.get(url)
        assert page.status_code == 200
        assert "9f86d081884c" not in page.text, url
