"""Runs a function elsewhere (thread, greenlet, task) in a fresh context of its own."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import functools
import inspect
import sys
import typing as t
import warnings

from .. import internals
from ..errors import CtxKitError, OutsideContextError
from ..globals import OURS, kit_or_none
from ..origin import KEY, MADE, Origin, calling
from .captured import captured_by, captured_in
from .snapshot import Snapshot

if t.TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from flask import Flask

P = t.ParamSpec("P")
R = t.TypeVar("R")

OUTSIDE: t.Final = frozenset({
    "flask_ctxkit.contexts.propagate", "flask_ctxkit.contexts.executor", "concurrent.futures._base",
})  # fmt: skip
"""Modules that start work on behalf of their caller."""


class CapturedProxyWarning(UserWarning):
    """Work that runs elsewhere was given a proxy, which leads to another object there."""


class SharedValueWarning(UserWarning):
    """Work that runs elsewhere shares a value of the session, which can't be copied."""


def propagate(
    function: Callable[P, R],
    *,
    g: t.Literal["none", "copy"] | Iterable[str] = "none",
    request: t.Literal["snapshot", "none"] = "snapshot",
    teardown: bool = True,
) -> Callable[P, R]:
    """What runs *function* in a fresh context of its own at each call, wherever that is.

    Call it where a context is current, and hand the result to a thread, a timer, a pool, a
    greenlet, ``asyncio.to_thread`` or, for an ``async`` function, ``create_task``. It may be
    called any number of times, by many at once, and after the request has ended. Each call has
    an application context of its own app, and its own ``g``.

    :param g: what each call's ``g`` begins with: nothing, a shallow copy of what it holds now,
        or these names of it, those that are set. What the kit itself keeps on ``g`` stays.
    :param request: "snapshot": ``request`` is a copy of what the request says now, and
        ``session`` a read-only copy; without a request there is none here either. A value of
        it that can't be copied is shared, with a :exc:`SharedValueWarning`. "none": only an
        application context.
    :param teardown: whether the app's teardown functions run when a call ends. They don't see
        the values of ``g`` that came from here, so they close only what the call opened.
    :raises OutsideContextError: where no context is current.
    :raises CtxKitError: for a generator function, and for a wrong *g* or *request*.
    """
    work = Work(function, g, request, teardown)
    if _is_async(function):

        @functools.wraps(function)
        async def run_async(*args: P.args, **kwargs: P.kwargs) -> t.Any:
            return await work.run_async(args, kwargs)

        return t.cast("Callable[P, R]", run_async)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return t.cast("R", work(*args, **kwargs))

    return run


class Work:
    """A function, and what it takes along to each of its calls."""

    def __init__(self, function: t.Any, g: t.Any, request: str, teardown: bool) -> None:
        ctx = internals.current_app_context(None)
        if ctx is None:
            raise OutsideContextError(
                f"No context is current, so {_name(function)} has none to take along. Call "
                "propagate() in a view, a command or a with app.app_context() block, where the "
                "work is started, and not as a decorator of a module's function.",
                what=_name(function),
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise CtxKitError(
                f"{_name(function)} is a generator function: a call only makes the generator, and "
                "its context would end before the first item. Propagate a function that uses the "
                "generator up, or wrap a response's body in stream_with_context()."
            )
        self.function = function
        self.teardown = teardown
        self._app: Flask = ctx.app
        self._g = _values_of(ctx.g, g)
        whole = None if _is_none(request) else internals.current_request_context()
        # Before 3.2 a context of another app may be on top of the request's.
        self._snapshot = Snapshot(whole) if whole is not None and whole.app is ctx.app else None
        frame = calling(sys._getframe(1), OUTSIDE)  # noqa: SLF001
        self._code, self._line, self._globals = frame.f_code, frame.f_lineno, frame.f_globals
        kit = kit_or_none()
        self._parent = None if kit is None else kit.recorder.current()
        self._captured = captured_by(function)
        if self._captured:
            self._warn_of_proxies(self._captured)
        if self._snapshot is not None and self._snapshot.session.shared:
            self._warn_of_sharing(self._snapshot.session.shared)

    def __call__(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return internals.bare_context().run(self._run, args, kwargs)

    def _run(self, args: t.Any, kwargs: t.Any) -> t.Any:
        ctx, g = self._enter(args, kwargs)
        try:
            result = ctx.app.ensure_sync(self.function)(*args, **kwargs)
        except BaseException as error:
            self._leave(ctx, g, error)
            raise
        self._leave(ctx, g, None)
        return result

    async def run_async(self, args: t.Any, kwargs: t.Any) -> t.Any:
        """The same for an ``async`` function."""
        where = internals.bare_context()
        entered = where.run(self._enter, args, kwargs)
        try:
            result = await _Driven(where.run(self.function, *args, **kwargs), where)
        except GeneratorExit as error:  # the coroutine is closed, and may await nothing more
            where.run(self._leave, *entered, error)
            raise
        except BaseException as error:
            await self._leave_async(where, *entered, error)
            raise
        await self._leave_async(where, *entered, None)
        return result

    async def _leave_async(
        self, where: contextvars.Context, ctx: t.Any, g: t.Any, error: BaseException | None
    ) -> None:
        if self.teardown and _has_async_teardown(self._app):
            # Flask runs async functions in a loop of their own, which this loop's thread can't.
            await asyncio.to_thread(where.run, self._leave, ctx, g, error)
        else:
            where.run(self._leave, ctx, g, error)

    def _enter(self, args: t.Any, kwargs: t.Any) -> tuple[t.Any, t.Any]:
        """Push a new context for a call; return it and its ``g``."""
        ctx = self._made(captured_in(args, kwargs))
        g = self._pushed(ctx)
        with _unnoted(getattr(ctx, "_ctxkit", None), g):
            for name, value in self._g.items():
                setattr(g, name, value)
        return ctx, g

    def _made(self, passed: tuple[str, ...]) -> t.Any:
        if passed:
            self._warn_of_proxies(passed)
        if self._snapshot is None:
            ctx = self._app.app_context()
        else:
            ctx = self._snapshot.context(self._app)
        captured = (*self._captured, *passed)
        origin = Origin("propagate", self._parent, self._code, self._line, self.function, captured)
        setattr(ctx, KEY, origin)
        setattr(ctx, MADE, None)
        return ctx

    def _pushed(self, ctx: t.Any) -> t.Any:
        """Push *ctx*, and return its ``g``."""
        if self._snapshot is None:
            ctx.push()
            return ctx.g
        # Matching again could only differ, and runs the user's converters.
        adapter, ctx.url_adapter = ctx.url_adapter, None
        ctx.push()
        ctx.url_adapter = adapter
        return internals.own_app_context(ctx).g  # type: ignore[union-attr]

    def _leave(self, ctx: t.Any, g: t.Any, error: BaseException | None) -> None:
        if not self.teardown:
            leave = getattr(ctx, "_ctxkit_leave", None)
            if leave is None:
                internals.leave(ctx, error)
            else:
                leave(error)
            return
        with _unnoted(getattr(ctx, "_ctxkit", None), g):
            for name, value in self._g.items():
                if g.get(name) is value:  # it is the parent's, who closes it if need be
                    g.pop(name)
        ctx.pop(error)

    def _warn_of_proxies(self, captured: tuple[str, ...]) -> None:
        self._warn(
            f"{_name(self.function)} got {', '.join(captured)}. In the context of its own that it "
            "runs in, a proxy leads to another object, or to none. Pass the value that it needs, "
            "like g.user.id, or the object: unwrap(proxy).",
            CapturedProxyWarning,
        )

    def _warn_of_sharing(self, shared: tuple[str, ...]) -> None:
        self._warn(
            f"{_name(self.function)} shares {', '.join(shared)} of the session with the request, "
            "since that can't be copied: what one changes in it, the other sees. Keep plain "
            'values in the session, or leave the request behind: request="none".',
            SharedValueWarning,
        )

    def _warn(self, message: str, category: type[Warning]) -> None:
        # In another thread, so the place is the one that started the work.
        warnings.warn_explicit(
            message,
            category,
            self._code.co_filename,
            self._line,
            registry=self._globals.setdefault("__warningregistry__", {}),
        )


class _Driven:
    """A coroutine whose every step runs in a context of variables of its own.

    A task would do the same, but only of asyncio, and it would be one more that its owner does
    not know.
    """

    def __init__(
        self, coroutine: Coroutine[t.Any, t.Any, t.Any], where: contextvars.Context
    ) -> None:
        self._coroutine = coroutine
        self._where = where

    def __await__(self) -> Generator[t.Any, t.Any, t.Any]:
        step, sent = self._coroutine.send, None
        while True:
            try:
                awaited = self._where.run(step, sent)
            except StopIteration as ended:
                return ended.value
            try:
                step, sent = self._coroutine.send, (yield awaited)
            except BaseException as error:  # cancelled, or closed: for the coroutine to answer
                step, sent = self._coroutine.throw, error


def _unnoted(recording: t.Any, g: t.Any) -> contextlib.AbstractContextManager[None]:
    if recording is None:
        return contextlib.nullcontext()
    unnoted: contextlib.AbstractContextManager[None] = recording.recorder.unnoted(recording, g)
    return unnoted


def _has_async_teardown(app: Flask) -> bool:
    tables = [app.teardown_appcontext_funcs, *app.teardown_request_funcs.values()]
    return any(_is_async(function) for functions in tables for function in functions)


def _is_async(function: t.Any) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004  # the method, not whether
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _is_none(request: str) -> bool:
    if request not in ("snapshot", "none"):
        raise CtxKitError(
            f'propagate() does not know request={request!r}. Write "snapshot" or "none".',
            request=request,
        )
    return request == "none"


def _values_of(g: t.Any, wanted: t.Any) -> dict[str, t.Any]:
    if isinstance(wanted, str) or not isinstance(wanted, collections.abc.Iterable):
        if wanted not in ("none", "copy"):
            raise CtxKitError(
                f'propagate() does not know g={wanted!r}. Write "none", "copy" or a list of names.',
                g=wanted,
            )
        names = [] if wanted == "none" else [*g]
    else:
        present = set(g)
        names = [name for name in wanted if name in present]
    # What is opened in a context belongs to it alone.
    return {str(name): g.get(name) for name in names if name != OURS}


def _name(function: t.Any) -> str:
    while type(function) is functools.partial:
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if type(name) is str else type(function).__qualname__
