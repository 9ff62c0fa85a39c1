"""Key rotation: what an old key signed is signed anew when read; old keys are seen to rest."""

from __future__ import annotations

import time
import typing as t
from datetime import timedelta
from unittest import mock

import pytest
from flask import Flask, session
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from werkzeug.http import parse_date
from werkzeug.sansio.http import parse_cookie

from flask_ctxkit import ConfigError, CtxKit
from flask_ctxkit.internals import ACCESS_IS_TOLD
from flask_ctxkit.report.session_counts import keys
from flask_ctxkit.session import codec
from flask_ctxkit.session.codec import Keyring
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.rotation import told_unused, unused_for
from flask_ctxkit.session.tally import Tally

NOW = 1_700_000_000
DAY = 86_400
OLD = Keyring.derive("old")
RING = Keyring.derive("new", ["older", "old"])


def make_app(**config: t.Any) -> Flask:
    app = Flask("app")
    app.secret_key = "new"
    app.config.update({"SECRET_KEY_FALLBACKS": ["older", "old"], **config})
    CtxKit(app)

    @app.route("/read", methods=["GET", "POST", "OPTIONS"])
    def read() -> str:
        return str(session.get("n"))

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @app.get("/broken")
    def broken() -> tuple[str, int]:
        return str(session.get("n")), 503

    @app.get("/static/<name>", endpoint="shop.static")
    def static(name: str) -> str:
        return str(session.get("n"))

    return app


def interface_of(app: Flask) -> CtxSessionInterface:
    found = app.session_interface
    assert isinstance(found, CtxSessionInterface)
    return found


def cookie(text: str = '{"n":1}', age: int = 1000, keys: Keyring = OLD) -> str:
    return codec.seal(codec.pack(text), keys, now=NOW - age)


def answer(app: Flask, sent: str, path: str = "/read", method: str = "GET") -> t.Any:
    with mock.patch("time.time", return_value=NOW):
        client = app.test_client(use_cookies=False)
        return client.open(path, method=method, headers={"Cookie": f"session={sent}"})


def resent(response: t.Any) -> str | None:
    found = response.headers.getlist("Set-Cookie")
    return parse_cookie(found[-1])["session"] if found else None


def test_off_nothing_is_signed_anew() -> None:
    """As Flask: only when the session is next written."""
    response = answer(make_app(), cookie())
    assert response.text == "1"
    assert resent(response) is None


@pytest.mark.parametrize(
    "text", ['{"n":1}', '{"n":1,"t":"' + "a" * 900 + '"}', '{"n":1,"z":{" t":[1]}}']
)
def test_what_an_old_key_signed_is_signed_anew_and_stays_as_old(text: str) -> None:
    """By the current key, with the same payload and the same time, so that it ends when it
    would have ended, and nothing that was revoked comes back.
    """
    app = make_app(CTXKIT_SESSION_RESIGN=300)
    response = answer(app, cookie(text))
    verified = codec.verify(str(resent(response)).encode(), RING, now=NOW, max_age=5000)
    assert (verified.code, verified.key, verified.age) == ("valid", 0, 1000)
    assert codec.unpack(verified.payload) == text
    assert response.headers["Vary"] == "Cookie"
    assert interface_of(app).tally.totals()["save", "re-signed", ""] == 1


class OwnTags(TaggedJSONSerializer):
    """Makes the interface take Flask's own serializer."""


class OwnJSON(DefaultJSONProvider):
    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return super().loads(s, **kwargs)


def with_own_tags(app: Flask) -> None:
    interface_of(app).serializer = OwnTags()


def with_own_json(app: Flask) -> None:
    app.json = OwnJSON(app)


@pytest.mark.parametrize("config", [{}, {"CTXKIT_SESSION_LEEWAY": 5}])
@pytest.mark.parametrize("change", [with_own_tags, with_own_json])
def test_it_is_signed_anew_for_flasks_own_serializer_too(
    change: t.Any, config: dict[str, t.Any]
) -> None:
    """Only the outside is made anew, so nothing has to be read or written for it."""
    app = make_app(CTXKIT_SESSION_RESIGN=300, **config)
    change(app)
    text = '{"n": 1, "t": {" t": [2]}}'  # spaced as no serializer of the kit's writes it
    response = answer(app, cookie(text))
    assert response.text == "1"
    verified = codec.verify(str(resent(response)).encode(), RING, now=NOW, max_age=5000)
    assert (verified.code, verified.key, verified.age) == ("valid", 0, 1000)
    assert codec.unpack(verified.payload) == text
    assert interface_of(app).tally.totals()["save", "re-signed", ""] == 1
    assert resent(answer(app, str(resent(response)))) is None
    assert resent(answer(app, cookie(age=299))) is None


def test_it_is_signed_anew_once() -> None:
    """What came back needs it no more."""
    app = make_app(CTXKIT_SESSION_RESIGN=300)
    again = answer(app, str(resent(answer(app, cookie()))))
    assert again.text == "1"
    assert resent(again) is None


@pytest.mark.parametrize(("age", "anew"), [(0, False), (299, False), (300, True), (3000, True)])
def test_a_young_session_is_left_alone(age: int, anew: bool) -> None:
    """It comes from a worker that has no new key yet, and would refuse the answer."""
    response = answer(make_app(CTXKIT_SESSION_RESIGN=300), cookie(age=age))
    assert (resent(response) is not None) is anew


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/read", "HEAD"),
        ("/read", "OPTIONS"),
        ("/broken", "GET"),
        ("/static/x", "GET"),
        ("/plain", "GET"),
    ],
)
def test_some_answers_carry_no_cookie(path: str, method: str) -> None:
    """Those that caches keep, those that failed, and where nothing looked at the session."""
    if path == "/plain" and not ACCESS_IS_TOLD:
        pytest.skip("before 3.1.3 each session is read when it is opened")
    app = make_app(CTXKIT_SESSION_RESIGN=timedelta(minutes=5))
    assert resent(answer(app, cookie(), path, method)) is None


@pytest.mark.parametrize(
    "sent", [cookie(keys=RING), cookie(keys=Keyring.derive("x")), "junk", "", cookie("[")]
)
def test_nothing_else_is_signed_anew(sent: str) -> None:
    """Neither what the current key signed, nor what is refused."""
    assert resent(answer(make_app(CTXKIT_SESSION_RESIGN=1), sent)) is None


def test_an_expired_session_stays_expired() -> None:
    """Signing anew is not taking anew."""
    app = make_app(CTXKIT_SESSION_RESIGN=1, PERMANENT_SESSION_LIFETIME=999)
    response = answer(app, cookie())
    assert (response.text, resent(response)) == ("None", None)


def test_the_browser_forgets_it_when_it_would_have() -> None:
    """The expiry of a permanent session does not move either."""
    app = make_app(
        CTXKIT_SESSION_RESIGN=300,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=5000,
    )
    response = answer(app, cookie('{"_permanent":true,"n":1}'))
    line = response.headers["Set-Cookie"]
    expires = parse_date(line.split("Expires=")[1].split(";")[0])
    assert expires is not None
    # The start of the lifetime is the clock of datetime, which the test leaves running.
    assert abs(expires.timestamp() - (time.time() + 5000 - 1000)) < 60


@pytest.mark.parametrize("value", [0, -1, 1.5, "300", True, 10**9])
def test_a_wrong_age_is_refused(value: object) -> None:
    """At init_app."""
    with pytest.raises(ConfigError, match="CTXKIT_SESSION_RESIGN"):
        make_app(CTXKIT_SESSION_RESIGN=value)


def test_an_interface_of_the_apps_own_is_not_asked_for_it() -> None:
    """It would do nothing there, so it is refused."""
    app = Flask("app")
    app.session_interface = CtxSessionInterface().__class__.__base__()  # type: ignore[misc]
    app.config["CTXKIT_SESSION_RESIGN"] = 300
    with pytest.raises(ConfigError, match="CTXKIT_SESSION_RESIGN"):
        CtxKit(app)


# ------------------------------------------------------------------------- keys seen to rest


def test_each_key_says_for_how_long_it_was_not_used() -> None:
    """By the sessions that it opened, or since the first one that any key opened."""
    app = make_app()
    answer(app, cookie())
    answer(app, cookie(keys=RING))
    with mock.patch("time.time", return_value=NOW + 14 * DAY + 5):
        answer_later = keys(app, interface_of(app).tally)
    assert answer_later is not None
    assert [row["unused_s"] for row in answer_later] == [14 * DAY + 5] * 3
    assert [row["total"] for row in answer_later] == [1, 0, 1]
    assert answer_later[0]["told"] is None
    assert answer_later[2]["told"] == "Fallback 2 unused for 14 days."


def test_a_key_that_is_used_is_not_told_of() -> None:
    """Nor one of which nothing is known yet."""
    app = make_app()
    assert [row["unused_s"] for row in keys(app, interface_of(app).tally) or []] == [None] * 3
    assert unused_for(None, "abc", NOW) is None
    assert unused_for(Tally(), "abc", NOW) is None
    assert told_unused(1, None, DAY) is None
    assert told_unused(1, DAY - 1, DAY) is None


def test_a_key_that_no_session_can_have_any_more_may_go() -> None:
    """When it was not used for longer than a session lives."""
    assert told_unused(1, DAY, 31 * DAY) == "Fallback 1 unused for 1 day."
    told = told_unused(2, 32 * DAY, 31 * DAY)
    assert told is not None
    assert told.endswith("it can go from SECRET_KEY_FALLBACKS.")
