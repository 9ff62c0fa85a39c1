"""Where the app's source writes a name: to ``g``, the session, a local, a module ...

Read from the source, so that the answer stands also while no request runs. Nothing is
imported or called.
"""

from __future__ import annotations

import ast
import sys
import tokenize
import typing as t
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import flask
from flask import Flask

from ..definition import short_path
from .locals import Local

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODULES_LIMIT: t.Final = 1000
"""Modules of an app whose source is read for one answer."""
SOURCE_LIMIT: t.Final = 1_000_000
"""Bytes of a source file above which it is taken for data and left out."""

_NOT_THE_APPS: t.Final = frozenset({"flask", "werkzeug", "flask_ctxkit"})
_FUNCTIONS: t.Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Write:
    """A place in the source that gives a name its value.

    ``place`` is "g", "session", "request", "config", "module" or "local"; ``local`` is then
    the local's ``id()``. ``function`` is None at the top of the module.
    """

    place: str
    module: str
    where: str
    function: str | None
    local: int | None = None


def modules_of(app: Flask) -> list[ModuleType]:
    """The modules of *app*'s package, and those that its views and hooks come from."""
    roots = {app.import_name.partition(".")[0]}
    roots |= {blueprint.import_name.partition(".")[0] for blueprint in app.blueprints.values()}
    exact = {function.__module__ for function in _functions(app)}
    found = [
        module
        for name, module in sys.modules.copy().items()
        if issubclass(type(module), ModuleType)
        and (name in exact or name.partition(".")[0] in roots)
        and name.partition(".")[0] not in _NOT_THE_APPS
    ]
    return found[:MODULES_LIMIT]


def writes_of(name: str, modules: Iterable[ModuleType]) -> list[Write]:
    """What *modules* write to *name*, in the order of modules and lines."""
    return [write for module in modules for write in _writes_in(name, module)]


def _writes_in(name: str, module: ModuleType) -> list[Write]:
    namespace = namespace_of(module)
    path = namespace.get("__file__")
    if type(path) is not str or (tree := _tree(path, name)) is None:
        return []
    finder = _Finder(name, str(namespace.get("__name__")), path, namespace)
    # An expression of a thousand terms is deeper than the visitor can go; what was found
    # before it stands.
    with suppress(RecursionError):
        finder.visit(tree)
    return finder.found


def namespace_of(module: ModuleType) -> dict[str, t.Any]:
    """The names of *module*, past a ``__getattribute__`` that would load a lazy one."""
    return t.cast("dict[str, t.Any]", object.__getattribute__(module, "__dict__"))


def _functions(app: Flask) -> Iterator[FunctionType]:
    yield from (view for view in app.view_functions.values() if type(view) is FunctionType)
    for table in (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.url_value_preprocessors,
    ):
        for functions in table.values():
            yield from (hook for hook in functions if type(hook) is FunctionType)
    yield from (hook for hook in app.teardown_appcontext_funcs if type(hook) is FunctionType)


def _tree(path: str, name: str) -> ast.Module | None:
    try:
        if not path.endswith(".py") or Path(path).stat().st_size > SOURCE_LIMIT:
            return None
        with tokenize.open(path) as file:
            source = file.read()
        return ast.parse(source) if name in source else None
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # gone, changed, or not what Python reads: nothing is known of it


class _Finder(ast.NodeVisitor):
    def __init__(self, name: str, module: str, path: str, namespace: dict[str, t.Any]) -> None:
        self.found: list[Write] = []
        self._name = name
        self._module = module
        self._path = path
        self._namespace = namespace
        self._functions: list[str] = []
        # Per function that is being read: the names it has for itself, and its globals.
        self._own: list[set[str]] = []
        self._globals: list[set[str]] = []

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, _FUNCTIONS):
            self._enter(node)
        elif isinstance(node, ast.ClassDef):
            self._enter_class(node)
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            return  # "name: int" gives no value
        else:
            self._note(node)
            self.generic_visit(node)

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        named = getattr(node, "name", None)
        if named is not None and not self._functions and named == self._name:
            self._add("module", node)
        stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _stored(n)}
        shared = {name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names}
        arguments = {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        self._own.append((stored | arguments) - shared)
        self._globals.append(shared)
        self._functions.append(named or "lambda")
        self.generic_visit(node)
        for stack in (self._own, self._globals, self._functions):
            stack.pop()

    def _enter_class(self, node: ast.ClassDef) -> None:
        if not self._functions and node.name == self._name:
            self._add("module", node)
        # What a class body assigns are attributes of the class, as if it were a function.
        self._own.append(set())
        self._globals.append(set())
        self._functions.append(node.name)
        self.generic_visit(node)
        for stack in (self._own, self._globals, self._functions):
            stack.pop()

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name) and _stored(node) and node.id == self._name:
            if not self._functions or self._name in self._globals[-1]:
                self._add("module", node)
        elif isinstance(node, ast.Attribute) and _stored(node) and node.attr == self._name:
            self._add_to(node.value, node, keyed=False)
        elif isinstance(node, ast.Subscript) and _stored(node) and self._is_name(node.slice):
            self._add_to(node.value, node, keyed=True)
        elif isinstance(node, ast.Call):
            self._note_call(node)

    def _note_call(self, node: ast.Call) -> None:
        function, arguments = node.func, node.args
        if isinstance(function, ast.Name) and function.id == "setattr":
            if len(arguments) > 1 and self._is_name(arguments[1]):
                self._add_to(arguments[0], node, keyed=False)
        elif isinstance(function, ast.Attribute):
            if function.attr == "setdefault" and arguments and self._is_name(arguments[0]):
                self._add_to(function.value, node, keyed=None)
            elif function.attr in {"update", "from_mapping"} and self._is_given(node):
                self._add_to(function.value, node, keyed=True)

    def _is_given(self, call: ast.Call) -> bool:
        keys: list[ast.expr | None] = []
        for argument in call.args:
            keys += argument.keys if isinstance(argument, ast.Dict) else []
        named = any(keyword.arg == self._name for keyword in call.keywords)
        return named or any(self._is_name(key) for key in keys)

    def _is_name(self, node: ast.AST | None) -> bool:
        return isinstance(node, ast.Constant) and node.value == self._name

    def _add_to(self, owner: ast.expr, node: ast.AST, *, keyed: bool | None) -> None:
        if isinstance(owner, ast.Attribute) and owner.attr == "config":
            if keyed is not False and self._is_app(owner.value):
                self._add("config", node)
            return
        obj = self._object(owner)
        if keyed is not True and obj is flask.g:
            self._add("g", node)
        elif keyed is not False and obj is flask.session:
            self._add("session", node)
        elif keyed is False and obj is flask.request:
            self._add("request", node)
        elif keyed is False and issubclass(type(obj), Local):
            self._add("local", node, id(obj))

    def _is_app(self, node: ast.expr) -> bool:
        obj = self._object(node)
        if obj is flask.current_app or issubclass(type(obj), Flask):
            return True
        # In a factory the app is a variable of the function.
        return obj is None and isinstance(node, ast.Name) and node.id == "app"

    def _object(self, node: ast.expr) -> t.Any:
        # What a name at the top of the module stands for, or an attribute of a module.
        if isinstance(node, ast.Name):
            if any(node.id in own for own in self._own):
                return None
            return self._namespace.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._object(node.value)
            if issubclass(type(owner), ModuleType):
                return namespace_of(owner).get(node.attr)
        return None

    def _add(self, place: str, node: t.Any, local: int | None = None) -> None:
        where = f"{short_path(self._path)}:{node.lineno}"
        function = ".".join(self._functions) or None
        self.found.append(Write(place, self._module, where, function, local))


def _stored(node: ast.Name | ast.Attribute | ast.Subscript) -> bool:
    return isinstance(node.ctx, ast.Store)
