"""How a function can be called, read from its source."""

from __future__ import annotations

import ast

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def takes_context(args: ast.arguments) -> bool:
    """Whether Flask 3.2 sees the new signature: the second parameter is called ``ctx``, or
    annotated as an ``AppContext``.
    """
    parameters = [*args.posonlyargs, *args.args]
    if len(parameters) < 2:  # noqa: PLR2004
        return False
    second = parameters[1]
    if second.annotation is None:
        return second.arg == "ctx"
    written = ast.unparse(second.annotation).strip("'\"")
    return written.rpartition(".")[2] == "AppContext"


def takes(function: Function | None, count: int, *, bound: bool) -> bool | None:
    """Whether *function* can be called with *count* positional arguments; None if unknown."""
    if function is None:
        return None
    args = function.args
    positional = len(args.posonlyargs) + len(args.args) - bound
    return args.vararg is not None or positional >= count
