"""A function whose results are kept for one context."""

from __future__ import annotations

import functools
import inspect
import typing as t

from ..errors import ResourceError, UnhashableArgumentError
from .attachment import current_scope
from .once import Slot, Slots, once, once_async

P = t.ParamSpec("P")
R = t.TypeVar("R")
R_co = t.TypeVar("R_co", covariant=True)

Key = t.Callable[[t.Any, t.Any], t.Any]


class Cached(t.Protocol[P, R_co]):
    """A function with ``@kit.cached``: called as before, and it can forget."""

    __wrapped__: t.Callable[..., t.Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @t.overload
    def __get__(self, instance: None, owner: type | None = None) -> Cached[P, R_co]: ...
    @t.overload
    def __get__(self, instance: object, owner: type | None = None) -> t.Callable[..., R_co]: ...

    def forget(self) -> None:
        """Drop every result that the current context keeps; the next call computes anew.

        :raises OutsideContextError: outside of a context.
        """


def cached(function: t.Callable[P, R]) -> Cached[P, R]:
    """Keep the results of *function*, by its arguments, until the context ends.

    Where threads, greenlets or tasks share the context, one computes and the others wait; a
    failure is not kept. Async functions and methods work too. Equal arguments are one.

    :raises ResourceError: for a generator function.
    """
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ResourceError(
            f"{name} makes a generator, which only its first caller could read. Return a list.",
            name=name,
        )
    wrap = _cached_async if inspect.iscoroutinefunction(function) else _cached_sync
    # A token stands for the function in each scope, and is compared by identity.
    token = object()
    call: t.Any = wrap(function, name, token, _key_of(function))
    call.forget = lambda: current_scope(name).cached.pop(token, None)
    return t.cast("Cached[P, R]", call)


def _cached_sync(function: t.Any, name: str, token: object, key_of: Key) -> t.Any:
    @functools.wraps(function)
    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        scope = current_scope(name)
        slots, key = _slots(scope.cached, token), key_of(args, kwargs)
        slot = _look(slots, key, name)
        if slot is not None and slot.state == "ready":
            return slot.value
        return once(slots, key, lambda _: function(*args, **kwargs), Slot(name), scope.waits)

    return call


def _cached_async(function: t.Any, name: str, token: object, key_of: Key) -> t.Any:
    @functools.wraps(function)
    async def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        scope = current_scope(name)
        slots, key = _slots(scope.cached, token), key_of(args, kwargs)
        slot = _look(slots, key, name)
        if slot is not None and slot.state == "ready":
            return slot.value
        make = functools.partial(function, *args, **kwargs)
        return await once_async(slots, key, make, Slot(name), scope.waits)

    return call


def _slots(kept: dict[t.Any, Slots], token: object) -> Slots:
    slots = kept.get(token)
    return kept.setdefault(token, {}) if slots is None else slots


def _look(slots: Slots, key: t.Any, name: str) -> Slot | None:
    try:
        return slots.get(key)
    except TypeError as error:
        types = _unhashable(key)
        if not types:
            raise  # the user's own __eq__
        raise UnhashableArgumentError(
            f"{name} was called with {' and '.join(types)}, which can't be hashed, so its result "
            "can't be kept. Pass what identifies it: an id, or a tuple.",
            function=name,
            types=types,
        ) from error


def _unhashable(key: t.Any) -> list[str]:
    named = key[2] if key and key[0] is _KEYWORDS else ()
    found = []
    for value in (*(key[1] if named else key), *(value for _, value in named)):
        try:
            hash(value)
        except TypeError:
            found.append(f"a {type(value).__qualname__}")
    return found


def _key_of(function: t.Callable[..., t.Any]) -> Key:
    """What makes a key of the arguments: the same one however they are passed.

    ``price(1)``, ``price(item=1)`` and, with EUR as the default, ``price(1, "EUR")`` are one.
    """
    signature = inspect.signature(function)
    rests = _defaults(signature)

    def key_of(args: t.Any, kwargs: t.Any) -> t.Any:
        if not kwargs and len(args) in rests:
            return args + rests[len(args)]  # binding would take microseconds
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if not bound.kwargs:
            return bound.args
        return (_KEYWORDS, bound.args, tuple(sorted(bound.kwargs.items())))

    return key_of


def _defaults(signature: inspect.Signature) -> dict[int, tuple[t.Any, ...]]:
    """What is missing of all arguments, by how many are given, where defaults can stand in.

    Empty for a function that takes some by name only, or any number.
    """
    parameters = [*signature.parameters.values()]
    plain = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if not plain.issuperset(parameter.kind for parameter in parameters):
        return {}
    defaults = tuple(parameter.default for parameter in parameters)
    needed = sum(default is inspect.Parameter.empty for default in defaults)
    return {given: defaults[given:] for given in range(needed, len(defaults) + 1)}


_KEYWORDS: t.Final = object()
"""Begins a key that has keyword arguments: no user's argument is this."""
