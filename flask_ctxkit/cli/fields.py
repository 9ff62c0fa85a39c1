"""Reading a report: a field that is missing or of another type is unknown, never a crash.

A report comes over HTTP, so it is what the other side says, not what the contract says.
"""

from __future__ import annotations

import math
import typing as t

Row = t.Mapping[str, t.Any]

_NOTHING: t.Final[Row] = {}


def text(row: Row, key: str, missing: str = "") -> str:
    """The text under *key*; a number as text; *missing* for anything else."""
    value = row.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return missing


def number(row: Row, key: str) -> float | None:
    """The finite number under *key*, or None."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # A whole number can be too large for a float.
    return value if isinstance(value, int) or math.isfinite(value) else None


def count(row: Row, key: str) -> int:
    """The whole number under *key*, or 0."""
    value = number(row, key)
    return 0 if value is None else int(value)


def rows(row: Row, key: str) -> list[Row]:
    """The mappings in the list under *key*; an empty list where there is none."""
    value = row.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(row: Row, key: str) -> Row:
    """The mapping under *key*, or an empty one."""
    value = row.get(key)
    return value if isinstance(value, dict) else _NOTHING


def texts(row: Row, key: str) -> list[str]:
    """The texts in the list under *key*."""
    value = row.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def flag(row: Row, key: str) -> bool:
    """Whether the value under *key* is exactly true."""
    return row.get(key) is True
