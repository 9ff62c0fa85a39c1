"""Over a thousand live contexts the page stays small, and says what it leaves out."""

from __future__ import annotations

from contextlib import ExitStack

from flask import Flask

from flask_ctxkit import CtxKit

LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}


def test_the_oldest_are_drawn_and_the_rest_is_counted() -> None:
    app = Flask("shop")
    app.debug = True
    app.secret_key = "a key of more than thirty-two characters"
    CtxKit(app)
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(app.app_context())
        client = app.test_client()
        page = client.get("/_ctx/live", environ_overrides=LOCAL).text
        everything = client.get("/_ctx/live?all=1", environ_overrides=LOCAL).text
        body = client.get("/_ctx/live.json", environ_overrides=LOCAL).json
    assert page.count("live-row") == 100
    assert "50 younger ones are not drawn" in page
    assert everything.count("live-row") == 150
    assert body is not None
    assert len(body["contexts"]) == 150
