"""Proxies among what is handed to work that runs elsewhere, where they lead elsewhere."""

from __future__ import annotations

import functools
import itertools
import typing as t
from types import FunctionType, MethodType

import flask

from .. import internals
from .proxies import is_proxy, source_of

DEPTH: t.Final = 3
"""How many functions inside one another, or containers, are looked into."""
ITEMS: t.Final = 50
"""The most items of a container that are looked at."""

_NAMES: t.Final[tuple[tuple[t.Any, str], ...]] = (
    (flask.request, "request"),
    (flask.session, "session"),
    (flask.g, "g"),
)

Found = t.Iterator[str]


def captured_by(function: t.Any) -> tuple[str, ...]:
    """The proxies that *function* holds: bound to it, in its closure, among its defaults.

    Each as in "g in the closure variable store". ``current_app`` is none of them, since it
    leads to the same app in every context of the app. Names of modules are none either: they
    are looked up when the function runs.
    """
    held = (
        _look(function, "as the function", DEPTH) if is_proxy(function) else _held(function, DEPTH)
    )
    return tuple(dict.fromkeys(held))


def captured_in(args: t.Sequence[t.Any], kwargs: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The proxies among the arguments of a call, as in "g as argument 1"."""
    return tuple(dict.fromkeys(_arguments(args, kwargs, DEPTH)))


def _arguments(args: t.Iterable[t.Any], kwargs: t.Mapping[str, t.Any], depth: int) -> Found:
    for number, value in enumerate(args, 1):
        yield from _look(value, f"as argument {number}", depth)
    for name, value in kwargs.items():
        yield from _look(value, f"as argument {name}", depth)


def _look(value: t.Any, place: str, depth: int) -> Found:
    kind = type(value)
    if is_proxy(value):
        if value is not flask.current_app:
            yield f"{_name(value)} {place}"
    elif depth and kind in {FunctionType, MethodType, functools.partial}:
        yield from _held(value, depth - 1)
    elif depth and kind in {list, tuple, set, frozenset, dict}:
        items = value.values() if kind is dict else value
        for item in itertools.islice(list(items), ITEMS):
            yield from _look(item, place, depth - 1)


def _held(function: t.Any, depth: int) -> Found:
    if type(function) is functools.partial:
        yield from _arguments(function.args, function.keywords, depth)
        yield from _look(function.func, "inside a partial", depth)
    elif type(function) is MethodType:
        yield from _look(function.__self__, f"as the object of {function.__name__}", depth)
        yield from _look(function.__func__, "as a method", depth)
    elif type(function) is FunctionType:
        yield from _closure(function, depth)
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        defaults = function.__defaults__ or ()
        for name, value in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            yield from _look(value, f"as the default of {name}", depth)
        for name, value in (function.__kwdefaults__ or {}).items():
            yield from _look(value, f"as the default of {name}", depth)


def _closure(function: FunctionType, depth: int) -> Found:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # a variable that is not set yet
            continue
        yield from _look(value, f"in the closure variable {name}", depth)


def _name(proxy: t.Any) -> str:
    known = next((name for known, name in _NAMES if known is proxy), None)
    if known is not None:
        return known
    made_for, name = internals.proxy_parts(proxy)
    source = source_of(made_for)
    return f"a proxy for {name} of {source}" if name else f"a proxy for {source}"
