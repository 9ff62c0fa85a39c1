"""Values without parts that JSON can't hold as they are: their text, if it is short."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import sys
import types
import typing as t
import uuid
import zoneinfo

from .objects import type_name

LARGEST: t.Final = 2**63
_INT_BITS: t.Final = 512
_DECIMAL_BYTES: t.Final = 1024


def number_text(value: complex) -> str | None:
    """The text of a number, of a subclass too; None for a whole number of over 512 bits.

    The text of a longer one takes time that grows with the square of its length.
    """
    if issubclass(type(value), int):
        number = t.cast("int", value)
        return int.__repr__(number) if int.bit_length(number) <= _INT_BITS else None
    if issubclass(type(value), float):
        return float.__repr__(value)
    return complex.__repr__(value)


def _decimal_text(value: decimal.Decimal) -> str | None:
    return str(value) if sys.getsizeof(value) <= _DECIMAL_BYTES else None


def _moment_text(value: dt.datetime | dt.time) -> str:
    zone = value.tzinfo
    # The text of a time asks its zone for the offset, and a zone's class may be the user's.
    if zone is None or type(zone) is dt.timezone or type(zone) is zoneinfo.ZoneInfo:
        return value.isoformat()
    return f"{value.replace(tzinfo=None).isoformat()} {type_name(type(zone))}"


def _path_text(value: pathlib.PurePath) -> str | None:
    # From Python 3.12 a path keeps the strings it was made of, and they may be of a user's class.
    raw = getattr(value, "_raw_paths", ())
    return str(value) if all(type(part) is str for part in raw) else None


_Text = t.Callable[[t.Any], "str | None"]
_TIMES: t.Final[t.Mapping[type, _Text]] = types.MappingProxyType(
    {
        dt.timedelta: str,
        dt.datetime: _moment_text,
        dt.time: _moment_text,
        dt.date: dt.date.isoformat,
        decimal.Decimal: _decimal_text,
    }
)
_OTHERS: t.Final[t.Mapping[type, _Text]] = types.MappingProxyType(
    {
        uuid.UUID: str,
        pathlib.PurePosixPath: _path_text,
        pathlib.PureWindowsPath: _path_text,
        pathlib.PosixPath: _path_text,
        pathlib.WindowsPath: _path_text,
    }
)


def is_number(kind: type) -> bool:
    """Whether values of *kind* are numbers, times or durations, which are never hidden."""
    # A dict asks a key for its hash, and a metaclass may define one: only type itself is asked.
    return issubclass(kind, (int, float, complex)) or (type(kind) is type and kind in _TIMES)


def scalar_text(value: object, kind: type) -> str | None:
    """The text of a number, a time, a UUID or a path; None for all else."""
    if issubclass(kind, (int, float, complex)):
        return number_text(t.cast("complex", value))
    if type(kind) is not type:
        return None
    text = _TIMES.get(kind) or _OTHERS.get(kind)
    return text(value) if text is not None else None
