"""Verdicts on the session become findings on the trace of the request."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, session

Watch = t.Callable[..., t.Any]


def shop() -> Flask:
    app = Flask(__name__)
    app.secret_key = "a key of more than thirty-two characters"

    @app.get("/fill")
    def fill() -> str:
        session["cart"] = ["tea"]
        return "filled"

    @app.get("/read")
    def read() -> dict[str, t.Any]:
        return {"cart": session.get("cart")}

    return app


def test_a_change_inside_a_value_is_named(watch: Watch) -> None:
    app = shop()

    @app.get("/add")
    def add() -> str:
        session["cart"].append("cup")
        return "added"

    watched = watch(app)
    watched.client.get("/fill")
    watched.client.get("/add")
    finding = watched.one("session-nested-change")
    assert 'session["cart"]' in finding.message
    assert "session.modified = True" in finding.fix


def test_telling_flask_of_the_change_is_sound(watch: Watch) -> None:
    app = shop()

    @app.get("/add")
    def add() -> str:
        session["cart"].append("cup")
        session.modified = True
        return "added"

    watched = watch(app)
    watched.client.get("/fill")
    watched.client.get("/add")
    assert watched.client.get("/read").json == {"cart": ["tea", "cup"]}
    assert watched.found == ()


def test_a_cookie_signed_with_another_key_is_named(watch: Watch) -> None:
    other = shop()
    other.secret_key = "another key, that the first app does not know"
    client = other.test_client()
    client.get("/fill")
    cookie = client.get_cookie("session")
    assert cookie is not None

    watched = watch(shop())
    watched.client.set_cookie("session", cookie.value)
    assert watched.client.get("/read").json == {"cart": None}
    assert "a key that this worker doesn't have" in watched.one("session-unknown-key").message


def workers(watch: Watch, own: int, others: int) -> t.Any:
    """A worker that gets *own* cookies that it signed, and then *others* of another worker."""
    other = shop()
    other.secret_key = "another key of more than thirty-two characters"
    theirs = other.test_client()
    theirs.get("/fill")
    cookie = theirs.get_cookie("session")
    assert cookie is not None
    watched = watch(shop())
    watched.client.get("/fill")
    for _ in range(own):
        assert watched.client.get("/read").json == {"cart": ["tea"]}
    for _ in range(others):
        watched.client.set_cookie("session", cookie.value)
        assert watched.client.get("/read").json == {"cart": None}
    return watched


def test_workers_with_different_keys_are_named(watch: Watch) -> None:
    found = workers(watch, own=7, others=5).found
    (finding,) = (finding for finding in found if finding.code == "session-keys-differ")
    assert finding.message.startswith("5 of 12 session cookies in five minutes")
    assert "SECRET_KEY_FALLBACKS" in finding.fix


@pytest.mark.parametrize(("own", "others"), [(7, 4), (4, 7), (0, 12)])
def test_a_few_old_cookies_are_no_sign_of_other_workers(
    watch: Watch, own: int, others: int
) -> None:
    """Nor are only cookies of another key: then the key was changed, which is told as it is."""
    codes = {finding.code for finding in workers(watch, own, others).found}
    assert "session-unknown-key" in codes
    assert "session-keys-differ" not in codes


def test_a_visitor_without_a_cookie_is_sound(watch: Watch) -> None:
    watched = watch(shop())
    watched.client.get("/read")
    watched.client.get("/fill")
    watched.client.get("/read")
    assert watched.found == ()


def test_a_write_without_a_secret_key_is_named(watch: Watch) -> None:
    """Flask's own error says so in the log; the page and the terminal say what to set."""
    watched = watch(shop(), SECRET_KEY=None)
    assert watched.client.get("/fill").status_code == 500
    finding = next(f for f in watched.found if f.code == "session-null-session")
    assert "no secret key" in finding.message
    assert "Set SECRET_KEY" in finding.fix


def test_to_read_a_session_without_a_secret_key_is_sound(watch: Watch) -> None:
    """It is empty, as Flask has it."""
    watched = watch(shop(), SECRET_KEY=None)
    assert watched.client.get("/read").json == {"cart": None}
    assert watched.found == ()
