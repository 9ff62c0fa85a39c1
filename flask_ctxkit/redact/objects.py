"""What an object is and holds, without asking it: no code of a user's class ever runs.

``isinstance`` reads ``__class__``, which a proxy answers for another object, and ``getattr``
runs properties, ``__getattr__`` and descriptors. So types are read with ``type()``, classes
through the descriptors of :class:`type` itself, and instances through the descriptors that
the interpreter made.
"""

from __future__ import annotations

import itertools
import threading
import types
import typing as t
from collections import deque

from werkzeug.local import LocalProxy
from werkzeug.sansio.request import Request
from werkzeug.sansio.response import Response

_LONGEST_NAME: t.Final = 200
_TRIES: t.Final = 20
_CLASS_MEMBERS: t.Final = 1000
"""How many names of one class are looked through for slots."""

_SIZED: t.Final[tuple[t.Any, ...]] = (
    str, bytes, bytearray, dict, list, tuple, set, frozenset, deque,
)  # fmt: skip

OPAQUE: t.Final = (LocalProxy, threading.local, Request, Response)
"""Classes of which only the type is told.

A proxy stands for another object, and asking for it may fail or create it. A thread's local
keeps its attributes elsewhere. Requests and responses hold bodies.
"""

_INTERPRETERS_OWN: t.Final = (types.GetSetDescriptorType, types.MemberDescriptorType)
"""The classes of descriptors that are written in C. A tuple, so that no hash is asked for."""

_mro: t.Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_namespace: t.Callable[[type], types.MappingProxyType[str, object]]
_namespace = type.__dict__["__dict__"].__get__
_qualname: t.Callable[[type], object] = type.__dict__["__qualname__"].__get__
_module: t.Callable[[type], object] = type.__dict__["__module__"].__get__
_module_dict: t.Callable[[types.ModuleType], object]
_module_dict = type.__dict__["__dict__"].__get__(types.ModuleType)["__dict__"].__get__
_exception_args: t.Callable[[BaseException], tuple[object, ...]]
_exception_args = t.cast("t.Any", BaseException.__dict__["args"]).__get__

Named = list[tuple[object, object]]
"""Pairs of a key or an attribute's name, and a value."""


def type_name(kind: type) -> str:
    """``"shop.Cart"``, or the bare name of a builtin class."""
    module, name = _module(kind), _qualname(kind)
    # A class may hold anything under the name __module__.
    if type(module) is not str or type(name) is not str:
        return "object"
    full = name if module == "builtins" else f"{module}.{name}"
    return full[:_LONGEST_NAME]


def definition_name(value: object, kind: type) -> str | None:
    """``"shop.total"`` for a function, method, class or module; None for all else."""
    if issubclass(kind, type):
        return type_name(t.cast("type", value))
    if issubclass(kind, types.ModuleType):
        return _module_name(t.cast("types.ModuleType", value))
    if kind is types.MethodType:
        value = t.cast("types.MethodType", value).__func__
        kind = type(value)
    # None of these classes can have a subclass, so their attributes are the interpreter's.
    if kind is types.FunctionType or kind is types.BuiltinFunctionType:
        function = t.cast("types.FunctionType", value)
        return _dotted(function.__module__, function.__qualname__)
    return None


def _dotted(module: object, name: object) -> str:
    return ".".join(part for part in (module, name) if type(part) is str)[:_LONGEST_NAME]


def _module_name(module: types.ModuleType) -> str:
    names = _module_dict(module)
    name = dict.get(names, "__name__") if isinstance(names, dict) else None
    return name[:_LONGEST_NAME] if type(name) is str else "?"


def fields_of(kind: type, size: int) -> tuple[str, ...] | None:
    """The names of a named tuple's items, or None where *kind* isn't one of *size* items."""
    for base in _mro(kind):
        fields = _namespace(base).get("_fields")
        if type(fields) is tuple and len(fields) == size:
            return fields if all(type(field) is str for field in fields) else None
    return None


def instance_dict(value: object, kind: type) -> dict[object, object] | None:
    """The real ``__dict__``, or None for an object without one.

    A class can put a property under that name; then the descriptor of a base class, which
    the interpreter made, is used.
    """
    for base in _mro(kind):
        descriptor = _namespace(base).get("__dict__")
        if type(descriptor) in _INTERPRETERS_OWN:
            found = t.cast("t.Any", descriptor).__get__(value, kind)
            return found if issubclass(type(found), dict) else None
    return None


def slots(value: object, kind: type, limit: int) -> Named:
    """Names and values of the slots that are set; the first *limit*."""
    found = itertools.chain.from_iterable(
        _slots_of(value, kind, base) for base in _mro(kind) if "__slots__" in _namespace(base)
    )
    return list(itertools.islice(found, limit))


def _slots_of(value: object, kind: type, base: type) -> t.Iterator[tuple[object, object]]:
    members = list(itertools.islice(_namespace(base).items(), _CLASS_MEMBERS))
    for name, descriptor in members:
        if type(descriptor) is types.MemberDescriptorType:
            try:
                yield name, descriptor.__get__(value, kind)
            except (AttributeError, TypeError):
                # Not set, or the descriptor of another class under this name.
                continue


def exception_args(value: object, kind: type) -> tuple[object, ...] | None:
    """What an exception was made with, or None for what is no exception."""
    if not issubclass(kind, BaseException):
        return None
    return _exception_args(t.cast("BaseException", value))


def first_items(value: dict[t.Any, t.Any], room: int) -> Named:
    """The first *room* items of a dict, whatever its class makes of ``items``."""
    return first_of(dict.items, value, room)


def first_of(
    iterate: t.Callable[[t.Any], t.Iterable[t.Any]], value: object, room: int
) -> list[t.Any]:
    """The first *room* of what *iterate* makes of *value*.

    :raises RuntimeError: when other threads changed *value* at each of many tries.
    """
    for _ in range(_TRIES):
        try:
            return list(itertools.islice(iterate(value), room))
        except RuntimeError:
            # Another thread's turn came between the making of the iterator and its use.
            continue
    return list(itertools.islice(iterate(value), room))


def size_of(value: t.Any, kind: type) -> int | None:
    """The length of a builtin or of an instance dict; None for what has neither."""
    for base in _SIZED:
        if issubclass(kind, base):
            return t.cast("int", base.__len__(value))
    opaque = issubclass(kind, (type, *OPAQUE))
    own = None if opaque else instance_dict(value, kind)
    return None if own is None else dict.__len__(own)
