"""What the current app owns of the kit."""

from __future__ import annotations

import typing as t

from flask import current_app
from werkzeug.local import LocalProxy

from .errors import NotRegisteredError

if t.TYPE_CHECKING:
    from .state import State


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
