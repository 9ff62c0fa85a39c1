"""The codec against itsdangerous and Flask's own serializer, in the same process."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import tracemalloc
import typing as t
import zlib
from datetime import datetime, timedelta, timezone
from unittest import mock
from uuid import UUID

import pytest
from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from hypothesis import example, given, settings
from hypothesis import strategies as st
from itsdangerous import BadData, BadSignature, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode
from markupsafe import Markup

from flask_ctxkit.session import codec, tags
from flask_ctxkit.session.codec import Keyring, MalformedPayloadError
from flask_ctxkit.session.cookie import values_in

NOW = 1_700_000_000
MONTH = 31 * 24 * 3600
SERIALIZER = TaggedJSONSerializer()

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.uuids()
    | st.text().map(Markup)
    | st.datetimes()
    | st.datetimes(timezones=st.timezones(), allow_imaginary=False)
    | st.sampled_from(["", " t", " di", " d__", '"', "\\u0020t", "é\x7f \u2028", "_permanent"])
)
keys = st.text() | st.sampled_from([" t", " di", " b", " m", " u", " d", " x", " t__", "_flashes"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)
sessions = st.dictionaries(keys, values, max_size=8)


APP = Flask("stock")
APP.secret_key = "x"
ENCODE = tags.make_encode(APP.json.default, ensure_ascii=True, sort_keys=True)  # type: ignore[attr-defined]


def stock_serializer(secret: t.Any, fallbacks: t.Any = (), **signer: t.Any) -> t.Any:
    salt = signer.pop("salt", "cookie-session")
    return URLSafeTimedSerializer(
        [*fallbacks, secret],
        salt=salt,
        serializer=SERIALIZER,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1, **signer},
    )


def at(now: int) -> t.Any:
    return mock.patch("time.time", return_value=now + 0.9)


def dumps(value: t.Any, keyring: Keyring, now: int = NOW) -> str:
    return codec.seal(codec.pack(ENCODE(tags.tag(value, SERIALIZER.tag))), keyring, now=now)


def same(one: t.Any, other: t.Any) -> bool:
    """Equal in value and in type, all the way down; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, datetime):
        return bool(one == other) and one.utcoffset() == other.utcoffset()
    equal: bool = one == other
    return equal or (isinstance(one, float) and str(one) == str(other) == "nan")


@settings(deadline=None)
@given(sessions, st.binary(min_size=1) | st.text(min_size=1), st.integers(0, 2**37))
@example({" t": 1}, "k", NOW)
@example({" di": {" t": [1]}}, "k", NOW)
@example({"d": datetime.fromisoformat("0001-01-01")}, "k", 0)
@example({}, "k", 0x78000000)
def test_bytes_are_those_of_flask(session: t.Any, secret: t.Any, now: int) -> None:
    """The same session, key and second give the same cookie, and it reads back the same."""
    try:
        secret.encode() if isinstance(secret, str) else secret
    except UnicodeEncodeError:
        return
    with APP.app_context(), at(now):
        stock = stock_serializer(secret)
        try:
            expected = stock.dumps(session)
        except Exception as error:  # whatever it is, ours is the same
            with pytest.raises(type(error)):
                dumps(session, Keyring.derive(secret), now)
            return
        assert dumps(session, Keyring.derive(secret), now) == expected
        verified = codec.verify(expected.encode(), Keyring.derive(secret), now=now, max_age=0)
        assert verified.code == "valid"
        assert same(tags.decode(codec.unpack(verified.payload)), stock.loads(expected))


@pytest.mark.parametrize("unit", ["a", "ab", "abc", "xyzxyz1"])
def test_what_is_no_shorter_when_compressed_is_left_as_flask_leaves_it(unit: str) -> None:
    """To the byte: around the size from which compressing is worth it."""
    keyring = Keyring.derive("k")
    with APP.app_context(), at(NOW):
        stock = stock_serializer("k")
        for size in range(8, 24):
            value = {"k": (unit * size)[:size]}
            assert dumps(value, keyring) == stock.dumps(value)


class Colour(int):
    pass


class Page:
    def __html__(self) -> str:
        return "<p>"


class Moment(datetime):
    pass


class Names(dict[str, t.Any]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Colour(3), Page(), Moment(2020, 1, 2), Names(a=(1,)), [Names({" t": 1})], {1: 2},
        {"a": {1: (2,)}}, timedelta(1), {1, 2}, object(), {"a": 1, 2: 3}, Ellipsis,
        datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=5))), b"\xff", UUID(int=1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_odd_values_fare_as_in_flask(value: t.Any) -> None:
    """Subclasses, objects and what JSON can't hold: the same bytes, or the same error."""
    with APP.app_context(), at(NOW):
        try:
            expected = stock_serializer("k").dumps({"v": value})
        except TypeError as error:
            with pytest.raises(TypeError, match=str(error).split(" '")[0][:20]):
                dumps({"v": value}, Keyring.derive("k"))
        else:
            assert dumps({"v": value}, Keyring.derive("k")) == expected


def test_half_a_character_fails_where_flask_fails() -> None:
    """A surrogate is written as ASCII; a provider that writes other characters can't."""
    app = Flask("plain")
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    with app.app_context(), pytest.raises(UnicodeEncodeError):
        stock_serializer("k").dumps({"a": "\ud800"})
    encode = tags.make_encode(APP.json.default, ensure_ascii=False, sort_keys=True)  # type: ignore[attr-defined]
    with pytest.raises(UnicodeEncodeError):
        codec.pack(encode({"a": "\ud800"}))


def test_a_session_that_holds_itself_is_a_recursion_error() -> None:
    endless: list[t.Any] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        dumps({"a": endless}, Keyring.derive("k"))
    # No trace of it is left behind.
    assert dumps({"a": [1]}, Keyring.derive("k"))


def verdict_of_stock(text: bytes, stock: t.Any, max_age: int) -> str:
    try:
        stock.loads(text, max_age=max_age)
    except BadSignature:
        return "refused"
    except (BadData, OverflowError, OSError, ValueError):
        return "malformed"
    return "valid"


def verdict_of_ours(text: bytes, keyring: Keyring, max_age: int, now: int) -> str:
    verified = codec.verify(text, keyring, now=now, max_age=max_age)
    if verified.code != "valid":
        assert verified.payload == b""
        return "refused"
    try:
        tags.decode(codec.unpack(verified.payload))
    except Exception:  # a tag's content may fail in any way
        return "malformed"
    return "valid"


@settings(deadline=None)
@given(
    sessions,
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.sampled_from(["a", "b", "c", b"\0d"]), max_size=3),
    ),
    st.integers(-3, 3) | st.just(MONTH) | st.just(MONTH + 1),
    st.integers(-1, 2),
    st.data(),
)
def test_the_same_cookies_are_accepted(
    session: t.Any, keys: tuple[str, t.Any], age: int, max_age: int, data: st.DataObject
) -> None:
    """Whoever signed it, whenever, and however it was changed on its way."""
    signer, fallbacks = keys
    with APP.app_context(), at(NOW):
        try:
            text = stock_serializer(signer).dumps(session).encode()
        except Exception:  # this session can't be saved at all
            return
    if data.draw(st.booleans()):
        where = data.draw(st.integers(0, len(text) - 1))
        what = data.draw(st.binary(max_size=2))
        text = text[:where] + what + text[where + data.draw(st.integers(0, 2)) :]
    with APP.app_context(), at(NOW + age):
        stock = verdict_of_stock(text, stock_serializer("a", fallbacks), max_age)
        ours = verdict_of_ours(text, Keyring.derive("a", fallbacks), max_age, NOW + age)
    assert ours == stock


def test_what_has_no_dot_is_malformed_and_not_of_another_key() -> None:
    assert codec.verify(b"e30", Keyring.derive("k"), now=NOW, max_age=1).code == "malformed"
    assert codec.verify(b"e30.", Keyring.derive("k"), now=NOW, max_age=1).code == "bad-signature"


@settings(deadline=None)
@given(st.binary() | st.from_regex(rb"\.?[\w-]{0,9}\.[\w-]{0,9}\.[\w=-]{0,30}", fullmatch=True))
def test_random_bytes_are_refused(text: bytes) -> None:
    assert verdict_of_ours(text, Keyring.derive("k", ["o"]), MONTH, NOW) == "refused"


def signed(payload: bytes, key: Keyring, stamp: bytes = b"ZVPxAA") -> bytes:
    value = payload + b"." + stamp
    return value + b"." + base64.urlsafe_b64encode(key.current.sign(value)).rstrip(b"=")


@pytest.mark.parametrize(
    "payload",
    [b"", b".", b"....", b"_", b".eJw", b"e30", b"W10", b"bnVsbA", b"InMi", b"NQ", b"eyIgdSI6MX0",
     b"eyIgdSI6ICJ4In0", b"eyIgZCI6IDV9", b"gA", b".." + b"A" * 30],
)  # fmt: skip
def test_signed_payloads_of_any_kind(payload: bytes) -> None:
    """A signed payload is read where Flask reads it, and malformed where Flask fails."""
    keyring = Keyring.derive("k")
    text = signed(payload, keyring)
    with APP.app_context(), at(NOW):
        stock = verdict_of_stock(text, stock_serializer("k"), MONTH)
    assert verdict_of_ours(text, keyring, MONTH, NOW) == stock


@settings(deadline=None)
@given(st.text("eyJhIjoxfQ-_+/=!. \xff", max_size=16).map(lambda text: text.encode("latin-1")))
@example(b"eyJhIjoxfQ!")
def test_base64_is_read_as_itsdangerous_reads_it(text: bytes) -> None:
    """With junk in it too, which counts for the padding and for nothing else."""
    try:
        stock: bytes | None = base64_decode(text)
    except BadData:
        stock = None
    try:
        ours: bytes | None = codec.from_base64(text)
    except ValueError:
        ours = None
    assert ours == stock


@pytest.mark.parametrize("stamp", [b"", b"_", b"A" * 40, b"_" * 12, b"AAAAAAAAAAAA", b"ZVPxAA"])
def test_signed_timestamps_of_any_kind(stamp: bytes) -> None:
    """A missing, overlong or absurd time of signing opens nothing that Flask would not."""
    keyring = Keyring.derive("k")
    text = signed(b"e30", keyring, stamp)
    with APP.app_context(), at(NOW):
        stock = verdict_of_stock(text, stock_serializer("k"), MONTH)
    ours = verdict_of_ours(text, keyring, MONTH, NOW)
    # Flask fails on a signed time that no datetime can hold; here it is refused.
    assert ours == ("refused" if stock == "malformed" else stock)


@pytest.mark.parametrize(
    "text",
    [' {"a":[{" t":[1,{" b":"eA=="}]},"x",[1],{}]} ',
     '{"\\u0020t":[1]}', '{"a":{"\\u0020u":"00000000000000000000000000000001"}}', ' {"a":1}\n',
     '{" t":1," t":[2]}', '{"a":{" u":"bad"},"a":1}', '{" t":[1],"x":1}', '[" t"]', '{" x":[1]}'],
)  # fmt: skip
def test_json_that_flask_would_not_write_is_read_as_flask_reads_it(text: str) -> None:
    """Escaped names, spaces, names that come twice, tags with company, unknown tags."""
    assert same(tags.decode(text), SERIALIZER.loads(text))


def test_values_that_are_none_name_the_step() -> None:
    for text, step in (("[", "json"), ("", "json"), ("1", "type"), ("[1]", "type")):
        with pytest.raises(codec.MalformedPayloadError) as caught:
            values_in(text)
        assert caught.value.evidence["step"] == step
    assert values_in("null") == {}


@pytest.mark.parametrize("fast", [False, True])
def test_what_json_can_not_hold_is_refused_and_not_left_out(fast: bool) -> None:
    """Also where the interpreter has no encoder in C; what the app's own default takes is kept."""
    without = mock.patch("json.encoder.c_make_encoder", None)
    with contextlib.nullcontext() if fast else without:
        encode = tags.make_encode(DefaultJSONProvider.default, ensure_ascii=True, sort_keys=True)
        for value in ({(1,): 1}, {b"k": 1}, [1j], {"a": object()}):
            with pytest.raises(TypeError):
                encode(value)
        assert encode({"b": [float("inf")], "a": "é"}) == '{"a":"\\u00e9","b":[Infinity]}'
        assert encode([UUID(int=1)]) == f'["{UUID(int=1)}"]'


def test_a_long_stream_that_is_cut_off_names_the_step() -> None:
    """Not the size, which it would not have reached."""
    noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 2
    raw = zlib.compress(noise, 0)
    assert codec.unpack(b"." + codec.to_base64(zlib.compress(b"a" * 20_000, 0))) == "a" * 20_000
    with pytest.raises(MalformedPayloadError) as caught:
        codec.unpack(b"." + codec.to_base64(raw[:-9]))
    assert caught.value.evidence["step"] == "zlib"


@pytest.mark.parametrize(
    ("payload", "step"),
    [(b"AAAAA", "base64"), (b".AAAA", "zlib"), (b"_w", "json"), (b".eJwDAA", "zlib")],
)
def test_an_unreadable_payload_names_the_step(payload: bytes, step: str) -> None:
    with pytest.raises(MalformedPayloadError) as caught:
        codec.unpack(payload)
    assert caught.value.evidence["step"] == step
    assert ": " in caught.value.evidence["error"]


@pytest.mark.parametrize("stamp", [b"A", b"", b"AAAAAAAAAAAA"])
def test_a_signed_cookie_without_a_time_is_malformed(stamp: bytes) -> None:
    """Its key is known all the same; an empty time is that of 1970."""
    keyring = Keyring.derive("k")
    found = codec.verify(signed(b"e30", keyring, stamp), keyring, now=NOW, max_age=MONTH)
    assert (found.code, found.key) == ("malformed" if stamp else "expired", 0)


def test_what_is_signed_and_has_one_dot_only_is_malformed() -> None:
    """Whatever stands before it is no time."""
    keyring = Keyring.derive("k")
    for value in (b"ZVPxAA", b"", b"e30"):
        signature = base64.urlsafe_b64encode(keyring.current.sign(value)).rstrip(b"=")
        found = codec.verify(value + b"." + signature, keyring, now=NOW, max_age=NOW)
        assert (found.code, found.key) == ("malformed", 0)


def test_an_eight_byte_time_is_a_time_and_a_nine_byte_one_is_not() -> None:
    keyring = Keyring.derive("k")
    codes = [
        codec.verify(
            signed(b"e30", keyring, base64.urlsafe_b64encode(b"\1" * size).rstrip(b"=")),
            keyring,
            now=NOW,
            max_age=MONTH,
        ).code
        for size in (8, 9)
    ]
    assert codes == ["future", "malformed"]


@pytest.mark.parametrize(
    ("signer", "number"), [("new", 0), ("old", 1), ("older", 2), ("unknown", None)]
)
def test_the_key_is_named_by_its_place(signer: str, number: int | None) -> None:
    """0 for the current key, the place among the fallbacks, None for no known key."""
    text = dumps({"a": 1}, Keyring.derive(signer)).encode()
    keyring = Keyring.derive("new", ["old", "older"])
    assert codec.verify(text, keyring, now=NOW, max_age=MONTH).key == number


def test_fallbacks_are_tried_from_last_to_first_after_the_current_key() -> None:
    keyring = Keyring.derive("new", ["same", "other", "same"])
    text = dumps({}, Keyring.derive("same")).encode()
    assert codec.verify(text, keyring, now=NOW, max_age=1).key == 3
    assert list(keyring.keys) == [0, 1, 2, 3]


def test_only_the_current_key_signs() -> None:
    text = dumps({"a": 1}, Keyring.derive("new", ["old"])).encode()
    assert codec.verify(text, Keyring.derive("old"), now=NOW, max_age=1).code == "bad-signature"


@pytest.mark.parametrize("digest", [hashlib.sha1, hashlib.sha256, hashlib.sha512, hashlib.md5])
@pytest.mark.parametrize("derivation", ["concat", "django-concat", "hmac", "none"])
@pytest.mark.parametrize("secret", ["k", b"x" * 64, b"x" * 128, b"\xff" * 200])
def test_any_digest_and_derivation(digest: t.Any, derivation: str, secret: t.Any) -> None:
    """Other digests and derivations, and keys longer than a block, give the stock bytes."""
    stock = stock_serializer(
        secret, digest_method=digest, key_derivation=derivation, salt=b"pepper"
    )
    keyring = Keyring.derive(secret, salt=b"pepper", digest=digest, derivation=derivation)
    with APP.app_context(), at(NOW):
        assert dumps({"a": 1}, keyring) == stock.dumps({"a": 1})


def test_an_unknown_derivation_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Keyring.derive("k", derivation="rot13")


def test_age_is_valid_at_its_limit_and_expired_after() -> None:
    text = dumps({}, Keyring.derive("k")).encode()
    at_limit = codec.verify(text, Keyring.derive("k"), now=NOW + 60, max_age=60)
    after = codec.verify(text, Keyring.derive("k"), now=NOW + 61, max_age=60)
    assert (at_limit.code, at_limit.age) == ("valid", 60)
    assert (after.code, after.age, after.signed_at) == ("expired", 61, NOW)


def test_leeway_forgives_a_signers_clock_that_is_ahead() -> None:
    text = dumps({}, Keyring.derive("k")).encode()
    codes = [
        codec.verify(text, Keyring.derive("k"), now=NOW - 2, max_age=60, leeway=leeway).code
        for leeway in (0, 1, 2)
    ]
    assert codes == ["future", "future", "valid"]


def test_malleable_text_verifies_as_in_flask() -> None:
    """Junk inside the signature and loose last bits are the same signature."""
    text = dumps({}, Keyring.derive("k")).encode()
    accepted = []
    for junk in (b"", b"!", b"!!", b"!!!", b"!!!!", b"=", b"==", b"\xff" * 4):
        for other in (text[:-3] + junk + text[-3:], text + junk):
            with APP.app_context(), at(NOW):
                stock = verdict_of_stock(other, stock_serializer("k"), 1)
            assert verdict_of_ours(other, Keyring.derive("k"), 1, NOW) == stock
            accepted.append(stock)
    assert {"valid", "refused"} == set(accepted)


@pytest.mark.parametrize("size", [codec.MAX_JSON + 1, 300 * 1024 * 1024])
def test_a_signed_bomb_is_malformed_within_the_cap(size: int) -> None:
    """What expands past the cap is refused, and the memory used stays near the cap."""
    assert codec.MAX_JSON == 8 << 20, "as the README says"
    packer = zlib.compressobj(9)
    chunk = b" " * (1024 * 1024)
    parts = [packer.compress(chunk) for _ in range(size // len(chunk))]
    bomb = b"".join([*parts, packer.compress(b" " * (size % len(chunk))), packer.flush()])
    payload = b"." + base64.urlsafe_b64encode(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedPayloadError) as caught:
            codec.unpack(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.evidence["step"] == "size"
    assert peak < 4 * codec.MAX_JSON


def test_the_largest_json_within_the_cap_is_read() -> None:
    text = '"' + "a" * (codec.MAX_JSON - 2) + '"'
    assert codec.unpack(codec.pack(text)) == text


def test_no_cookie_that_a_browser_keeps_is_over_the_cap() -> None:
    """At the best ratio of zlib; Flask reads it, and so does this."""
    text = '"' + "a" * (4096 * 3 // 4 * 1032) + '"'
    cookie = codec.seal(codec.pack(text), Keyring.derive("k"), now=NOW)
    assert len(cookie) < 4200
    with APP.app_context(), at(NOW):
        expected = stock_serializer("k").loads(cookie)
    verified = codec.verify(cookie.encode(), Keyring.derive("k"), now=NOW, max_age=0)
    assert tags.decode(codec.unpack(verified.payload)) == expected


def test_an_incomplete_large_stream_is_malformed() -> None:
    raw = zlib.compress(bytes(range(256)) * 100_000)[:-10]
    with pytest.raises(MalformedPayloadError) as caught:
        codec.unpack(b"." + base64.urlsafe_b64encode(raw + b"\0" * 9000)[:12000])
    assert caught.value.evidence["step"] in {"zlib", "size"}


def test_fingerprints_differ_by_key_and_tell_nothing_else() -> None:
    one, other = Keyring.derive("k").current, Keyring.derive("j").current
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == Keyring.derive("k").current.fingerprint
    assert len(one.fingerprint) == 6
    # Those in the logs of an earlier release name the same keys.
    assert one.fingerprint == "b34f0b"
    assert repr(Keyring.derive("secret word")).count("secret") == 0


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0094 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "",
        "now",
    ],
)
def test_dates_are_read_as_flask_reads_them(text: str) -> None:
    """Right, wrong and odd HTTP dates give the stock value, None where it gives None."""
    stock = SERIALIZER.loads(SERIALIZER.dumps({"x": text}).replace('"x"', '" d"'))
    assert same(tags.untag({" d": text}), stock)


def test_encoding_without_the_accelerator_gives_the_same_text() -> None:
    with mock.patch("json.encoder.c_make_encoder", None):
        slow = tags.make_encode(str, ensure_ascii=False, sort_keys=True)
    fast = tags.make_encode(str, ensure_ascii=False, sort_keys=True)
    value = {"b": "é", "a": [1, None, 2.5]}
    assert slow(value) == fast(value) == '{"a":[1,null,2.5],"b":"é"}'


def test_flasks_own_interface_reads_ours() -> None:
    """A cookie made here opens in a stock app, and one made there opens here."""
    stock = SecureCookieSessionInterface().get_signing_serializer(APP)
    assert stock is not None
    with APP.app_context():
        text = dumps({"a": (1, b"2")}, Keyring.derive("x"), now=NOW)
        with at(NOW):
            assert stock.loads(text) == {"a": (1, b"2")}
