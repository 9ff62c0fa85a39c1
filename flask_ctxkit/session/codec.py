"""Flask's signed session cookie, without Flask: keys and bytes in, values and a verdict out.

``[.]base64(payload) . base64(seconds since 1970) . base64(HMAC(derived key, what is before))``

The payload is JSON, compressed with zlib where that is shorter, which the leading dot says.
base64 is the URL-safe kind without padding. The bytes are those of
:class:`itsdangerous.URLSafeTimedSerializer`; what differs is listed in the README.
"""

from __future__ import annotations

import hashlib
import hmac
import typing as t
import zlib
from binascii import a2b_base64, b2a_base64
from hmac import compare_digest

from itsdangerous import Signer

from flask_ctxkit.errors import CtxKitError

Digest = t.Callable[..., t.Any]
Code = t.Literal[
    "valid", "expired", "future", "bad-signature", "malformed", "revoked", "not-encrypted"
]

ENCRYPTED: t.Final = "~e1~"
"""How an encrypted cookie begins, and what Flask never writes."""
MAX_JSON: t.Final = 8 * 1024 * 1024
"""The most bytes that a signed payload may expand to. zlib expands at most 1032 times, so a
cookie within the browsers' limit of 4096 bytes never gets here."""
LONGEST_TIME: t.Final = 8
"""The most bytes of a time of signing."""
FINGERPRINT: t.Final = 6
"""Hexadecimal digits of a key's fingerprint."""

_TO_URL: t.Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: t.Final = bytes.maketrans(b"-_", b"+/")
_PADDING: t.Final = (b"", b"===", b"==", b"=")
"""What base64 lacks, by the length of its text modulo four."""
_WORST_RATIO: t.Final = 1032
_INNER: t.Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: t.Final = bytes(byte ^ 0x5C for byte in range(256))


class MalformedPayloadError(CtxKitError):
    """A payload that was signed with a known key can't be read.

    ``evidence``: ``step`` ("base64", "zlib", "size", "json" or "type") and ``error``.
    """


class Key:
    """A derived signing key, its HMAC begun, and its fingerprint."""

    __slots__ = ("_inner", "_outer", "fingerprint", "size")

    _inner: t.Callable[[], t.Any]
    """Copies the hash that was begun with the padded key; so does ``_outer``."""
    _outer: t.Callable[[], t.Any]

    def __init__(self, derived: bytes, digest: Digest) -> None:
        block = digest().block_size
        padded = (digest(derived).digest() if len(derived) > block else derived).ljust(block, b"\0")
        self._inner = digest(padded.translate(_INNER)).copy
        self._outer = digest(padded.translate(_OUTER)).copy
        self.size: int = self._outer().digest_size  # bytes of a signature
        # One way, and of another message than any cookie's: it helps to forge nothing.
        self.fingerprint = hmac.digest(derived, b"flask-ctxkit fingerprint", "sha256").hex()[
            :FINGERPRINT
        ]

    def sign(self, message: bytes) -> bytes:
        """The HMAC (RFC 2104) of *message*, raw."""
        inner = self._inner()
        inner.update(message)
        outer = self._outer()
        outer.update(inner.digest())
        signature: bytes = outer.digest()
        return signature

    def __repr__(self) -> str:
        return f"<Key {self.fingerprint}>"


class Keyring:
    """The key that signs, then the fallbacks in the order in which they are tried.

    Made once per configuration; it holds derived keys only.
    """

    __slots__ = ("current", "fallbacks", "stamp")

    def __init__(self, current: Key, fallbacks: tuple[tuple[int, Key], ...] = ()) -> None:
        self.current = current
        self.fallbacks = fallbacks
        self.stamp = (0, b"")
        """The last second that something was signed in, and its text."""

    @classmethod
    def derive(
        cls,
        secret: str | bytes,
        fallbacks: t.Sequence[str | bytes] = (),
        *,
        salt: str | bytes = "cookie-session",
        digest: Digest = hashlib.sha1,
        derivation: str = "hmac",
    ) -> Keyring:
        """The keyring of a secret key and its *fallbacks*, numbered from 1 as configured.

        :raises TypeError: for an unknown *derivation*, or a key that is neither str nor bytes.
        :raises UnicodeEncodeError: for half a character (a surrogate) in a key or salt.
        """
        keys: list[t.Any] = [*fallbacks, secret]
        signer = Signer(keys, salt=salt, key_derivation=derivation, digest_method=digest)
        *old, current = (Key(signer.derive_key(key), digest) for key in signer.secret_keys)
        return cls(current, tuple(reversed(list(enumerate(old, 1)))))

    @property
    def keys(self) -> dict[int, Key]:
        """All keys by number: 0 signs, *n* is the n-th fallback."""
        return {0: self.current, **dict(sorted(self.fallbacks, key=lambda pair: pair[0]))}

    def __repr__(self) -> str:
        return f"<Keyring {list(self.keys.values())}>"


class Verified(t.NamedTuple):
    """What the outside of a cookie says.

    ``key`` is 0 for the current key, *n* for the n-th fallback, None for no known key.
    ``signed_at`` is in seconds since 1970, UTC; ``age`` in seconds. ``payload`` is empty
    unless the code is "valid": what may not be used can't be read by mistake.
    """

    code: Code
    key: int | None = None
    signed_at: int | None = None
    age: int | None = None
    payload: bytes = b""


_REFUSED: t.Final = Verified("bad-signature")
_NO_DOT: t.Final = Verified("malformed")
_new: t.Final = tuple.__new__


def verify(cookie: bytes, keys: Keyring, *, now: int, max_age: int, leeway: int = 0) -> Verified:
    """Check signature, then age. Nothing of the payload is decoded.

    :param now: seconds since 1970.
    :param max_age: in seconds; a cookie of exactly this age is still valid.
    :param leeway: seconds that the signer's clock may be ahead of this one.
    """
    value, dot, signature = cookie.rpartition(b".")
    if not dot:
        return _NO_DOT
    try:
        given = from_base64(signature)
    except ValueError:
        return _REFUSED
    number: int | None = 0
    if not compare_digest(given, keys.current.sign(value)):
        number = _number_of_fallback(value, given, keys)
        if number is None:
            return _REFUSED
    payload, dot, stamp = value.rpartition(b".")
    try:
        seconds = from_base64(stamp)
    except ValueError:
        return Verified("malformed", number)
    if not dot or len(seconds) > LONGEST_TIME:
        return Verified("malformed", number)
    signed_at = int.from_bytes(seconds, "big")
    age = now - signed_at
    if age > max_age:
        return Verified("expired", number, signed_at, age)
    if age < -leeway:
        return Verified("future", number, signed_at, age)
    # As Verified(...), in half the time.
    return _new(Verified, ("valid", number, signed_at, age, payload))


def _number_of_fallback(value: bytes, given: bytes, keys: Keyring) -> int | None:
    for number, key in keys.fallbacks:
        if compare_digest(given, key.sign(value)):
            return number
    return None


def seal(payload: bytes, keys: Keyring, *, now: int) -> str:
    """The cookie's text: *payload*, time and signature by the current key."""
    second, stamp = keys.stamp
    if second != now:
        stamp = to_base64(now.to_bytes(8, "big").lstrip(b"\0"))
        keys.stamp = (now, stamp)
    value = payload + b"." + stamp
    return (value + b"." + to_base64(keys.current.sign(value))).decode("ascii")


def pack(text: str) -> bytes:
    """JSON *text* as a payload."""
    raw = text.encode()
    # Flask always tries, and keeps what is shorter by two bytes or more.
    compressed = zlib.compress(raw)
    if len(compressed) < len(raw) - 1:
        return b"." + to_base64(compressed)
    return to_base64(raw)


def unpack(payload: bytes) -> str:
    """The JSON text in a *payload* whose signature was verified.

    :raises MalformedPayloadError: when it is no base64, no zlib stream, not UTF-8, or
        expands to more than :data:`MAX_JSON` bytes.
    """
    try:
        if payload[:1] != b".":
            return from_base64(payload).decode()
        raw = from_base64(payload[1:])
        small = len(raw) * _WORST_RATIO <= MAX_JSON
        return (zlib.decompress(raw) if small else _expand(raw)).decode()
    except zlib.error as error:
        raise malformed("zlib", error) from error
    except UnicodeDecodeError as error:
        raise malformed("json", error) from error
    except ValueError as error:
        raise malformed("base64", error) from error


def _expand(raw: bytes) -> bytes:
    stream = zlib.decompressobj()
    expanded = stream.decompress(raw, MAX_JSON)
    if stream.eof:
        return expanded
    if len(expanded) >= MAX_JSON:
        raise malformed("size", ValueError(f"more than {MAX_JSON} bytes"))
    raise zlib.error("the stream is incomplete")


def malformed(step: str, error: Exception) -> MalformedPayloadError:
    """The error that says at which *step* reading a signed payload failed."""
    return MalformedPayloadError(
        f"The session cookie carries a valid signature, but its {step} can't be read: {error}. "
        "Something other than this app's session interface signs with the same key and salt; "
        "give it a salt of its own.",
        step=step,
        error=f"{type(error).__name__}: {error}",
    )


def to_base64(raw: bytes) -> bytes:
    """Bytes to URL-safe base64, without padding."""
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=")


def from_base64(text: bytes) -> bytes:
    """URL-safe base64, with or without padding, to bytes.

    Not strict, as Flask is not: characters outside the alphabet are skipped, so many texts
    stand for one signature. Never tell cookies apart by their text.

    :raises ValueError: for a length that no bytes have.
    """
    return a2b_base64(text.translate(_FROM_URL) + _PADDING[len(text) & 3])
