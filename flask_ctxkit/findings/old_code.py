"""Where a source file uses names that are gone or that go. It is read, never imported."""

from __future__ import annotations

import ast
import typing as t
import warnings
from dataclasses import dataclass

from .old_names import APP_CLASS, DISPATCH, OLD_NAMES, UNNOTICED, OldName
from .signatures import Function, takes, takes_context
from .source_names import SourceNames, catches, last_name, names_failure

How = t.Literal["import", "read", "set", "override", "patch", "call"]
_DISTINCT: t.Final = frozenset({"before_first_request", "before_first_request_funcs"})
"""Names of an app that say so by themselves, in a file that doesn't import Flask."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of an old name; ``line`` counts from one."""

    old: OldName
    line: int
    how: How


def old_uses(source: bytes) -> list[Use]:
    """Every use in *source* of a name that is gone or goes, from the first line to the last.

    What is tried, or depends on Flask's version, is written for several releases and not
    told. Nor is what can't be known from the file alone, like what an argument is.

    :raises SyntaxError: what Python can't parse.
    :raises ValueError: for a null byte.
    :raises RecursionError: for what is nested too deeply.
    """
    if not any(word in source for word in _WORDS):
        return []  # most files; parsing takes a hundred times as long
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings
        tree = ast.parse(source)
    reader = _Reader(SourceNames(tree))
    reader.block(tree.body)
    return sorted(reader.found, key=lambda use: use.line)


_WORDS: t.Final = tuple(
    {
        *(old.name.encode() for old in OLD_NAMES if old.name),
        *(old.modules[0].rpartition(".")[2].encode() for old in OLD_NAMES if not old.name),
        *(name.encode() for name in DISPATCH),
    }
)  # fmt: skip
_BY_NAME: t.Final[t.Mapping[str, tuple[OldName, ...]]] = {
    name: tuple(old for old in OLD_NAMES if old.name == name)
    for name in {old.name for old in OLD_NAMES}
}
_MODULES: t.Final = {old.modules[0]: old for old in OLD_NAMES if not old.name}


class _Reader:
    def __init__(self, names: SourceNames) -> None:
        self._names = names
        self._class: ast.ClassDef | None = None
        self.found: list[Use] = []

    def block(self, statements: t.Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._visit(statement)
            if self._leaves(statement):
                return  # the rest is for the other releases

    def _leaves(self, statement: ast.stmt) -> bool:
        return (
            isinstance(statement, ast.If)
            and self._is_guard(statement.test)
            and isinstance(statement.body[-1], (ast.Return, ast.Raise, ast.Continue))
        )

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.If, ast.IfExp)) and self._is_guard(node.test):
            self._visit(node.test)
            return
        if isinstance(node, ast.BoolOp) and self._is_guard(node.values[0]):
            return
        if isinstance(node, (ast.With, ast.AsyncWith)) and any(map(_suppresses, node.items)):
            return
        if isinstance(node, ast.Try) and any(map(catches, node.handlers)):
            self._tried(node)
            return
        self._look(node)
        if isinstance(node, ast.ClassDef):
            outer, self._class = self._class, node
            self._below(node)
            self._class = outer
        else:
            self._below(node)

    def _tried(self, node: ast.Try) -> None:
        before = len(self.found)
        self.block(node.body)
        if len(self.found) > before:
            del self.found[before:]  # what is tried may be missing
            for handler in node.handlers:
                self.block(handler.body)
        self.block(node.finalbody)

    def _below(self, node: ast.AST) -> None:
        for _, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                self._visit(value)
            elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self.block(value)
            elif isinstance(value, list):
                for inner in value:
                    if isinstance(inner, ast.AST):
                        self._visit(inner)

    def _is_guard(self, test: ast.expr) -> bool:
        return self._names.tests_flask(test)

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.ImportFrom):
            self._import_from(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self._add(_module(alias.name), alias.lineno, "import")
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Subscript):
            if isinstance(node.slice, ast.Constant) and last_name(node.value) == "config":
                self._config(node.slice.value, node.slice.lineno, _how(node.ctx))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            self._assign(node)
        elif isinstance(node, ast.ClassDef) and node.name in self._names.app_classes:
            self._app_class(node)

    def _add(self, old: OldName | None, line: int, how: How) -> None:
        if old is not None:
            self.found.append(Use(old, line, how))

    # --------------------------------------------------------------------- single names

    def _import_from(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            return
        whole = _module(node.module)
        if whole is not None:
            self._add(whole, node.lineno, "import")
            return
        for alias in node.names:
            self._add(_module(f"{node.module}.{alias.name}"), alias.lineno, "import")
            for old in _BY_NAME.get(alias.name, ()):
                if node.module in old.modules:
                    self._add(old, alias.lineno, "import")

    def _attribute(self, node: ast.Attribute) -> None:
        how = _how(node.ctx)
        owner = self._names.path(node.value)
        line = node.end_lineno or node.lineno
        for old in _BY_NAME.get(node.attr, ()):
            if old.place == "module":
                uses = owner in old.modules
            elif old.place == "app":
                certain = old.name in _DISTINCT or self._names.imports_flask
                uses = certain and self._is_app(node.value)
            elif old.place == "context":
                # A file that has both names is written for both.
                both = old.name.removesuffix("s") in self._names.attributes
                own = _is_self(node.value)  # another library's context, like Quart's
                uses = self._names.imports_flask and not both and not own
            else:
                uses = old.place == "blueprint"
            if uses:
                self._add(old, line, how)

    def _is_app(self, node: ast.expr) -> bool:
        if _is_self(node) and self._class is not None:
            return self._class.name in self._names.app_classes
        return self._names.is_app(node)

    def _config(self, key: object, line: int, how: How) -> None:
        for old in _BY_NAME.get(key, ()) if isinstance(key, str) else ():
            if old.place == "config":
                self._add(old, line, how)

    def _assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):  # a file or a class of settings
                self._config(target.id, target.lineno, "set")
            elif isinstance(target, ast.Attribute) and node.value is not None:
                self._patch(target, node.value)

    # ----------------------------------------------- methods that take the context first

    def _app_class(self, node: ast.ClassDef) -> None:
        for inner in node.body:
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._method(inner)
            elif isinstance(inner, ast.Assign):
                for target in inner.targets:
                    self._of_app(last_name(target), inner.lineno, "set")

    def _method(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._of_app(node.name, node.lineno, "override")
        if node.name in DISPATCH and not node.decorator_list and not takes_context(node.args):
            instead = f"take the context first: def {node.name}(self, ctx, ...)"
            # On 3.2 Flask calls such a method as before, and warns.
            gone, since = ("3.2", None) if node.name in UNNOTICED else ("4.0", "3.2")
            old = OldName(node.name, "app", gone, instead, since=since)
            self._add(old, node.lineno, "override")

    def _of_app(self, name: str | None, line: int, how: How) -> None:
        for old in _BY_NAME.get(name or "", ()):
            if old.place == "app":
                self._add(old, line, how)

    def _patch(self, target: ast.Attribute, value: ast.expr) -> None:
        least = DISPATCH.get(target.attr)
        on_class = self._names.path(target.value) in APP_CLASS
        if least is None or not (on_class or self._is_app(target.value)):
            return
        count = least + on_class
        if isinstance(value, ast.Call) and last_name(value.func) == "partial" and value.args:
            value, *given = value.args
            count += len(given)
        if takes(self._function(value), count, bound=_of_self(value)) is False:
            instead = "take the context first, and hand on *args and **kwargs"
            self._add(OldName(target.attr, "app", "3.2", instead), target.lineno, "patch")

    def _function(self, value: ast.expr) -> Function | None:
        if isinstance(value, ast.Lambda):
            return value
        if isinstance(value, ast.Name):
            return self._names.functions.get(value.id)
        if _of_self(value) and self._class is not None:
            methods = (n for n in self._class.body if isinstance(n, ast.FunctionDef))
            return next((m for m in methods if m.name == last_name(value)), None)
        return None

    def _call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Attribute):
            return
        name, of = node.func.attr, node.func.value
        if last_name(of) == "config" and name in {"update", "get", "setdefault", "pop"}:
            for keyword in node.keywords:
                self._config(keyword.arg, keyword.value.lineno, "set")
            if node.args and isinstance(node.args[0], ast.Constant):
                how: How = "set" if name == "setdefault" else "read"
                self._config(node.args[0].value, node.args[0].lineno, how)
        given = [*node.args, *node.keywords]
        whole = not any(
            isinstance(arg, ast.Starred) or (isinstance(arg, ast.keyword) and arg.arg is None)
            for arg in given
        )
        if whole and len(given) < DISPATCH.get(name, 0) and self._is_app(of):
            instead = f"call app.{name}(ctx, ...) from 3.2 on, or ask app.test_client()"
            line = node.func.end_lineno or node.lineno
            self._add(OldName(name, "app", "3.2", instead), line, "call")


def _module(path: str) -> OldName | None:
    """The module that is gone and that *path* names, or one inside of it."""
    top, _, rest = path.partition(".")
    return _MODULES.get(f"{top}.{rest.partition('.')[0]}")


def _how(ctx: ast.expr_context) -> How:
    return "read" if isinstance(ctx, ast.Load) else "set"


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _of_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and _is_self(node.value)


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call) or last_name(call.func) not in {"suppress", "raises"}:
        return False
    return any(map(names_failure, call.args))
