"""What came or goes over the wire: environ, headers, cookies, URLs."""

from __future__ import annotations

import itertools
import typing as t

from werkzeug.datastructures import EnvironHeaders, Headers

from .capture import Captured, Limits, Secrecy, Walk, first_items, hidden, plain_name
from .marks import mark_of_text
from .objects import type_name
from .shapes import DOTS

_TEXT: t.Final = 2000
"""Characters of a URL or a Cookie header."""
_ENTRIES: t.Final = 200
"""Keys of an environ, headers of a response, cookies of a request."""
_ENVIRON_KEYS: t.Final = 2000
"""Keys that are looked at: servers and middlewares add some that aren't shown."""

_CGI: t.Final = frozenset(
    {
        "AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "DOCUMENT_ROOT", "GATEWAY_INTERFACE",
        "HTTPS", "PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING", "RAW_URI", "REMOTE_ADDR",
        "REMOTE_HOST", "REMOTE_IDENT", "REMOTE_PORT", "REMOTE_USER", "REQUEST_METHOD",
        "REQUEST_SCHEME", "REQUEST_URI", "SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_ADDR",
        "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE",
    }
)  # fmt: skip
_URLS: t.Final = frozenset(
    {
        "PATH_INFO", "SCRIPT_NAME", "PATH_TRANSLATED", "RAW_URI", "REQUEST_URI", "REFERER",
        "ORIGIN", "LOCATION", "CONTENT_LOCATION", "LINK", "REFRESH", "X_ORIGINAL_URL",
        "X_REWRITE_URL", "X_ORIGINAL_URI", "X_FORWARDED_URI",
    }
)  # fmt: skip
"""Environ keys and headers, spelled like environ keys, whose text is or holds a URL."""


class Wire:
    """Copies of an environ and of headers.

    :param own: why a name is secret by the words of the app's owner, or None: the names of
        CGI are judged by nothing else.
    """

    __slots__ = ("_limits", "_own", "_secrecy")

    def __init__(
        self, secrecy: Secrecy, limits: Limits, own: t.Callable[[str], str | None]
    ) -> None:
        self._secrecy = secrecy
        self._limits = limits
        self._own = own

    def environ(self, environ: object) -> dict[str, Captured]:
        """The keys of CGI, HTTP headers and ``wsgi.*``; of objects the type alone."""
        if not issubclass(type(environ), dict):
            return {}
        walk = Walk(self._secrecy, self._limits)
        copy: dict[str, Captured] = {}
        cut = 0
        for key, value in first_items(t.cast("dict[t.Any, t.Any]", environ), _ENVIRON_KEYS):
            if type(key) is not str or not (key.startswith(("HTTP_", "wsgi.")) or key in _CGI):
                continue
            if len(copy) < _ENTRIES:
                copy[walk.name(plain_name(key))] = self._variable(walk, key, value)
            else:
                cut += 1
        return {**copy, "$cut": cut} if cut else copy

    def _variable(self, walk: Walk, key: str, value: object) -> Captured:
        kind = type(value)
        if kind is not str:
            simple = value is None or kind is bool or kind is int or key == "wsgi.version"
            return walk.value("", value) if simple else {"$type": type_name(kind)}
        text = t.cast("str", value)
        if key == "QUERY_STRING":
            return self._by_own_name(key, text) or self.url(f"?{text}")[1:]
        if key in _CGI:
            return self._by_own_name(key, text) or self._header(walk, "", key, text)
        return self._header(walk, key, key.removeprefix("HTTP_"), text)

    def _by_own_name(self, key: str, text: str) -> Captured:
        reason = self._own(key)
        return None if reason is None else hidden(reason, text)

    def headers(self, pairs: object) -> list[list[Captured]]:
        """``[name, captured]`` for each header; a last ``["$cut", n]`` counts what is missing."""
        walk = Walk(self._secrecy, self._limits)
        copy = []
        known, total = _first_pairs(pairs)
        for pair in known:
            name, value = pair
            plain = plain_name(name)
            text = type(value) is str
            word = plain.upper().replace("-", "_")
            copied = (
                self._header(walk, plain, word, t.cast("str", value))
                if text
                else walk.value(plain, value)
            )
            copy.append([walk.name(plain), copied])
        return [*copy, ["$cut", total - len(copy)]] if total > len(copy) else copy

    def _header(self, walk: Walk, name: str, word: str, text: str) -> Captured:
        if word == "COOKIE":
            return self._cookies(walk, text)
        if word == "SET_COOKIE":
            return "\n".join(self._set_cookie(line) for line in text[:_TEXT].split("\n"))
        if word in _URLS and self._secrecy.names.reason(name) is None:
            return self.url(text)
        return walk.value(name, text)

    def _cookies(self, walk: Walk, text: str) -> dict[str, Captured]:
        """Each cookie's name; its value hidden."""
        parts = text[: _TEXT * 8].split(";")
        copy: dict[str, Captured] = {}
        for part in parts[: self._limits.width]:
            # Without a "=" it is a value without a name.
            name, _, value = (
                part.strip().rpartition("=") if "=" not in part else (part.strip().partition("="))
            )
            shown = walk.unused(walk.name(plain_name(name)), copy)
            copy[shown] = hidden("value of a cookie", value) if value else ""
        cut = text.count(";") + 1 - len(copy)
        return {**copy, "$cut": cut} if cut > 0 else copy

    def _set_cookie(self, line: str) -> str:
        """``session=•••3f2a; Path=/; HttpOnly``: the value's mark in place of the value."""
        cookie, *attributes = line.split(";")
        name, equals, value = cookie.partition("=")
        if not equals:
            name, value = "", cookie
        shown = f"{DOTS}{mark_of_text(value)}" if value.strip() else ""
        texts = self._secrecy.texts
        return ";".join([f"{texts.scrubbed(name)}={shown}", *map(texts.scrubbed, attributes)])

    def url(self, text: str) -> str:
        """*text* without user name, password and secret parameters."""
        return self._secrecy.texts.bounded_url(text, _TEXT)

    def text(self, text: str) -> str:
        """*text* without the secrets in it."""
        return self._secrecy.texts.bounded(text, _TEXT)


def _first_pairs(pairs: object) -> tuple[list[tuple[object, object]], int]:
    """The first pairs of a list, a tuple, a dict or Werkzeug's headers, and how many it has."""
    kind = type(pairs)
    known: t.Any = pairs
    if kind is Headers or kind is EnvironHeaders:
        known, kind = list(known), list
    if issubclass(kind, dict):
        return first_items(known, _ENTRIES), dict.__len__(known)
    for base in (list, tuple):
        if issubclass(kind, base):
            first = list(itertools.islice(base.__iter__(known), _ENTRIES))
            return [pair for pair in map(_pair, first) if pair], base.__len__(known)
    return [], 0


def _pair(pair: t.Any) -> tuple[object, object] | None:
    for base in (tuple, list):
        if issubclass(type(pair), base) and base.__len__(pair) == 2:  # noqa: PLR2004
            return base.__getitem__(pair, 0), base.__getitem__(pair, 1)
    return None
