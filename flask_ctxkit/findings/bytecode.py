"""What a function certainly does, read from its compiled code and never by calling it."""

from __future__ import annotations

import dis
import functools
import inspect
import typing as t
from types import CodeType, FunctionType, MethodType

import flask

_LAYERS: t.Final = 20
"""The most wrappers that are taken off a function; more is taken for a cycle."""
_GENERATORS: t.Final = (
    inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
)


def outermost(function: object) -> FunctionType | None:
    """The plain function that is called first when *function* is called, or None."""
    for _ in range(_LAYERS):
        if type(function) is MethodType:
            function = function.__func__
        elif type(function) is functools.partial:
            function = function.func
        else:
            break
    return function if type(function) is FunctionType else None


def innermost(function: object) -> FunctionType | None:
    """The plain function under the decorators of *function* that kept it, or None."""
    plain = outermost(function)
    for _ in range(_LAYERS):
        wrapped = None if plain is None else plain.__dict__.get("__wrapped__")
        if wrapped is None:
            break
        plain = outermost(wrapped)
    return plain


def names_set_on_g(function: object) -> frozenset[str]:
    """The names in ``g.NAME = ...`` written in *function* itself, under its decorators.

    What it calls is not followed, nor what it sets by :func:`setattr`.
    """
    plain = innermost(function)
    if plain is None or not ({"g", "flask"} & {*plain.__code__.co_names}):
        return frozenset()
    steps = _instructions(plain.__code__)
    return frozenset(
        str(step.argval)
        for position, step in enumerate(steps)
        if step.opname == "STORE_ATTR" and _is_g(steps, position - 1, plain.__globals__)
    )


def _is_g(steps: list[dis.Instruction], position: int, namespace: dict[str, t.Any]) -> bool:
    step = steps[position]
    if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
        return namespace.get(step.argval) is flask.g
    if step.opname == "LOAD_ATTR" and step.argval == "g":
        owner = steps[position - 1]
        return owner.opname == "LOAD_GLOBAL" and namespace.get(owner.argval) is flask
    return False


def returns_nothing(function: object) -> bool:
    """Whether every return of *function* returns None; False where that is not certain."""
    plain = outermost(function)
    if plain is None or plain.__code__.co_flags & _GENERATORS:
        return False
    steps = _instructions(plain.__code__)
    returns = [i for i, step in enumerate(steps) if step.opname.startswith("RETURN_")]
    returns = [i for i in returns if steps[i].opname != "RETURN_GENERATOR"]
    return bool(returns) and all(_returns_none(steps, i) for i in returns)


def _returns_none(steps: list[dis.Instruction], position: int) -> bool:
    if steps[position].opname == "RETURN_CONST":
        return steps[position].argval is None
    if steps[position].is_jump_target:  # other values may arrive here: "return a or None"
        return False
    before = steps[position - 1]
    return before.opname == "LOAD_CONST" and before.argval is None


def refuses(function: object, count: int) -> bool:
    """Whether *function* certainly can't be called with *count* positional arguments."""
    plain = outermost(function)
    if plain is None or type(function) not in {FunctionType, MethodType}:
        return False
    code = plain.__code__
    count += type(function) is MethodType
    least = code.co_argcount - len(plain.__defaults__ or ())
    most = float("inf") if code.co_flags & inspect.CO_VARARGS else code.co_argcount
    keywords = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    missing = {*keywords} - {*(plain.__kwdefaults__ or {})}
    return not least <= count <= most or bool(missing)


def _instructions(code: CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
