"""A bounded, JSON-safe copy of any value, made without running any code of the value's."""

from __future__ import annotations

import itertools
import math
import typing as t
from collections import deque
from dataclasses import dataclass

from .marks import mark_of_bytes, mark_of_text
from .names import plain_name
from .objects import (
    OPAQUE,
    Named,
    definition_name,
    exception_args,
    fields_of,
    first_items,
    first_of,
    instance_dict,
    size_of,
    slots,
    type_name,
)
from .scalars import LARGEST, is_number, scalar_text
from .shapes import DOTS
from .texts import MARGIN, encodable

if t.TYPE_CHECKING:
    from .names import SecretNames
    from .texts import SecretTexts

Captured: t.TypeAlias = t.Any
"""None, bool, int, float, str, list or dict, nested: what ``json.dumps`` takes."""

_LAST_SEGMENTS: t.Final = frozenset({"key", "keys", "id", "code"})
"""``{"api": {"key": ...}}`` is as secret as ``api_key``."""

_POSITIONAL: t.Final = frozenset({"_data"})
"""Attributes of database rows that hold values whose names stand elsewhere."""

_SEQUENCES: t.Final = (list, tuple, set, frozenset, deque)
_CONTAINERS: t.Final = (dict, *_SEQUENCES)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a value is copied.

    :param depth: levels of containers.
    :param width: items of one container, attributes of one object.
    :param text: characters of one str, bytes of one bytes object.
    :param nodes: items and attributes in all.
    """

    depth: int = 4
    width: int = 50
    text: int = 200
    nodes: int = 500


@dataclass(frozen=True, slots=True)
class Secrecy:
    """What makes a value secret: its name, or the shape of its text."""

    names: SecretNames
    texts: SecretTexts
    cookies: frozenset[str] = frozenset()

    def of_name(self, name: str, kind: type) -> str | None:
        if name in self.cookies and issubclass(kind, (str, bytes)):
            return "name is the session cookie's"
        return self.names.reason(name)


class Walk:
    """One copy being made: counts what it took and knows what it is inside of.

    :param secrecy: None copies secrets too, which only a mark may be made of.
    :param nodes: more or fewer than ``limits.nodes``.
    """

    __slots__ = ("_in_object", "_left", "_limits", "_path", "_secrecy")

    def __init__(self, secrecy: Secrecy | None, limits: Limits, nodes: int | None = None) -> None:
        self._secrecy = secrecy
        self._limits = limits
        self._left = limits.nodes if nodes is None else nodes
        self._path: list[int] = []
        self._in_object = False

    def value(self, name: str, value: t.Any, depth: int = 0) -> Captured:
        """A copy of *value*, which stands under *name* at *depth*."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int and -LARGEST < value < LARGEST:
            return value
        if kind is float and math.isfinite(value):
            return value
        if self._secrecy is not None:
            reason = self._secrecy.of_name(name, kind)
            if reason is not None and not is_number(kind):
                return hidden(reason, value)
        return self._shown(name, value, kind, depth)

    def _shown(self, name: str, value: t.Any, kind: type, depth: int) -> Captured:
        if issubclass(kind, str):
            return self._text(value, kind)
        if issubclass(kind, (bytes, bytearray)):
            return self._bytes(value, kind)
        if self._in_object and name in _POSITIONAL:
            return bare(value)
        if issubclass(kind, _CONTAINERS):
            return self._guarded(self._container, name, value, kind, depth)
        return self._single(value, kind) or self._guarded(self._object, name, value, kind, depth)

    def _text(self, value: str, kind: type) -> Captured:
        size, limit = str.__len__(value), self._limits.text
        whole = kind is str and size <= limit
        start = value if whole else str.__getitem__(value, slice(0, limit + MARGIN))
        reason = self._shape(start)
        if reason is not None:
            return hidden(reason, value)
        shown = encodable(start[:limit])
        if whole and shown is start:
            return shown
        return {"$type": type_name(kind), "$size": size, "$text": shown[:limit]}

    def _bytes(self, value: bytes | bytearray, kind: type) -> Captured:
        base: t.Any = bytes if issubclass(kind, bytes) else bytearray
        limit = self._limits.text
        start = bytes(base.__getitem__(value, slice(0, limit + MARGIN)))
        reason = self._shape(start.decode("latin-1"))
        if reason is not None:
            return hidden(reason, value)
        # The repr of exactly bytes, without b'': printable whatever the bytes are.
        shown = repr(start[:limit])[2:-1][:limit]
        return {"$type": type_name(kind), "$size": base.__len__(value), "$text": shown}

    def _shape(self, text: str) -> str | None:
        return None if self._secrecy is None else self._secrecy.texts.reason(text)

    def _single(self, value: object, kind: type) -> Captured:
        name = definition_name(value, kind)
        if name is not None:
            return {"$type": type_name(kind), "$name": name}
        text = scalar_text(value, kind)
        if text is not None:
            reason = self._shape(text)
            if reason is not None:
                return hidden(reason, value)
            return {"$type": type_name(kind), "$text": encodable(text)[: self._limits.text]}
        return {"$type": type_name(kind)} if issubclass(kind, OPAQUE) else None

    def _guarded(
        self,
        copy: t.Callable[[str, t.Any, type, int], Captured],
        name: str,
        value: object,
        kind: type,
        depth: int,
    ) -> Captured:
        """What *copy* makes, unless *value* is too deep, one too many, or inside itself."""
        if id(value) in self._path:
            return {"$type": type_name(kind), "$cycle": True}
        if depth >= self._limits.depth or (self._left <= 0 and size_of(value, kind)):
            return bare(value)
        self._path.append(id(value))
        try:
            return copy(name, value, kind, depth + 1)
        finally:
            self._path.pop()

    def _container(self, name: str, value: t.Any, kind: type, depth: int) -> Captured:
        size = size_of(value, kind) or 0
        room = self._take(size)
        items: Captured
        if issubclass(kind, dict):
            items = self.named(name, first_items(value, room), depth)
        else:
            items = self._items(name, value, kind, room, depth)
        if len(items) == size and (kind is dict or kind is list):
            return items
        return {"$type": type_name(kind), "$size": size, "$items": items}

    def _items(self, name: str, value: t.Any, kind: type, room: int, depth: int) -> Captured:
        base: t.Any = next(base for base in _SEQUENCES if issubclass(kind, base))
        items = first_of(base.__iter__, value, room)
        fields = fields_of(kind, base.__len__(value)) if base is tuple else None
        if fields is not None:
            return self.named(name, list(zip(fields, items, strict=False)), depth)
        names = [name] * len(items)
        if len(items) == base.__len__(value) == 2:  # noqa: PLR2004
            # A pair may be a name and its value, like a header.
            names[1] = _name_in_pair(items[0]) or name
        return [self.value(n, item, depth) for n, item in zip(names, items, strict=True)]

    def _object(self, name: str, value: t.Any, kind: type, depth: int) -> Captured:
        copy = bare(value)
        # What an attribute holds is shown if it is simple: an object there would lead on into
        # engines, apps and sessions.
        if self._in_object:
            return copy
        self._in_object = True
        try:
            attributes = self.named(name, self._attributes(value, kind), depth)
        finally:
            self._in_object = False
        return {**copy, "$attributes": attributes} if attributes else copy

    def _attributes(self, value: t.Any, kind: type) -> Named:
        own = instance_dict(value, kind)
        room = min(self._limits.width, self._left)
        found = [] if own is None else first_items(own, room)
        found += slots(value, kind, room)
        args = exception_args(value, kind)
        found = [*([("args", args)] if args else []), *found][:room]
        self._left -= len(found)
        return found

    def named(self, parent: str, items: Named, depth: int) -> dict[str, Captured]:
        """A copy of each value under its shown name; *parent* is the name they stand under."""
        copy: dict[str, Captured] = {}
        for key, item in items:
            plain = plain_name(key)
            last = len(plain) <= 4 and plain.lower() in _LAST_SEGMENTS  # noqa: PLR2004
            name = f"{parent}.{plain}" if last else plain
            shown = self.unused(self.name(plain), copy)
            copy[shown] = self.value(name, item, depth)
        self._hide_labelled(items, copy)
        return copy

    def name(self, plain: str) -> str:
        """*plain* as a key of a captured dict: bounded, no secret, and never one of ours."""
        limit = self._limits.text
        if self._shape(plain) is not None:
            return f"{DOTS}{mark_of_text(plain)}"
        shown = plain if len(plain) <= limit else f"{plain[:limit]}…"
        return encodable(f"${shown}" if shown[:1] == "$" else shown)

    def unused(self, name: str, names: t.Container[str]) -> str:
        """*name*, or *name* with a number where it is one of *names*: 1 and "1" are two keys."""
        if name not in names:
            return name
        tried = (f"{name} ({n})" for n in itertools.count(2))
        return next(other for other in tried if other not in names)

    def _hide_labelled(self, items: Named, copy: dict[str, Captured]) -> None:
        """Hide the value of ``{"name": "password", "value": "x"}``."""
        if self._secrecy is None or "value" not in copy:
            return
        raw = next((item for key, item in items if plain_name(key) == "value"), None)
        if raw is None or is_number(type(raw)):
            return
        for label in (copy.get("name"), copy.get("key")):
            reason = self._secrecy.of_name(label, str) if type(label) is str else None
            if reason is not None:
                copy["value"] = hidden(reason, raw)

    def _take(self, size: int) -> int:
        room = max(0, min(size, self._limits.width, self._left))
        self._left -= room
        return room


def _name_in_pair(first: object) -> str | None:
    if type(first) is bytes:
        return first[:200].decode("latin-1")
    return first if type(first) is str else None


def bare(value: object) -> dict[str, Captured]:
    """The type and, if it has one, the size of *value*."""
    kind = type(value)
    size = size_of(value, kind)
    copy: dict[str, Captured] = {"$type": type_name(kind)}
    return copy if size is None else {**copy, "$size": size}


def hidden(reason: str, value: object) -> dict[str, Captured]:
    """What stands for a secret."""
    return {"$hidden": reason, **bare(value), "$mark": mark(value)}


def mark(value: object) -> str:
    """Four hexadecimal digits that equal values of one process share, also after a fork.

    The hash is keyed, so it tells nothing about the value to who doesn't know the value
    already. Of a long value the start, the end and the size count, of one that is no text
    what a captured copy of it holds.
    """
    kind = type(value)
    if issubclass(kind, str):
        return mark_of_text(t.cast("str", value))
    if issubclass(kind, (bytes, bytearray)):
        return mark_of_bytes(t.cast("bytes", value))
    return mark_of_text(repr(Walk(None, Limits()).value("", value)))
