"""Captured copies of headers and WSGI variables, most of which come again and again.

What was seen to hold no secret is remembered as it is, and handed out at once the next time.
"""

from __future__ import annotations

import typing as t
from itertools import compress, filterfalse, islice, repeat
from operator import is_

from .watcher import NAMES

if t.TYPE_CHECKING:
    from .model import Captured
    from .watcher import Headers

VARIABLES: t.Final = 400
"""The most variables of a request that are kept: the server's own and some hundred headers."""
HARMLESS: t.Final = 1000
"""The most headers, lists of them, and variables that are remembered."""
LONG: t.Final = 500
"""The most characters of a text that is remembered."""

PUBLIC: t.Final = frozenset({
    "REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE",
    "REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST", "HTTP_CONNECTION", "CONTENT_TYPE",
    "CONTENT_LENGTH", "GATEWAY_INTERFACE", "wsgi.url_scheme",
})  # fmt: skip
"""Variables whose values are no secrets, by RFC 3875 and RFC 9110."""
VARYING: t.Final = frozenset({"REMOTE_PORT", "CONTENT_LENGTH"})
"""Those whose values are not worth remembering."""


class Redacts(t.Protocol):
    """What captures need of the redactor."""

    def environ(self, environ: t.Any) -> t.Mapping[str, Captured]: ...
    def headers(self, pairs: t.Any) -> t.Sequence[t.Sequence[Captured]]: ...
    def url(self, text: str) -> str: ...


class Captures:
    """Captures what travels on the wire. Lifetime: the recorder's. What it remembers is bounded."""

    def __init__(self, redactor: Redacts) -> None:
        self._redactor = redactor
        self._harmless: dict[tuple[str, str], tuple[str, str]] = {}
        self._harmless_lists: dict[tuple[tuple[str, str], ...], Headers] = {}
        self._hidden: dict[tuple[str, int, int], Captured] = {}

    def headers(self, pairs: t.Iterable[tuple[str, str]]) -> Headers:
        """Captured copies of *pairs*: the same object for equal ones without a secret."""
        key = tuple(pairs)
        return self._harmless_lists.get(key) or self._capture_list(key)

    def _capture_list(self, pairs: tuple[tuple[str, str], ...]) -> Headers:
        harmless = self._harmless
        captured = tuple([harmless.get(p) or self._capture_header(p) for p in pairs[:NAMES]])
        if len(pairs) <= NAMES and all(pair in harmless for pair in pairs):
            if len(self._harmless_lists) >= HARMLESS:
                self._harmless_lists.clear()
            self._harmless_lists[pairs] = captured
        return captured

    def _capture_header(self, pair: tuple[str, str]) -> tuple[str, Captured]:
        name, value = pair
        [(_, captured)] = self._redactor.headers([pair])
        if type(value) is str and captured == value:
            self._remember(pair)
        return (name, captured)

    def environ(self, environ: t.Mapping[str, t.Any]) -> dict[str, Captured]:
        """A captured copy of the strings in *environ*; those without a secret are remembered."""
        known = self._harmless
        more = len(environ) - VARIABLES
        if more > 0:
            environ = dict(islice(environ.items(), VARIABLES))
        # No bytecode runs for what is no text, nor for what is known.
        texts = map(is_, map(type, environ.values()), repeat(str))
        captured: dict[str, Captured] = dict(compress(environ.items(), texts))
        for key, value in list(filterfalse(known.__contains__, captured.items())):
            if key not in PUBLIC:
                captured[key] = self._variable(key, value)
            elif key not in VARYING:
                self._remember((key, value))
        if more > 0:
            captured["$cut"] = more
        return captured

    def path(self, path: str) -> str:
        """*path* without the secrets that a link in a mail carries, such as a reset token."""
        if ("PATH_INFO", path) in self._harmless:
            return path
        shown = self._redactor.url(path)
        if shown == path:
            self._remember(("PATH_INFO", path))
        return shown

    def _variable(self, key: str, value: str) -> Captured:
        # What holds a secret is remembered by its hash, which is keyed: a client sends the
        # same cookies again and again.
        place = (key, hash(value), len(value))
        captured = self._hidden.get(place)
        if captured is not None:
            return captured
        captured = self._redactor.environ({key: value}).get(key)
        if captured == value:
            self._remember((key, value))
        else:
            if len(self._hidden) >= HARMLESS:
                self._hidden.clear()
            self._hidden[place] = captured
        return captured

    def _remember(self, pair: tuple[str, str]) -> None:
        if len(pair[1]) > LONG:
            return
        if len(self._harmless) >= HARMLESS:
            self._harmless.clear()
        self._harmless[pair] = pair
