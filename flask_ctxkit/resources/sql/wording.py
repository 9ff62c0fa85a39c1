"""What may be told of a statement: its text without literals, its parameters by shape."""

from __future__ import annotations

import functools
import re
import typing as t

from ...redact import mark
from ...redact.objects import size_of, type_name

Dialect = t.Literal["postgresql", "mysql", "sqlite", "unknown"]

LONGEST: t.Final = 300
"""Characters of a statement that are told."""
READ: t.Final = 4000
"""Characters of a statement that are read."""
SHAPES: t.Final = 8
"""Parameters that are told one by one."""

_DRIVERS: t.Final[t.Mapping[str, Dialect]] = {
    "psycopg": "postgresql", "psycopg2": "postgresql", "pg8000": "postgresql",
    "pymysql": "mysql", "MySQLdb": "mysql", "mysql": "mysql", "mariadb": "mysql",
    "sqlite3": "sqlite",
}  # fmt: skip

# A backslash before a quote ends the literal or doesn't, by a setting of the server's.
_ALWAYS_DOUBTFUL: t.Final = r"\\['\"]"
_DOUBTFUL: t.Final[t.Mapping[Dialect, re.Pattern[str]]] = {
    # Its comments nest.
    "postgresql": re.compile(rf"{_ALWAYS_DOUBTFUL}|`|/\*.*/\*", re.DOTALL),
    "mysql": re.compile(_ALWAYS_DOUBTFUL),
    # Brackets are quotes too.
    "sqlite": re.compile(rf"{_ALWAYS_DOUBTFUL}|\[[^\]]*['\"`]"),
    "unknown": re.compile(
        rf"{_ALWAYS_DOUBTFUL}|`|\[[^\]]*['\"]|#|--\S|\$[^\d]|/\*.*/\*", re.DOTALL
    ),
}
_CERTAIN: t.Final = re.compile(r"(?:(?!['\"`\[#$]|--|/\*).)*", re.DOTALL)
"""The start of a statement before all that may be a quote or a comment."""

_NUMBER: t.Final = r"(?<![\w$:@?%.])(?:0[xX][0-9a-fA-F]+|\d*\.?\d+(?:[eE][+-]?\d+)?)(?!\w)"
_DASHES: t.Final = r"--[^\r\n]*"
_COMMENT: t.Final = r"/\*.*?(?:\*/|\Z)"
_TEXT: t.Final = r"'(?:[^']|'')*(?:'|\Z)"
_DOUBLE: t.Final = r"\"(?:[^\"]|\"\")*(?:\"|\Z)"
_NAME: t.Final = r"(?P<name>`[^`]*`)|`[^`]*\Z"
_DOLLARS: t.Final = (
    r"(?<![\w$])\$(?P<tag>[A-Za-z_]\w*)\$.*?(?:\$(?P=tag)\$|\Z)|(?<![\w$])\$\$.*?(?:\$\$|\Z)"
)


def _tokens(comment: str, *others: str) -> re.Pattern[str]:
    return re.compile("|".join([f"(?P<comment>{comment})", *others, _NUMBER]), re.DOTALL)


_TOKENS: t.Final[t.Mapping[Dialect, re.Pattern[str]]] = {
    "postgresql": _tokens(
        f"{_DASHES}|{_COMMENT}", r"(?P<name>\"[^\"]*\")", _TEXT, _DOUBLE, _DOLLARS
    ),
    "mysql": _tokens(rf"--(?=\s|\Z)[^\r\n]*|#[^\r\n]*|{_COMMENT}", _NAME, _TEXT, _DOUBLE),
    "sqlite": _tokens(f"{_DASHES}|{_COMMENT}", _NAME, _TEXT, _DOUBLE),
    "unknown": _tokens(f"{_DASHES}|{_COMMENT}", r"(?P<name>(?!))", _TEXT, _DOUBLE),
}
_PREFIX: t.Final = re.compile(r"(?<!\w)(?:[eEnNxXbB]|[uU]&|_\w{1,20})\Z")
"""What may stand right before a literal."""
_LIST: t.Final = re.compile(r"\(\s*(\?|%s)(?:\s*,\s*\1)+\s*\)")
_SPACE: t.Final = re.compile(r"\s+")


def dialect_of(connection: object) -> Dialect:
    """How the server behind a driver's *connection* reads quotes, by the driver's module."""
    return _DRIVERS.get(type(connection).__module__.partition(".")[0], "unknown")


def text_of(sql: object, dialect: Dialect) -> str:
    """The text of a statement on one line, bounded, with ``?`` for each literal in it.

    Where it depends on the server's settings what is a literal, the text ends before the
    first one, and a mark tells such statements apart. Comments are left out. Of a statement
    that is no str its type is told.
    """
    if type(sql) is not str:
        return f"<{type_name(type(sql))}>"
    return _remembered(sql, dialect) if len(sql) <= READ else _text(sql, dialect)


def _text(sql: str, dialect: Dialect) -> str:
    start = sql[:READ]
    whole = _whole(start, dialect)
    if whole is not None:
        return _bounded(whole)
    certain = t.cast("re.Match[str]", _CERTAIN.match(start))[0]
    return f"{_bounded(_folded(certain, dialect))} … ({mark(sql)})"


# Most programs run few statements, many times.
_remembered = functools.lru_cache(maxsize=256)(_text)


def _whole(sql: str, dialect: Dialect) -> str | None:
    """All of *sql*, or None where it is doubtful what in it is a literal."""
    if _DOUBTFUL[dialect].search(sql):
        return None
    try:
        return _folded(sql, dialect)
    except _DoubtError:
        return None


class _DoubtError(Exception):
    """A quote stands where no literal begins or ends."""


def _folded(sql: str, dialect: Dialect) -> str:
    plain = _TOKENS[dialect].sub(_token, sql)
    return _LIST.sub(r"(\1, …)", _SPACE.sub(" ", plain).strip())


def _token(match: re.Match[str]) -> str:
    if match["name"] is not None:
        return match["name"]
    if match["comment"] is not None:
        return " "
    if match[0][0] in "'\"" and not _is_literal(match):
        raise _DoubtError
    return "?"


def _is_literal(match: re.Match[str]) -> bool:
    """Whether a quoted text is a literal as far as one can tell.

    A value with a quote in it that was pasted into a statement shifts all later quotes by
    one: what looks like a literal is then what stands between two.
    """
    sql, start, end = match.string, match.start(), match.end()
    if len(match[0]) == 1 or match[0][-1] != match[0][0]:
        return len(sql) == READ  # cut off by us
    if end < len(sql) and (sql[end].isalnum() or sql[end] in "_'\""):
        return False
    return start == 0 or not sql[start - 1].isalnum() or _PREFIX.search(sql, 0, start) is not None


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def shape_of(parameters: object) -> str:
    """What *parameters* are, without a value: "2 parameters: int, str[12]"."""
    kind = type(parameters)
    if kind is dict:
        known = t.cast("dict[t.Any, t.Any]", parameters)
        shapes = [_named(name, known[name]) for name in list(known)[:SHAPES]]
        return _counted(len(known), shapes)
    if kind is list or kind is tuple:
        items = t.cast("t.Sequence[t.Any]", parameters)
        return _counted(len(items), [_shape(value) for value in items[:SHAPES]])
    return f"parameters: {type_name(kind)}"


def shape_of_many(rows: object) -> str:
    """What *rows* of parameters are: "120 times 2 parameters: int, str[12]"."""
    if type(rows) is list or type(rows) is tuple:
        first = f" {shape_of(rows[0])}" if rows else ""
        return f"{len(rows)} times{first}"
    return f"rows of parameters: {type_name(type(rows))}"


def _counted(count: int, shapes: list[str]) -> str:
    more = ["…"] if count > len(shapes) else []
    noun = "parameter" if count == 1 else "parameters"
    return f"{count} {noun}: {', '.join([*shapes, *more])}" if count else "no parameters"


def _named(name: object, value: object) -> str:
    return f"{name[:40] if type(name) is str else '?'} {_shape(value)}"


def _shape(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value)
    if kind is int or kind is float:
        return kind.__name__
    size = size_of(value, kind)
    return type_name(kind) if size is None else f"{type_name(kind)}[{size}]"


def ordinal(number: int) -> str:
    """As "1st", "2nd", "3rd", "11th"."""
    teen = 10 <= number % 100 <= 20  # noqa: PLR2004
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
