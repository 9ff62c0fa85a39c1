"""What came or goes over the wire: environ, headers, cookies, URLs."""

from __future__ import annotations

import typing as t

from .capture import Captured, Limits, Secrecy, Walk, hidden
from .marks import mark_of_text
from .names import plain_name
from .objects import first_items, type_name
from .shapes import DOTS

_TEXT: t.Final = 2000
"""Characters of a URL or a Cookie header."""
_ENTRIES: t.Final = 200
"""Keys of an environ, headers of a response, cookies of a request."""
_ENVIRON_KEYS: t.Final = 2000
"""Keys that are looked at: servers and middlewares add some that aren't shown."""

_REMEMBERED: t.Final = 512
_REMEMBERED_CHARACTERS: t.Final = 100
_Value = t.TypeVar("_Value")

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
        "QUERY_STRING",
        "PATH_INFO", "SCRIPT_NAME", "PATH_TRANSLATED", "RAW_URI", "REQUEST_URI", "REFERER",
        "ORIGIN", "LOCATION", "CONTENT_LOCATION", "LINK", "REFRESH", "X_ORIGINAL_URL",
        "X_REWRITE_URL", "X_ORIGINAL_URI", "X_FORWARDED_URI",
    }
)  # fmt: skip
"""Environ keys and headers, spelled like environ keys, whose text is or holds a URL."""

_Copy = t.Callable[[Walk, str, object], Captured]
_Plan = tuple[str, str, _Copy]
"""The shown key, the name that is judged, and how the value is copied."""


class Wire:
    """Copies of an environ and of headers.

    :param own: why a name is secret by the words of the app's owner, or None: the names of
        CGI are judged by nothing else.
    """

    __slots__ = ("_harmless", "_headers", "_limits", "_own", "_secrecy", "_variables")

    def __init__(
        self, secrecy: Secrecy, limits: Limits, own: t.Callable[[str], str | None]
    ) -> None:
        self._secrecy = secrecy
        self._limits = limits
        self._own = own
        # What to do with a key, so that a request doesn't ask again. Keys come from requests
        # too, so what is remembered has an end.
        self._variables: dict[str, _Plan | None] = {}
        self._headers: dict[str, _Copy] = {}
        self._harmless: dict[str, str] = {}

    def forget(self) -> None:
        """Remember no text that is harmless: that may have changed."""
        self._harmless.clear()

    def environ(self, environ: object) -> dict[str, Captured]:
        """The keys of CGI, HTTP headers and ``wsgi.*``; of objects the type alone."""
        if not issubclass(type(environ), dict):
            return {}
        walk = Walk(self._secrecy, self._limits)
        copy: dict[str, Captured] = {}
        cut = 0
        for key, value in first_items(t.cast("dict[t.Any, t.Any]", environ), _ENVIRON_KEYS):
            plan = self._variable(walk, key) if type(key) is str else None
            if plan is None:
                continue
            if len(copy) < _ENTRIES:
                copy[plan[0]] = plan[2](walk, plan[1], value)
            else:
                cut += 1
        return {**copy, "$cut": cut} if cut else copy

    def header(self, key: str, value: object) -> Captured:
        """The captured value of one header."""
        walk = Walk(self._secrecy, self._limits)
        return self._header(key)(walk, key, value)

    def _variable(self, walk: Walk, key: str) -> _Plan | None:
        try:
            return self._variables[key]
        except KeyError:
            return _remember(self._variables, key, self._planned_variable(walk, key))

    def _planned_variable(self, walk: Walk, key: str) -> _Plan | None:
        shown = walk.name(plain_name(key))
        if key.startswith("wsgi."):
            return shown, key, self._wsgi
        if key.startswith("HTTP_"):
            return shown, key, self._copy_of(key, key.removeprefix("HTTP_"))
        if key not in _CGI:
            return None
        if self._own(key) is not None:
            # The query of a trace is a text, whatever it holds.
            return shown, key, _dots if key == "QUERY_STRING" else _by_name
        return shown, "", self._copy_of("", key)

    def _header(self, name: str) -> _Copy:
        try:
            return self._headers[name]
        except KeyError:
            copy = self._copy_of(name, name.upper().replace("-", "_"))
            return _remember(self._headers, name, copy)

    def _copy_of(self, name: str, word: str) -> _Copy:
        if word == "COOKIE":
            return self._cookies
        if word == "SET_COOKIE":
            return self._set_cookies
        if self._secrecy.of_name(name, str) is not None:
            return _by_name
        return self._address if word in _URLS else self._plain

    def _plain(self, walk: Walk, _: str, value: object) -> Captured:
        """A copy of a value whose name isn't secret."""
        if type(value) is not str:
            return {"$type": type_name(type(value))}
        short = len(value) <= self._limits.text and value.isascii()
        if short and self._secrecy.texts.reason(value) is None:
            return value
        return walk.value("", value)

    def _wsgi(self, walk: Walk, name: str, value: object) -> Captured:
        flag = value is None or value is True or value is False
        return value if flag else self._plain(walk, name, value)

    def _address(self, walk: Walk, name: str, value: object) -> Captured:
        return self.url(value) if type(value) is str else self._plain(walk, name, value)

    def _cookies(self, walk: Walk, name: str, text: object) -> Captured:
        """Each cookie's name; its value hidden."""
        if type(text) is not str:
            return self._plain(walk, name, text)
        parts = text[: _TEXT * 8].split(";")
        copy: dict[str, Captured] = {}
        for part in parts[: self._limits.width]:
            name, equals, value = part.strip().partition("=")
            if not equals:
                name, value = "", name
            shown = walk.unused(walk.name(plain_name(name)), copy)
            copy[shown] = hidden("value of a cookie", value) if value else ""
        cut = text.count(";") + 1 - len(copy)
        return {**copy, "$cut": cut} if cut > 0 else copy

    def _set_cookies(self, walk: Walk, name: str, text: object) -> Captured:
        if type(text) is not str:
            return self._plain(walk, name, text)
        return "\n".join(map(self._set_cookie, text[:_TEXT].split("\n")))

    def _set_cookie(self, line: str) -> str:
        """``session=•••3f2a; Path=/; HttpOnly``: the value's mark in place of the value."""
        cookie, *attributes = line.split(";")
        name, equals, value = cookie.partition("=")
        if not equals:
            name, value = "", cookie
        shown = f"{DOTS}{mark_of_text(value)}" if value.strip() else ""
        return ";".join([f"{self._scrubbed(name)}={shown}", *map(self._scrubbed, attributes)])

    def _scrubbed(self, text: str) -> str:
        """*text*, a name or an attribute of a cookie, most of which come again and again."""
        if text in self._harmless:
            return text
        shown = self._secrecy.texts.scrubbed(text)
        return _remember(self._harmless, text, shown) if shown == text else shown

    def url(self, text: str) -> str:
        """*text* without user name, password and secret parameters."""
        return self._secrecy.texts.bounded_url(text, _TEXT)

    def text(self, text: str) -> str:
        """*text* without the secrets in it."""
        return self._secrecy.texts.bounded(text, _TEXT)


def _by_name(walk: Walk, name: str, value: object) -> Captured:
    return walk.value(name, value)


def _dots(_walk: Walk, _name: str, _value: object) -> Captured:
    return DOTS


def _remember(known: dict[str, _Value], key: str, value: _Value) -> _Value:
    if len(known) >= _REMEMBERED:
        known.clear()
    if len(key) <= _REMEMBERED_CHARACTERS:
        known[key] = value
    return value
