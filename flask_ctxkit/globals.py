"""What the current app owns of the kit."""

from __future__ import annotations

import typing as t

from flask import current_app
from werkzeug.local import LocalProxy

from .errors import NotRegisteredError
from .internals import current_app_context

if t.TYPE_CHECKING:
    from .state import State

OURS: t.Final = "_ctxkit"
"""The one name on ``g`` that is the kit's: the scope of its context stands there. It is left out
where ``g`` is shown or copied."""


def kit_or_none() -> State | None:
    """What the current app owns of the kit; None outside of a context or without a kit."""
    ctx = current_app_context(None)
    return None if ctx is None else ctx.app.extensions.get("ctxkit")


def _current() -> State:
    state = current_app.extensions.get("ctxkit")
    if state is None:
        raise NotRegisteredError(
            f"The app {current_app.name!r} has no kit. Add CtxKit(app), or kit.init_app(app) in "
            "its factory.",
            app=current_app.name,
        )
    return t.cast("State", state)


current_ctxkit: State = LocalProxy(_current)  # type: ignore[assignment]
"""The kit's state of the current app.

:raises RuntimeError: outside of an application context.
:raises NotRegisteredError: where the current app has no kit.
"""
