"""What may be told of a database driver's error: its words, and no value of a statement."""

from __future__ import annotations

import re
import typing as t

_NAMES: t.Final = (
    "column", "constraint", "database", "function", "host", "index", "key", "procedure", "relation",
    "role", "schema", "sequence", "server", "table", "trigger", "type", "user", "view", "at", "on",
)  # fmt: skip
"""Words before a quoted name; what else is quoted may be a value, such as a duplicate entry."""
_NAMED: t.Final = "".join(rf"(?<!\b{word} ['\"])" for word in _NAMES)
_VALUE: t.Final = re.compile(
    # PostgreSQL tells rows and statements in further lines. MariaDB escapes no quote in a value,
    # so where one ends is not known: the rest goes with it.
    rf"\n|\)=\(|(?<!\w)['\"]{_NAMED}",
    re.IGNORECASE,
)


def is_drivers(error: BaseException) -> bool:
    """Whether *error* is a ``DatabaseError`` of PEP 249, whatever its driver."""
    return any(kind.__name__ == "DatabaseError" for kind in type(error).__mro__)


def words_of(message: str) -> str:
    """*message* up to the first value in it."""
    value = _VALUE.search(message)
    return message if value is None else f"{message[: value.start()].rstrip()} …"
