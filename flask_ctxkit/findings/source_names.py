"""What names in a source file stand for, as far as the file itself says it for certain."""

from __future__ import annotations

import ast
import typing as t

from .old_names import APP_CLASS

if t.TYPE_CHECKING:
    from .signatures import Function

FACTORIES: t.Final = frozenset({"create_app", "make_app", "build_app", "get_app"})
USUAL: t.Final = frozenset({"app", "_app", "flask_app", "application", "current_app"})
"""Names that a Flask app has where a file doesn't say otherwise."""
_CATCHES: t.Final = frozenset(
    {"ImportError", "ModuleNotFoundError", "AttributeError", "NameError", "TypeError",
     "Exception", "BaseException"}
)  # fmt: skip
_VERSIONS: t.Final = frozenset(
    {"__version__", "version", "version_info", "flask_version", "PY2", "PY3", "TYPE_CHECKING"}
)


class SourceNames:
    """The names of one file: modules, apps, functions, and tests for what Flask has.

    Scopes are not told apart: a name that stands for an app anywhere in the file does so
    everywhere.

    :param tree: the parsed file.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._paths: dict[str, str] = {}
        self._apps: set[str] = set()
        self._others: set[str] = set()
        self._tests: set[str] = set()
        self.app_classes: set[str] = set()
        self.attributes: set[str] = set()
        self.functions: dict[str, Function | None] = {}
        """Functions outside of classes by name; None for a name that several have."""
        self.in_methods = {
            id(method)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for method in node.body
        }
        self.imports_flask = False
        # Imports first: an app may be made in a function above them.
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
        for node in nodes:
            self._learn(node)

    # ------------------------------------------------------------------- what is learned

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        base = "" if isinstance(node, ast.Import) else f"{node.module or ''}."
        if isinstance(node, ast.ImportFrom) and node.level:
            # Flask's own is imported from Flask, another package's is not Flask's.
            self._others |= {alias.name for alias in node.names} & {"current_app"}
            return
        for alias in node.names:
            path = f"{base}{alias.name}"
            top = path.partition(".")[0]
            self.imports_flask |= top == "flask" or top.startswith(("flask_", "flaskext"))
            if isinstance(node, ast.Import) and alias.asname is None:
                self._paths[top] = top
            else:
                self._paths[alias.asname or alias.name] = path
                if alias.name == "current_app" and top != "flask":
                    self._others.add(alias.asname or alias.name)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.ClassDef):
            if any(self._is_app_class(base) for base in node.bases):
                self.app_classes.add(node.name)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._parameters(node.args)
            if id(node) not in self.in_methods:
                several = node.name in self.functions
                self.functions[node.name] = None if several else node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            self._assigned(node)
        elif isinstance(node, ast.Attribute):
            self.attributes.add(node.attr)
        elif isinstance(node, ast.Try) and any(map(catches, node.handlers)):
            # "except ImportError: name = None", and then "if name is None".
            for part in (node.body, *(handler.body for handler in node.handlers)):
                for inner in part:
                    if isinstance(inner, ast.ImportFrom):
                        self._tests |= {alias.asname or alias.name for alias in inner.names}

    def _parameters(self, args: ast.arguments) -> None:
        for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs):
            if arg.annotation is not None:
                is_app = self._is_app_class(arg.annotation)
                (self._apps if is_app else self._others).add(arg.arg)

    def _assigned(self, node: ast.Assign | ast.AnnAssign) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {name for target in targets if (name := last_name(target)) is not None}
        if node.value is None:
            return
        if self.tests_flask(node.value):
            self._tests |= names
        if isinstance(node.value, ast.Call):
            made = node.value.func
            is_app = self._is_app_class(made) or last_name(made) in FACTORIES
            if isinstance(made, ast.Attribute) and made.attr == "_get_current_object":
                is_app = self.is_app(made.value)
            (self._apps if is_app else self._others).update(names)

    def _is_app_class(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value.rpartition(".")[2] == "Flask" and self.imports_flask
        return self.path(node) in APP_CLASS or last_name(node) in self.app_classes

    # ------------------------------------------------------------------ what is answered

    def path(self, node: ast.AST) -> str | None:
        """The dotted path that *node* was imported as, like "flask.globals", or None."""
        if isinstance(node, ast.Name):
            return self._paths.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.path(node.value)
            return None if owner is None else f"{owner}.{node.attr}"
        return None

    def is_app(self, node: ast.AST) -> bool:
        """Whether *node* is a Flask app, for certain or by its usual name."""
        name = last_name(node)
        if name in self._apps:
            return True
        return name in USUAL and name not in self._others

    def tests_flask(self, node: ast.AST) -> bool:
        """Whether *node* asks what this Flask has: a version, ``hasattr``, or a name bound to
        such an answer. What depends on it is written for several releases.
        """
        return any(self._is_test(inner) for inner in ast.walk(node))

    def _is_test(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            name = last_name(node.func)
            return name == "hasattr" or (name == "getattr" and len(node.args) == 3)  # noqa: PLR2004
        if not isinstance(node, (ast.Name, ast.Attribute)):
            return False
        return last_name(node) in self._tests | _VERSIONS


def catches(handler: ast.ExceptHandler) -> bool:
    """Whether *handler* catches what a missing name raises."""
    return handler.type is None or names_failure(handler.type)


def names_failure(node: ast.expr) -> bool:
    """Whether *node* names the exception, or a tuple of them, that a missing name raises."""
    kinds = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(last_name(kind) in _CATCHES for kind in kinds)


def last_name(node: ast.AST) -> str | None:
    """``app`` of ``app`` and of ``self.app``; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None
