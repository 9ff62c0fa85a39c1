"""The page about sessions, and the session part of each request's page."""

from __future__ import annotations

import html
import json
import os
import re
import threading
import time
import typing as t

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from werkzeug.serving import make_server

from flask_ctxkit import CtxKit

from .test_browser import CONTRAST

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient
    from playwright.sync_api import Browser
    from werkzeug.test import TestResponse

KEY: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"
TOKEN: t.Final = "look-" + "a" * 32
HOSTILE: t.Final = "\"'><script>pwned()</script><img src=x onerror=pwned()>"


def shop(debug: bool = True, **config: t.Any) -> Flask:
    app = Flask("shop")
    app.debug = debug
    app.config.update({"SECRET_KEY": KEY} | config)
    CtxKit(app)

    @app.before_request
    def load_user() -> None:
        session.get("user_id")

    @app.get("/login")
    def login() -> str:
        session.update(user_id="value-of-session", cart=[1, 2])
        return "in"

    @app.get("/cart")
    def cart() -> str:
        session.setdefault("cart", []).append(3)
        return "cart"

    @app.get("/swap")
    def swap() -> str:
        session["user_id"] = "other-value"
        del session["cart"]
        return "swapped"

    return app


def signed(values: dict[str, t.Any], key: str = KEY) -> str:
    app = Flask("signer")
    app.secret_key = key
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    with app.app_context():
        return str(serializer.dumps(values))


def logged_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert client.get("/login").status_code == 200
    return client


def body(response: TestResponse) -> t.Any:
    assert response.status_code == 200
    return json.loads(response.data)["session"]


def text_of(response: TestResponse) -> str:
    """The page's text without markup, in one line."""
    assert (response.status_code, response.mimetype) == (200, "text/html")
    bare = re.sub(r"<(script|style).*?</\1>", "", response.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", bare)).split())


def newest(client: FlaskClient) -> str:
    return client.get("/_ctx/requests/latest").text


# ------------------------------------------------------------------------- the page


def test_the_page_says_what_the_json_says() -> None:
    client = logged_in(shop())
    client.get("/cart")
    found = body(client.get("/_ctx/session.json"))
    text = text_of(client.get("/_ctx/session"))
    assert text.index(found["story"][0]["text"]) < text.index("The cookie of this very request")
    for step in found["request"]["steps"]:
        assert step["text"] in text
    assert found["keys"][0]["fingerprint"] in text
    assert "nested change" in text
    assert "load_user" in text
    assert "Set-up" in text
    by_header = client.get("/_ctx/session", headers={"Accept": "application/json"})
    assert body(by_header).keys() == found.keys()


def test_rotation_and_revocation_are_told_as_they_stand(tmp_path: Path) -> None:
    """A fallback that is unused for days, and a store that answers or is down."""
    app = shop(
        SECRET_KEY_FALLBACKS=["a" * 40, "b" * 40],
        CTXKIT_SESSION_REVOCATIONS=f"sqlite:///{tmp_path}/revoked.db",
    )
    client = logged_in(app)
    interface: t.Any = app.session_interface
    interface.tally.since -= 14 * 86_400
    interface.tally.last_used[interface.keyring(app).keys[1].fingerprint] = time.time()
    text = text_of(client.get("/_ctx/session"))
    assert "Fallback 2 unused for 14 days." in text
    assert "Fallback 1 unused" not in text
    assert "The store of revocations (SQLite) answers." in text
    assert "it fails open" in text
    (tmp_path / "revoked.db").mkdir()
    text = text_of(client.get("/_ctx/session"))
    assert "The store of revocations (SQLite) can't be read (OperationalError)" in text
    assert text.index("can't be read") < text.index("The cookie of this very request")


def test_a_split_session_is_said_to_be_split() -> None:
    app = shop(CTXKIT_SESSION_SIZE="split", CTXKIT_SESSION_PARTS=4)
    app.add_url_rule("/long", "long", lambda: session.update(noise=os.urandom(3000).hex()) or "")
    client = app.test_client()
    client.get("/long")
    text = text_of(client.get("/_ctx/session"))
    assert re.search(
        r"bytes of JSON(, compressed)? in 2 cookies of [0-9,]+ characters together", text
    )
    assert re.search(r"[0-9,]+ bytes in 2 cookies", text)


def test_it_stands_in_the_navigation() -> None:
    page = logged_in(shop()).get("/_ctx/session").text
    assert re.search(r'href="/_ctx/session" aria-current="page">Session<', page)


def test_the_cookie_of_the_very_request_is_taken_apart() -> None:
    client = logged_in(shop())
    text = text_of(client.get("/_ctx/session"))
    assert "The session cookie is valid" in text
    assert "value-of-session" in text
    client.set_cookie("session", signed({"who": "stranger"}, "z" * 40))
    text = text_of(client.get("/_ctx/session"))
    assert "Unverified: anybody may have written this" in text
    assert "stranger" in text
    client.delete_cookie("session")
    assert "none came" in text_of(client.get("/_ctx/session"))


def test_looking_at_any_page_is_not_counted() -> None:
    """Nor does a stranger's cookie, shown to its owner, become a refused one."""
    app = shop()
    client = logged_in(app)
    client.set_cookie("session", "x.y.z")
    tally = t.cast("t.Any", app.session_interface).tally
    before = tally.totals()
    for path in ("session", "stacks", "", "live", "requests"):
        assert client.get(f"/_ctx/{path}").status_code == 200
    assert tally.totals() == before


def test_looking_sends_no_session_cookie() -> None:
    client = logged_in(shop(SESSION_REFRESH_EACH_REQUEST=True))
    response = client.get("/_ctx/session")
    assert "Set-Cookie" not in response.headers


def test_it_works_while_recording_is_off() -> None:
    app = shop(CTXKIT_TRACE=False)
    client = logged_in(app)
    client.get("/cart")
    found = body(client.get("/_ctx/session.json"))
    assert {row["code"] for row in found["counts"]["rows"]} >= {"valid", "nested-change"}
    text = text_of(client.get("/_ctx/session"))
    assert "verdicts are counted" in text
    assert "Refused cookies" not in text


def test_it_works_outside_debug_with_a_token() -> None:
    app = shop(debug=False, CTXKIT_PAGES=True, CTXKIT_TOKEN=TOKEN)
    client = logged_in(app)
    assert client.get("/_ctx/session").status_code == 404
    found = body(client.get("/_ctx/session.json", headers={"Authorization": f"Bearer {TOKEN}"}))
    assert found["counts"]["rows"]
    assert "value-of-session" not in json.dumps(found)
    assert set(found["request"]["names"]) == {"user_id", "cart"}


@pytest.mark.parametrize("path", ["session", "session.json", "requests/latest"])
def test_who_may_not_see_values_sees_names_and_sizes(path: str) -> None:
    client = logged_in(shop(CTXKIT_VALUES=False))
    client.get("/swap")
    client.set_cookie("session", signed({"who": "stranger"}, "z" * 40))
    shown = client.get(f"/_ctx/{path}").text
    assert "value-of-session" not in shown
    assert "other-value" not in shown
    assert "stranger" not in shown
    assert "user_id" in shown or "who" in shown


def test_a_poll_gets_nothing_until_something_changed() -> None:
    client = logged_in(shop())
    since = json.loads(client.get("/_ctx/session.json").data)["since"]
    assert client.get(f"/_ctx/session.json?since={since}").status_code == 204
    client.get("/cart")
    assert client.get(f"/_ctx/session.json?since={since}").status_code == 200


def test_problems_of_the_set_up_come_before_the_cookie() -> None:
    text = text_of(shop(SECRET_KEY="dev").test_client().get("/_ctx/session"))
    assert text.index("stands in tutorials") < text.index("The cookie of this very request")
    sound = text_of(shop().test_client().get("/_ctx/session"))
    assert "Nothing is wrong with how sessions are set up" in sound


def test_a_foreign_interface_is_said_to_be_unknown() -> None:
    class Server(SessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.Any:
            return SecureCookieSessionInterface.session_class()

        def save_session(self, *_: t.Any) -> None:
            """It is kept on the server."""

    app = shop()
    app.session_interface = Server()
    client = logged_in(app)
    text = text_of(client.get("/_ctx/session"))
    assert "in a way of its own" in text
    assert "Unknown: the session interface signs" in text
    assert body(client.get("/_ctx/session.json"))["counts"] is None
    assert "tells no verdicts" in newest(client)


def test_an_app_without_a_key_says_what_to_do() -> None:
    app = shop(SECRET_KEY=None)
    text = text_of(app.test_client().get("/_ctx/session"))
    assert "There is no key" in text
    assert "secrets.token_hex()" in text


def test_an_interface_that_fails_makes_no_page_fail() -> None:
    class Broken(SessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.NoReturn:
            raise RuntimeError(HOSTILE)

    app = shop()
    app.session_interface = Broken()
    page = app.test_client().get("/_ctx/session")
    assert "RuntimeError" in text_of(page)
    assert "pwned" not in page.text


def test_what_visitors_write_is_only_text() -> None:
    """In the keys and values of their session, verified or not, and in the cookie itself."""
    app = shop()
    client = logged_in(app)
    for cookie in (
        signed({HOSTILE: HOSTILE, "m": {" m": HOSTILE}}),
        signed({HOSTILE: HOSTILE}, "z" * 40),
        HOSTILE.replace(";", ""),
    ):
        client.set_cookie("session", cookie)
        client.get("/cart")
        for path in ("session", "requests/latest"):
            page = client.get(f"/_ctx/{path}").text
            assert "<script>pwned" not in page
            assert "<img src=x" not in page


def test_a_long_session_makes_a_bounded_page() -> None:
    client = shop().test_client()
    client.set_cookie("session", signed({f"key{n}": "x" * 20 for n in range(300)}))
    page = client.get("/_ctx/session")
    assert page.status_code == 200
    assert len(page.data) < 300_000


# ---------------------------------------------------------------- a request's session


def test_a_request_shows_its_four_steps_and_who_changed_what() -> None:
    client = logged_in(shop())
    client.get("/swap")
    text = text_of(client.get("/_ctx/requests/latest"))
    told = json.loads(client.get("/_ctx/requests/latest.json").data)["trace"]["session_report"]
    for step in told["steps"]:
        assert step["text"] in text
    assert re.search(r"First touched by event \d+ load_user", text)
    assert "which is why the response says Vary: Cookie" in text
    assert re.search(r"user_id changed by swap \(\d+\)", text)
    assert re.search(r"cart removed by swap \(\d+\)", text)
    assert "Bytes per key" in text


def test_a_request_whose_change_was_lost_says_what_to_write() -> None:
    client = logged_in(shop())
    client.get("/cart")
    text = text_of(client.get("/_ctx/requests/latest"))
    assert "nested change" in text
    assert "session.modified = True" in text


# -------------------------------------------------------------------- in a browser


@pytest.fixture
def served() -> Iterator[tuple[Flask, str]]:
    app = shop(SECRET_KEY="dev", SESSION_COOKIE_HTTPONLY=False)
    server = make_server("localhost", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield app, f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (400, 800)], ids=["wide", "narrow"])
def test_it_fits_and_can_be_read(
    browser: Browser, served: tuple[Flask, str], size: tuple[int, int], scheme: t.Any
) -> None:
    """Also with a refused cookie, a very long key, and every kind of verdict."""
    app, url = served
    client = logged_in(app)
    client.get("/cart")
    client.set_cookie("session", signed({"a": 1}, "z" * 40))
    client.get("/login")
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    page = context.new_page()
    for cookie in (signed({"k" * 200: "v" * 300, "n": 1}, "dev"), signed({"x": "y"}, "z" * 40), ""):
        context.add_cookies([{"name": "session", "value": cookie, "url": url}])
        for path in ("session", "requests/latest"):
            page.goto(f"{url}/_ctx/{path}")
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            assert page.evaluate(CONTRAST) == [], path
        page.goto(f"{url}/cart")
    context.close()


@pytest.mark.browser
def test_the_counts_follow_by_themselves(browser: Browser, served: tuple[Flask, str]) -> None:
    app, url = served
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/_ctx/session")
    assert "No session was opened yet" in page.inner_text("#said")
    client = app.test_client()
    client.set_cookie("session", signed({"a": 1}, "z" * 40))
    client.get("/login")
    page.locator("#said", has_text="1 of 1 cookie").wait_for()
    page.locator("#refused a", has_text="GET /login").click()
    page.wait_for_url(re.compile(r"/_ctx/requests/[0-9a-f]{8}$"))
    assert "unknown key" in page.inner_text("#details")
    context.close()
