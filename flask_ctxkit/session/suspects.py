"""What a refused cookie looks like: whose it may be, and what became of it on its way."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from binascii import a2b_base64

from itsdangerous import Signer

from .codec import ENCRYPTED, Digest, Keyring, from_base64
from .split import count_of

Evidence = dict[str, t.Any]

LONGEST: t.Final = 16 * 1024
"""Cookies with more characters are not looked into."""
SALTS: t.Final = ("cookie-session", "itsdangerous", "itsdangerous.Signer", "session", "")
DIGESTS: t.Final[dict[str, Digest]] = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}
DERIVATIONS: t.Final = ("hmac", "django-concat", "concat", "none")
_SIZES: t.Final = {20, 32, 48, 64}

_LOOKS: t.Final = (
    ("a remember cookie of Flask-Login", re.compile(r".+\|[0-9a-f]{128}")),
    ("a signed cookie of Django", re.compile(r"[^:]+:[0-9A-Za-z]{6,8}:[\w-]{27,43}")),
    ("the id of a session on the server (Flask-Session, PHP, Java)",
     re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]{20,64}|[0-9A-F]{32}\.\w+")),
    ("a signed cookie of Express", re.compile(r"(s:|s%3A).+\..+")),
    ("a signed cookie of Rails", re.compile(r".+--[0-9a-f]{40,64}")),
)  # fmt: skip


def suspect(text: str, secrets: t.Sequence[str | bytes], keys: Keyring) -> tuple[str, Evidence]:
    """The code of the most likely reason why *text* was refused, and its evidence.

    "unknown-key" when nothing else is shown.

    :param secrets: the keys to try with other settings, which costs up to a millisecond each.
        Whoever sends random cookies must not get that for every one: give none then.
    """
    evidence: Evidence = {"length": len(text), "keys": [k.fingerprint for k in keys.keys.values()]}
    if len(text) > LONGEST:
        return "unknown-key", evidence
    if text.startswith(ENCRYPTED):
        return "undecryptable", evidence
    cookies = count_of(text)
    if cookies > 1:
        return "split-unread", {**evidence, "cookies": cookies}
    look = looks_like(text)
    if look is not None:
        return "foreign", {**evidence, "looks_like": look}
    value, _, signature = text.encode(errors="surrogatepass").rpartition(b".")
    if text.lstrip(".").count(".") < 2:  # noqa: PLR2004 - payload, time, signature
        return _of_few_parts(value, signature, secrets, evidence)
    try:
        size = len(from_base64(signature))
    except ValueError:
        size = len(signature) * 3 // 4
    known = keys.current.size
    if size < known:
        return "truncated", {**evidence, "got": size, "wanted": known}
    found = other_settings(value, signature, secrets)
    if found is not None:
        return "other-settings", {**evidence, **found}
    if size != known and size in _SIZES:
        evidence["signature_bytes"] = size
    return "unknown-key", evidence


def _of_few_parts(
    value: bytes, signature: bytes, secrets: t.Sequence[str | bytes], evidence: Evidence
) -> tuple[str, Evidence]:
    found = other_settings(value, signature, secrets) if value else None
    if found is not None:
        return "foreign", {
            **evidence,
            "looks_like": "a cookie that itsdangerous signed without a time",
        }
    return "malformed", evidence


def looks_like(text: str) -> str | None:
    """Whose cookie *text* looks like, or None where it could be Flask's."""
    if _is_jwt(text):
        return "a JSON Web Token"
    for name, pattern in _LOOKS:
        if pattern.fullmatch(text):
            return name
    return None


def _is_jwt(text: str) -> bool:
    parts = text.split(".")
    # Both its head and its claims are JSON objects; Flask's second part is a time.
    if len(parts) != 3 or not all(part.startswith("eyJ") for part in parts[:2]):  # noqa: PLR2004
        return False
    try:
        head = json.loads(a2b_base64(parts[0].replace("-", "+").replace("_", "/") + "=="))
    except (ValueError, RecursionError):
        return False
    return isinstance(head, dict) and "alg" in head


def other_settings(
    value: bytes, signature: bytes, secrets: t.Sequence[str | bytes]
) -> Evidence | None:
    """The salt, digest and derivation under which one of *secrets* did sign *value*."""
    for secret in secrets:
        for salt in SALTS:
            for name, digest in DIGESTS.items():
                for derivation in DERIVATIONS:
                    signer = Signer(
                        secret, salt=salt, key_derivation=derivation, digest_method=digest
                    )
                    if signer.verify_signature(value, signature):
                        ring = Keyring.derive(secret)
                        return {
                            "key": ring.current.fingerprint,
                            "salt": salt,
                            "digest": name,
                            "derivation": derivation,
                        }
    return None
