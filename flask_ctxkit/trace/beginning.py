"""How a recording begins: as its context is pushed, and as the context's variables are set."""

from __future__ import annotations

import typing as t
import weakref

from flask import appcontext_pushed

from .. import internals
from ..units import current_unit
from .blocks import block_of
from .recording import KEY, Recording, now
from .signals import heard
from .site import OPEN_SESSION, PUSH_APP

if t.TYPE_CHECKING:
    from types import FrameType

    from ..origin import Origin
    from .recorder import Recorder

NOT_SAMPLED: t.Final = (0, 0)
"""When a context was made that is not recorded."""
BOUND: t.Final = object()
"""Stands for an application context that is not held."""
CLAIM: t.Final = "_ctxkit_claim"
"""The attribute of a copy that holds the unit which pushed it."""


def begin(
    recorder: Recorder, ctx: t.Any, request: t.Any, frame: FrameType, start: int
) -> Recording | None:
    """A recording for *ctx*, which *frame* is about to push; None where it is not sampled.

    :param request: the request of *ctx*, if it has one.
    :param start: when the push began.
    """
    try:
        made = ctx._ctxkit_made  # noqa: SLF001
        if made is NOT_SAMPLED:
            return None
        if recorder.rate < 1 and not recorder.samples():
            ctx._ctxkit_made = NOT_SAMPLED  # noqa: SLF001  # nor when it is pushed again
            return None
        unit = current_unit()
        if unit.worker != recorder.pid:  # forked: an id of the parent's must not come again
            recorder.start()
        serial = next(recorder.serials)
        recording = Recording(recorder, serial, "request", unit, made or (start, start))
        recording.push_start = recording.push_end = start
        if request is not None:
            recording.has_request = recording.alone = True
            recording.request = request
            recording.method = request.method
            recording.path = recorder.captures.path(request.path)
            recording.current = OPEN_SESSION
        else:
            recording.current = PUSH_APP
        if internals.current_app_context(None) is not None:
            _begin_inside(recorder, recording)
        if frame.f_code is internals.WSGI_APP_CODE:
            recording.pushed_by = internals.WSGI_APP_CODE
            # Flask pushes in one place, and finding a line takes a walk through a table.
            recording.pushed_at = recorder.push_line = recorder.push_line or frame.f_lineno
        else:
            _begin_block(recorder, ctx, recording, frame)
        recorder.registry.entered(ctx, recording)
        ctx._ctxkit = recording  # noqa: SLF001
    except BaseException as own:
        recorder.failed("begin", own)
        return None
    return recording


def _begin_block(recorder: Recorder, ctx: t.Any, recording: Recording, frame: FrameType) -> None:
    """No server asked for *ctx*: a test did, a command, a script, or what a request started."""
    copied = ctx._ctxkit_made is None  # noqa: SLF001
    origin: Origin | None = ctx._ctxkit_origin if copied else None  # noqa: SLF001
    recording.kind, frame, block = block_of(
        frame,
        ctx.app,
        copied=copied,
        in_request=recording.has_request,
        function=None if origin is None else origin.function,
    )
    recording.block = block
    recording.pushed_by, recording.pushed_at = frame.f_code, frame.f_lineno
    if block is not None and recording.kind == "cli":
        recording.name = block.definition.name
    if origin is not None:
        _has_origin(recorder, ctx, recording, origin)


def _begin_inside(recorder: Recorder, recording: Recording) -> None:
    """Another context is current: the new one belongs to what runs in it."""
    outer = recorder.current()
    if outer is not None:
        recording.parent = outer.id
        if outer.current is not None:
            outer.look_inside(outer.current)


def _has_origin(recorder: Recorder, ctx: t.Any, recording: Recording, origin: Origin) -> None:
    try:
        recorder.started(origin, recording)
        if origin.how == "copy":
            claim(recorder, ctx, recording)
            return
        recording.pushed_by, recording.pushed_at = origin.code, origin.line
        if recording.request is not None:  # it was matched in the request that it is of
            recording.endpoint = recording.request.endpoint
    except BaseException as own:
        recorder.failed("origin", own)


def claim(recorder: Recorder, ctx: t.Any, recording: Recording) -> None:
    """Note that the current unit pushes *ctx*, a copy: one unit at a time may."""
    unit = current_unit()
    # One step for the interpreter, so of two that come at once the second one is told.
    if ctx.__dict__.setdefault(CLAIM, unit) != unit:
        recorder.registry.shared_copy(ctx, recording, unit)


def bind(recorder: Recorder, ctx: t.Any, recording: Recording) -> None:
    """Once per context, when its variables are set and its session is open: watch its ``g`` and
    its session.
    """
    if recording.app_context is not None or recording.ended is not None:
        return
    try:
        app_context = ctx
        if recording.has_request:
            app_context, own = internals.app_context_of(ctx)
            if own:
                app_context._ctxkit = recording  # noqa: SLF001
                pushed = getattr(app_context, "_ctxkit_pushed", 0)
                if pushed:
                    recording.push_end = pushed
            elif not internals.ONE_CONTEXT:
                _share(recording, app_context)
            session = internals.raw_session(ctx)
            if session is not None:
                recording.watch_session(session)
        else:
            recording.push_end = now()
        # No recording may keep its own context alive.
        recording.app_context = BOUND if app_context is ctx else app_context
        recording.watch_g(app_context.g, given=recording.reused or recording.kind == "task")
        if appcontext_pushed.receivers:
            heard(recording, appcontext_pushed, ctx.app)
    except BaseException as own:
        recorder.failed("push", own)


def _share(recording: Recording, app_context: t.Any) -> None:
    """A request found its application context pushed: both read and write one ``g``."""
    recording.reused = True
    recording.shares = weakref.ref(app_context)
    owner: Recording | None = getattr(app_context, KEY, None)
    if owner is not None:
        recording.g_known = owner.g_known
        owner.alone = False
