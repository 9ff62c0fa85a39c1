"""Set-up: names of Flask's that loaded modules use and Flask 3.2 does not have any more."""

from __future__ import annotations

import ast
import sys
import sysconfig
import typing as t
from pathlib import Path
from types import ModuleType

from ..definition import short_path
from .keys import SOURCE
from .model import Evidence, Finding, Rule
from .wording import listed

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config

GONE: t.Final[t.Mapping[str, str]] = {
    "_cv_request": "use flask.request, flask.has_request_context() or flask.globals.app_ctx",
    "_request_ctx_stack": "use flask.request and flask.session, or flask.globals.app_ctx",
    "_app_ctx_stack": "use flask.g and flask.current_app, or flask.globals.app_ctx",
}
"""Names that Flask 3.2 does not have any more, and what to write instead."""
AGEING: t.Final[t.Mapping[str, str]] = {
    "RequestContext": "since 3.2 AppContext is both, and the alias goes in Flask 4.0",
    "request_ctx": "since 3.2 app_ctx is both, and the alias goes in Flask 4.0",
}


def names_that_go(_app: Flask, _config: Config) -> t.Iterator[Finding]:
    """Loaded modules use names that Flask 3.2 removes."""
    for name, instead in {**GONE, **AGEING}.items():
        gone = name in GONE
        # An old name in an installed package breaks nothing yet, and is not the user's to change.
        users = [m for m in _users_of(name) if gone or not _is_installed(m)]
        modules = [m for m in users if not _is_prepared(m, name)]
        if not modules:
            continue
        what = "which Flask 3.2 does not have" if gone else "an old name since Flask 3.2"
        shown = listed(str(m.__name__) for m in modules)
        yield Finding(
            f"{shown} {'uses' if len(modules) == 1 else 'use'} flask's {name}, {what}.",
            tuple(Evidence(f"{m.__name__} imports {name}.", None, _file(m)) for m in modules[:20]),
            f"Instead, {instead}." if gone else f"{instead[0].upper()}{instead[1:]}.",
            name,
            severity=None if gone else "note",
        )


def _users_of(name: str) -> t.Iterator[ModuleType]:
    flask_globals = sys.modules["flask.globals"].__dict__
    flask_ctx = sys.modules["flask.ctx"].__dict__
    flask = sys.modules["flask"].__dict__
    theirs = [space[name] for space in (flask_globals, flask_ctx, flask) if name in space]
    if not theirs and name in AGEING:  # the aliases of 3.2
        theirs = [flask_ctx["AppContext"], flask_globals["app_ctx"]]
    for module in list(sys.modules.values()):
        # Only plain modules: looking into a lazy one may import it.
        if type(module) is not ModuleType or name not in module.__dict__:
            continue
        top = module.__name__.partition(".")[0]
        if top in {"flask", "flask_ctxkit"}:
            continue
        if any(module.__dict__[name] is value for value in theirs):
            yield module


def _is_installed(module: ModuleType) -> bool:
    file = str(module.__dict__.get("__file__"))
    return any(file.startswith(sysconfig.get_path(name)) for name in ("purelib", "platlib"))


def _is_prepared(module: ModuleType, name: str) -> bool:
    """Whether *module* imports *name* where its absence is caught, or can't be read."""
    file = module.__dict__.get("__file__")
    if type(file) is not str or not file.endswith(".py"):
        return True
    try:
        with Path(file).open("rb") as source:
            tree = ast.parse(source.read(SOURCE))
    except (OSError, SyntaxError, ValueError):
        return True
    return not any(_imports(statement, name) for statement in tree.body)


def _imports(statement: ast.stmt, name: str) -> bool:
    if not isinstance(statement, ast.ImportFrom) or statement.level:
        return False
    if (statement.module or "").partition(".")[0] != "flask":
        return False
    return any(alias.name == name and alias.asname in {None, name} for alias in statement.names)


def _file(module: ModuleType) -> str:
    return short_path(str(module.__file__))


RULES: t.Final = (
    Rule(
        "flask-next",
        "warning",
        "set-up",
        "A module uses names that Flask 3.2 removes",
        "Since 3.2 one context is both: _cv_request is gone, RequestContext and request_ctx are "
        "old names. Imports inside of try are not told.",
        "Use request, session, g and current_app, or flask.globals.app_ctx.",
        names_that_go,
        when="app",
    ),
)
