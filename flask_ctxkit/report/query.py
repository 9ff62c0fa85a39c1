"""Which traces are wanted: the query string of the list, checked, and matched."""

from __future__ import annotations

import difflib
import re
import shlex
import typing as t
from dataclasses import dataclass, fields, replace

from ..errors import CtxKitError
from .summary import SERVER_ERROR

if t.TYPE_CHECKING:
    from ..trace.model import Trace

Sort = t.Literal["newest", "slowest", "status"]
SORTS: t.Final[tuple[str, ...]] = t.get_args(Sort)
KINDS: t.Final = ("request", "cli", "script", "test", "task")
WORDS: t.Final = ("path", "status", "endpoint", "method", "kind", "g")
"""What may stand before a colon in the text of a query."""
LIMIT: t.Final = 100
MOST: t.Final = 1000
DAYS: t.Final = 1e9
"""About twelve, in milliseconds: nothing takes longer."""
TEXT: t.Final = 500
"""The most characters of one parameter."""

_CLASS: t.Final = re.compile(r"([1-5])xx", re.IGNORECASE)
_RANGE: t.Final = re.compile(r"([1-5]\d\d)-([1-5]\d\d)")
_CODE: t.Final = re.compile(r"[1-5]\d\d")
_METHOD: t.Final = re.compile(r"[A-Z][A-Z-]{0,19}")
_OTHER: t.Final = ("since",)
"""Parameters that belong to the page and not to the query."""


class QueryError(CtxKitError):
    """A parameter is unknown or malformed; ``evidence["parameter"]`` names it."""


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query. ``text`` holds the plain words of ``q``, ``g`` the names in it."""

    text: tuple[str, ...] = ()
    path: str = ""
    g: tuple[str, ...] = ()
    method: str = ""
    status: str = ""
    endpoint: str = ""
    kind: str = ""
    min_ms: float | None = None
    sort: Sort = "newest"
    limit: int = LIMIT
    all: bool = False

    @classmethod
    def from_mapping(cls, parameters: t.Mapping[str, str]) -> Query:
        """Read the parameters of a URL; an empty one is as good as a missing one.

        :raises QueryError: for a parameter that is unknown or malformed.
        """
        found: dict[str, t.Any] = {}
        for name, value in parameters.items():
            if len(value) > TEXT:
                raise _refusal(name, f"has more than {TEXT} characters. Shorten it.")
            if name == "q":
                # A parameter of its own counts more than the same word in the text.
                found = _text(value) | found
            elif name in _READERS:
                if value.strip():
                    found[name] = _READERS[name](name, value.strip())
            elif name not in _OTHER:
                raise _unknown(name)
        return cls(**found)

    def as_parameters(self) -> dict[str, str]:
        """What to put into a URL to have this query again."""
        words = [shlex.quote(word) for word in self.text]
        words += [f"path:{shlex.quote(self.path)}"] if self.path else []
        words += [f"g:{shlex.quote(name)}" for name in self.g]
        shown = {"q": " ".join(words)} if words else {}
        for name in ("method", "status", "endpoint", "kind"):
            if getattr(self, name):
                shown[name] = getattr(self, name)
        if self.min_ms is not None:
            shown["min_ms"] = f"{self.min_ms:g}"
        if self.sort != "newest":
            shown["sort"] = self.sort
        if self.limit != LIMIT:
            shown["limit"] = str(self.limit)
        return shown | ({"all": "1"} if self.all else {})

    def conditions(self) -> dict[str, t.Callable[[Trace], bool]]:
        """A test for each condition that is set, by the name to call it by."""
        tests: dict[str, t.Callable[[Trace], bool]] = {}
        if self.text:
            tests["the words"] = self._has_text
        if self.path:
            tests["path"] = lambda trace: self.path in (trace.path or "")
        if self.g:
            tests["g"] = lambda trace: all(_wrote_g(trace, name) for name in self.g)
        if self.method:
            tests["method"] = lambda trace: trace.method == self.method
        if self.status:
            low, high = status_range(self.status)
            tests["status"] = lambda trace: low <= _status_of(trace) <= high
        if self.endpoint:
            tests["endpoint"] = lambda trace: trace.endpoint == self.endpoint
        if self.kind:
            tests["kind"] = lambda trace: trace.kind == self.kind
        if self.min_ms is not None:
            least = self.min_ms
            tests["min_ms"] = lambda trace: (trace.duration_ms or 0.0) >= least
        return tests

    def without(self, name: str) -> Query:
        """The same query without the condition *name*."""
        name = {"the words": "text"}.get(name, name)
        default: t.Any = next(field.default for field in fields(Query) if field.name == name)
        return replace(self, **{name: default})

    def _has_text(self, trace: Trace) -> bool:
        haystack = " ".join(
            str(part)
            for part in (
                trace.id, trace.method, trace.path, trace.endpoint, trace.status, trace.name,
                trace.exception and trace.exception.type, *trace.g,
                *(finding.get("code") for finding in trace.findings),
            )
            if part
        ).lower()  # fmt: skip
        return all(word.lower() in haystack for word in self.text)


def status_range(status: str) -> tuple[int, int]:
    """The lowest and highest code of a checked status: "404", "4xx" or "500-599"."""
    family = _CLASS.fullmatch(status)
    if family is not None:
        low = int(family[1]) * 100
        return low, low + 99
    low_text, _, high_text = status.partition("-")
    return int(low_text), int(high_text or low_text)


def _status_of(trace: Trace) -> int:
    # An exception that was propagated to the server is answered by it, with a 500.
    return trace.status or (SERVER_ERROR if trace.exception is not None else 0)


def _wrote_g(trace: Trace, name: str) -> bool:
    return name in trace.g or any(
        name in event.g.added or name in event.g.changed for event in trace.events
    )


# --------------------------------------------------------------------------- reading


def _text(value: str) -> dict[str, t.Any]:
    try:
        parts = shlex.split(value)
    except ValueError:  # a quote that is not closed: take it as it is typed
        parts = value.split()
    found: dict[str, t.Any] = {}
    words: list[str] = []
    names: list[str] = []
    for part in parts:
        word, colon, rest = part.partition(":")
        if not colon or word not in WORDS or not rest:
            words.append(part)
        elif word == "g":
            names.append(rest)
        elif word == "path":
            found["path"] = rest
        else:
            found[word] = _READERS[word](word, rest)
    return found | {"text": tuple(words), "g": tuple(names)}


def _status(name: str, value: str) -> str:
    if _CODE.fullmatch(value) or _CLASS.fullmatch(value):
        return value.lower()
    between = _RANGE.fullmatch(value)
    if between is None or between[1] > between[2]:
        raise _malformed(name, value, "a code like 500, a class like 4xx or a range like 500-599")
    return value


def _method(name: str, value: str) -> str:
    if not _METHOD.fullmatch(value.upper()):
        raise _malformed(name, value, "a method like GET")
    return value.upper()


def _one_of(allowed: t.Sequence[str]) -> t.Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in allowed:
            raise _malformed(name, value, f"one of {', '.join(allowed)}")
        return value

    return read


def _milliseconds(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < DAYS:  # a NaN is not
        raise _malformed(name, value, "a number of milliseconds, 0 or more")
    return number


def _limit(name: str, value: str) -> int:
    whole = value.isascii() and value.isdigit() and len(value) <= len(str(MOST))
    if not whole or not 1 <= int(value) <= MOST:
        raise _malformed(name, value, f"a whole number from 1 to {MOST:,}")
    return int(value)


_READERS: t.Final[dict[str, t.Callable[[str, str], t.Any]]] = {
    "method": _method,
    "status": _status,
    "endpoint": lambda _, value: value,
    "kind": _one_of(KINDS),
    "min_ms": _milliseconds,
    "sort": _one_of(SORTS),
    "limit": _limit,
    "all": lambda name, value: _one_of(("0", "1"))(name, value) == "1",
}


def _malformed(name: str, value: str, wanted: str) -> QueryError:
    return _refusal(name, f"is {value[:60]!r}. Set it to {wanted}.")


def _refusal(name: str, what: str) -> QueryError:
    return QueryError(f"The parameter {name} {what}", parameter=name)


def _unknown(name: str) -> QueryError:
    known = ("q", *_READERS)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return QueryError(
        f"There is no parameter {name[:60]!r}. Did you mean {near[0]}? "
        f"There are: {', '.join(known)}.",
        parameter=name[:60],
    )
