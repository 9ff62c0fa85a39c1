"""What users and clients write into a request stands on the pages as text, and only so."""

from __future__ import annotations

import json
import typing as t

import pytest
from flask import Flask, Response, g, session
from werkzeug.test import EnvironBuilder

from flask_ctxkit import CtxKit

SCRIPT: t.Final = "\"'><script>pwned()</script><img src=x onerror=pwned()>{{60017*59999}}{% raw %}"
JAVASCRIPT: t.Final = "javascript:pwned()"
HALF: t.Final = "\ud800 half a pair"
CONTROL: t.Final = "\x00\x1b[31m\x07\u202e\u2028"


@pytest.fixture
def hostile() -> Flask:
    app = Flask("hostile<b>")
    app.debug = True
    app.config.update(SECRET_KEY="9f1c6d2a8b7e4f309f1c6d2a8b7e4f30", EVIL=SCRIPT, HALF=HALF)
    CtxKit(app)

    class Evil:
        def __init__(self) -> None:
            self.__dict__[SCRIPT] = SCRIPT

        def __repr__(self) -> str:
            raise RuntimeError("never called")

    Evil.__qualname__ = Evil.__name__ = SCRIPT

    def home(**_: object) -> Response:
        g.value, g.half, g.control, g.object = SCRIPT, HALF, CONTROL, Evil()
        setattr(g, SCRIPT, [SCRIPT, {SCRIPT: SCRIPT}])
        session[SCRIPT] = SCRIPT
        return Response("x", 302, {"X-Evil": SCRIPT, "Location": JAVASCRIPT})

    def boom() -> str:
        raise ValueError(SCRIPT + HALF)

    home.__qualname__ = SCRIPT
    app.add_url_rule("/<path:rest>", SCRIPT.replace(".", ""), home)
    app.add_url_rule("/", "home", home)
    app.add_url_rule("/boom", "boom", boom)
    app.before_request_funcs.setdefault(None, []).append(lambda: None)
    return app


def attacked(app: Flask) -> t.Any:
    client = app.test_client()
    for builder in (
        EnvironBuilder("/" + SCRIPT, query_string={"q": SCRIPT}, headers=[("X-Evil", SCRIPT)]),
        EnvironBuilder("/", method="<SCRIPT>PWNED()", headers=[("User-Agent", SCRIPT)]),
        EnvironBuilder("/", headers=[("Cookie", f"a={SCRIPT}"), ("Referer", JAVASCRIPT)]),
    ):
        environ = builder.get_environ()
        environ["REMOTE_ADDR"] = "127.0.0.1"
        client.open(environ)
    with pytest.raises(ValueError, match="script"):
        client.get("/boom")
    return client


def urls(app: Flask) -> t.Iterator[str]:
    for row in app.extensions["ctxkit"].store.newest():
        yield f"/_ctx/requests/{row.id}"
    yield from ("/_ctx/", "/_ctx/live", "/_ctx/requests?all=1", "/_ctx/stacks", "/_ctx/app",
                "/_ctx/findings", "/_ctx/session")  # fmt: skip


@pytest.mark.parametrize(
    "asked", ["requests?q={}", "requests?endpoint={}", "hooks?path=/{}", "hooks?method={}",
              "requests/{}", "{}", "login?token={}", "requests?{}=1", "requests?status={}"]
)  # fmt: skip
def test_what_is_asked_for_comes_back_as_text(hostile: Flask, asked: str) -> None:
    page = attacked(hostile).get("/_ctx/" + asked.format(SCRIPT.replace("%", "%25")))
    assert "<script>pwned" not in page.text
    assert "<img src=x" not in page.text


def test_hostile_requests_stand_on_every_page_as_text(hostile: Flask) -> None:
    client = attacked(hostile)
    seen = 0
    for url in urls(hostile):
        page = client.get(url)
        assert page.status_code == 200, url
        assert "<script>pwned" not in page.text
        assert "<img src=x" not in page.text
        assert "<b>hostile" not in page.text.replace("hostile&lt;b&gt;", "")
        assert "<SCRIPT>" not in page.text
        assert 'href="javascript:' not in page.text
        seen += page.text.count("&lt;script&gt;pwned()&lt;/script&gt;")
        assert "3600959983" not in page.text
    assert seen > 20


def test_hostile_requests_are_sound_json(hostile: Flask) -> None:
    client = attacked(hostile)
    for url in urls(hostile):
        path, _, query = url.partition("?")
        response = client.get((path.rstrip("/") + "/index" if path == "/_ctx/" else path)
                              + f".json?{query}")  # fmt: skip
        assert response.status_code == 200
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        json.loads(response.data)
        assert b"\x00" not in response.data


def test_values_that_utf_8_can_t_carry_do_not_break_a_page(hostile: Flask) -> None:
    client = hostile.test_client()
    client.get("/")
    page = client.get("/_ctx/requests/latest")
    assert page.status_code == 200
    assert "half a pair" in page.text
