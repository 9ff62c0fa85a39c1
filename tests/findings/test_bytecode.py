"""What can be read from a function's compiled code with certainty."""

from __future__ import annotations

import functools
import typing as t

import flask
import pytest
from flask import g

from flask_ctxkit.findings.bytecode import names_set_on_g, refuses, returns_nothing


def plain() -> None:
    g.user = 1
    g.a, g.b = 1, 2


def by_module() -> None:
    flask.g.user = 1


def local() -> None:
    g: t.Any = object.__new__(type("Bag", (), {}))
    g.user = 1


def reads() -> t.Any:
    return g.user


@functools.lru_cache
def decorated() -> None:
    g.cached = 1


def wrapped(function: t.Callable[[], None]) -> t.Callable[[], None]:
    @functools.wraps(function)
    def call() -> None:
        function()

    return call


def cyclic() -> None:
    g.user = 1


cyclic.__wrapped__ = cyclic  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (plain, {"user", "a", "b"}),
        (by_module, {"user"}),
        (wrapped(plain), {"user", "a", "b"}),
        (functools.partial(plain), {"user", "a", "b"}),
        (cyclic, {"user"}),
        (local, set()),
        (reads, set()),
        (decorated, set()),
        (print, set()),
        (object(), set()),
    ],
)
def test_names_that_are_written_on_g(function: t.Any, names: set[str]) -> None:
    assert names_set_on_g(function) == names


def nothing(response: t.Any) -> None:
    response.x = 1


def early(response: t.Any) -> None:
    if response:
        return
    response.x = 1


def branch(response: t.Any) -> t.Any:
    return response if response.x else None


def either(response: t.Any) -> t.Any:
    return response or None


def tried(response: t.Any) -> t.Any:
    try:
        return response.x()
    finally:
        response.y()


def endless(response: t.Any) -> t.Any:
    raise ValueError


def generator(response: t.Any) -> t.Iterator[int]:
    yield 1


async def coroutine_nothing(response: t.Any) -> None:
    response.x = 1


async def coroutine(response: t.Any) -> t.Any:
    return response


def test_functions_that_never_return_a_value() -> None:
    assert returns_nothing(nothing)
    assert returns_nothing(early)
    assert returns_nothing(functools.partial(nothing))
    assert returns_nothing(coroutine_nothing)


@pytest.mark.parametrize(
    "function",
    [branch, either, tried, endless, generator, coroutine, lambda r: r, print, object()],
)
def test_where_it_is_not_certain_it_is_not_said(function: t.Any) -> None:
    assert not returns_nothing(function)


class Hooks:
    def method(self, exc: t.Any) -> None:
        """Do nothing."""

    @staticmethod
    def static(exc: t.Any) -> None:
        """Do nothing."""

    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("function", "count", "refused"),
    [
        (lambda: None, 1, True),
        (lambda exc: None, 1, False),
        (lambda exc: None, 0, True),
        (lambda exc, *, key: None, 1, True),
        (Hooks().method, 1, False),
        (Hooks().method, 0, True),
        (Hooks.static, 1, False),
        (Hooks(), 1, False),
        (functools.partial(lambda a, b: None, 1), 1, False),
    ],
)
def test_functions_that_cannot_be_called(function: t.Any, count: int, refused: bool) -> None:
    assert refuses(function, count) is refused
