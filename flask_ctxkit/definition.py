"""Who is this function: its name, where it is defined, and who owns it."""

from __future__ import annotations

import functools
import sys
import typing as t
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType

if t.TYPE_CHECKING:
    from flask import Flask

LAYERS: t.Final = 20
"""The most wrappers that are taken off a function; more is taken for a cycle."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A function as plain data. ``where`` is "file:line" of its definition, or None for
    what is not written in Python; ``source`` is "this app", "Flask", "flask_ctxkit" or the
    name of the distribution that installed it.
    """

    name: str
    module: str
    where: str | None
    source: str


def define(function: object, app: Flask) -> Definition:
    """Describe *function*, under all of its decorators, bound methods and partials.

    Only attributes of functions, methods and partials are read, so an object with hostile
    attributes is described by its class.
    """
    inner = _undecorated(function)
    if type(inner) is FunctionType:
        module = inner.__module__ or ""
        return Definition(inner.__qualname__, module, place(inner.__code__), _source(module, app))
    owner = inner if isinstance(inner, type) else type(inner)
    named = getattr(inner, "__name__", None) if type(inner).__module__ == "builtins" else None
    return Definition(
        named or owner.__qualname__, owner.__module__, None, _source(owner.__module__, app)
    )


def place(code: CodeType) -> str:
    """Where *code* is defined, as "file:line" with the last two parts of the path."""
    return f"{short_path(code.co_filename)}:{code.co_firstlineno}"


@functools.lru_cache(maxsize=4096)
def short_path(filename: str) -> str:
    """The last two parts of *filename*, like "shop/views.py"."""
    return "/".join(PurePath(filename).parts[-2:])


def _undecorated(function: object) -> object:
    for _ in range(LAYERS):
        if type(function) is MethodType:
            function = function.__func__
        elif type(function) is functools.partial:
            function = function.func
        elif type(function) is FunctionType and "view_class" in function.__dict__:
            return _view_method(function.__dict__["view_class"]) or function
        elif type(function) is FunctionType and "__wrapped__" in function.__dict__:
            function = function.__dict__["__wrapped__"]
        else:
            break
    return function


def _view_method(view_class: type) -> FunctionType | None:
    """What ``View.as_view`` stands for: the class's own dispatch_request, or its first verb."""
    for name in ("get", "post", "put", "patch", "delete", "head", "options", "dispatch_request"):
        method = getattr(view_class, name, None)
        if type(method) is FunctionType:
            return method
    return None


def _source(module: str, app: Flask) -> str:
    top = module.partition(".")[0]
    if top in {"flask", "flask_ctxkit"}:
        return {"flask": "Flask"}.get(top, top)
    if top == app.import_name.partition(".")[0] or top == "__main__":
        return "this app"
    return _distribution(top) if _is_installed(top) else "this app"


def _is_installed(top: str) -> bool:
    """Whether the top-level module *top* came with a distribution, and not with the app."""
    origin = getattr(getattr(sys.modules.get(top), "__spec__", None), "origin", None) or ""
    return "site-packages" in origin or "dist-packages" in origin


@functools.lru_cache(maxsize=512)
def _distribution(top: str) -> str:
    """The name of the distribution that installed the module *top*.

    Most are named like their module, which one look tells. The table of all of them takes
    tens of milliseconds to make, and this may run in somebody's request.
    """
    try:
        return metadata.distribution(top).name
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(top)
    return names[0] if names else "this app"
