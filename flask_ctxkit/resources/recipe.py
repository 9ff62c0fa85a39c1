"""How a resource is opened and closed: a generator, a context manager, or a pair."""

from __future__ import annotations

import functools
import inspect
import types
import typing as t

from ..errors import ResourceError
from . import generator

Close = t.Callable[["BaseException | None"], object]
"""Closes one opened object; called with the exception that ended its context, or None."""

FACTORIES: t.Final = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial, type,
)  # fmt: skip
"""What counts as a factory where a value could stand: a mock, which can be called, does not."""


class Recipe:
    """Compared by identity: what was opened by one recipe is not what another one opens.

    ``open()`` returns the object, and what closes it, or None where nothing does.
    """

    __slots__ = ("open",)

    def __init__(self, open: t.Callable[[], tuple[t.Any, Close | None]]) -> None:  # noqa: A002
        self.open = open


def recipe(
    name: str,
    open: t.Callable[..., t.Any],  # noqa: A002
    close: t.Callable[..., t.Any] | None,
) -> Recipe:
    """The recipe for what *open* opens and *close* closes.

    A generator function yields the object once. Without *close*, an object with a ``with``
    block is entered and left, and another one is only dropped.

    :raises ResourceError: for a coroutine function, and for a generator with a *close*.
    """
    if inspect.iscoroutinefunction(open) or inspect.isasyncgenfunction(open):
        raise ResourceError(
            f"{name} is opened by a coroutine function, but current() is no coroutine. Open it "
            "with a plain function, or await it in an async function with @kit.cached.",
            name=name,
        )
    if inspect.isgeneratorfunction(open):
        if close is not None:
            raise ResourceError(
                f"{name} is opened by a generator and has a close as well. Put what closes it "
                "after the yield.",
                name=name,
            )
        return Recipe(lambda: generator.enter(name, open()))
    if close is not None:
        return Recipe(functools.partial(_pair, open, close, _takes_error(close)))
    return Recipe(functools.partial(_enter, name, open))


def stand_in(name: str, value: t.Any, close: t.Callable[..., t.Any] | None) -> Recipe:
    """The recipe for what stands in for *name* in a test: *value*, or what it makes if it is a
    function, a class or a partial.
    """
    if not isinstance(value, FACTORIES):
        return Recipe(lambda: (value, None))
    if close is None and not inspect.isgeneratorfunction(value):
        return Recipe(lambda: (value(), None))
    return recipe(name, value, close)


def _pair(
    open: t.Callable[[], t.Any],  # noqa: A002
    close: t.Callable[..., t.Any],
    takes_error: bool,
) -> tuple[t.Any, Close]:
    opened = open()
    if takes_error:
        return opened, functools.partial(close, opened)
    return opened, lambda _error: close(opened)


def _takes_error(close: t.Callable[..., t.Any]) -> bool:
    """Whether *close* takes the error after the object: it needs a second argument, or calls
    it ``exc``.
    """
    try:
        parameters = inspect.signature(close).parameters.values()
    except ValueError:  # a function of C that doesn't tell
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [parameter for parameter in parameters if parameter.kind in kinds]
    if len(places) < 2:  # noqa: PLR2004
        return False
    return places[1].default is inspect.Parameter.empty or places[1].name == "exc"


def _enter(name: str, open: t.Callable[[], t.Any]) -> tuple[t.Any, Close | None]:  # noqa: A002
    manager = open()
    made_of = generator.inside(manager)
    if made_of is not None:
        return generator.enter(name, made_of)
    if not (hasattr(type(manager), "__enter__") and hasattr(type(manager), "__exit__")):
        return manager, None
    _refuse_transaction(name, manager)
    return manager.__enter__(), functools.partial(_leave, manager)


def _leave(manager: t.Any, error: BaseException | None) -> None:
    # Whatever it returns: that the context failed is not undone by closing something.
    kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
    manager.__exit__(kind, error, traceback)


def _refuse_transaction(name: str, manager: t.Any) -> None:
    """Close and refuse a database's connection whose ``with`` block may only be a transaction.

    PEP 249 leaves it open what the block does. That of sqlite3, psycopg2 and pyodbc commits
    and does not close, so the connection would be lost.
    """
    if not all(hasattr(type(manager), method) for method in ("cursor", "commit", "rollback")):
        return
    manager.close()
    kind = type(manager).__qualname__
    raise ResourceError(
        f"{name} opens a database's {kind}, whose with block commits and may not close it. Say "
        f"how it is closed: close={kind}.close, or open it in a generator.",
        name=name,
    )
