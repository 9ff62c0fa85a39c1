"""The JSON text inside a session cookie: Flask's tagged JSON, on exact built-in types.

The same text and the same values as :class:`flask.json.tag.TaggedJSONSerializer` with its
own tags and Flask's own JSON provider. What is not an exact built-in type is given to the
original, so a subclass is tagged as the original would.
"""

from __future__ import annotations

import json
import json.encoder
import re
import typing as t
from base64 import b64decode, b64encode
from datetime import datetime, timezone
from uuid import UUID

from markupsafe import Markup
from werkzeug.http import http_date, parse_date

Encode = t.Callable[[t.Any], str]
"""Values without tags to compact JSON text."""
Tag = t.Callable[[t.Any], t.Any]

SCALARS: t.Final = frozenset({str, int, bool, type(None), float})
KEYS: t.Final = frozenset({" di", " t", " b", " m", " u", " d"})
MONTHS: t.Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_MONTH_NUMBERS: t.Final = {name: number for number, name in enumerate(MONTHS, 1)}
# Years before 1000 are left to the original, which reads a year under 100 as one of 19xx.
_HTTP_DATE: t.Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([1-9][0-9]{3})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def tag(value: t.Any, original: Tag) -> t.Any:
    """*value* with its tags, as JSON can hold it.

    A dict or list of scalars comes back as it is, not copied.

    :param original: tags what is not an exact built-in type.
    :raises RecursionError: for a value that holds itself.
    """
    kind = type(value)
    if kind is dict:
        if len(value) == 1:
            (key,) = value
            if key in KEYS:  # would be read as a tag
                return {" di": {f"{key}__": tag(value[key], original)}}
        for content in value.values():
            if type(content) not in SCALARS:
                return {k: v if type(v) in SCALARS else tag(v, original) for k, v in value.items()}
        return value
    if kind is list:
        if SCALARS.issuperset(map(type, value)):
            return value
        return [v if type(v) in SCALARS else tag(v, original) for v in value]
    if kind in SCALARS:
        return value
    if kind is tuple:
        return {" t": [v if type(v) in SCALARS else tag(v, original) for v in value]}
    if kind is bytes:
        return {" b": b64encode(value).decode("ascii")}
    if kind is datetime:
        return {" d": date_text(value)}
    if kind is Markup:
        return {" m": value}  # a string to JSON
    return {" u": value.hex} if kind is UUID else original(value)


def untag(value: dict[str, t.Any]) -> t.Any:
    """What the dict *value* stands for, its items being untagged already.

    :raises Exception: for a tag whose content does not fit it.
    """
    if len(value) == 1:
        for key, content in value.items():
            if key in KEYS:
                return _UNTAG[key](content)
    return value


def _untag_dict(value: t.Any) -> t.Any:
    key = next(iter(value))
    return {key[:-2]: value[key]}


def _untag_date(value: t.Any) -> datetime | None:
    if type(value) is not str:
        return parse_date(value)
    found = _HTTP_DATE.fullmatch(value)
    if found is not None:
        day, month, year, hour, minute, second = found.groups()
        try:
            return datetime(
                int(year), _MONTH_NUMBERS[month], int(day),
                int(hour), int(minute), int(second), tzinfo=timezone.utc,
            )  # fmt: skip
        except (KeyError, ValueError):
            return parse_date(value)
    return parse_date(value)


_UNTAG: t.Final[dict[str, t.Callable[[t.Any], t.Any]]] = {
    " di": _untag_dict,
    " t": tuple,
    " b": b64decode,
    " m": Markup,
    " u": UUID,
    " d": _untag_date,
}


def date_text(value: datetime) -> str:
    """*value* as an HTTP date: UTC, whole seconds; one without a zone is taken as UTC."""
    zone = value.tzinfo
    if zone is not None and zone is not timezone.utc:
        return http_date(value)
    text = value.ctime()  # "Sun Nov  6 08:49:37 1994", in English whatever the locale
    return f"{text[:3]}, {value.day:02d} {text[4:7]} {text[20:]} {text[11:19]} GMT"


def make_encode(default: Tag, *, ensure_ascii: bool, sort_keys: bool) -> Encode:
    """The encoder of a JSON provider with these settings, built once and used for all."""
    encoder = json.JSONEncoder(
        default=default, ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=(",", ":")
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # no C accelerator in this interpreter
        return encoder.encode
    quote = (
        json.encoder.encode_basestring_ascii if ensure_ascii else (json.encoder.encode_basestring)
    )
    # The marks of visited containers would be shared by all threads, so there are none: a
    # value that holds itself ends in a RecursionError, as it does in the original's tagging.
    parts = make(None, default, quote, None, ":", ",", sort_keys, False, True)

    def encode(value: t.Any) -> str:
        return "".join(parts(value, 0))

    return encode


def decode(text: str) -> t.Any:
    """The values in JSON *text*, tags turned back into types.

    :raises ValueError: when it is not JSON.
    :raises Exception: for a tag whose content does not fit it.
    """
    # A tag's name begins with a space, so no tag can be where no string begins with one.
    tagged = '" ' in text or "\\u0020" in text
    try:
        value, end = (_SCAN_TAGGED if tagged else _SCAN)(text, 0)
    except Exception:
        end = -1
    if end == len(text):
        return value
    # Not the compact text that Flask writes, or broken: the slow way has the last word, and
    # the error that Flask would raise. Untagging on the way also fails on the content of a
    # name that is overwritten by a second one.
    return _untag_all(json.loads(text))


_DECODERS: t.Final[tuple[t.Any, ...]] = (json.JSONDecoder(), json.JSONDecoder(object_hook=untag))
_SCAN, _SCAN_TAGGED = (decoder.scan_once for decoder in _DECODERS)
"""From text to the value that begins at an offset, and where it ends."""


def _untag_all(value: t.Any) -> t.Any:
    kind = type(value)
    if kind is dict:
        return untag({k: v if type(v) in SCALARS else _untag_all(v) for k, v in value.items()})
    if kind is list:
        return [v if type(v) in SCALARS else _untag_all(v) for v in value]
    return value
