"""An encrypted session cookie: nobody but the app reads what is in it.

``~e1~base64(nonce . AES-256-GCM(seconds since 1970 . JSON))``

The key is derived from the secret key by HKDF (RFC 5869), apart from the one that signs. The
format's version and the cookie's name are authenticated with it, so that no other cookie
passes for this one. The JSON is padded and never compressed: the length of a compressed text
tells who can write a part of it what stands in the rest (CRIME).
"""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flask_ctxkit.errors import CtxKitError

from . import codec
from .codec import ENCRYPTED, Verified, from_base64, to_base64
from .model import Ruling
from .setup import fallbacks_of, remember
from .split import SplitCookie

if t.TYPE_CHECKING:
    from flask import Flask

    from .cookie import SentCookie
    from .mapping import Attributes, Values

PREFIX: t.Final = ENCRYPTED.encode()
KEY: t.Final = 32
NONCE: t.Final = 12
"""Bytes, drawn at random for each cookie; good for 2**32 cookies by one key."""
STAMP: t.Final = 8
PAD: t.Final = 32
"""The JSON is filled with spaces to a multiple of so many bytes."""

Cipher = tuple[int, AESGCM]
"""A key with its number: 0 is the current one, *n* the n-th fallback."""


class EncryptionError(CtxKitError):
    """Sessions can't be encrypted with the app's settings."""


class Encryption:
    """Encrypts and decrypts the cookies of one interface.

    Lifetime: its interface's. It remembers derived keys only.

    :param read_signed_until: seconds since 1970; until then a cookie that is only signed is
        taken as well. None for never.
    """

    def __init__(self, read_signed_until: int | None = None) -> None:
        self.read_signed_until = read_signed_until
        self._ciphers: dict[t.Any, tuple[Cipher, ...]] = {}

    def ciphers(self, app: Flask, salt: str | bytes) -> tuple[Cipher, ...]:
        """The keys of *app* in the order in which they are tried.

        :raises EncryptionError: for a secret key that is neither str nor bytes.
        """
        secrets = (app.secret_key, *fallbacks_of(app))
        if not all(isinstance(secret, (str, bytes)) for secret in (*secrets, salt)):
            self.refuse_keys()
        found = self._ciphers.get((secrets, salt))
        if found is None:
            current, *old = ((n, _cipher(secret, salt)) for n, secret in enumerate(secrets))
            found = (current, *reversed(old))
            remember(self._ciphers, (secrets, salt), found)
        return found

    def refuse_keys(self) -> t.NoReturn:
        """Refuse keys, a salt or a digest that sessions can't be encrypted with.

        :raises EncryptionError: always.
        """
        raise EncryptionError(
            "Sessions are encrypted with keys and a salt of str or bytes, and a digest_method "
            "and key_derivation that itsdangerous knows. Set such."
        )

    def encrypt(self, text: str, name: str, ciphers: t.Sequence[Cipher], now: int | None) -> str:
        """As :func:`encrypt`; here, so that only who encrypts needs the package."""
        return encrypt(text, name, ciphers, now)

    def cookie(self, app: Flask, salt: str | bytes, *args: t.Any, **kwargs: t.Any) -> SentCookie:
        """A cookie that should be encrypted, of what a ``SentCookie`` is made of."""
        cookie = EncryptedCookie(*args, **kwargs)
        cookie.ciphers = self.ciphers(app, salt)
        cookie.takes_signed = self.takes_signed(cookie.now)
        return cookie

    def takes_signed(self, now: int) -> bool:
        """Whether a cookie that is only signed is taken at *now*, seconds since 1970."""
        return self.read_signed_until is not None and now < self.read_signed_until


def _cipher(secret: t.Any, salt: t.Any) -> AESGCM:
    info = b"flask-ctxkit session encryption 1\0" + _raw(salt)
    return AESGCM(HKDF(SHA256(), KEY, None, info).derive(_raw(secret)))


def _raw(text: str | bytes) -> bytes:
    return text.encode(errors="surrogatepass") if isinstance(text, str) else text


def _associated(name: str) -> bytes:
    return PREFIX + b"\0" + name.encode(errors="surrogatepass")


def encrypt(text: str, name: str, ciphers: t.Sequence[Cipher], now: int | None = None) -> str:
    """The text of the cookie *name* for the JSON *text*, by the first of *ciphers*.

    :param now: when it is said to be made, in seconds since 1970; the present time if None.
    """
    raw = text.encode()
    stamp = int(time.time()) if now is None else now
    plain = stamp.to_bytes(STAMP, "big") + raw + b" " * (-len(raw) % PAD)
    nonce = os.urandom(NONCE)
    sealed = ciphers[0][1].encrypt(nonce, plain, _associated(name))
    return (PREFIX + to_base64(nonce + sealed)).decode("ascii")


def decrypt(cookie: bytes, name: str, ciphers: t.Sequence[Cipher]) -> tuple[int, int, str] | None:
    """The number of the key, when it was made, and the JSON; None where no key opens it."""
    if not cookie.startswith(PREFIX):
        return None
    try:
        raw = from_base64(cookie[len(PREFIX) :])
    except ValueError:
        return None
    nonce, sealed, associated = raw[:NONCE], raw[NONCE:], _associated(name)
    if len(nonce) < NONCE:
        return None
    for number, cipher in ciphers:
        try:
            plain = cipher.decrypt(nonce, sealed, associated)
        except InvalidTag:
            continue
        return number, int.from_bytes(plain[:STAMP], "big"), _text(plain[STAMP:])
    return None


def _text(raw: bytes) -> str:
    try:
        return raw.decode().rstrip(" ")
    except UnicodeDecodeError:
        return ""  # genuine, and nothing that JSON could be read from


@dataclass(eq=False)
class EncryptedCookie(SplitCookie):
    """A session cookie that should be encrypted."""

    ciphers: tuple[Cipher, ...] = ()
    takes_signed: bool = False
    read: t.Callable[[str], t.Any] | None = None
    """Values from JSON, where that is the app's own way."""
    came_signed: bool = False

    def verify(self) -> Verified | None:
        """What the cookie says, or None if there is none.

        What begins as an encrypted one is never taken for a signed one.
        """
        if self.checked is not None:
            return self.checked
        text = self.text()
        if not text:
            return None
        self.length = len(text)
        raw = text.encode(errors="surrogatepass")
        if raw.startswith(PREFIX):
            self.checked = self._decrypted(raw)
            return self.checked
        found = self.verdict_on(raw)
        if found.key is not None:
            self.came_signed = True
            if not self.takes_signed:
                found = found._replace(code="not-encrypted", payload=b"")
            elif found.code == "valid":
                self.ruling = Ruling("valid-signed", {}, refused=False)
        # Set last: another thread must not see one as valid that is refused.
        self.checked = found
        return found

    def __call__(self) -> tuple[Values, Attributes]:
        """Read it.

        :raises BadPayload: in strict mode, when it is genuine but can't be read.
        """
        values, attributes = super().__call__()
        if self.came_signed and "received" in attributes:
            return values, {**attributes, "came_signed": True}
        return values, attributes

    def _decrypted(self, raw: bytes) -> Verified:
        found = decrypt(raw, self.terms.name, self.ciphers)
        if found is None:
            return Verified("bad-signature")
        number, made_at, self.unpacked = found
        age = self.now - made_at
        if age > self.terms.max_age:
            return Verified("expired", number, made_at, age)
        if age < -self.terms.leeway:
            return Verified("future", number, made_at, age)
        return Verified("valid", number, made_at, age)

    def values(self, text: str) -> Values:
        """The values in the JSON *text*.

        :raises MalformedPayloadError: when it can't be read.
        """
        if self.read is None:
            return super().values(text)
        try:
            return dict(self.read(text))
        except Exception as error:
            raise codec.malformed("json", error) from error

    def may_be_permanent(self) -> bool:
        """False if the values, were they read, would not have ``_permanent`` set."""
        found = self.verify()
        return found is not None and found.code == "valid"
