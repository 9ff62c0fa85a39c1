"""Set-up: names of Flask's that loaded modules use and Flask 3.2 does not have any more."""

from __future__ import annotations

import sys
import sysconfig
import typing as t
from pathlib import Path
from types import ModuleType

from ..definition import short_path
from .keys import SOURCE
from .model import Evidence, Finding, Rule
from .old_code import old_uses
from .old_names import OLD_NAMES, OldName
from .wording import listed

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config


def names_that_go(_app: Flask, _config: Config) -> t.Iterator[Finding]:
    """Loaded modules use names that Flask 3.2 removes."""
    for old in OLD_NAMES:
        # An old name in an installed package breaks nothing yet, and is not the user's to change.
        users = [m for m in _users_of(old) if not old.since or not _is_installed(m)]
        modules = [m for m in users if not _is_prepared(m, old)]
        if not modules:
            continue
        does_not = f"which Flask {old.gone} does not have"
        what = f"an old name since Flask {old.since}" if old.since else does_not
        shown = listed(str(m.__name__) for m in modules)
        imports = f"imports {old.name}."
        yield Finding(
            f"{shown} {'uses' if len(modules) == 1 else 'use'} flask's {old.name}, {what}.",
            tuple(Evidence(f"{m.__name__} {imports}", None, _file(m)) for m in modules[:20]),
            f"Instead, {old.instead}.",
            old.name,
            severity="note" if old.since else None,
        )


def _users_of(old: OldName) -> t.Iterator[ModuleType]:
    theirs = _objects(old)
    if not theirs:
        return
    for module in list(sys.modules.values()):
        # Only plain modules: looking into a lazy one may import it.
        if type(module) is not ModuleType or old.name not in module.__dict__:
            continue
        top = module.__name__.partition(".")[0]
        if top in {"flask", "flask_ctxkit"}:
            continue
        if any(module.__dict__[old.name] is value for value in theirs):
            yield module


def _objects(old: OldName) -> list[t.Any]:
    """What Flask has under the name, if it has; nothing for a stand-in of the kit's."""
    if old.place != "module":
        return []
    spaces = [sys.modules[name].__dict__ for name in old.modules if name in sys.modules]
    found = [space[old.name] for space in spaces if old.name in space]
    if not found and old.since:  # the aliases of 3.2
        found = [sys.modules["flask.ctx"].__dict__["AppContext"],
                 sys.modules["flask.globals"].__dict__["app_ctx"]]  # fmt: skip
    return [value for value in found if not type(value).__module__.startswith("flask_ctxkit")]


def _is_installed(module: ModuleType) -> bool:
    file = str(module.__dict__.get("__file__"))
    return any(file.startswith(sysconfig.get_path(name)) for name in ("purelib", "platlib"))


def _is_prepared(module: ModuleType, old: OldName) -> bool:
    """Whether *module* imports the name where its absence is caught, or can't be read."""
    file = module.__dict__.get("__file__")
    if type(file) is not str or not file.endswith(".py"):
        return True
    try:
        with Path(file).open("rb") as source:
            uses = old_uses(source.read(SOURCE))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return True
    return not any(use.old is old and use.how == "import" for use in uses)


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
