"""Captured copies of headers and WSGI variables, most of which come again and again.

What was seen to hold no secret is remembered as it is, and handed out at once the next time.
"""

from __future__ import annotations

import typing as t
from itertools import islice
from operator import itemgetter

from .watcher import NAMES

if t.TYPE_CHECKING:
    from .model import Captured
    from .watcher import Headers

VARIABLES: t.Final = 400
"""The most variables of a request that are kept: the server's own and some hundred headers."""
HARMLESS: t.Final = 1000
"""The most headers, lists of them, and variables that are remembered."""
PLANS: t.Final = 200
"""The most combinations of variables that are remembered."""
TOTAL: t.Final = 4000
"""The most characters of one combination's names, and of one client's texts, that are."""
LONG: t.Final = 500
"""The most characters of a text that is remembered."""

PUBLIC: t.Final = frozenset({
    "REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE",
    "REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST", "HTTP_CONNECTION", "CONTENT_TYPE",
    "CONTENT_LENGTH", "GATEWAY_INTERFACE", "wsgi.url_scheme",
})  # fmt: skip
"""Variables whose values are no secrets, by RFC 3875 and RFC 9110."""
COUNTS: t.Final = frozenset({"REMOTE_PORT", "CONTENT_LENGTH"})
"""Those of them whose values are not worth remembering."""
CHANGING: t.Final = COUNTS | {
    "HTTP_COOKIE", "HTTP_REFERER", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI",
}  # fmt: skip
"""What differs between two requests of a client. All else is the same for most of its requests."""

Variables = tuple[dict[str, "Captured"], tuple[str, ...], t.Sequence["Captured"]]
"""Captured WSGI variables: those that several requests share, and the names and values of the
others. One object holds a client's for all its requests, so it is never changed.
"""

NO_VARIABLES: t.Final[Variables] = ({}, (), ())
"""Those of a context without a request."""


def joined(variables: Variables) -> dict[str, Captured]:
    """*variables* as one dict."""
    shared, names, values = variables
    return {**shared, **dict(zip(names, values, strict=True))}


class Redacts(t.Protocol):
    """What captures need of the redactor."""

    def environ(self, environ: t.Any) -> t.Mapping[str, Captured]: ...
    def header(self, name: str, value: object) -> Captured: ...
    def url(self, text: str) -> str: ...


class _Plan:
    """How the strings are read from environs with the same names."""

    __slots__ = ("changing", "is_small", "kinds", "read", "shared", "size")

    def __init__(self, environ: dict[str, t.Any]) -> None:
        # By PEP 3333 what is named like a variable of CGI is a text, and objects are not.
        names = [key for key in environ if type(key) is str]
        texts = [key for key in names if type(environ[key]) is str or key.isupper()]
        self.shared = tuple(key for key in texts if key not in CHANGING)
        self.changing = tuple(key for key in texts if key in CHANGING)
        ordered = (*self.shared, *self.changing)
        self.size = len(self.shared)
        self.is_small = len(names) == len(environ) and sum(map(len, names)) <= TOTAL
        self.kinds = [str] * len(ordered)
        self.read: t.Callable[[t.Any], tuple[t.Any, ...]]
        if len(ordered) > 1:
            self.read = itemgetter(*ordered)
        else:  # of one name, an itemgetter makes no tuple
            self.read = lambda environ: tuple(environ[name] for name in ordered)


class Captures:
    """Captures what travels on the wire. Lifetime: the recorder's. What it remembers is bounded."""

    def __init__(self, redactor: Redacts) -> None:
        self._redactor = redactor
        self._harmless: dict[tuple[str, str], tuple[str, str]] = {}
        self._harmless_lists: dict[tuple[tuple[str, str], ...], Headers] = {}
        self._hidden: dict[tuple[str, int, int], Captured] = {}
        self._plans: dict[tuple[t.Any, ...], _Plan] = {}
        self._shared: dict[tuple[_Plan, int], dict[str, Captured]] = {}

    def forget(self) -> None:
        """Remember nothing: what is a secret is no longer what it was."""
        for known in (
            self._harmless, self._harmless_lists, self._hidden, self._plans, self._shared,
        ):  # fmt: skip
            known.clear()

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
        captured = self._redactor.header(name, value)
        if type(value) is str and captured == value:
            self._remember(pair)
        return (name, captured)

    def environ(self, environ: dict[str, t.Any]) -> Variables:
        """A captured copy of the strings in *environ*; those without a secret are remembered."""
        if len(environ) > VARIABLES:
            return self._cut(environ)
        names = tuple(environ)
        plan = self._plans.get(names) or self._planned(names, environ)
        texts = plan.read(environ)
        if [*map(type, texts)] != plan.kinds:  # a middleware set what is no text
            return self.environ({k: v for k, v in environ.items() if type(v) is str})
        steady = texts[: plan.size]
        shared = self._shared.get((plan, hash(steady))) or self._share(plan, steady)
        known = self._harmless
        values = [
            pair[1] if pair in known else self._variable(*pair)
            for pair in zip(plan.changing, texts[plan.size :], strict=True)
        ]
        return shared, plan.changing, values

    def _planned(self, names: tuple[str, ...], environ: dict[str, t.Any]) -> _Plan:
        plan = _Plan(environ)
        if plan.is_small:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            self._plans[names] = plan
        return plan

    def _share(self, plan: _Plan, texts: tuple[str, ...]) -> dict[str, Captured]:
        """*texts*, captured, but for what servers and middlewares added. They are known again
        by their hash, which is keyed: that of a secret tells nothing of it.
        """
        named = zip(plan.shared, texts, strict=True)
        shown = ((key, self._variable(key, value)) for key, value in named)
        captured = {key: value for key, value in shown if value is not None}
        if plan.is_small and sum(map(len, texts)) <= TOTAL:
            if len(self._shared) >= HARMLESS:
                self._shared.clear()
            self._shared[plan, hash(texts)] = captured
        return captured

    def _cut(self, environ: dict[str, t.Any]) -> Variables:
        shared, names, values = self.environ(dict(islice(environ.items(), VARIABLES)))
        return {**shared, "$cut": len(environ) - VARIABLES}, names, values

    def path(self, path: str) -> str:
        """*path* without the secrets that a link in a mail carries, such as a reset token."""
        if ("PATH_INFO", path) in self._harmless:
            return path
        shown = self._redactor.url(path)
        if shown == path:
            self._remember(("PATH_INFO", path))
        return shown

    def _variable(self, key: str, value: str) -> Captured:
        if key in COUNTS:
            return value
        if key in PUBLIC:
            self._remember((key, value))
            return value
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
