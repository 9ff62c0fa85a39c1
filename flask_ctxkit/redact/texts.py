"""Secrets inside a text: by their shape, and by the name that stands before them."""

from __future__ import annotations

import itertools
import re
import typing as t
from urllib.parse import unquote_plus

from .paths import MOST, SecretPath, secret_path
from .shapes import DOTS, shape_of, without_shapes

if t.TYPE_CHECKING:
    from .names import SecretNames

HARMLESS: t.Final = 16
"""No secret that is recognised by its shape has fewer characters, all letters and digits."""

MARGIN: t.Final = 2048
"""Characters that are read beyond a cut, so that a secret across it is recognised."""

_REMEMBERED: t.Final = 1024
_REMEMBERED_CHARACTERS: t.Final = 300
_EDGE: t.Final = 512

_SEPARATOR: t.Final = re.compile(r"([?&;#])")
_NAMED: t.Final = re.compile(
    # As an option, in JSON, as a header, as a form's field, escaped in a URL.
    r"(?<![\w.])(?<!\w-)(?P<name>\w[\w.\[\]-]{0,119})\\{0,4}[\"']?\s{0,3}"
    r"(?P<equals>[!:=]{1,3}>?|%3[Dd]|%3[Aa])\s{0,3}"
)
_OPTION: t.Final = re.compile(r"--(?P<name>[A-Za-z][\w-]{0,63})[\"']?,?\s{1,3}")
_SQL: t.Final = re.compile(
    r"\b(?:identified\s{1,3}by|(?P<name>password))\s{1,3}(?=['\"])", re.IGNORECASE
)
_VALUE: t.Final = re.compile(
    r"\\{0,4}[bBuUrRfF]{0,2}\"(?:[^\"\\]|\\.|\"\")*\"?"
    r"|\\{0,4}[bBuUrRfF]{0,2}'(?:[^'\\]|\\.|'')*'?"
    r"|[^\s&]+",
    re.DOTALL,
)
_HEADER_VALUE: t.Final = re.compile(r"(?![\\\"'])[^\r\n]+")
_HEADERS: t.Final = ("authorization", "cookie")
_NO_SECRETS: t.Final = frozenset({"none", "true", "false", "null", "''", '""', "", DOTS})
_PLACEHOLDER: t.Final = re.compile(r"\?|%s|\$\d{1,2}|[:@](?P<a>\w+)|%\((?P<b>\w+)\)s")


class SecretTexts:
    """Finds secrets in text and replaces them.

    :param cookies: names of the session cookies: what is assigned to one is secret.
    """

    __slots__ = ("_cookies", "_harmless", "_names", "_paths")

    def __init__(self, names: SecretNames, cookies: t.Iterable[str] = ()) -> None:
        self._names = names
        self._cookies = frozenset(cookies)
        # The same headers, paths and session values come with every request. Only texts that
        # are shown anyway are kept, and few of them.
        self._harmless: set[str] = set()
        self._paths: tuple[SecretPath, ...] = ()

    def hide_arguments(self, rules: t.Iterable[str]) -> None:
        """Hide what stands where one of *rules* has an argument of a secret name."""
        found = (secret_path(rule, self._secret) for rule in rules)
        self._paths = tuple(itertools.islice(filter(None, found), MOST))
        self._harmless.clear()

    def reason(self, text: str) -> str | None:
        """Why *text* looks like a secret or holds one, or None.

        Called for nearly every captured str, so the cheap questions come first.
        """
        if text in self._harmless or (len(text) < HARMLESS and text.isalnum()):
            return None
        reason = self._judged(text)
        if reason is None and len(text) <= _REMEMBERED_CHARACTERS:
            if len(self._harmless) >= _REMEMBERED:
                self._harmless.clear()
            self._harmless.add(text)
        return reason

    def _judged(self, text: str) -> str | None:
        reason = shape_of(text)
        if reason is None and self._paths and "/" in text:
            reason = next((path.reason for path in self._paths if path.is_in(text)), None)
        if reason is not None:
            return reason
        if "=" in text or ":" in text or "%3" in text:
            reason = self._first(_NAMED, text)
        if reason is None and "--" in text:
            reason = self._first(_OPTION, text)
        if reason is None and ("'" in text or '"' in text):
            reason = self._first(_SQL, text)
        return reason

    def scrubbed(self, text: str) -> str:
        """*text* with ``•••`` in place of each secret in it."""
        if self.reason(text) is None:
            return text
        text = self._without_arguments(without_shapes(text))
        for pattern in (_NAMED, _OPTION, _SQL):
            text = self._without_named(pattern, text)
        return text

    def bounded(self, text: str, limit: int) -> str:
        """:meth:`scrubbed`, and at most *limit* characters with a word on how many there were."""
        return _bounded(self.scrubbed, text, limit)

    def bounded_url(self, text: str, limit: int) -> str:
        """The same for :meth:`url`."""
        return _bounded(self.url, text, limit)

    def url(self, text: str) -> str:
        """A URL, its path or its query without user name, password and secret parameters."""
        text = self._without_arguments(text)
        if "=" not in text:
            return self.scrubbed(text)
        return "".join(map(self._parameter, _SEPARATOR.split(without_shapes(text))))

    def _without_arguments(self, text: str) -> str:
        for path in self._paths:
            text = path.hidden(text)
        return text

    def _parameter(self, part: str) -> str:
        name, equals, value = part.partition("=")
        if equals and value:
            # A URL inside a URL is escaped twice.
            key, plain = (unquote_plus(unquote_plus(text)) for text in (name, value))
            if self._secret(key) or self.reason(plain):
                return f"{self.scrubbed(name)}={DOTS}"
        return self.scrubbed(part)

    def _secret(self, name: str) -> str | None:
        return "the session cookie" if name in self._cookies else self._names.reason(name)

    def _first(self, pattern: re.Pattern[str], text: str) -> str | None:
        for reason, _, _ in self._named(pattern, text):
            return reason
        return None

    def _without_named(self, pattern: re.Pattern[str], text: str) -> str:
        parts, end = [], 0
        for _, start, stop in self._named(pattern, text):
            parts += [text[end:start], DOTS]
            end = stop
        return "".join([*parts, text[end:]])

    def _named(self, pattern: re.Pattern[str], text: str) -> t.Iterator[tuple[str, int, int]]:
        """Each value behind a secret name: why it is secret, where it starts and ends."""
        end = 0
        for match in pattern.finditer(text):
            name = match["name"] or "password"
            reason = self._secret(name) if match.start() >= end else None
            if reason is None:
                continue
            value = _value_at(text, match.end(), reason)
            if value is not None and not _is_empty(value[0], name):
                end = value.end()
                yield reason.replace("name", "a name inside", 1), value.start(), end


def _bounded(clean: t.Callable[[str], str], text: str, limit: int) -> str:
    window = str.__getitem__(text, slice(0, limit + MARGIN))
    size = str.__len__(text)
    short = encodable(clean(window))
    if size == len(window) and len(short) <= limit:
        return short
    # The end of the window may hold a secret that was cut too early to be known as one, and
    # what was replaced before it moves it forward.
    known = len(short) - (_EDGE if size > len(window) else 0)
    return f"{short[: max(0, min(limit, known))]}… ({size:,} characters)"


def encodable(text: str) -> str:
    r"""*text* with lone surrogates, which no page or socket can send, as ``\udc80``."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _value_at(text: str, start: int, reason: str) -> re.Match[str] | None:
    # A header's value has spaces in it and goes to the end of its line.
    header = any(word in reason for word in _HEADERS)
    return (_HEADER_VALUE.match(text, start) if header else None) or _VALUE.match(text, start)


def _is_empty(value: str, name: str) -> bool:
    """Whether *value* stands for none, or is a placeholder in an SQL statement."""
    value = value.rstrip(",;)]}")
    if value.lower() in _NO_SECRETS:
        return True
    match = _PLACEHOLDER.fullmatch(value)
    if match is None:
        return False
    parameter = match["a"] or match["b"] or ""
    return parameter.lower().startswith(name.rpartition(".")[2].lower()) or not parameter
