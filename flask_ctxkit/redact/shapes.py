"""Which text looks like a secret by itself, wherever in the text it stands.

Every pattern is linear in the length of the text: a repetition either begins where the
character before can't belong to it, or is bounded.
"""

from __future__ import annotations

import base64
import binascii
import re
import typing as t
from dataclasses import dataclass

DOTS: t.Final = "•••"
"""What stands in a text in place of a secret."""

_NO_TOKEN: t.Final = frozenset(
    {
        "token", "tokens", "auth", "authentication", "authorization", "scheme", "realm",
        "of", "or", "and", "is", "are", "was", "for", "in", "header", "headers", "error",
        "type", "credentials", "required", "missing", "invalid",
    }
)  # fmt: skip
"""What follows "Bearer" in a sentence about it."""

_SIGNATURE = r"(?:[\w-]{86}|[\w-]{64}|[\w-]{43}|[\w-]{38}|[\w-]{27})(?![\w-])"
"""SHA-512, 384, 256, 224 and SHA-1 in base64."""


def _is_scheme_value(match: re.Match[str]) -> bool:
    """Tell ``Basic dXNlcjpwYXNz`` and ``Bearer abc`` from "basic information"."""
    value = match["value"]
    if match["scheme"].lower() == "bearer":
        return value.lower() not in _NO_TOKEN
    if any(c in "0123456789+/=" for c in value):
        return True
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return False


def _is_random(match: re.Match[str]) -> bool:
    """Tell a signature from a long identifier after a dot."""
    value = match["signature"]
    return value not in (value.lower(), value.upper()) and any(c in "0123456789-_" for c in value)


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of secret: none is in a text without any of ``needles``.

    ``kept`` names the group of the pattern that may stay readable.
    """

    reason: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    kept: str = ""
    accept: t.Callable[[re.Match[str]], bool] | None = None

    def matches(self, text: str) -> bool:
        """Whether one of its secrets is in *text*."""
        accept = self.accept
        if accept is None:
            return self.pattern.search(text) is not None
        return any(accept(match) for match in self.pattern.finditer(text))

    def scrub(self, text: str) -> str:
        """*text* with ``•••`` in place of each of its secrets."""
        if not any(needle in text for needle in self.needles):
            return text
        return self.pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        if self.accept is not None and not self.accept(match):
            return match[0]
        return f"{match[self.kept]} {DOTS}" if self.kept else DOTS


_URL = Shape(
    "looks like a URL with a user name or password",
    ("://",),
    # The second form is for a password with an unescaped "/", "?" or "#" in it. It must not
    # take "http://localhost:5000/@name" for one.
    re.compile(
        r"(?<=://)(?:[^\s/?#\"'<>]+(?=@)|[^\s/?#@:]{0,256}:(?!\d{1,5}[/?#])[^\s@]{0,256}(?=@))"
    ),
)
_SCHEME = Shape(
    "looks like a Bearer or Basic credential",
    ("earer", "asic", "EARER", "ASIC"),
    re.compile(r"\b(?P<scheme>bearer|basic)\s{1,4}(?P<value>[\w.~+/%-]+=*)", re.IGNORECASE),
    "scheme",
    _is_scheme_value,
)
_PEM = Shape(
    "looks like a PEM key or certificate",
    ("-----BEGIN",),
    re.compile(r"-----BEGIN.*?(?:-----END[^-]{0,64}-----|\Z)", re.DOTALL),
)
_JSON = Shape(
    "looks like a JWT or a signed cookie",
    ("eyJ", "eyA", "ewo", "ewk", "ew0", ".eJ"),
    # base64 of '{"', '{ ', '{' with a line end, and of zlib's header after a dot: JSON in the
    # shape of tokens, also where the text was cut before the dots.
    re.compile(
        r"(?:(?:(?<![A-Za-z0-9_-])|(?<=%[0-9A-Fa-f]{2}))(?:eyJ|eyA|ewo|ewk|ew0)|(?<!\w)\.eJ)"
        r"[A-Za-z0-9_+/-]{9,}(?:\.[A-Za-z0-9_+/-]*){0,4}=*"
    ),
)
_VENDOR = Shape(
    "looks like the API key of a known service",
    ("AKIA", "ASIA", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",
     "xox", "k_live_", "k_test_", "whsec_", "sk-", "SG.", "npm_", "pypi-", "hf_", "ya29."),
    re.compile(
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-"
        r"|[rs]k_(?:live|test)_|whsec_|sk-|SG\.|npm_|pypi-|hf_|ya29\.)[\w.-]{12,}",
        re.ASCII,
    ),
)  # fmt: skip
_TIMED = Shape(
    "looks like a signed value with its time",
    (".",),
    # The first of the time's six characters is that of the years 2010 to 2038.
    re.compile(r"(?:(?<![\w-])[\w-]+)?\.[S-Za-g][\w-]{5}\." + _SIGNATURE, re.ASCII),
)
_SIGNED = Shape(
    "looks like a signed value",
    (".",),
    re.compile(rf"(?<![\w-])[\w-]{{2,}}\.(?P<signature>{_SIGNATURE})", re.ASCII),
    accept=_is_random,
)

SHAPES: t.Final = (_URL, _SCHEME, _PEM, _JSON, _VENDOR, _TIMED, _SIGNED)


def shape_of(text: str) -> str | None:
    """Why *text* looks like a secret or holds one, or None.

    Called for nearly every captured str: ``in`` is asked first, because it takes a tenth of
    the time of a pattern.
    """
    for shape in _possible_shapes(text):
        if shape.matches(text):
            return shape.reason
    return None


def _possible_shapes(text: str) -> t.Sequence[Shape]:
    # The lengths are those of the shortest secret of the shapes that come after them.
    found = [_URL] if "://" in text else []
    if " " in text and ("earer" in text or "asic" in text or "EARER" in text or "ASIC" in text):
        found.append(_SCHEME)
    size = len(text)
    if size < 12:  # noqa: PLR2004
        return found
    if "-----BEGIN" in text:
        found.append(_PEM)
    if "ey" in text or "ew" in text or ".eJ" in text:
        found.append(_JSON)
    if ("-" in text or "_" in text or "." in text or "A" in text) and _may_be_vendor(text):
        found.append(_VENDOR)
    if size >= 30 and "." in text:  # noqa: PLR2004
        found += (_TIMED, _SIGNED)
    return found


def _may_be_vendor(text: str) -> bool:
    # A loop, because any() with a generator takes three times as long.
    for needle in _VENDOR.needles:  # noqa: SIM110
        if needle in text:
            return True
    return False


def without_shapes(text: str) -> str:
    """*text* with ``•••`` in place of each secret in it."""
    for shape in SHAPES:
        text = shape.scrub(text)
    return text
