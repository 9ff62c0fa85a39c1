"""Idle and absolute timeouts, signing anew, and clocks that differ."""

from __future__ import annotations

import ast
import typing as t
from unittest import mock

import pytest
from flask import Flask, abort, session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer

from flask_ctxkit import CtxKit, regenerate_session
from flask_ctxkit.internals import ACCESS_IS_TOLD
from flask_ctxkit.session import codec
from flask_ctxkit.session.codec import Keyring
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.mapping import CtxSession
from flask_ctxkit.session.timeouts import BEGAN, Timeouts, began_at

if t.TYPE_CHECKING:
    from flask_ctxkit.session.model import Verdict

NOW = 1_700_000_000


class Own(TaggedJSONSerializer):
    """Makes the interface take Flask's own serializer."""


class Site:
    """An app, one visitor, a clock, and the verdicts."""

    def __init__(self, serializer: t.Any = None, **config: t.Any) -> None:
        self.app = Flask("app")
        self.app.secret_key = "k"
        self.app.config.update({f"CTXKIT_SESSION_{k.upper()}": v for k, v in config.items()})
        CtxKit(self.app)
        interface: t.Any = self.app.session_interface
        assert isinstance(interface, CtxSessionInterface)
        if serializer is not None:
            interface.serializer = serializer
        self.interface = interface
        self.verdicts: list[Verdict] = []
        interface.on_verdict = self.verdicts.append
        self.now = NOW
        self.client = self.app.test_client()
        self._views()

    def _views(self) -> None:
        app = self.app
        app.add_url_rule("/plain", "plain", lambda: "", methods=["GET", "POST", "OPTIONS"])
        app.add_url_rule("/asset", "shop.static", lambda: "")
        app.add_url_rule("/fails", "fails", lambda: abort(503))
        app.add_url_rule("/missing", "missing", lambda: abort(404))
        app.add_url_rule("/read", "read", lambda: repr({k: session[k] for k in sorted(session)}))
        app.add_url_rule("/nest", "nest", lambda: str(session["cart"].append(2)))
        app.add_url_rule("/pop", "pop", lambda: str(session.pop("n")))

        @app.get("/clear")
        def clear() -> str:
            session.clear()
            return ""

        @app.get("/renewed")
        def renewed() -> str:
            session.clear()
            session["n"] = 2
            return ""

        @app.get("/renew")
        def renew() -> str:
            regenerate_session("n")
            return ""

        @app.get("/write")
        def write() -> str:
            session.update(n=1, cart=[1])
            return ""

    def go(self, path: str, seconds: int = 0, method: str = "GET", **options: t.Any) -> t.Any:
        """The answer to a request so many seconds after the last one."""
        self.now += seconds
        with mock.patch("time.time", return_value=self.now):
            return self.client.open(path, method=method, **options)

    def signs(self, path: str, seconds: int = 0, method: str = "GET") -> bool:
        """Whether the answer has a cookie; if so, it varies by it."""
        headers = self.go(path, seconds, method).headers
        assert "Set-Cookie" not in headers or "Cookie" in headers["Vary"]
        return "Set-Cookie" in headers

    def values(self, seconds: int = 0) -> dict[str, t.Any]:
        return dict(ast.literal_eval(self.go("/read", seconds).text))

    def bring(self, text: str, *, signed_at: int = NOW) -> None:
        """Let the visitor come with a cookie of this JSON."""
        keys = Keyring.derive("k")
        self.client.set_cookie("session", codec.seal(codec.pack(text), keys, now=signed_at))

    @property
    def codes(self) -> list[str]:
        return [verdict.code for verdict in self.verdicts]


# ---------------------------------------------------------------------------------- idle


def test_an_idle_session_ends_after_the_last_second() -> None:
    site = Site(idle=100)
    site.go("/write")
    assert site.values(100)["n"] == 1
    assert site.values(101) == {}
    told = next(verdict for verdict in site.verdicts if verdict.code == "idle")
    assert told.evidence["age"] == 101
    assert told.evidence["limit"] == 100


def test_requests_keep_an_idle_session_alive_also_those_that_do_not_look() -> None:
    site = Site(idle=100)
    site.go("/write")
    assert [site.signs("/plain", 90) for _ in range(5)] == [True] * 5
    assert site.values(90)["n"] == 1


def test_without_the_timeout_a_session_that_nobody_looks_at_gets_no_cookie() -> None:
    site = Site(absolute=1000)
    site.go("/write")
    assert not site.signs("/plain", 90)
    assert not site.signs("/read", 90)


def test_the_shorter_of_idle_and_lifetime_counts() -> None:
    site = Site(idle=100)
    site.app.config["PERMANENT_SESSION_LIFETIME"] = 50
    site.go("/write")
    assert site.values(51) == {}
    assert "expired" in site.codes


# ----------------------------------------------------------------------------- re-issue


def test_a_cookie_is_signed_anew_once_it_is_a_tenth_of_idle_old() -> None:
    site = Site(idle=100)
    site.go("/write")
    assert [site.signs("/plain", step) for step in (0, 9, 1, 9, 1)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert site.codes[-1] == "reissued"
    assert site.verdicts[-1].evidence["age"] == 10


def test_very_short_timeouts_sign_with_each_request() -> None:
    site = Site(idle=5)
    site.go("/write")
    assert site.signs("/plain")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/plain", "HEAD"), ("/plain", "OPTIONS"), ("/asset", "GET"), ("/static/x.css", "GET"),
        ("/fails", "GET"), ("/read", "HEAD"),
    ],
)  # fmt: skip
def test_some_answers_never_carry_a_cookie_that_was_signed_anew(path: str, method: str) -> None:
    """HEAD, OPTIONS, static files, server errors; the verdict on them is as ever."""
    site = Site(idle=100)
    site.go("/write")
    assert not site.signs(path, 50, method)
    assert "reissued" not in site.codes
    assert site.signs("/plain")


@pytest.mark.skipif(not ACCESS_IS_TOLD, reason="a session is read at once before 3.1.3")
def test_a_session_that_is_not_due_stays_unread() -> None:
    site = Site(idle=100)
    site.go("/write")
    site.go("/plain", 9)
    assert site.codes[-1] == "untouched"
    site.go("/plain", 50, "HEAD")
    assert site.codes[-1] == "untouched"


@pytest.mark.parametrize("path", ["/missing", "/nowhere", "/read"])
def test_other_answers_do(path: str) -> None:
    site = Site(idle=100)
    site.go("/write")
    assert site.signs(path, 50)


def test_a_head_request_that_changes_the_session_saves_it_as_in_flask() -> None:
    site = Site(idle=100)
    assert site.signs("/write", 0, "HEAD")


def test_signing_anew_changes_nothing_but_time() -> None:
    """Neither what changed inside a value, nor the bytes of the payload."""
    site = Site(reissue=10)
    site.bring('{"n": 1,  "cart": [1]}')
    assert site.signs("/nest", 50)
    assert site.codes[-2:] == ["nested-change", "reissued"]
    cookie = site.client.get_cookie("session")
    assert cookie is not None
    payload = cookie.value.split(".")[0].encode()
    assert codec.unpack(payload) == '{"n": 1,  "cart": [1]}'
    assert cookie.value == codec.seal(payload, Keyring.derive("k"), now=NOW + 50)


def test_a_nested_change_that_is_saved_needs_no_second_cookie() -> None:
    site = Site(reissue=10, nested="save")
    site.go("/write")
    assert len(site.go("/nest", 50).headers.getlist("Set-Cookie")) == 1
    assert site.values()["cart"] == [1, 2]


def test_a_permanent_session_is_sent_no_more_often() -> None:
    """Flask sends it with every response."""
    for config, signs in (
        ({}, [True, True]),
        ({"absolute": 1000}, [True, True]),
        ({"reissue": 60}, [False, True]),
    ):
        site = Site(**config)
        site.bring('{"_permanent":true,"n":1}')
        assert [site.signs("/read", 30), site.signs("/plain", 30)] == signs


def test_a_subclass_that_decides_by_itself_is_obeyed() -> None:
    class Always(CtxSessionInterface):
        def should_set_cookie(self, app: t.Any, session: t.Any) -> bool:
            return True

    site = Site(reissue=60)
    site.app.session_interface = Always()
    site.app.session_interface.timeouts = site.interface.timeouts
    site.bring('{"n":1}')
    assert site.signs("/plain", 1)


def test_the_apps_own_way_of_signing_signs_anew() -> None:
    """By the time that it tells."""
    site = Site(idle=100)
    made = URLSafeTimedSerializer("k", salt="mine")
    site.interface.get_signing_serializer = lambda app: made  # type: ignore[method-assign]
    site.go("/write")
    assert [site.signs("/read", 9), site.signs("/read", 1)] == [False, True]
    assert site.signs("/nest", 50)
    cookie = site.client.get_cookie("session")
    assert cookie is not None
    assert made.loads(cookie.value) == {"n": 1, "cart": [1]}  # what changed inside is not in it


class Untimed(URLSafeSerializer):
    """Signs, and can't tell when it did."""

    def loads(self, s: t.Any, *_: t.Any, **__: t.Any) -> t.Any:
        return super().loads(s)


def without_time(app: Flask) -> t.Any:
    return Untimed("k")


def test_what_has_no_time_of_signing_is_never_signed_anew_and_begins_with_its_next_save() -> None:
    """Where the app's own serializer can't tell how old a cookie is."""
    site = Site(idle=100, absolute=1000, reissue=1)
    site.app.testing = True
    site.interface.get_signing_serializer = without_time  # type: ignore[method-assign]
    site.interface.resign = 1
    site.client.set_cookie("session", str(Untimed("k").dumps({"n": 1})))
    assert not site.signs("/read", 50)
    assert site.values()["n"] == 1
    assert site.signs("/write")
    assert site.values(20)[BEGAN] == NOW + 50


def test_the_timeouts_hold_for_a_session_class_of_the_apps_own() -> None:
    """Which knows nothing of its cookie, so it is signed anew only when it changes."""
    site = Site(idle=100, absolute=150, reissue=1)
    site.app.testing = True
    site.interface.session_class = SecureCookieSession
    site.interface.resign = 1
    site.go("/write")
    assert not site.signs("/read", 50)
    assert site.values()[BEGAN] == NOW
    site.go("/write", 50)
    assert site.values(50)[BEGAN] == NOW
    assert site.values(1) == {}
    site.go("/write")
    assert site.values(101) == {}
    assert {"over", "idle"} <= {*site.codes}
    site.bring('{"_permanent":true,"n":1}', signed_at=site.now)
    assert [site.signs("/read") for _ in range(2)] == [True, True]  # as Flask sends it


def test_a_refused_cookie_is_never_signed_anew() -> None:
    site = Site(idle=100, absolute=1000)
    for text in ("garbage", codec.seal(b"e30", Keyring.derive("other"), now=NOW - 50)):
        site.client.set_cookie("session", text)
        assert not site.signs("/plain")
        assert not site.signs("/read")


def test_a_cookie_of_an_old_key_is_signed_anew_with_the_current_one() -> None:
    site = Site(idle=100)
    site.go("/write")
    site.app.secret_key, site.app.config["SECRET_KEY_FALLBACKS"] = "new", ["k"]
    assert site.signs("/plain", 50)
    site.app.config["SECRET_KEY_FALLBACKS"] = []
    assert site.values()["n"] == 1


# ----------------------------------------------------------------------------- absolute


def test_a_session_ends_so_long_after_it_began_whatever_happens() -> None:
    site = Site(absolute=1000)
    site.go("/write")
    for _ in range(10):
        assert site.values(100)["n"] == 1
        site.go("/write")
    assert site.values(1) == {}
    told = next(verdict for verdict in site.verdicts if verdict.code == "over")
    assert told.evidence["age"] == 1001
    assert told.evidence["limit"] == 1000


def test_signing_anew_does_not_prolong_it() -> None:
    site = Site(absolute=100, reissue=10)
    site.go("/write")
    assert [site.signs("/plain", 30) for _ in range(4)] == [True, True, True, False]
    assert site.values() == {}


def test_a_session_that_is_over_gets_a_new_begin_with_its_next_content() -> None:
    site = Site(absolute=100)
    site.go("/write")
    site.go("/write", 101)
    assert site.values(100)["n"] == 1


@pytest.mark.parametrize("serializer", [None, Own()])
def test_a_session_from_before_began_when_it_was_signed(serializer: t.Any) -> None:
    """And says so from its next save, or when it is next signed anew."""
    site = Site(serializer, absolute=100)
    site.bring('{"n":1}', signed_at=NOW - 60)
    site.go("/write", 30)
    assert site.values()[BEGAN] == NOW - 60
    assert site.values(11) == {}
    site = Site(serializer, absolute=100, reissue=10)
    site.bring('{"n":1,"cart":[1]}', signed_at=NOW - 60)
    assert site.signs("/nest")
    assert site.values() == {"n": 1, "cart": [1], BEGAN: NOW - 60}
    site.bring('{"n":1}', signed_at=NOW - 101)
    assert site.values() == {}


@pytest.mark.parametrize("serializer", [None, Own()])
def test_clearing_begins_anew(serializer: t.Any) -> None:
    site = Site(serializer, absolute=100)
    site.go("/write")
    with (
        mock.patch("time.time", return_value=NOW + 90),
        site.client.session_transaction() as opened,
    ):
        opened.clear()
        opened["n"] = 2
    site.now = NOW + 90
    assert site.values(100) == {"n": 2, BEGAN: NOW + 90}


@pytest.mark.parametrize("serializer", [None, Own()])
def test_also_a_cookie_that_is_no_object_says_when_it_began_or_does_not(serializer: t.Any) -> None:
    """Flask makes a session of null, and of a list of pairs."""
    site = Site(serializer, absolute=100)
    site.bring("null", signed_at=NOW - 60)
    site.go("/write")
    assert site.values()[BEGAN] == NOW - 60
    site.bring(f'[["n",1],["{BEGAN}",{NOW - 60}]]')
    site.go("/renewed", 30)
    assert site.values() == {"n": 2, BEGAN: NOW + 30}


def test_that_it_says_when_it_began_counts_as_a_change_for_who_looks_again() -> None:
    """But not for Flask. What is no dict is left alone."""
    opened = CtxSession({"n": 1})
    Timeouts(absolute=100).begin(opened, NOW)
    assert (opened[BEGAN], opened.writes, opened.modified) == (NOW, 1, False)
    Timeouts(absolute=100).begin(opened, NOW + 1)
    assert (opened[BEGAN], opened.writes) == (NOW, 1)
    Timeouts(absolute=100).begin(t.cast("t.Any", object()), NOW)


@pytest.mark.parametrize("path", ["/clear", "/pop"])
def test_when_it_began_alone_is_no_session(path: str) -> None:
    """What else was in it is gone, so the cookie is deleted."""
    site = Site(absolute=100)
    with mock.patch("time.time", return_value=NOW), site.client.session_transaction() as opened:
        opened["n"] = 1
    (header,) = site.go(path).headers.getlist("Set-Cookie")
    assert "Max-Age=0" in header
    assert site.codes[-1] == "deleted"


def test_without_the_timeout_a_key_of_that_name_is_anyones() -> None:
    site = Site()
    site.bring(f'{{"{BEGAN}":1}}')
    assert site.values(500) == {BEGAN: 1}


@pytest.mark.parametrize(
    "said", ["null", "true", "-1", '"1"', "1e9", "[]", "{}", str(NOW + 500), "1" * 40]
)
def test_a_begin_that_makes_no_sense_counts_from_the_signature(said: str) -> None:
    """Also one that lies after it."""
    site = Site(absolute=100)
    site.bring(f'{{"n":1,"{BEGAN}":{said}}}')
    assert site.values(100)["n"] == 1
    assert site.values(1) == {}


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([BEGAN, "n"]), st.integers() | st.text() | st.none()))
def test_no_session_began_after_it_was_signed(values: dict[str, t.Any]) -> None:
    assert 0 <= began_at(values, NOW) <= NOW


# ---------------------------------------------------------------------------- regenerate


def test_regenerating_resets_the_absolute_timer() -> None:
    site = Site(absolute=100)
    site.go("/write")
    site.go("/renew", 90)
    assert site.values(100) == {"n": 1, BEGAN: NOW + 90}
    assert site.values(1) == {}


def test_regenerating_resets_it_also_for_a_session_from_before() -> None:
    site = Site(absolute=100)
    site.bring('{"n":1}', signed_at=NOW - 60)
    site.go("/renew")
    assert site.values(100)["n"] == 1


# -------------------------------------------------------------------- leeway, plain path


@pytest.mark.parametrize("serializer", [None, Own()])
def test_leeway_forgives_a_clock_ahead_and_no_more(serializer: t.Any) -> None:
    for leeway, ahead, opens in ((0, 1, False), (3, 3, True), (3, 4, False), (60, 60, True)):
        site = Site(serializer, leeway=leeway)
        site.bring('{"n":1}', signed_at=NOW + ahead)
        assert bool(site.values()) is opens
        assert ("future" in site.codes) is not opens


def test_the_timeouts_hold_for_flasks_own_serializer_too() -> None:
    site = Site(Own(), idle=100, absolute=250)
    site.go("/write")
    assert not site.signs("/read", 9)
    assert site.signs("/read", 90)
    assert site.values()["n"] == 1
    assert site.signs("/plain", 90)
    assert site.values(62) == {}
    assert "over" in site.codes
    site = Site(Own(), idle=100)
    site.go("/write")
    assert site.values(101) == {}


def test_signing_anew_saves_no_nested_change_of_flasks_own_serializer_either() -> None:
    """What is told as not saved is not saved."""
    for timeouts in ({"idle": 100}, {"idle": 100, "absolute": 500}):
        site = Site(Own(), **timeouts)
        site.go("/write")
        assert site.signs("/nest", 50)
        assert "nested-change" in site.codes
        assert site.values()["cart"] == [1]


def test_leeway_forgives_no_wrong_signature_and_no_age() -> None:
    for serializer in (None, Own()):
        site = Site(serializer, leeway=60)
        text = codec.seal(b"eyJuIjoxfQ", Keyring.derive("other"), now=NOW + 5)
        site.client.set_cookie("session", text)
        assert site.values() == {}
        site.bring('{"n":1}', signed_at=NOW - 32 * 86_400)
        assert site.values() == {}


def test_the_records_say_when_a_cookie_is_due() -> None:
    assert Timeouts().due_at is None
    assert Timeouts(absolute=5).due_at is None
    assert Timeouts(idle=600).due_at == 60
    assert Timeouts(idle=600, reissue=5).due_at == 5
    assert Timeouts(reissue=5).max_age(60) == 60
    assert Timeouts(idle=90).max_age(60) == 60
