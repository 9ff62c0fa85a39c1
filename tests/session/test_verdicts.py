"""Each verdict, from the request that deserves it; and who hears of it."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import threading
import typing as t
from functools import partial
from unittest import mock

import pytest
from flask import Flask, session, stream_with_context
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag, TaggedJSONSerializer
from itsdangerous import BadPayload, BadSignature, Signer, URLSafeSerializer, URLSafeTimedSerializer
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flask_ctxkit.internals import ACCESS_IS_TOLD, current_request_context, raw_session
from flask_ctxkit.session import codec, diagnosis, judge, tally
from flask_ctxkit.session.codec import Keyring
from flask_ctxkit.session.delivery import domain_matches, path_matches, scheme_of_visitor
from flask_ctxkit.session.headers import Cookie
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.model import REASONS, Verdict, reason
from flask_ctxkit.session.suspects import looks_like
from flask_ctxkit.session.timeouts import Timeouts
from flask_ctxkit.signals import session_verdict

NOW = 1_700_000_000
FINGERPRINT = Keyring.derive("k").current.fingerprint


class Visit:
    """An app, its verdicts, and requests to it at a fixed time."""

    def __init__(self, **config: t.Any) -> None:
        self.app = Flask("app")
        self.app.secret_key = "k"
        self.app.config.update(config)
        self.interface = CtxSessionInterface()
        self.app.session_interface = self.interface
        self.verdicts: list[Verdict] = []
        self.interface.on_verdict = self.verdicts.append
        self.app.teardown_request(self._finish)

    def _finish(self, error: BaseException | None) -> None:
        ctx: t.Any = current_request_context()
        opened = raw_session(ctx)
        assert opened is not None
        self.interface.finish(self.app, opened, error)

    def go(
        self, view: t.Callable[[], t.Any], cookie: str | None = None, **environ: t.Any
    ) -> list[tuple[str, str]]:
        """Answer one request by *view*; the headers."""
        endpoint = f"v{len(self.app.view_functions)}"
        self.app._got_first_request = False
        self.app.add_url_rule(f"/{endpoint}", endpoint, view)
        env = {**EnvironBuilder(path=f"/{endpoint}").get_environ(), **environ}
        if cookie is not None:
            env["HTTP_COOKIE"] = cookie if "=" in cookie else f"session={cookie}"
        with mock.patch("time.time", return_value=NOW):
            body, _, headers = run_wsgi_app(self.app, env)
            for _ in body:
                continue
            getattr(body, "close", tuple)()
        return list(headers)

    @property
    def codes(self) -> list[str]:
        return [v.code for v in self.verdicts]

    def last(self) -> Verdict:
        return self.verdicts[-1]


def plain() -> str:
    return ""


def read() -> str:
    return str(session.get("n"))


def write() -> str:
    session["n"] = 1
    return ""


def empty() -> str:
    session.clear()
    return ""


def signed(text: str = '{"n":1}', *, key: t.Any = "k", now: int = NOW, **settings: t.Any) -> str:
    return codec.seal(codec.pack(text), Keyring.derive(key, **settings), now=now)


# ------------------------------------------------------------------------------- opening


def test_no_cookie_is_absent() -> None:
    visit = Visit()
    visit.go(plain)
    assert visit.codes == ["absent"]


@pytest.mark.skipif(not ACCESS_IS_TOLD, reason="a session is read at once before 3.1.3")
def test_a_cookie_that_nobody_looked_at_is_untouched() -> None:
    visit = Visit()
    visit.go(plain, signed())
    for sent in ("garbage", ".garb.a.ge", signed('{"_permanent":false,"n":1}')):
        visit.go(plain, sent)
    assert visit.codes == ["untouched"] * 4
    assert {verdict.step for verdict in visit.verdicts} == {"open"}


@pytest.mark.skipif(not ACCESS_IS_TOLD, reason="a session is read at once before 3.1.3")
def test_a_permanent_session_is_untouched_where_it_is_not_sent_each_time() -> None:
    visit = Visit(SESSION_REFRESH_EACH_REQUEST=False)
    visit.go(plain, signed('{"_permanent":true,"n":1}'))
    assert visit.codes == ["untouched"]


@pytest.mark.skipif(not ACCESS_IS_TOLD, reason="a session is read at once before 3.1.3")
def test_it_is_untouched_also_where_it_is_too_old_to_be_signed_anew() -> None:
    visit = Visit()
    visit.interface.timeouts = Timeouts(idle=100)
    visit.go(plain, signed(now=NOW - 101))
    assert visit.codes == ["untouched"]
    visit.go(plain, signed(now=NOW - 100))
    assert visit.codes[1:] == ["valid", "reissued"]


@pytest.mark.skipif(not ACCESS_IS_TOLD, reason="a session is read at once before 3.1.3")
def test_what_several_threads_read_at_once_is_told_once() -> None:
    visit = Visit()
    for sent in (signed(now=1), "garbage"):
        with visit.app.test_request_context(headers={"Cookie": f"session={sent}"}):
            opened: t.Any = raw_session(t.cast("t.Any", current_request_context()))
            source = opened.source
            assert source()[0] == source()[0] == {}
            assert len(visit.codes) == 1
            visit.verdicts.clear()


def test_a_valid_cookie_names_its_age_and_key() -> None:
    visit = Visit()
    visit.go(read, signed(now=NOW - 5))
    assert visit.codes == ["valid", "unchanged"]
    assert visit.verdicts[0].evidence["age"] == 5
    assert visit.verdicts[0].evidence["key"] == FINGERPRINT
    assert visit.interface.tally.last_used == {FINGERPRINT: NOW}


def test_a_fallback_key_is_named_by_its_number() -> None:
    visit = Visit(SECRET_KEY_FALLBACKS=["a", "old"])
    visit.go(read, signed(key="old"))
    told = visit.verdicts[0]
    assert (told.code, told.evidence["number"]) == ("valid-fallback", 2)
    assert told.evidence["key"] == Keyring.derive("old").current.fingerprint
    assert "fallback key 2" in told.message


def test_no_secret_key() -> None:
    visit = Visit(SECRET_KEY=None)
    visit.go(read, signed())
    assert visit.codes == ["no-key"]
    assert "secrets" in visit.last().fix


def test_expired_says_how_old_and_what_is_allowed() -> None:
    visit = Visit(PERMANENT_SESSION_LIFETIME=60)
    visit.go(read, signed(now=NOW - 61))
    told = visit.verdicts[0]
    assert (told.code, told.evidence["age"], told.evidence["limit"]) == ("expired", 61, 60)


def test_from_the_future_says_how_far() -> None:
    visit = Visit()
    visit.go(read, signed(now=NOW + 3))
    assert visit.verdicts[0].code == "future"
    assert visit.verdicts[0].evidence["ahead"] == 3


def test_leeway_opens_a_cookie_from_a_clock_ahead() -> None:
    visit = Visit()
    visit.interface.leeway = 3
    visit.go(read, signed(now=NOW + 3))
    assert visit.codes[0] == "valid"


def test_an_unknown_key_names_the_known_ones() -> None:
    visit = Visit(SECRET_KEY_FALLBACKS=["old"])
    visit.go(read, signed(key="other worker's"))
    told = visit.verdicts[0]
    assert told.code == "unknown-key"
    assert told.evidence["keys"] == [FINGERPRINT, Keyring.derive("old").current.fingerprint]
    assert "other worker" not in repr(told)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"salt": "session"}, ("session", "sha1", "hmac")),
        ({"digest": hashlib.sha512}, ("cookie-session", "sha512", "hmac")),
        ({"derivation": "django-concat"}, ("cookie-session", "sha1", "django-concat")),
    ],
)
def test_a_known_key_with_other_settings_names_them(settings: t.Any, shown: t.Any) -> None:
    visit = Visit()
    visit.go(read, signed(**settings))
    told = visit.verdicts[0]
    assert told.code == "other-settings"
    assert tuple(told.evidence[name] for name in ("salt", "digest", "derivation")) == shown
    assert told.evidence["key"] == FINGERPRINT


FOREIGN = {
    "Flask-Login": "42|" + "a" * 128,
    "Django": "eyJhIjoxfQ:1rXyZ9:" + "x" * 43,
    "on the server": "4f3c1c1e-8a56-4bd1-9b6e-0a3a6a1d4a10",
    "on the server (": "WKdXzVYnGv8j3Gx4Ff0t0wq3dY8wqz2yQ0t6Q2l0m7E",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.aaaa",
    "Express": "s:abc.def/ghi+jk",
    "Rails": "BAh7B0kiD3Nlc3Npb25faWQGOgZFVG--" + "f" * 40,
    "without a time": str(URLSafeSerializer("k", salt="cookie-session").dumps({"a": 1})),
    "without a time ": Signer("k", salt="cookie-session").sign("user").decode(),
}


@pytest.mark.parametrize(("whose", "text"), FOREIGN.items(), ids=FOREIGN)
def test_another_frameworks_cookie_is_named(whose: str, text: str) -> None:
    visit = Visit()
    visit.go(read, f"session={text}")
    assert visit.codes[0] == "foreign"
    assert whose.rstrip() in visit.verdicts[0].message


def test_flasks_own_cookies_look_like_nobody_elses() -> None:
    for text in ("{}", '{"n":1}', '{"a":"' + "x" * 90 + '"}', '{"alg":"x"}'):
        assert looks_like(signed(text)) is None


def test_a_truncated_cookie() -> None:
    visit = Visit()
    visit.go(read, signed()[:-9])
    told = visit.verdicts[0]
    assert told.code == "truncated"
    assert told.evidence["got"] < told.evidence["wanted"] == 20


@pytest.mark.parametrize("text", ["x", "a.b", "?", "~" * 20000])
def test_a_malformed_cookie(text: str) -> None:
    visit = Visit()
    visit.go(read, text)
    assert visit.codes[0] in {"malformed", "unknown-key"}
    assert visit.verdicts[0].evidence["length"] == len(text)


def test_signed_but_undecodable_names_the_step() -> None:
    visit = Visit()
    visit.go(read, signed("{broken"))
    visit.go(read, signed('{" u":"no uuid"}'))
    visit.go(read, signed("[1]"))
    codes = [v.code for v in visit.verdicts if v.step == "open"]
    assert codes == ["undecodable"] * 3
    assert "JSONDecodeError" in visit.verdicts[0].message
    assert all(FINGERPRINT in v.message for v in visit.verdicts if v.step == "open")


def test_signed_without_a_time_is_undecodable() -> None:
    visit = Visit()
    keys = Keyring.derive("k")
    value = b"e30.AAAAAAAAAAAAAAAAAAAA"
    mark = codec.to_base64(keys.current.sign(value)).decode()
    visit.go(read, f"{value.decode()}.{mark}")
    assert visit.codes[0] == "undecodable"


def test_duplicate_cookies_name_the_one_that_verifies_and_use_the_first() -> None:
    """The first counts, as in Flask: a tossed cookie is reported, never preferred."""
    visit = Visit()
    seen = []

    def look() -> str:
        seen.append(dict(session))
        return ""

    bad, good = signed(key="x"), signed()
    visit.go(look, f"session={bad}; session={bad}; session={good}")
    assert seen == [{}]
    assert visit.verdicts[0].code == "duplicate"
    assert (visit.verdicts[0].evidence["count"], visit.verdicts[0].evidence["verifies"]) == (3, 3)
    visit.go(look, f"session={good}; session={bad}")
    assert seen[1] == {"n": 1}
    assert visit.codes[2] == "valid"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (signed(salt="pepper"), "valid"),
        (signed(salt="pepper", now=NOW - 99), "expired"),
        (signed(salt="pepper", now=NOW + 9), "future"),
        (signed(), "unknown-key"),
        (signed("{", salt="pepper"), "undecodable"),
        ("", "absent"),
    ],
)
def test_a_serializer_of_the_apps_own_gets_verdicts_too(text: str, code: str) -> None:
    visit = Visit(PERMANENT_SESSION_LIFETIME=60)

    def mine(app: Flask) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer("k", salt="pepper", signer_kwargs={"key_derivation": "hmac"})

    visit.interface.get_signing_serializer = mine  # type: ignore[method-assign]
    visit.go(read, f"session={text}")
    assert visit.codes[0] == code


def test_a_serializer_of_the_apps_own_is_counted_as_opening_and_never_idle() -> None:
    """An idle timeout is told only of what expired."""
    visit = Visit()
    visit.interface.timeouts = Timeouts(idle=60)
    made = partial(URLSafeTimedSerializer, "k", salt="pepper")
    visit.interface.get_signing_serializer = lambda app: made()  # type: ignore[method-assign]
    with mock.patch("time.time", return_value=NOW):
        good = str(made().dumps({"n": 1}))
    with mock.patch("time.time", return_value=NOW - 61):
        old = str(made().dumps({"n": 1}))
    for text in (good, "a.b.c", "", old):
        visit.go(read, f"session={text}")
    visit.interface.get_signing_serializer = lambda app: None  # type: ignore[method-assign]
    visit.app.secret_key = None
    visit.go(plain)
    counted = visit.interface.tally.totals()
    codes = [code for step, code, _ in counted if step == "open"]
    assert sorted(codes) == ["absent", "idle", "no-key", "unknown-key", "valid"]


class Refuses(TaggedJSONSerializer):
    """Raises what it is told to."""

    error: Exception

    def loads(self, value: str) -> t.Any:
        raise self.error


def test_what_the_apps_own_serializer_refuses_is_refused_although_the_outside_is_valid() -> None:
    """The verdict says why, in the words of the error where there is no other."""
    visit = Visit()
    visit.interface.timeouts = Timeouts(idle=60)
    visit.interface.serializer = refuses = Refuses()
    refuses.error = BadSignature("no")
    with mock.patch.object(URLSafeTimedSerializer, "load_payload", side_effect=refuses.error):
        visit.go(read, signed())
    assert visit.codes[0] == "unknown-key"
    for error, problem in (
        (BadPayload("odd"), "BadPayload: odd"),
        (BadPayload("odd", original_error=KeyError("a")), "KeyError: 'a'"),
    ):
        refuses.error = error
        visit.verdicts.clear()
        with mock.patch.object(URLSafeTimedSerializer, "load_payload", side_effect=error):
            visit.go(read, signed())
        assert visit.codes[0] == "undecodable"
        assert visit.verdicts[0].evidence["problem"] == problem


def test_several_cookies_of_which_none_is_valid_are_counted() -> None:
    """One that verifies and is too old is no duplicate that would have been taken."""
    visit = Visit(PERMANENT_SESSION_LIFETIME=60)
    bad, old = signed(key="x"), signed(now=NOW - 61)
    for header, count in ((f"session={bad}; session={old}", 2), (f"session={bad}", None)):
        visit.verdicts.clear()
        visit.go(read, header)
        assert visit.codes[0] == "unknown-key"
        assert visit.verdicts[0].evidence.get("count") == count


@pytest.mark.parametrize("own", [False, True])
def test_a_split_session_is_judged_as_a_whole(own: bool) -> None:
    """By its one signature; where none are split, it is one more bad signature."""
    visit = Visit()
    if own:
        with_tag(visit)
    text = signed('{"n":1}')
    parts = f"session=~2~{text[:9]}; session.1={text[9:]}"
    visit.go(read, parts)
    visit.interface.size = "split"
    visit.go(read, parts)
    first, told = (verdict for verdict in visit.verdicts if verdict.step == "open")
    assert first.code not in {"valid", "undecodable"}
    assert told.code == "valid"
    assert (told.evidence["key"], told.evidence["cookies"]) == (FINGERPRINT, 2)
    visit.verdicts.clear()
    visit.go(read, text)
    assert visit.codes[0] == "valid"
    assert "cookies" not in visit.verdicts[0].evidence


@pytest.mark.parametrize("own", [False, True])
def test_a_session_that_is_refused_for_its_time_is_told_with_its_key(own: bool) -> None:
    visit = Visit()
    if own:
        with_tag(visit)
    visit.interface.timeouts = Timeouts(idle=60)
    for at, code, evidence in (
        (NOW - 61, "idle", {"limit": 60, "age": 61}),
        (NOW + 9, "future", {"ahead": 9}),
        (NOW - 60, "valid", {"age": 60}),
    ):
        visit.verdicts.clear()
        visit.go(read, signed(now=at))
        told = visit.verdicts[0]
        assert told.code == code
        assert told.evidence.items() >= {"key": FINGERPRINT, **evidence}.items()
        assert visit.interface.tally.totals()["open", code, FINGERPRINT] == 1


def test_a_look_at_a_refused_cookie_that_fails_is_counted_and_costs_no_answer() -> None:
    visit = Visit()
    with mock.patch.object(diagnosis, "suspect", side_effect=ValueError("odd")):
        visit.go(read, "garbage")
    assert visit.interface.failures == 1
    assert visit.codes == ["unchanged"]


def test_strict_or_not_a_nested_change_is_told() -> None:
    """Where a session is read at once, too."""
    visit = Visit()
    visit.interface.strict = True
    visit.go(lambda: str(session["list"].append(2)), signed('{"list":[1]}'))
    assert visit.codes == ["valid", "nested-change"]


def bad_key() -> str:
    return signed(key="other")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        (signed(), "valid"),
        (signed(key="old"), "valid-fallback"),
        (signed(now=NOW - 99), "expired"),
        (signed(now=NOW + 9), "future"),
        (bad_key(), "unknown-key"),
        (signed(salt="session"), "other-settings"),
        (f"session={bad_key()}; session={signed()}", "duplicate"),
        (signed()[:-9], "truncated"),
        ("abcdef", "malformed"),
        ("1|" + "a" * 128, "foreign"),
        (signed("{"), "undecodable"),
    ],
)
def test_what_tags_the_app_has_changes_no_verdict(own: bool, cookie: str, code: str) -> None:
    """Flask's serializer reads the inside then; the outside says as much as ever."""
    visit = Visit(PERMANENT_SESSION_LIFETIME=60, SECRET_KEY_FALLBACKS=["old"])
    if own:
        with_tag(visit)
    visit.go(read, f"session={cookie.removeprefix('session=')}")
    told = visit.verdicts[0]
    assert told.code == code
    assert "unknown" not in told.message
    if code == "valid-fallback":
        key = Keyring.derive("old").current.fingerprint
        assert told.evidence["key"] == key
        assert visit.interface.tally.last_used == {key: NOW}


def test_a_signer_of_the_apps_own_says_by_which_limit_a_session_ended() -> None:
    for idle, code in ((50, "idle"), (None, "expired")):
        visit = Visit(PERMANENT_SESSION_LIFETIME=60)
        with_class(visit)
        visit.interface.timeouts = Timeouts(idle=idle)
        visit.go(read, signed(now=NOW - 99))
        assert visit.verdicts[0].code == code
        assert visit.verdicts[0].evidence == {"age": 99, "limit": idle or 60}


def test_a_serializer_of_the_apps_own_may_say_that_there_is_no_key() -> None:
    visit = Visit()
    visit.interface.get_signing_serializer = lambda app: None  # type: ignore[method-assign]
    visit.go(read, signed())
    assert visit.codes == ["no-key"]


# -------------------------------------------------------------------------------- saving


def test_saved_says_how_large_and_how() -> None:
    visit = Visit(SESSION_COOKIE_SAMESITE="Lax")
    headers = visit.go(write)
    told = visit.last()
    assert told.code == "saved"
    assert told.evidence["size"] == len(dict(headers)["Set-Cookie"])
    assert told.evidence["samesite"] == "Lax"


def test_deleted_when_it_was_emptied() -> None:
    visit = Visit()
    visit.go(empty, signed())
    assert visit.codes == ["valid", "deleted"]


CART = '{"cart":[{"sku":"a"}],"n":1,"t":{" t":[[1]]}}'


def grow() -> str:
    session["cart"][0]["sku"] = "b"
    session["t"][0].append(2)
    return ""


def test_a_nested_change_names_its_keys_and_is_not_saved() -> None:
    visit = Visit()
    headers = visit.go(grow, signed(CART))
    told = visit.last()
    assert told.code == "nested-change"
    assert 'session["cart"] and session["t"]' in told.message
    assert "session.modified = True" in told.fix
    assert "Set-Cookie" not in dict(headers)


def test_a_nested_change_is_saved_on_request() -> None:
    visit = Visit()
    visit.interface.nested = "save"
    headers = visit.go(grow, signed(CART))
    assert visit.last().code == "nested-saved"
    cookie = dict(headers)["Set-Cookie"].partition(";")[0]
    visit.interface.nested = "tell"

    def look() -> str:
        assert session["cart"] == [{"sku": "b"}]
        assert session["t"] == ([1, 2],)
        return ""

    visit.go(look, cookie)
    assert visit.last().code == "unchanged"


class SetTag(JSONTag):
    __slots__ = ()
    key = " s"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, set)

    def to_json(self, value: t.Any) -> t.Any:
        return [*value]

    def to_python(self, value: t.Any) -> t.Any:
        return set(value)


class OwnProvider(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **kwargs)


class ReadsItself(DefaultJSONProvider):
    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return super().loads(s, **kwargs)


class Signs(CtxSessionInterface):
    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        return super().get_signing_serializer(app)


class Unlike:
    """Writes the same otherwise each time, as what encrypts does."""

    def __init__(self) -> None:
        self.count = 0

    def dumps(self, value: t.Any) -> str:
        self.count += 1
        return json.dumps([self.count, value])

    def loads(self, text: str) -> t.Any:
        return json.loads(text)[1]


def with_tag(visit: Visit) -> None:
    serializer = TaggedJSONSerializer()
    serializer.register(SetTag)
    visit.interface.serializer = serializer


def with_provider(visit: Visit, cls: type[DefaultJSONProvider]) -> None:
    visit.app.json = cls(visit.app)


def with_serializer(visit: Visit, serializer: t.Any) -> None:
    visit.interface.serializer = serializer


def with_class(visit: Visit) -> None:
    visit.interface = visit.app.session_interface = Signs()
    visit.interface.on_verdict = visit.verdicts.append


@pytest.mark.parametrize(
    "change",
    [
        with_tag, partial(with_provider, cls=OwnProvider), partial(with_provider, cls=ReadsItself),
        partial(with_serializer, serializer=json), with_class,
    ],
)  # fmt: skip
def test_a_nested_change_is_noticed_whoever_writes_the_session(
    change: t.Callable[[Visit], None],
) -> None:
    """Also where the app has tags, a provider, a serializer or a signer of its own."""
    visit = Visit()
    change(visit)

    def fill() -> str:
        session.update(cart=[1], other=["é"], n=1)
        return ""

    def add() -> str:
        session["cart"].append(2)
        return ""

    def look() -> str:
        return repr(sorted(session["cart"]) + session["other"])

    cookie = dict(visit.go(fill))["Set-Cookie"].partition(";")[0]
    visit.go(look, cookie)
    assert visit.last().code == "unchanged"
    assert "Set-Cookie" not in dict(visit.go(add, cookie))
    assert (visit.last().code, visit.last().evidence["keys"]) == ("nested-change", ("cart",))
    visit.interface.nested = "save"
    cookie = dict(visit.go(add, cookie))["Set-Cookie"].partition(";")[0]
    assert visit.last().code == "nested-saved"
    bodies: list[str] = []
    visit.go(lambda: bodies.append(look()) or "", cookie)  # type: ignore[func-returns-value]
    assert bodies == ["[1, 2, 'é']"]
    visit.interface.nested = "off"
    visit.go(add, cookie)
    assert visit.last().code == "unchanged"


def test_a_set_that_was_only_read_is_no_nested_change() -> None:
    visit = Visit()
    with_tag(visit)

    def fill() -> str:
        session["words"] = {str(n) for n in range(50)}
        return ""

    def add() -> str:
        session["words"].add("one more")
        return ""

    cookie = dict(visit.go(fill))["Set-Cookie"].partition(";")[0]
    visit.go(lambda: str(len(session["words"])), cookie)
    assert visit.last().code == "unchanged"
    visit.go(add, cookie)
    assert visit.last().code == "nested-change"


def test_a_serializer_that_never_writes_the_same_raises_no_false_alarm() -> None:
    """Nothing can be told of it, so nothing is."""
    visit = Visit()
    with_serializer(visit, Unlike())

    def fill() -> str:
        session["cart"] = [1]
        return ""

    cookie = dict(visit.go(fill))["Set-Cookie"].partition(";")[0]
    visit.go(lambda: str(session["cart"]), cookie)
    assert visit.last().code == "unchanged"
    assert visit.interface.failures == 0


def test_nested_changes_can_be_left_alone() -> None:
    visit = Visit()
    visit.interface.nested = "off"
    visit.go(grow, signed(CART))
    assert visit.last().code == "unchanged"


@pytest.mark.parametrize(
    "text",
    [CART, '{ "z": [1], "a": {"x": "\\u00e9"} }', '{"d":{" d":"Sun, 06 Nov 1994 08:49:37 GMT"}}',
     '{"l":[NaN],"b":{" b":"AA=="}}', '{"l":[1.0,1e3],"l":[2]}', '{" di":{" t__":[1]}}'],
)  # fmt: skip
def test_no_false_alarm_for_a_session_that_was_only_read(text: str) -> None:
    """Also one whose text this Flask would write otherwise."""
    visit = Visit()
    visit.go(lambda: repr(dict(session)), signed(text))
    assert visit.last().code == "unchanged"


def test_a_nested_value_of_another_type_is_a_change() -> None:
    """1 and True are equal, but not the same cookie."""
    visit = Visit()

    def swap() -> str:
        session["l"][0] = True
        return ""

    visit.go(swap, signed('{"l":[1]}'))
    assert visit.last().code == "nested-change"


def test_a_nested_value_that_cannot_be_saved_is_a_change_and_calls_no_eq() -> None:
    class Trap:
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    visit = Visit()

    def put() -> str:
        session["l"].append(Trap())
        return ""

    visit.go(put, signed('{"l":[1]}'))
    assert visit.last().code == "nested-change"


@pytest.mark.parametrize(
    "change",
    [
        plain, partial(with_provider, cls=OwnProvider), partial(with_serializer, serializer=json),
    ],
)  # fmt: skip
def test_unserializable_names_the_key_and_fails_as_in_flask(change: t.Any) -> None:
    visit = Visit(TESTING=True)
    if change is not plain:
        change(visit)

    def put() -> str:
        session["ok"] = 1
        session["tags"] = {1, 2}
        return ""

    with pytest.raises(TypeError):
        visit.go(put)
    told = visit.last()
    assert told.code == "unserializable"
    assert told.evidence["keys"] == ("tags",)
    assert visit.codes.count("unserializable") == 1


def fail() -> str:
    session["n"] = 2
    raise ZeroDivisionError


def test_an_exception_that_propagates_loses_the_change() -> None:
    visit = Visit(TESTING=True)
    with pytest.raises(ZeroDivisionError):
        visit.go(fail)
    assert visit.codes == ["absent", "exception-propagated"]
    assert "ZeroDivisionError" in visit.last().message


def test_an_exception_that_is_answered_saves_the_change() -> None:
    visit = Visit(PROPAGATE_EXCEPTIONS=False)
    visit.go(fail)
    assert visit.codes == ["absent", "saved"]


def test_an_after_request_function_that_raises_loses_the_change() -> None:
    visit = Visit(PROPAGATE_EXCEPTIONS=False)

    @visit.app.after_request
    def broken(response: t.Any) -> t.Any:
        raise KeyError

    visit.go(write)
    assert visit.last().code == "after-request-raised"
    assert "KeyError" in visit.last().message


def test_a_request_that_ends_without_an_answer_loses_the_change() -> None:
    visit = Visit()
    with visit.app.test_request_context():
        session["n"] = 1
    assert visit.last().code == "not-saved"


def test_a_context_whose_session_was_only_read_is_fine() -> None:
    visit = Visit()
    with visit.app.test_request_context():
        assert session.get("n") is None
    assert visit.codes == ["absent"]


def test_a_change_in_a_stream_is_lost() -> None:
    """Also for a session that nothing had touched before."""
    visit = Visit()

    def stream() -> t.Any:
        def body() -> t.Iterator[str]:
            yield "a"
            session["n"] = 5
            session["m"] = 5
            yield "b"

        return visit.app.response_class(stream_with_context(body()))

    visit.go(stream)
    assert [code for code in visit.codes if code.startswith("changed")] == ["changed-in-stream"]
    visit.verdicts.clear()
    visit.go(stream, signed())
    assert [code for code in visit.codes if code.startswith("changed")] == ["changed-in-stream"]


def test_a_change_in_a_teardown_function_is_lost() -> None:
    visit = Visit()

    @visit.app.teardown_request
    def late(error: BaseException | None) -> None:
        session["n"] = 6

    visit.go(read)
    assert visit.codes == ["absent", "unchanged", "changed-after-save"]


def test_a_write_without_a_secret_key_is_named() -> None:
    visit = Visit(SECRET_KEY=None, TESTING=True)
    with pytest.raises(RuntimeError, match="secret"):
        visit.go(write)
    assert visit.codes == ["no-key", "null-session"]


def test_another_runtime_error_without_a_secret_key_is_not_that() -> None:
    visit = Visit(SECRET_KEY=None, TESTING=True)

    def broken() -> str:
        raise RuntimeError("The session is unavailable")

    with pytest.raises(RuntimeError):
        visit.go(broken)
    assert visit.codes == ["no-key"]


@pytest.mark.filterwarnings("ignore:The 'session' cookie is too large")
@pytest.mark.parametrize(("size", "code"), [(3000, "saved"), (9000, "over-budget")])
def test_over_budget_names_the_largest_keys(size: int, code: str) -> None:
    visit = Visit()

    def fill() -> str:
        blocks = (hashlib.sha512(bytes([n])).hexdigest() for n in range(size // 128))
        session["big"], session["small"] = "".join(blocks), 1
        return ""

    headers = visit.go(fill)
    told = visit.last()
    assert told.code == code
    assert told.evidence["size"] == len(dict(headers)["Set-Cookie"])
    assert (told.evidence["size"] > 4093) == (code == "over-budget")
    if code == "over-budget":
        assert told.evidence["largest"].startswith("big (")


@pytest.mark.parametrize(("size", "code"), [(4093, "saved"), (4094, "over-budget")])
def test_the_budget_is_that_of_the_whole_header(size: int, code: str) -> None:
    attributes = {"domain": None, "path": "/", "secure": False, "samesite": None}
    sent = Cookie("session", "x" * (size - 60), attributes)
    assert diagnosis.saving(sent, lambda: "y" * size)[0] == code


SECURE = {"SESSION_COOKIE_SECURE": True}
HOST_PREFIX = {"SESSION_COOKIE_NAME": "__Host-s"}


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"wsgi.url_scheme": "https"}, "saved"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "proxy-not-trusted"),
        ({"HTTP_X_FORWARDED_PROTO": "http"}, "secure-over-http"),
        ({"HTTP_X_FORWARDED_PROTO": "https, http"}, "proxy-not-trusted"),
        ({"HTTP_X_FORWARDED_PROTO": "junk"}, "secure-unknown"),
        ({"HTTP_FORWARDED": 'for=1.2.3.4;proto="https"'}, "proxy-not-trusted"),
        ({"HTTP_FORWARDED": "proto=http"}, "secure-over-http"),
        ({"HTTP_X_FORWARDED_SSL": "on"}, "proxy-not-trusted"),
        ({"HTTP_HOST": "shop.example", "HTTP_ORIGIN": "http://shop.example"}, "secure-over-http"),
        ({"HTTP_HOST": "shop.example", "HTTP_ORIGIN": "https://shop.example"}, "proxy-not-trusted"),
        ({"HTTP_HOST": "shop.example", "HTTP_ORIGIN": "https://other.example"}, "secure-unknown"),
        ({"HTTP_HOST": "shop.example", "HTTP_ORIGIN": "null"}, "secure-unknown"),
        ({"HTTP_HOST": "shop.example", "HTTP_ORIGIN": "http://[bad"}, "secure-unknown"),
        ({"HTTP_HOST": "shop.example", "HTTP_REFERER": "http://shop.example/"}, "secure-over-http"),
        ({"HTTP_HOST": "shop.example", "HTTP_SEC_FETCH_SITE": "none"}, "proxy-not-trusted"),
        ({"HTTP_HOST": "localhost:5000", "HTTP_SEC_FETCH_SITE": "none"}, "secure-unknown"),
        ({"HTTP_HOST": "127.0.0.1:5000", "HTTP_ORIGIN": "http://127.0.0.1:5000"}, "secure-unknown"),
        ({}, "secure-unknown"),
    ],
)  # fmt: skip
def test_secure_over_http_is_told_from_evidence_only(environ: dict[str, str], code: str) -> None:
    visit = Visit(**SECURE)
    headers = visit.go(write, **environ)
    assert visit.last().code == code
    assert "Secure" in dict(headers)["Set-Cookie"]


@pytest.mark.parametrize(
    ("config", "environ", "code"),
    [
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, {"HTTP_HOST": "www.example.com:80"}, "saved"),
        ({"SESSION_COOKIE_DOMAIN": ".example.com"}, {"HTTP_HOST": "example.com"}, "saved"),
        ({"SESSION_COOKIE_DOMAIN": "ex.com"}, {"HTTP_HOST": "badex.com"}, "domain-mismatch"),
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, {"HTTP_HOST": "localhost"}, "domain-mismatch"),
        ({"SESSION_COOKIE_DOMAIN": "0.0.1"}, {"HTTP_HOST": "127.0.0.1"}, "domain-mismatch"),
        ({"APPLICATION_ROOT": "/app"}, {}, "path-mismatch"),
        ({"SESSION_COOKIE_PATH": "/app"}, {"SCRIPT_NAME": "/app"}, "saved"),
        ({"SESSION_COOKIE_PATH": "/ap"}, {"SCRIPT_NAME": "/app"}, "path-mismatch"),
        (HOST_PREFIX, {}, "prefix-rules"),
        ({"SESSION_COOKIE_NAME": "__Secure-s"}, {}, "prefix-rules"),
        ({"SESSION_COOKIE_NAME": "__secure-s", **SECURE}, {"wsgi.url_scheme": "https"}, "saved"),
        ({**HOST_PREFIX, **SECURE}, {"wsgi.url_scheme": "https"}, "saved"),
        ({**HOST_PREFIX, **SECURE, "SESSION_COOKIE_PATH": "/a"}, {}, "prefix-rules"),
        ({**HOST_PREFIX, **SECURE, "SESSION_COOKIE_DOMAIN": "a.b"}, {}, "prefix-rules"),
        ({"SESSION_COOKIE_SAMESITE": "None"}, {}, "samesite-none"),
        ({"SESSION_COOKIE_SAMESITE": "None", **SECURE}, {"wsgi.url_scheme": "https"}, "saved"),
    ],
)  # fmt: skip
def test_what_browsers_drop_is_named(config: t.Any, environ: t.Any, code: str) -> None:
    visit = Visit(**config)
    visit.go(write, **environ)
    assert visit.last().code == code


@pytest.mark.parametrize(
    ("path", "url_path", "same"),
    [("/", "/x", True), ("/a", "/a", True), ("/a", "/a/", True), ("/a/", "/a", False),
     ("/a", "/ab", False), ("/a/", "/a/b", True)],
)  # fmt: skip
def test_paths_match_as_in_the_rfc(path: str, url_path: str, same: bool) -> None:
    assert path_matches(path, url_path) is same


def test_hosts_match_as_in_the_rfc() -> None:
    assert domain_matches("Example.com", "a.b.example.com")
    assert not domain_matches("a.example.com", "example.com")
    assert scheme_of_visitor({"HTTP_HOST": "[::1]:80", "HTTP_ORIGIN": "https://[::1]"})[0] is None


# ---------------------------------------------------------------------------- who hears


def test_every_reason_has_a_message_and_what_to_act_on_has_a_fix() -> None:
    codes = [r.code for r in REASONS]
    assert len(codes) == len(set(codes))
    for line in REASONS:
        assert line.message.endswith((".", "}"))
        assert line.fix or not line.is_worth_telling
    with pytest.raises(KeyError):
        reason("open", "no such code")


def test_a_message_without_its_evidence_says_unknown() -> None:
    assert "unknown" in Verdict("open", "expired", {}).message


def test_verdicts_are_counted_by_code_and_key_while_nobody_listens() -> None:
    visit = Visit(SECRET_KEY_FALLBACKS=["old"])
    visit.interface.on_verdict = None
    for key in ("k", "k", "old", "x", "x", "x"):
        visit.go(read, signed(key=key))
    counts = visit.interface.tally.window(NOW)
    old = Keyring.derive("old").current.fingerprint
    assert counts["open", "valid", FINGERPRINT] == 2
    assert counts["open", "valid-fallback", old] == 1
    assert counts["open", "unknown-key", ""] == 3
    assert counts["save", "unchanged", ""] == 6
    assert tally.unknown_keys(counts) == (3, 6)
    assert visit.verdicts == []


def test_counts_of_other_minutes_fall_out_of_the_window_but_not_out_of_the_totals() -> None:
    counted = tally.Tally()
    key = ("open", "valid", "")
    for minute in range(tally.MINUTES * 3):
        counted.count(NOW + minute * 60, key)
    end = NOW + (tally.MINUTES * 3 - 1) * 60
    assert counted.window(end) == {key: 6}
    assert counted.totals() == {key: tally.MINUTES * 3}
    assert len(counted._minutes) <= tally.MINUTES
    assert counted.since == NOW


def test_a_clock_that_goes_back_breaks_no_count() -> None:
    counted = tally.Tally()
    for now in (NOW, 0, NOW, -5):
        counted.count(now, ("open", "valid", ""))
    assert counted.totals() == {("open", "valid", ""): 4}


def test_threads_lose_no_count() -> None:
    counted = tally.Tally()
    key = ("open", "valid", "")

    def count_often() -> None:
        for _ in range(20_000):
            counted.count(NOW, key)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counted.totals() == {key: 80_000}


def test_the_log_says_each_reason_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    visit = Visit()
    visit.interface.on_verdict = None
    for _ in range(5):
        visit.go(read, signed(key="x"))
        visit.go(read, signed(now=NOW + 9))
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2
    with mock.patch.object(sys.modules[__name__], "NOW", NOW + 60):
        visit.go(read, signed(key="x"))
    assert "4 more" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 3


def test_what_is_in_order_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    visit = Visit(PERMANENT_SESSION_LIFETIME=60)
    for view in (plain, read, write, empty):
        visit.go(view)
        visit.go(view, signed())
        visit.go(view, signed(now=NOW - 61))
    assert caplog.records == []


def test_the_signal_carries_the_verdict() -> None:
    visit = Visit()
    heard: list[t.Any] = []

    def hear(sender: t.Any, verdict: Verdict) -> None:
        heard.append((sender, verdict.code))

    with session_verdict.connected_to(hear, visit.app):
        visit.go(write)
    assert heard == [(visit.app, "absent"), (visit.app, "saved")]


def test_a_listener_that_raises_costs_no_response(caplog: pytest.LogCaptureFixture) -> None:
    visit = Visit(TESTING=True)

    def broken(told: Verdict) -> None:
        raise ValueError("mine")

    visit.interface.on_verdict = broken
    headers = visit.go(write)
    assert "Set-Cookie" in dict(headers)
    assert visit.interface.failures == 2
    assert "could not be told" in caplog.text


def test_random_cookies_are_not_all_looked_into_at_length() -> None:
    """Trying other settings costs up to a millisecond, which nobody may order at will."""
    visit = Visit()
    with mock.patch("flask_ctxkit.session.suspects.other_settings", return_value=None) as looked:
        for _ in range(judge.DEEP_LOOKS * 4):
            visit.go(read, signed(key="x"))
    tried = [call for call in looked.call_args_list if call.args[2]]
    assert len(tried) == judge.DEEP_LOOKS


def test_verdicts_hold_no_value_of_the_session_and_no_key() -> None:
    visit = Visit(SECRET_KEY="the secret key", SECRET_KEY_FALLBACKS=["the old secret"])
    for key in ("the secret key", "the old secret", "x"):
        text = signed('{"private":"value of the session"}', key=key)
        visit.go(lambda: str(session.get("private")), text)
        visit.go(write, text)
        visit.go(read, text[:-8])
    shown = repr(visit.verdicts)
    for secret in ("secret", "value of the session", "eyJ"):
        assert secret not in shown.replace("SECRET_KEY", "")
