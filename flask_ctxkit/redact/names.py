"""Which names are secret: judged by segment, so ``db_password`` is and ``passenger`` is not."""

from __future__ import annotations

import itertools
import re
import typing as t

from .objects import type_name
from .scalars import number_text

_WORDS: t.Final = frozenset(
    {
        "password", "passwd", "pwd", "pass", "pw", "passphrase", "passcode", "passkey",
        "pin", "otp", "totp", "secret", "token", "authorization", "auth", "bearer", "jwt",
        "cookie", "csrf", "xsrf", "credential", "cred", "private", "signature", "sig",
        "card", "cvv", "cvc", "ssn", "iban", "sid", "apikey",
    }
)  # fmt: skip

_KEYS: t.Final = frozenset(
    {
        "api", "access", "account", "secret", "private", "encryption", "signing",
        "signature", "master", "fernet", "aes", "hmac", "rsa", "ssh", "ssl", "tls",
        "crypto", "cipher", "session", "license", "shared", "storage", "service", "auth",
        "app", "client",
    }
)  # fmt: skip
"""``signing_key`` is secret, ``primary_key`` is not."""

_PAIRS: t.Final = frozenset(
    {
        ("session", "id"), ("recovery", "code"), ("backup", "code"), ("security", "code"),
        ("access", "code"), ("verification", "code"), ("reset", "code"), ("mfa", "code"),
    }
)  # fmt: skip

_ENDS: t.Final = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey",
    "secretkey", "signingkey", "encryptionkey", "sessionid", "sessionkey",
    "cookie", "creditcard", "cardnumber", "credential", "jwt",
)  # fmt: skip
"""Words that are also found at the end of one written without a gap, like ``PGPASSWORD``."""

_STARTS: t.Final = ("password", "csrf", "xsrf")

_CHUNK: t.Final = re.compile(r"[^\W_]+")
_PIECE: t.Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+")

_REMEMBERED: t.Final = 4096
_REMEMBERED_CHARACTERS: t.Final = 200
LONGEST: t.Final = 2000
"""A name of more characters counts as secret."""


class SecretNames:
    """Tells why a name is secret.

    :param words: further words; one of several segments (``"tax id"``) must occur in a row.
    :param allowed: names, compared without case and separators, that are never secret.
    :param builtin: False leaves only *words*.
    """

    __slots__ = ("_allowed", "_builtin", "_phrases", "_reasons", "_words")

    def __init__(
        self, words: t.Iterable[str] = (), allowed: t.Iterable[str] = (), *, builtin: bool = True
    ) -> None:
        own = [tuple(_segments(word)[0]) for word in words]
        self._words = frozenset(word[0] for word in own if len(word) == 1)
        self._phrases = tuple(word for word in own if len(word) > 1)
        self._allowed = frozenset("".join(_segments(name)[0]) for name in allowed)
        self._builtin = builtin
        # Names come from requests too, so what is remembered has an end.
        self._reasons: dict[str, str | None] = {}

    def reason(self, name: str) -> str | None:
        """``'name contains "csrf"'``, or None for a name that isn't secret.

        *name* must be exactly a str. One of more than 2,000 characters counts as secret.
        """
        try:
            return self._reasons[name]
        except KeyError:
            return self._remembered(name)

    def _remembered(self, name: str) -> str | None:
        if len(name) > LONGEST:
            return "name is too long to judge"
        word = self._word(name)
        reason = None if word is None else f'name contains "{word}"'
        if len(name) <= _REMEMBERED_CHARACTERS:
            if len(self._reasons) >= _REMEMBERED:
                self._reasons.clear()
            self._reasons[name] = reason
        return reason

    def _word(self, name: str) -> str | None:
        segments, chunks = _segments(name)
        if "".join(segments) in self._allowed:
            return None
        return self._own_word(segments, chunks) or (
            _builtin_word(segments, chunks) if self._builtin else None
        )

    def _own_word(self, segments: list[str], chunks: list[str]) -> str | None:
        for segment in (*segments, *chunks):
            for word in (segment, segment.removesuffix("s")):
                if word in self._words:
                    return word
        for phrase in self._phrases:
            size = len(phrase)
            starts = range(len(segments) - size + 1)
            if "".join(phrase) in chunks or any(
                tuple(segments[i : i + size]) == phrase for i in starts
            ):
                return " ".join(phrase)
        return None


def plain_name(key: object) -> str:
    """A key as exactly a str, and no longer than it takes to be called too long."""
    kind = type(key)
    if kind is str and len(t.cast("str", key)) <= LONGEST:
        return t.cast("str", key)
    if issubclass(kind, str):
        return str.__getitem__(t.cast("str", key), slice(0, LONGEST + 1))
    if key is None or kind is bool:
        return str(key)
    if kind is int or kind is float:
        return number_text(t.cast("float", key)) or "<int>"
    return f"<{type_name(kind)}>"


def _segments(name: str) -> tuple[list[str], list[str]]:
    """Its words in lower case, split at camelCase too, and those that separators alone make.

    The second catch what camelCase misreads: ``APIkey`` splits into "ap" and "ikey".
    """
    chunks = _CHUNK.findall(name)
    pieces = [piece.lower() for chunk in chunks for piece in _PIECE.findall(chunk)]
    return pieces, [chunk.lower().rstrip("0123456789") for chunk in chunks]


def _builtin_word(segments: list[str], chunks: list[str]) -> str | None:
    for segment in segments:
        for word in (segment, segment.removesuffix("s")):
            if word in _WORDS:
                return word
    for first, second in itertools.pairwise(segments):
        last = second.removesuffix("s")
        if (last == "key" and first in _KEYS) or (first, last) in _PAIRS:
            return f"{first} {last}"
    return _joined_word([*segments, *chunks])


def _joined_word(words: list[str]) -> str | None:
    """A secret word that another one is written before or after, without a gap."""
    for word in words:
        for end in _ENDS:
            if word.removesuffix("s").endswith(end):
                return end
        for start in _STARTS:
            if word.startswith(start):
                return start
    return None
