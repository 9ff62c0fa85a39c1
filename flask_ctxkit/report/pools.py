"""How full are the pools, and who has their connections?"""

from __future__ import annotations

import sys
import typing as t
from types import FunctionType, MethodType, ModuleType

from ..definition import LAYERS
from ..resources.sql.helper import SqlHelper
from .units import unit

if t.TYPE_CHECKING:
    from flask import Flask

    from ..resources.health import Resources
    from ..resources.sql.ledger import Holder

HOLDERS: t.Final = 20
"""The most holders that are told of one pool, the longest ones."""

Row = dict[str, t.Any]
Helper = SqlHelper[t.Any]


def pools(app: Flask, known: Resources | None) -> list[Row]:
    """The pool of each ``SqlHelper`` of *app*: how many connections are taken, and by whom.

    ``taken`` and ``limit`` are None where the pool does not tell; ``held`` counts what the
    helper has out.

    :param known: the app's resources, if it has a kit.
    """
    return [_pool(helper) for helper in helpers(app, known)]


def _pool(helper: Helper) -> Row:
    status, holders = helper.status(), helper.holders()
    return {
        "name": helper.name,
        "taken": status.pool.taken,
        "limit": status.pool.limit,
        "held": len(holders),
        "waiting": status.waiting,
        "cursors": status.cursors,
        "failed": status.failed,
        "holders": [_holder(holder) for holder in holders[:HOLDERS]],
    }


def _holder(holder: Holder) -> Row:
    return {
        "unit": unit(holder.unit),
        "where": holder.where,
        "age_s": round(holder.seconds, 3),
        "depth": holder.depth,
        "request": holder.request,
    }


def helpers(app: Flask, known: Resources | None) -> list[Helper]:
    """The helpers that *app* can be seen to have, each once: a helper belongs to no app, so they
    are looked for among its extensions, behind its resources, and where its functions look.
    """
    found = {
        id(value): value for value in _places(app, known) if issubclass(type(value), SqlHelper)
    }
    return t.cast("list[Helper]", [*found.values()])


def _places(app: Flask, known: Resources | None) -> t.Iterator[object]:
    yield from [*app.extensions.values()]
    opened = [] if known is None else [known.known[name].opened_by for name in known.known]
    yield from (function.__self__ for function in opened if type(function) is MethodType)
    own = [*_functions([*app.view_functions.values(), *opened])]
    for function in own:
        yield from (_content(cell) for cell in function.__closure__ or ())
    namespaces = {id(space): space for space in [*_modules(app), *(f.__globals__ for f in own)]}
    for space in namespaces.values():
        yield from [*space.values()]  # at once: somebody may import meanwhile


def _functions(called: t.Iterable[object]) -> t.Iterator[FunctionType]:
    """Those of *called* that are plain functions, and what their decorators wrap."""
    for function in called:
        inner = function
        for _ in range(LAYERS):
            if type(inner) is not FunctionType:
                break
            yield inner
            inner = inner.__dict__.get("__wrapped__")


def _modules(app: Flask) -> t.Iterator[dict[str, t.Any]]:
    """The names of each module of the app's own package."""
    top = app.import_name.partition(".")[0]
    for name, module in [*sys.modules.items()]:
        if (name == top or name.startswith(f"{top}.")) and type(module) is ModuleType:
            yield module.__dict__


def _content(cell: t.Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # assigned later than the function was made
        return None
