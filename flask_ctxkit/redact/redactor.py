"""The redactor of one app: everything that leaves a request leaves through it."""

from __future__ import annotations

import typing as t

from .capture import Captured, Limits, Secrecy, Walk, bare, hidden
from .names import SecretNames, plain_name
from .objects import first_items
from .scalars import LARGEST
from .shapes import DOTS
from .texts import SecretTexts
from .wire import Wire

UNREADABLE: t.Final = "could not be read safely"
_NAMES: t.Final = 200
_CONFIG_KEYS: t.Final = 2000
_SHARED: t.Final = 4
"""A mapping may take as many nodes as so many values."""

_SHOWN_CONFIG: t.Final = frozenset(
    {
        "APPLICATION_ROOT", "DEBUG", "EXPLAIN_TEMPLATE_LOADING", "MAX_CONTENT_LENGTH",
        "MAX_COOKIE_SIZE", "MAX_FORM_MEMORY_SIZE", "MAX_FORM_PARTS",
        "PERMANENT_SESSION_LIFETIME", "PREFERRED_URL_SCHEME", "PROPAGATE_EXCEPTIONS",
        "PROVIDE_AUTOMATIC_OPTIONS", "SEND_FILE_MAX_AGE_DEFAULT", "SERVER_NAME",
        "SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_HTTPONLY", "SESSION_COOKIE_NAME",
        "SESSION_COOKIE_PARTITIONED", "SESSION_COOKIE_PATH", "SESSION_COOKIE_SAMESITE",
        "SESSION_COOKIE_SECURE", "SESSION_REFRESH_EACH_REQUEST", "TEMPLATES_AUTO_RELOAD",
        "TESTING", "TRAP_BAD_REQUEST_ERRORS", "TRAP_HTTP_EXCEPTIONS", "TRUSTED_HOSTS",
        "USE_X_SENDFILE",
    }
)  # fmt: skip
_SECRET_CONFIG: t.Final = frozenset({"SECRET_KEY", "SECRET_KEY_FALLBACKS", "CTXKIT_TOKEN"})


class Redactor:
    """Makes bounded, JSON-safe copies of values, with the secrets hidden.

    No method raises for any value, runs code of a value's class, or takes longer for a larger
    value. ``failures`` counts the redactor's own errors; what failed counts as secret.

    :param words: further words that make a name secret.
    :param allow: names that are shown although a word in them is secret.
    :param cookie_names: the names of the app's session cookies.
    :param depth: levels of containers that are copied.
    :param width: items of one container, and attributes of one object, that are copied.
    :param text: characters of a str that are copied.
    :param nodes: items and attributes of one value that are copied in all.
    """

    def __init__(
        self,
        words: t.Iterable[str] = (),
        allow: t.Iterable[str] = (),
        *,
        cookie_names: t.Iterable[str] = ("session",),
        depth: int = 4,
        width: int = 50,
        text: int = 200,
        nodes: int = 500,
    ) -> None:
        words, allow, cookies = tuple(words), tuple(allow), frozenset(cookie_names)
        self._limits = Limits(depth, width, text, nodes)
        self._names = SecretNames(words, allow)
        self._own_reason = SecretNames(words, allow, builtin=False).reason
        self._texts = SecretTexts(self._names, cookies)
        self._secrecy = Secrecy(self._names, self._texts, cookies)
        self._wire = Wire(self._secrecy, self._limits, self._own_reason)
        self._cookies = cookies
        # Counted without a lock: two threads that fail at once may count as one.
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Redactor(failures={self.failures})>"

    def capture(self, name: str, value: t.Any) -> Captured:
        """A copy of *value*, which stands under *name*: ``g``'s attribute, a session key."""
        # Most values of a request end in these lines, so they repeat what Walk does.
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        try:
            if kind is int:
                if -LARGEST < value < LARGEST:
                    return value
            elif kind is float:
                # False for infinities and what is not a number.
                if value - value == 0:
                    return value
            elif kind is str and type(name) is str and self._is_harmless(name):
                short = len(value) <= self._limits.text and value.isascii()
                if short and self._texts.reason(value) is None:
                    return value
            return Walk(self._secrecy, self._limits).value(plain_name(name), value)
        except Exception:
            return self._unreadable()

    def _is_harmless(self, name: str) -> bool:
        return self._names.reason(name) is None and name not in self._cookies

    def hide_arguments(self, rules: t.Iterable[str]) -> None:
        """Hide, in each URL and each text from now on, what stands where one of *rules* has an
        argument with a secret name: the token of ``/reset/<token>``.
        """
        self._texts.hide_arguments(rules)
        self._wire.forget()

    def secret_name(self, name: str) -> str | None:
        """Why *name* is secret (``'name contains "csrf"'``), or None."""
        try:
            return self._names.reason(plain_name(name))
        except Exception:
            self.failures += 1
            return UNREADABLE

    def mapping(self, items: t.Mapping[str, object], limit: int = _NAMES) -> dict[str, Captured]:
        """Copies of the values of a dict, of a subclass too, under their names.

        Of more than *limit* names the first are copied, and ``"$cut"`` counts the others. Any
        other mapping would have to be asked for its items, so it comes back as its
        ``"$type"`` alone.
        """
        try:
            return self._named(items, limit, self._value)
        except Exception:
            return self._unreadable()

    def config(self, config: t.Mapping[str, object]) -> dict[str, Captured]:
        """Copies of an app's configuration.

        Flask's own keys are shown by a list, and its secret keys hidden; other keys are
        judged by their name and by the shape of the value.
        """
        try:
            return self._named(config, _CONFIG_KEYS, self._setting)
        except Exception:
            return self._unreadable()

    def _named(
        self, items: object, limit: int, copy: t.Callable[[Walk, str, object], Captured]
    ) -> dict[str, Captured]:
        if not issubclass(type(items), dict):
            return bare(items)
        known = t.cast("dict[t.Any, t.Any]", items)
        walk = Walk(self._secrecy, self._limits, self._limits.nodes * _SHARED)
        found: dict[str, Captured] = {}
        for key, value in first_items(known, limit):
            plain = plain_name(key)
            found[walk.unused(walk.name(plain), found)] = self._guarded(copy, walk, plain, value)
        cut = dict.__len__(known) - len(found)
        return {**found, "$cut": cut} if cut > 0 else found

    def _guarded(
        self, copy: t.Callable[[Walk, str, object], Captured], walk: Walk, name: str, value: object
    ) -> Captured:
        try:
            return copy(walk, name, value)
        except Exception:
            return self._unreadable()

    def _value(self, walk: Walk, name: str, value: object) -> Captured:
        return walk.value(name, value)

    def _setting(self, walk: Walk, name: str, value: object) -> Captured:
        if name in _SECRET_CONFIG and value is not None:
            return hidden("a secret of the app", value)
        if name == "CTXKIT_VALUES" and type(value) is str and value != "auto":
            return hidden("a second token", value)
        if name in _SHOWN_CONFIG and self._own_reason(name) is None:
            return walk.value("", value)
        return walk.value(name, value)

    def environ(self, environ: t.Mapping[str, object]) -> dict[str, Captured]:
        """Copies of what CGI and HTTP define in a WSGI environ, and ``wsgi.*`` objects by type.

        Of cookies the names are shown and of the query string the harmless parameters. What
        servers and middlewares added is left out.
        """
        try:
            return self._wire.environ(environ)
        except Exception:
            return self._unreadable()

    def header(self, name: str, value: object) -> Captured:
        """The captured value of one header.

        That of a Cookie header is a dict of its names; that of a Set-Cookie header keeps its
        attributes, and the mark in place of its value: ``session=•••3f2a; Path=/``.
        """
        try:
            return self._wire.header(plain_name(name), value)
        except Exception:
            return self._unreadable()

    def url(self, text: str) -> str:
        """A URL with ``•••`` in place of user name, password and secret parameters.

        Also takes the path or the query of one. Of more than 2,000 characters the first are
        returned, with a word on how many there were.
        """
        return self._text(self._wire.url, text)

    def text(self, text: str) -> str:
        """Free text, like a message or SQL, with ``•••`` in place of each secret in it.

        A secret is known by its shape, or by the name before it: ``password='•••``. Of more
        than 2,000 characters the first are returned, with a word on how many there were.
        """
        return self._text(self._wire.text, text)

    def _text(self, clean: t.Callable[[str], str], text: str) -> str:
        try:
            return clean(text)
        except Exception:
            self.failures += 1
            return DOTS

    def _unreadable(self) -> dict[str, Captured]:
        self.failures += 1
        return {"$hidden": UNREADABLE}
