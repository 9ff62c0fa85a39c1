"""Encrypted sessions: nobody reads or forges them, and nothing signed passes for one."""

from __future__ import annotations

import base64
import hashlib
import time
import typing as t
from datetime import date
from unittest import mock

import pytest
from flask import Flask, session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.sansio.http import parse_cookie

from flask_ctxkit import ConfigError, CtxKit, revoke_sessions
from flask_ctxkit.session import codec
from flask_ctxkit.session.codec import Keyring
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.peek import peek

pytest.importorskip("cryptography")
from flask_ctxkit.session import encryption

NOW = 1_700_000_000
DAY = "2023-11-14"  # the day of NOW
SIGNED = codec.seal(codec.pack('{"n":1}'), Keyring.derive("k"), now=NOW)


class Site:
    """An app that encrypts its sessions."""

    def __init__(self, **config: t.Any) -> None:
        self.app = app = Flask("app")
        app.secret_key = "k"
        app.config.update({"CTXKIT_SESSION_ENCRYPT": True, **config})
        CtxKit(app)
        found = app.session_interface
        assert isinstance(found, CtxSessionInterface)
        self.interface = found
        self.codes: list[str] = []
        found.on_verdict = lambda verdict: self.codes.append(verdict.code)

        @app.get("/write")
        def write() -> str:
            session.update(n=1, t=(1, b"x"))
            return "written"

        @app.get("/login")
        def login() -> str:
            session["user_id"] = 7
            session.permanent = True
            return "in"

        @app.get("/nested")
        def nested() -> str:
            session["list"] = ["a" * 40]
            return ""

        @app.get("/large")
        def large() -> str:
            session["text"] = "a" * 5000
            return ""

        @app.get("/read")
        def read() -> str:
            return repr(dict(session))

        @app.get("/plain")
        def plain() -> str:
            return ""

    def get(self, path: str, *cookies: str, at: int = NOW) -> tuple[str, list[str]]:
        """The body, and the values of the cookies that were set."""
        headers = [("Cookie", "; ".join(cookies))] if cookies else []
        with mock.patch("time.time", return_value=at):
            answer = self.app.test_client(use_cookies=False).get(path, headers=headers)
        lines = answer.headers.getlist("Set-Cookie")
        return answer.text, [next(iter(parse_cookie(line).values())) for line in lines]

    def write(self, path: str = "/write", at: int = NOW) -> str:
        return f"session={self.get(path, at=at)[1][0]}"


def raw_of(cookie: str) -> bytes:
    text = cookie.removeprefix("session=~e1~")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def of(raw: bytes) -> str:
    return "session=~e1~" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_off_nothing_changes() -> None:
    """A cookie as Flask makes it."""
    site = Site(CTXKIT_SESSION_ENCRYPT=False)
    assert site.interface.encryption is None
    assert site.write().count(".") == 2


def test_what_is_written_is_read_and_shows_nothing() -> None:
    """All types come back; the text holds no word of the session."""
    site = Site()
    cookie = site.write()
    assert site.get("/read", cookie)[0] == "{'n': 1, 't': (1, b'x')}"
    assert b'"n"' not in raw_of(cookie)
    assert peek(cookie.removeprefix("session=")).problem is not None
    assert site.codes[-2:] == ["valid", "unchanged"]


def test_two_cookies_of_one_session_differ() -> None:
    """Each has a nonce of its own."""
    site = Site()
    assert len({site.write() for _ in range(20)}) == 20


def test_the_length_says_little() -> None:
    """Neither one letter nor what could be compressed shows in it."""
    ring = encryption.Encryption().ciphers(Site().app, "s")
    sizes = {len(encryption.encrypt(f'{{"a":"{"x" * n}"}}', "session", ring)) for n in range(24)}
    assert len(sizes) == 1
    flat, rough = "a" * 1024, hashlib.shake_128(b"").hexdigest(512)
    assert len(encryption.encrypt(flat, "s", ring)) == len(encryption.encrypt(rough, "s", ring))


@pytest.mark.parametrize("place", range(0, 84, 7))
def test_one_changed_bit_is_refused(place: int) -> None:
    """In the nonce, the time, the values and the tag."""
    site = Site()
    raw = bytearray(raw_of(site.write()))
    assert len(raw) == 12 + 8 + 64 + 16 or len(raw) == 12 + 8 + 32 + 16
    raw[place % len(raw)] ^= 1
    assert site.get("/read", of(bytes(raw)))[0] == "{}"
    assert "undecryptable" in site.codes


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13, 27, 28, 35])
def test_a_cut_cookie_is_refused(size: int) -> None:
    """Down to nothing."""
    site = Site()
    assert site.get("/read", of(raw_of(site.write())[:size]))[0] == "{}"


@given(
    st.text(
        alphabet=st.characters(
            blacklist_characters=';," \\\t\r\n', max_codepoint=126, min_codepoint=33
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_refused(text: str) -> None:
    """No error, and nobody gets in."""
    site = Site()
    for cookie in (f"session=~e1~{text}", f"session={text}"):
        assert site.get("/read", cookie)[0] == "{}"


def test_a_cookie_of_another_name_or_app_is_refused() -> None:
    """The name, the key and the salt are bound to it."""
    cookie = Site().write()
    assert (
        Site(SESSION_COOKIE_NAME="other").get("/read", cookie.replace("session=", "other="))[0]
        == "{}"
    )
    other = Site()
    other.interface.salt = "other"
    assert other.get("/read", cookie)[0] == "{}"
    stranger = Site()
    stranger.app.secret_key = "x"
    assert stranger.get("/read", cookie)[0] == "{}"


def test_old_keys_decrypt_and_do_not_encrypt() -> None:
    """Rotation works as with signatures; a single string is no list of keys."""
    cookie = Site().write()
    site = Site(SECRET_KEY_FALLBACKS=["a", "k"], CTXKIT_SESSION_RESIGN=10)
    site.app.secret_key = "new"
    body, anew = site.get("/read", cookie, at=NOW + 20)
    assert body != "{}"
    assert site.codes[-2:] == ["valid-fallback", "re-signed"]
    site.app.config["SECRET_KEY_FALLBACKS"] = "k"
    assert site.get("/read", cookie)[0] == "{}"
    assert site.get("/read", f"session={anew[0]}", at=NOW + 20)[0] == body


def test_it_expires_by_the_time_inside() -> None:
    """Also one that comes from the future."""
    site = Site(PERMANENT_SESSION_LIFETIME=100)
    cookie = site.write()
    assert site.get("/read", cookie, at=NOW + 100)[0] != "{}"
    assert site.get("/read", cookie, at=NOW + 101)[0] == "{}"
    assert site.codes[-1] != "valid"
    assert "expired" in site.codes
    assert site.get("/read", cookie, at=NOW - 1)[0] == "{}"
    assert "future" in site.codes


def test_a_permanent_session_is_refreshed_untouched() -> None:
    """As without encryption; one that is not permanent is left alone."""
    site = Site()
    assert site.get("/plain", site.write("/login"), at=NOW + 5)[1]
    assert not site.get("/plain", site.write(), at=NOW + 5)[1]


def test_a_nested_change_is_noticed_and_saved() -> None:
    """The other abilities work on what is inside."""
    site = Site(CTXKIT_SESSION_NESTED="save")

    @site.app.get("/change")
    def change() -> str:
        session["list"].append(2)
        return ""

    cookie = site.write("/nested")
    assert site.get("/change", cookie)[1]
    assert site.codes[-1] == "nested-saved"


def test_a_large_session_is_split_and_joined() -> None:
    """Cut after it was encrypted."""
    site = Site(CTXKIT_SESSION_SIZE="split")
    parts = site.get("/large")[1]
    cookies = [f"session={parts[0]}", *(f"session.{n}={p}" for n, p in enumerate(parts[1:], 1))]
    assert len(cookies) == 2
    assert len(site.get("/read", *cookies)[0]) > 5000
    assert site.get("/read", cookies[0])[0] == "{}"


def test_an_encrypted_session_can_be_revoked() -> None:
    """By the time inside."""
    site = Site(CTXKIT_SESSION_REVOCATIONS="memory://")
    cookie = site.write("/login")
    assert "7" in site.get("/read", cookie)[0]
    with mock.patch("time.time", return_value=NOW), site.app.app_context():
        revoke_sessions(7)
    assert site.get("/read", cookie)[0] == "{}"


@pytest.mark.parametrize(
    "serializer", [TaggedJSONSerializer(), type("S", (TaggedJSONSerializer,), {})()]
)
def test_a_serializer_of_the_apps_own_is_encrypted_too(serializer: TaggedJSONSerializer) -> None:
    """The slower way never falls back to signing alone."""
    site = Site()
    site.interface.serializer = serializer
    cookie = site.write()
    assert cookie.startswith("session=~e1~")
    assert site.get("/read", cookie)[0] == "{'n': 1, 't': (1, b'x')}"


def test_signing_anew_saves_no_change_inside_a_value() -> None:
    """What is told as not saved is not saved."""
    site = Site(CTXKIT_SESSION_IDLE=100)
    site.app.add_url_rule("/grow", "grow", lambda: str(session["list"].append("b")))
    anew = site.get("/grow", site.write("/nested"), at=NOW + 50)[1]
    assert "nested-change" in site.codes
    assert site.get("/read", f"session={anew[0]}", at=NOW + 50)[0] == repr({"list": ["a" * 40]})


def test_leeway_forgives_a_clock_ahead_and_no_more() -> None:
    site = Site(CTXKIT_SESSION_LEEWAY=5)
    cookie = site.write()
    for at, opens in ((NOW + 3, True), (NOW - 5, True), (NOW - 6, False)):
        assert ("n" in site.get("/read", cookie, at=at)[0]) is opens
    assert "future" in site.codes


def test_what_the_apps_own_serializer_can_not_read_is_undecodable() -> None:
    """And empty; the verdict has its length, and what was raised."""
    site = Site()
    told: list[t.Any] = []
    site.interface.on_verdict = told.append
    cookie = site.write()
    site.interface.serializer = type("Own", (TaggedJSONSerializer,), {"loads": lambda *_: 1 / 0})()
    assert site.get("/read", cookie)[0] == "{}"
    (found,) = (verdict for verdict in told if verdict.code == "undecodable")
    assert found.evidence["problem"].startswith("ZeroDivisionError")
    assert found.evidence["length"] == len(cookie.removeprefix("session="))


@pytest.mark.parametrize("header", ["session=", "xsession=1"])
def test_an_empty_cookie_is_none(header: str) -> None:
    site = Site()
    assert site.get("/read", header)[0] == "{}"
    assert site.codes[0] == "absent"


def test_what_came_signed_and_is_refused_leaves_nothing_to_read() -> None:
    site = Site()
    with (
        mock.patch("time.time", return_value=NOW),
        site.app.test_request_context(headers={"Cookie": f"session={SIGNED}"}),
    ):
        assert dict(session) == {}
        opening = t.cast("t.Any", session).opening
    assert (opening.code, opening.payload) == ("not-encrypted", b"")


def test_what_the_apps_own_serializer_wrote_it_reads() -> None:
    """Not the kit, which has no tag for it."""

    class Own(TaggedJSONSerializer):
        def dumps(self, value: t.Any) -> str:
            return super().dumps({"wrapped": value})

        def loads(self, value: str) -> t.Any:
            return super().loads(value)["wrapped"]

    site = Site()
    site.interface.serializer = Own()
    assert site.get("/read", site.write())[0] == "{'n': 1, 't': (1, b'x')}"


def test_flask_itself_takes_it_for_a_bad_signature() -> None:
    """A worker without the kit logs the visitor out, and does not fail."""
    app = Flask("app")
    app.secret_key = "k"
    app.add_url_rule("/", "v", lambda: repr(dict(session)))
    answer = app.test_client(use_cookies=False).get("/", headers={"Cookie": Site().write()})
    assert (answer.status_code, answer.text) == (200, "{}")


# -------------------------------------------------------------------- the window of migration


def test_a_signed_cookie_is_refused() -> None:
    """Without a window, and said."""
    site = Site()
    assert site.get("/read", f"session={SIGNED}")[0] == "{}"
    assert "not-encrypted" in site.codes


@pytest.mark.parametrize("until", [DAY, date.fromisoformat(DAY)])
def test_a_signed_cookie_is_taken_until_the_end_of_the_day(until: object) -> None:
    """In UTC, and not a second longer."""
    site = Site(CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL=until)
    end = 1_700_006_400  # 2023-11-15T00:00:00Z
    assert site.get("/read", f"session={SIGNED}", at=end - 1)[0] == "{'n': 1}"
    assert site.codes[0] == "valid-signed"
    assert site.get("/read", f"session={SIGNED}", at=end)[0] == "{}"


def test_that_it_came_signed_is_said_also_where_sessions_can_be_revoked() -> None:
    """A store that has nothing against it takes nothing back; one that has is heard."""
    site = Site(
        CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL=DAY, CTXKIT_SESSION_REVOCATIONS="memory://"
    )
    signed = codec.seal(codec.pack('{"user_id":7}'), Keyring.derive("k"), now=NOW)
    assert site.get("/read", f"session={signed}")[0] == "{'user_id': 7}"
    assert site.codes[0] == "valid-signed"
    with site.app.app_context():
        revoke_sessions(7, NOW)
    assert site.get("/read", f"session={signed}")[0] == "{}"
    assert "revoked" in site.codes


def test_in_the_window_nothing_else_gets_in() -> None:
    """A broken encrypted cookie is never read as a signed one, nor is another key's."""
    site = Site(CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL=DAY)
    forged = codec.seal(codec.pack('{"n":1}'), Keyring.derive("x"), now=NOW)
    value = b"~e1~" + codec.pack('{"n":1}')
    prefixed = codec.seal(value, Keyring.derive("k"), now=NOW)  # its signature is right
    for text in (forged, prefixed, f"~e1~{SIGNED}"):
        assert site.get("/read", f"session={text}")[0] == "{}"


def test_what_is_taken_is_encrypted_when_written() -> None:
    """And where asked for, already as it is read; it stays as old as it was."""
    site = Site(CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL=DAY, CTXKIT_SESSION_RESIGN=10)
    assert site.get("/write", f"session={SIGNED}")[1][0].startswith("~e1~")
    anew = site.get("/read", f"session={SIGNED}", at=NOW + 20)[1]
    assert anew[0].startswith("~e1~")
    ring = encryption.Encryption().ciphers(site.app, site.interface.salt)
    assert encryption.decrypt(anew[0].encode(), "session", ring) == (0, NOW, '{"n":1}')


# -------------------------------------------------------------------------------- the config


@pytest.mark.parametrize(
    "config",
    [
        {"CTXKIT_SESSION_ENCRYPT": 1},
        {"CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL": "soon"},
        {"CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL": "2026-13-01"},
        {"CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL": True},
        {"CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL": DAY, "CTXKIT_SESSION_ENCRYPT": False},
        {"CTXKIT_SESSION_INTERFACE": False},
    ],
)
def test_a_wrong_config_is_refused(config: dict[str, t.Any]) -> None:
    """At init_app: who set it must not believe that sessions are encrypted."""
    with pytest.raises(ConfigError, match="CTXKIT_SESSION_"):
        Site(**config)


def test_an_interface_that_signs_in_its_own_way_is_refused() -> None:
    """It would go on signing alone."""

    class Own(CtxSessionInterface):
        def get_signing_serializer(self, app: Flask) -> t.Any:
            return super().get_signing_serializer(app)

    app = Flask("app")
    app.session_interface = Own()
    app.config["CTXKIT_SESSION_ENCRYPT"] = True
    with pytest.raises(ConfigError, match="get_signing_serializer"):
        CtxKit(app)


def test_without_the_package_it_says_what_to_install() -> None:
    """And does not sign instead."""
    hidden = mock.patch.dict("sys.modules", {"flask_ctxkit.session.encryption": None})
    with hidden, pytest.raises(ConfigError, match="crypto"):
        Site()


def test_a_secret_key_of_another_type_is_an_error() -> None:
    """Not a reason to sign alone."""
    site = Site()
    site.app.secret_key = t.cast("t.Any", 7)
    with pytest.raises((encryption.EncryptionError, AssertionError)):
        site.interface.dumps(site.app, site.interface.session_class({"n": 1}))


def test_a_way_of_signing_that_is_set_later_opens_nothing_either() -> None:
    """The class is looked at as the app is made; one interface can be changed afterwards."""
    site = Site()
    plain = SecureCookieSessionInterface().get_signing_serializer
    site.interface.get_signing_serializer = plain  # type: ignore[method-assign]
    assert site.get("/read", f"session={SIGNED}")[0] == "{}"
    assert "not-encrypted" in site.codes


def with_odd_key(site: Site) -> None:
    site.app.secret_key = t.cast("t.Any", bytearray(b"k"))


def with_odd_fallback(site: Site) -> None:
    site.app.config["SECRET_KEY_FALLBACKS"] = [bytearray(b"k")]


def with_odd_digest(site: Site) -> None:
    site.interface.digest_method = lambda *_: None


@pytest.mark.parametrize("change", [with_odd_key, with_odd_fallback, with_odd_digest])
def test_what_can_not_be_encrypted_with_is_no_reason_to_take_what_is_signed(change: t.Any) -> None:
    """The one whose cookie it is would go on unencrypted, and nobody would know."""
    site = Site()
    change(site)
    site.app.testing = True
    with pytest.raises(encryption.EncryptionError):
        site.get("/read", f"session={SIGNED}")


def test_the_key_is_another_than_the_one_that_signs() -> None:
    """Derived apart (RFC 5869): here by the standard library."""
    import hmac

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    site = Site()
    cookie = raw_of(site.write())
    prk = hmac.digest(bytes(32), b"k", "sha256")
    info = b"flask-ctxkit session encryption 1\0cookie-session"
    key = hmac.digest(prk, info + b"\x01", "sha256")
    cipher = AESGCM(key)
    plain = cipher.decrypt(cookie[:12], cookie[12:], b"~e1~\0session")
    assert plain[8:].startswith(b'{"n":1')
    assert time.gmtime(int.from_bytes(plain[:8], "big")).tm_year == 2023
