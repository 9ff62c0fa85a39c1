"""Which context holds what, and when it ends.

A scope stands on ``g``, under the kit's one private name, and the application context itself
refers to it as well. All look-ups go by the context, so that who clears, copies or replaces ``g``
neither loses nor closes anything. It ends in one of these ways, each exactly once:
in the kit's own teardown function, which runs last; behind the context's own ``pop``, where
another teardown function raised and Flask skipped the rest, or where the first use was even
later; where a context is taken off its stack without teardown; or, where nobody ever popped it,
soon after it was collected.
"""

from __future__ import annotations

import typing as t
import weakref

from flask import appcontext_popped

from .. import internals
from ..deferred import run_deferred
from ..errors import NotRegisteredError, OutsideContextError
from ..globals import OURS, kit_or_none
from .scope import KEY, Scope, closed


def current_scope(what: str) -> Scope:
    """The scope of the context on top, made now if it has none.

    :param what: what is asked for, for messages.
    :raises OutsideContextError: outside of a context.
    :raises ClosedContextError: in one that was popped, such as a thread that outlives its
        request sees.
    :raises NotRegisteredError: where the app has no kit.
    """
    ctx = internals.current_app_context(None)
    if ctx is None:
        raise OutsideContextError(
            f"{what} was asked for outside of a context, which it would live in. Push one: "
            "with app.app_context(): ...",
            what=what,
        )
    scope: Scope | None = ctx.__dict__.get(KEY)
    return _attach(ctx, what) if scope is None else scope


def _attach(ctx: t.Any, what: str) -> Scope:
    kit = kit_or_none()
    if kit is None:
        raise NotRegisteredError(
            f"{what} was asked for in a context of {ctx.app.name!r}, which has no kit. Add "
            "kit.init_app(app) in its factory.",
            app=ctx.app.name,
        )
    if not internals.is_pushed(ctx):
        raise closed(f"{what} was asked for in a context that has ended.")
    run_deferred()  # first give back what lost contexts still hold
    new = Scope(kit.resources, ctx)
    scope: Scope = ctx.__dict__.setdefault(KEY, new)
    if scope is new:
        _watch_end(ctx)
        if internals.is_ending(ctx):
            _end_once_popped(ctx)
        _place(ctx, scope)
        if not internals.is_pushed(ctx):
            # Popped by another unit since the last look: it may have found nothing to end.
            scope.end(None)
    return scope


def _place(ctx: t.Any, scope: Scope) -> None:
    """Let *scope* stand on the ``g`` of *ctx*, past all that notes what is written to it.

    A ``g`` of a class of the app's own is left alone: what it takes is the app's to say.
    """
    g = ctx.g
    if type(g) is not internals.GLOBALS_CLASS:
        return
    names = vars(g)
    held = names.get(OURS)
    if held is None or type(held) is Scope:  # another one's, where somebody copied its g
        dict.__setitem__(names, OURS, scope)
        scope.g = weakref.ref(g)


def _watch_end(ctx: t.Any) -> None:
    """Let *ctx* close what it holds however it ends.

    Set when it first holds something, so that others pay nothing for it, and weakly, so that
    it keeps no context alive.
    """
    reference = weakref.ref(ctx)

    def pop(*args: t.Any, **kwargs: t.Any) -> None:
        _pop_and_close(t.cast("t.Any", reference()), args, kwargs)

    def on_leave(error: BaseException | None) -> None:
        end_scope(t.cast("t.Any", reference()), error)

    ctx.__dict__[internals.POP], ctx.__dict__[internals.ON_LEAVE] = pop, on_leave


def _end_once_popped(ctx: t.Any) -> None:
    """Let *ctx*, whose pop has begun, close what it holds when that is done.

    A receiver of ``appcontext_tearing_down`` is called behind all teardown functions, and the
    ``pop`` that runs is no longer to be replaced.
    """

    def popped(_app: object) -> None:
        if not internals.is_pushed(ctx):
            appcontext_popped.disconnect(popped)
            end_behind(ctx)

    appcontext_popped.connect(popped, ctx.app, weak=False)


def _pop_and_close(ctx: t.Any, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> None:
    """Pop *ctx* as its class does, and close what was skipped."""
    error = args[0] if args else kwargs.get("exc", internals.error_of_pop())
    ends = internals.pop_ends(ctx)
    scope: Scope | None = ctx.__dict__.get(KEY)
    if ends and scope is not None:
        scope.error = error
    try:
        type(ctx).pop(ctx, *args, **kwargs)
    finally:
        if ends and not internals.is_refused(ctx):
            end_behind(ctx)


def end_scope(ctx: t.Any, error: BaseException | None) -> None:
    """Close all that *ctx* holds, while it is current. Nothing where it holds nothing."""
    scope: Scope | None = ctx.__dict__.get(KEY)
    if scope is not None:
        scope.end(error)


def end_behind(ctx: t.Any) -> None:
    """Close what *ctx* still holds although it was popped, with the context in its place."""
    scope: Scope | None = ctx.__dict__.get(KEY)
    if scope is not None:
        internals.call_placed(ctx, lambda: scope.end(scope.error))
