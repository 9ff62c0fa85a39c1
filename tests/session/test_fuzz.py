"""All that reads a session cookie, against whatever a stranger may send.

Two laws: nothing is raised but the codec's own error, and what is accepted is what itsdangerous
accepts with the same keys. That no input takes more memory than its cap is in test_bombs.py.

``CTXKIT_EXAMPLES`` sets how many examples each test tries; without it they are few enough for
every run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import typing as t
import zlib
from unittest import mock

import pytest
from click.testing import CliRunner
from flask import Flask, Request
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from flask_ctxkit.cli import ctx
from flask_ctxkit.report.session_cookie import decoded
from flask_ctxkit.session import codec, split
from flask_ctxkit.session.codec import Keyring, MalformedPayloadError
from flask_ctxkit.session.cookie import values_in
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.peek import peek
from flask_ctxkit.session.revocation import Revoker
from flask_ctxkit.session.revocations.memory import MemoryRevocations

if t.TYPE_CHECKING:
    from flask_ctxkit.session.model import Verdict

EXAMPLES: t.Final = int(os.environ.get("CTXKIT_EXAMPLES", "60"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
NOW: t.Final = 1_700_000_000
MONTH: t.Final = 31 * 24 * 3600
SERIALIZER: t.Final = TaggedJSONSerializer()

# ------------------------------------------------------------------------- what is sent

secrets = st.sampled_from(["k", "old", b"\xff\0"]) | st.text() | st.binary()
salts = st.sampled_from(["cookie-session", "", b"\0"]) | st.text() | st.binary()
scalars = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.uuids()
names = st.sampled_from(["user_id", "_permanent", "_ctx_began", " t", " di", " d"]) | st.text()
values = st.recursive(
    scalars | st.floats(allow_nan=False) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(names, inner, max_size=2)
    ),
    max_leaves=6,
)
sessions = st.dictionaries(names, values, max_size=4)

JSON: t.Final = (
    b"{}", b"[]", b"null", b"5", b'"s"', b'{"n":1}', b'{" t":5}', b'{" di":{}}', b'{" di":[]}',
    b'{" b":"!"}', b'{" u":[]}', b'{" u":"x"}', b'{" d":{}}', b'{" d":"Sun, 99 Nov 1994"}',
    b'{" m":{"a":1}}', b'{"a":1}{', b'[["a",1],["b"]]', b'{"user_id":{"a":[1]}}', b"[" * 900,
    b'{"user_id":' + b"[" * 90 + b"]" * 90 + b"}", b"[" * 100_000, b'{"a":' * 5000,
    b'{"user_id":"\\ud800"}', b"NaN", b'{"a":1e999}', b"9" * 5000, b'{"_ctx_began":-1}', b"\xff",
    b'{"_ctx_began":1e9}', b'{"n":1, "n":2}', b'{"\\u0020t":[1]}', b'{"a":{" u":"x"},"a":1}', b"",
)  # fmt: skip
"""What may stand in a payload that was signed with the right key all the same."""
contents = (
    st.sampled_from(JSON) | st.binary() | values.map(lambda value: SERIALIZER.dumps(value).encode())
)


def base64_of(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def packed(raw: bytes) -> bytes:
    return b"." + base64_of(zlib.compress(raw, 9))


payloads = st.one_of(
    contents.map(base64_of), contents.map(packed), st.binary().map(packed), st.binary(),
    st.builds(lambda raw, at: packed(raw)[:at], contents, st.integers(0, 60)),
)  # fmt: skip
stamps = st.sampled_from([b"ZVPxAA", b"", b"_", b"AAAA", b"_" * 11, b"A" * 40]) | st.binary()
ages = st.sampled_from([0, 1, -1, MONTH, MONTH + 1]) | st.integers(-(2**40), 2**40)

Edit = t.Callable[[bytes, bytes], bytes]
"""A change to a cookie, which may take something of another one."""
places = st.integers(0, 400)
junk = st.sampled_from([b".", b"=", b"!!!!", b"A", b"\xff", b"~e1~", b"~2~"]) | st.binary(
    min_size=1, max_size=4
)
edits: st.SearchStrategy[Edit] = st.one_of(
    st.builds(lambda at, bit: lambda a, _: flipped(a, at, bit), places, st.integers(0, 7)),
    st.builds(lambda at, new: lambda a, _: a[:at] + new + a[at:], places, junk),
    st.builds(lambda at, n: lambda a, _: a[:at] + a[at + n :], places, st.integers(1, 40)),
    st.builds(lambda at, n: lambda a, _: a[: at + n] + a[at:], places, st.integers(1, 40)),
    st.builds(lambda at: lambda a, b: a[:at] + b[at:], places),
    st.builds(lambda take: lambda a, b: crossed(a, b, take), st.integers(1, 6)),
    st.builds(lambda new: lambda a, _: new + a, junk),
    st.builds(lambda new: lambda a, _: a + new, junk),
    st.just(lambda a, _: a.swapcase()),
)


def flipped(text: bytes, at: int, bit: int) -> bytes:
    at %= len(text) or 1
    return text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :] if text else text


def crossed(first: bytes, other: bytes, take: int) -> bytes:
    """Payload, time and signature of two cookies, mixed."""
    pairs = zip(first.rsplit(b".", 2), other.rsplit(b".", 2), strict=False)
    return b".".join(b if take >> n & 1 else a for n, (a, b) in enumerate(pairs))


def edited(text: bytes, other: bytes, changes: t.Iterable[Edit]) -> bytes:
    for change in changes:
        text = change(text, other)
    return text


# ------------------------------------------------------------------------- the two sides


def at(now: float) -> t.Any:
    return mock.patch("time.time", return_value=now)


def stock(secret: t.Any, fallbacks: t.Any = (), salt: t.Any = "cookie-session") -> t.Any:
    """What Flask signs and reads with."""
    how = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
    keys = [*fallbacks, secret]
    return URLSafeTimedSerializer(keys, salt=salt, serializer=SERIALIZER, signer_kwargs=how)


def stock_cookie(value: t.Any, serializer: t.Any, now: int = NOW) -> bytes:
    with at(now):
        try:
            return str(serializer.dumps(value)).encode()
        except (TypeError, ValueError, RecursionError):
            assume(False)  # such a session can't be saved at all
            raise


def read_by_stock(text: bytes, serializer: t.Any, now: int, max_age: int) -> str | None:
    """The session's values as text, which tells types and NaN apart; None if there is none."""
    with at(now):
        try:
            value = serializer.loads(text, max_age=max_age)
            return repr(dict(() if value is None else value))
        except Exception:  # a tag's content may fail in any way, and so may an absurd time
            return None


def read_by_ours(text: bytes, keys: Keyring, now: int, max_age: int) -> str | None:
    """As :func:`read_by_stock`; here whatever is not the codec's own error fails the test."""
    verified = codec.verify(text, keys, now=now, max_age=max_age)
    if verified.code != "valid":
        assert verified.payload == b""
        return None
    try:
        return repr(values_in(codec.unpack(verified.payload)))
    except MalformedPayloadError:
        return None


# ----------------------------------------------------------------------------- the codec


@fuzzed
@given(
    sessions, sessions, st.sampled_from(["k", "old", "older", "nobody's"]),
    st.lists(edits, max_size=3), ages, st.sampled_from([0, 60, MONTH]),
)  # fmt: skip
@example({"n": 1}, {}, "k", [lambda a, _: a + b"=="], 0, 0)
@example({"n": 1}, {}, "old", [lambda a, _: a[:-3] + b"!!!!" + a[-3:]], 0, 0)
@example({"n": 1}, {"n": 2}, "k", [lambda a, b: crossed(a, b, 1)], 0, MONTH)
@example({"n": 1}, {"n": 2}, "k", [lambda a, b: crossed(a, b, 2)], 0, MONTH)
@example({"a": "x" * 99}, {}, "k", [lambda a, _: a.removeprefix(b".")], 0, MONTH)
def test_a_changed_cookie_is_read_as_by_itsdangerous(  # noqa: PLR0917
    value: t.Any, other: t.Any, signer: str, changes: list[Edit], age: int, max_age: int
) -> None:
    """No change makes one that is accepted with another content, or by another key."""
    one = stock_cookie(value, stock(signer))
    text = edited(one, stock_cookie(other, stock("nobody's"), NOW + 1), changes)
    now, fallbacks = NOW + age, ["older", "old"]
    expected = read_by_stock(text, stock("k", fallbacks), now, max_age)
    assert read_by_ours(text, Keyring.derive("k", fallbacks), now, max_age) == expected


@fuzzed
@given(payloads, stamps, ages)
@example(base64_of(b'{" di":{}}'), b"ZVPxAA", 0)
@example(base64_of(b'{" d":{}}'), b"ZVPxAA", 0)
@example(base64_of(b"[" * 100_000), b"ZVPxAA", 0)
@example(packed(b'{"n":1}') + b"AAAA", b"ZVPxAA", 0)
def test_whatever_is_signed_is_read_as_by_itsdangerous(
    payload: bytes, stamp: bytes, age: int
) -> None:
    """Something else may sign with the same key and salt, and sign anything."""
    keys, value = Keyring.derive("k"), payload + b"." + stamp
    text = value + b"." + base64_of(keys.current.sign(value))
    now = max(NOW + age, 0)
    assert read_by_ours(text, keys, now, MONTH) == read_by_stock(text, stock("k"), now, MONTH)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.sampled_from(["", "x", "Zm8=", "0" * 32]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([" t", " di", " b", " m", " u", " d", "a__"]), inner)
    ),
    max_leaves=5,
)


@fuzzed
@given(plain)
@example({" d": {}})
@example({" d": 0})
@example({" di": {"": 1}})
@example({" t": {" t": [1]}})
@example({" b": None})
def test_what_stands_in_a_tag_is_read_as_by_flask(value: t.Any) -> None:
    """Whatever it is: the same value of the same type, or no value on both sides."""
    text = json.dumps({"x": value}, separators=(",", ":"))
    try:
        expected = repr(SERIALIZER.loads(text))
    except Exception:  # a tag's content may fail in any way
        with pytest.raises(MalformedPayloadError):
            values_in(text)
        return
    assert repr(values_in(text)) == expected


@fuzzed
@given(
    st.binary() | st.from_regex(rb"\.?[\w-]{0,9}\.[\w=-]{0,9}\.[\w=-]{0,30}", fullmatch=True),
    secrets,
    st.lists(secrets, max_size=3),
    salts,
)
@example(b"", "k", [], "")
@example(b"..", "", [""], "")
@example(b"e30.ZVPxAA.", b"", [], b"")
@example(b"e30.ZVPxAA.AAAA", "\ud800", [], "")
def test_any_bytes_any_keys_any_salt(
    text: bytes, secret: t.Any, fallbacks: list[t.Any], salt: t.Any
) -> None:
    """Keys fail to derive where they fail for itsdangerous; then nothing unsigned is read."""
    try:
        serializer = stock(secret, fallbacks, salt)
        signed = serializer.make_signer(salt).sign(b"e30")
    except ValueError as error:  # half a character can't be a key
        with pytest.raises(type(error)):
            Keyring.derive(secret, fallbacks, salt=salt)
        return
    keys = Keyring.derive(secret, fallbacks, salt=salt)
    assert read_by_ours(text, keys, NOW, MONTH) == read_by_stock(text, serializer, NOW, MONTH)
    assert codec.verify(signed, keys, now=2**40, max_age=2**41).key == 0


# ------------------------------------------------------------------- the rooms around it


class Site:
    """An app whose sessions are opened outside of any request, and what was said of them."""

    def __init__(self, key: t.Any = "k", **abilities: t.Any) -> None:
        self.app = Flask("app")
        self.app.secret_key = key
        self.interface = CtxSessionInterface()
        self.verdicts: list[Verdict] = []
        self.interface.on_verdict = self.verdicts.append
        for name, value in abilities.items():
            setattr(self.interface, name, value)

    def request(self, header: str) -> Request:
        environ: dict[str, t.Any] = {"REQUEST_METHOD": "GET", "HTTP_COOKIE": header}
        return self.app.request_class(environ)

    def read(self, header: str, now: int = NOW) -> str:
        """The session's values as text. Telling why it is empty may not fail either."""
        self.verdicts.clear()
        with self.app.app_context(), at(now):
            session = self.interface.open_session(self.app, self.request(header))
        assert session is not None
        assert self.interface.failures == 0
        for verdict in self.verdicts:
            json.dumps(dict(verdict.evidence))
            assert "{" not in verdict.message
        return repr(dict(session))

    def read_by_flask(self, header: str, now: int = NOW) -> str:
        interface = SecureCookieSessionInterface()
        with self.app.app_context(), at(now):
            try:
                return repr(dict(interface.open_session(self.app, self.request(header)) or ()))
            except Exception:  # answered 500; ours has an empty session then
                return "{}"

    def write(self, value: dict[str, t.Any], now: int = NOW) -> bytes:
        with self.app.app_context(), at(now):
            try:
                return self.interface.dumps(self.app, self.interface.session_class(value)).encode()
            except (TypeError, ValueError, RecursionError):
                assume(False)  # such a session can't be saved at all
                raise


def header_of(value: bytes, name: str = "session") -> str:
    return f"{name}={value.decode('latin-1')}"


headers = st.builds(
    lambda before, name, gap, value, after: before + name + gap + value.decode("latin-1") + after,
    st.sampled_from(["", "a=b; ", "session=; ", 'q="; ']) | st.text(st.characters(codec="latin-1")),
    st.sampled_from(["session", "session.1", "Session", " session"]),
    st.sampled_from(["=", " = ", ""]),
    st.builds(
        lambda value, changes: edited(stock_cookie(value, stock("k")), b"a.b.c", changes),
        sessions,
        st.lists(edits, max_size=2),
    ),
    st.sampled_from(["", ";", "; session=second", "; session.1=x", '"']),
)


@fuzzed
@given(headers, ages)
def test_any_header_opens_what_flask_opens(header: str, age: int) -> None:
    """And why it does not open is told without an error, in plain data."""
    site = Site()
    assert site.read(header, NOW + age) == site.read_by_flask(header, NOW + age)


@fuzzed
@given(sessions, sessions, st.integers(1, 9), st.lists(edits, max_size=2), st.integers(0, 9))
@example({"a": "x" * 50}, {"b": "y" * 50}, 2, [], 1)
@example({"a": "x" * 50}, {"b": "y" * 50}, 2, [lambda a, b: b], 1)
def test_parts_of_a_split_session_make_no_other(
    value: t.Any, other: t.Any, cuts: int, changes: list[Edit], where: int
) -> None:
    """Changed, swapped, of another session, or left out: the whole, or nothing."""
    site = Site(size="split", parts=10)
    one, two = pieces(site.write(value), cuts), pieces(site.write(other, NOW - 1), cuts)
    where %= max(len(one), 1)
    one[where] = edited(one[where], two[where % len(two)], changes)
    names = (split.part_name("session", n) for n in range(len(one)))
    header = "; ".join(map(header_of, one, names))
    wholes = {site.read(header_of(site.write(v))) for v in (value, other)}
    assert site.read(header) in wholes | {"{}"}


def pieces(text: bytes, cuts: int) -> list[bytes]:
    size = len(text) // (cuts + 1) + 1
    found = [text[n : n + size] for n in range(0, len(text), size)]
    return [b"~%d~" % len(found) + found[0], *found[1:]] if len(found) > 1 else found


@fuzzed
@given(st.lists(st.binary(max_size=40), max_size=12), st.sampled_from([b"~2~", b"~10~", b"~99~"]))
def test_any_parts_open_nothing(parts: list[bytes], mark: bytes) -> None:
    """More than there may be, fewer than are said, empty ones."""
    site = Site(size="split", parts=10)
    names = (split.part_name("session", n) for n in range(len(parts) + 1))
    assert site.read("; ".join(map(header_of, [mark, *parts], names))) == "{}"


def encrypting(**how: t.Any) -> Site:
    pytest.importorskip("cryptography")
    from flask_ctxkit.session.encryption import Encryption

    return Site(encryption=Encryption(**how))


@fuzzed
@given(sessions, sessions, st.lists(edits, min_size=1, max_size=3))
@example({"n": 1}, {"n": 2}, [lambda a, _: a + b"=="])
@example({"n": 1}, {"n": 2}, [lambda a, _: a[:9] + b"!" + a[9:]])
@example({"n": 1}, {"n": 2}, [lambda a, b: a[:20] + b[20:]])
@example({"n": 1}, {"n": 2}, [lambda a, _: a.removeprefix(b"~e1~")])
def test_a_changed_encrypted_cookie_is_nothing(
    value: t.Any, other: t.Any, changes: list[Edit]
) -> None:
    """Whatever of it is changed; other text for the same bytes is the same cookie."""
    site = encrypting()
    one, two = site.write(value), site.write(other)
    text = edited(one, two, changes)
    issued = {raw_of(cookie): site.read(header_of(cookie)) for cookie in (one, two)}
    read = site.read(header_of(text))
    sent = raw_of(site.request(header_of(text)).cookies.get("session", "").encode())
    assert read == issued.get(sent, "{}")


def raw_of(cookie: bytes) -> bytes | None:
    """The bytes that an encrypted cookie stands for, told by the standard library."""
    if not cookie.startswith(b"~e1~"):
        return None
    text = cookie[4:]
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return None


@fuzzed
@given(contents, ages, st.booleans())
@example(b"\xff\xfe", 0, False)
@example(b"", 0, True)
def test_whatever_is_encrypted_raises_nothing(raw: bytes, age: int, cut: bool) -> None:
    """Something else may encrypt with the same key, and write anything."""
    site = encrypting()
    encryption: t.Any = site.interface.encryption
    ((_, cipher),) = encryption.ciphers(site.app, site.interface.salt)
    plain = max(NOW + age, 0).to_bytes(8, "big") + raw
    sealed = cipher.encrypt(b"n" * 12, plain[:5] if cut else plain, b"~e1~\0session")
    site.read(header_of(b"~e1~" + base64_of(b"n" * 12 + sealed)))


@fuzzed
@given(sessions, st.lists(edits, max_size=3))
def test_a_signed_cookie_opens_nothing_where_all_are_encrypted(
    value: t.Any, changes: list[Edit]
) -> None:
    site = encrypting()
    text = edited(Site().write(value), site.write(value), changes)
    assert site.read(header_of(text)) in {"{}", site.read(header_of(site.write(value)))}
    assert text.startswith(b"~e1~") or site.read(header_of(text)) == "{}"


users = st.sampled_from(["7", 7, "\ud800", "", 0, False, [7], {"a": 7}]) | values


@fuzzed
@given(users, sessions, st.lists(edits, max_size=2), st.sampled_from([0, 1, 59]))
@example("\ud800", {}, [], 0)
@example("7", {}, [lambda a, b: crossed(a, b, 2)], 0)
def test_no_change_brings_a_revoked_session_back(
    user: t.Any, value: t.Any, changes: list[Edit], age: int
) -> None:
    """Of any user that a session can name; and none has the store be taken for down."""
    assume(user is not None)  # nobody's session can't be revoked
    store = MemoryRevocations()
    revoker = Revoker(store, ["user_id"])
    site = Site(revoker=revoker)
    cookie = site.write({**value, "user_id": user})
    other = site.write({**value, "user_id": "bob"}, NOW + 9)
    (whose,) = revoker.users(stock("k").loads(cookie))
    assume(whose != "bob")
    store.revoke(whose, NOW)
    text, now = edited(cookie, other, changes), NOW + 10 + age
    assert site.read(header_of(text), now) in {"{}", site.read(header_of(other), now)}
    assert site.read(header_of(cookie), now) == "{}"
    assert [verdict.code for verdict in site.verdicts] == ["revoked"]


@pytest.mark.parametrize("depth", [*range(150, 1000, 7), 5000])
def test_a_session_of_any_depth_is_read_or_empty(depth: int) -> None:
    """Near the interpreter's limit as well, where the JSON is read and what comes then is not."""
    store = MemoryRevocations()
    store.revoke("bob", NOW)
    site = Site(revoker=Revoker(store, ["user_id"]), nested="tell")
    raw = b'{"user_id":' + b"[" * depth + b"]" * depth + b"}"
    value = packed(raw) + b".ZVPxAA"
    keys = Keyring.derive("k")
    with site.app.app_context(), at(NOW):
        header = header_of(value + b"." + base64_of(keys.current.sign(value)))
        site.interface.open_session(site.app, site.request(header))
    assert site.interface.failures == 0


# ------------------------------------------------------------------------------ unverified


@fuzzed
@given(st.binary() | payloads | st.builds(lambda p, s: p + b"." + s + b".AAAA", payloads, stamps))
@example(b"~e1~")
@example(packed(b"[" * 100_000))
def test_peeking_raises_nothing(raw: bytes) -> None:
    """Nor makes more of a stranger's text than plain JSON."""
    text = raw.decode("utf-8", "surrogateescape")
    found = peek(text)
    assert (found.problem is None) == (found.text is not None)
    json.dumps(decoded("session", [text]), allow_nan=False)


@settings(fuzzed, max_examples=max(EXAMPLES // 2, 1))
@given(
    st.sampled_from([b"", b"Cookie: session=", b"Set-Cookie: session=", b"a=b; session=", b"x="]),
    st.binary() | payloads | st.builds(lambda p, s: p + b"." + s + b".AAAA", payloads, stamps),
    st.sampled_from([b"", b"; Path=/", b"; session=second", b"\r\nCookie: c=d"]),
)
@example(b"", packed(b'"\x1b[31m"') + b".ZVPxAA.AAAA", b"")
@example(b"Cookie: \x1b]0;x\x07=", b"a.b.c", b"")
def test_decode_shows_any_text(before: bytes, cookie: bytes, after: bytes) -> None:
    """In plain text without control characters, or says what is wrong with it; never an error."""
    for how in ("table", "json"):
        given = before + cookie + after
        outcome = CliRunner().invoke(ctx, ["session", "decode", "-", "--format", how], input=given)
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
        assert outcome.exit_code in {0, 1, 2}
        assert all(c.isprintable() or c in "\n\ufffd" for c in outcome.output), outcome.output
