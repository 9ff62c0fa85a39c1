"""Flask's ``ensure_sync`` at less than half of its cost, while functions are not recorded.

Flask asks of each hook and view, at each call, whether it is a coroutine function, and
:mod:`inspect` unwraps methods and partials before it answers. Of a plain function the answer
stands in its code. It is the same answer.
"""

from __future__ import annotations

import inspect
import typing as t
import weakref
from types import FunctionType

from flask import Flask

_MARKS: t.Final = hasattr(inspect, "markcoroutinefunction")
"""True since Python 3.12, where an attribute can mark a function as a coroutine function."""


def hasten(app: Flask) -> t.Callable[..., t.Any] | None:
    """Let *app* tell quickly that a plain function is one.

    :return: what stands on *app* for it, for :func:`stop`; None where *app* has an
        ``ensure_sync`` of its own, which is left alone.
    """
    if "ensure_sync" in app.__dict__ or type(app).ensure_sync is not Flask.ensure_sync:
        return None
    reference = weakref.ref(app)
    coroutine = inspect.CO_COROUTINE

    def ensure_sync(func: t.Any) -> t.Any:
        if (
            type(func) is FunctionType
            and not func.__code__.co_flags & coroutine
            and not (_MARKS and func.__dict__)
        ):
            return func
        return Flask.ensure_sync(t.cast("Flask", reference()), func)

    app.ensure_sync = ensure_sync  # type: ignore[method-assign]
    return ensure_sync


def stop(app: Flask, hastened: t.Callable[..., t.Any] | None) -> None:
    """Take *hastened* off *app* again, where it still stands there."""
    if hastened is not None and app.__dict__.get("ensure_sync") is hastened:
        del app.ensure_sync
