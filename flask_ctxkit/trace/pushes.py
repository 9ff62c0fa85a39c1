"""Times every push and pop: the contexts' class is swapped for one that tells."""

from __future__ import annotations

import sys
import typing as t
import weakref

import click
from flask import (
    Flask,
    appcontext_popped,
    appcontext_tearing_down,
    request_tearing_down,
)
from flask.ctx import AppContext

from .. import internals
from ..definition import short_path
from ..internals import pushes_of, request_in
from ..origin import Origin, calling
from ..units import current_unit
from .beginning import CLAIM, begin, bind, claim
from .blocks import OUTSIDE
from .functions import original
from .recorder import flask_step
from .recording import Recording, Remark, now
from .signals import heard
from .site import MATCH, POP, PUSH_APP, PUSH_REQUEST
from .skipped import note_skipped

if t.TYPE_CHECKING:
    from types import FrameType

    from .lineage import Lineage
    from .recorder import Recorder

WRONG_POP: t.Final = (AssertionError, LookupError, RuntimeError, ValueError)
"""What the Flask lines raise for a context that is popped in the wrong order or place."""
_AT_THE_END: t.Final = (request_tearing_down, appcontext_tearing_down, appcontext_popped)
_PUSHED_AGAIN: t.Final = Remark(note="pushed again")


def observe_contexts(app: Flask, recorder: Recorder) -> None:
    """Let the contexts that *app* makes tell *recorder* of their pushes and pops."""
    app.app_context = (  # type: ignore[method-assign]
        _stock_app_context(app, recorder)
        if _is_stock(app, "app_context")
        else _swapped(app, recorder, "app_context")
    )
    app.request_context = (  # type: ignore[method-assign]
        _stock_request_context(app, recorder)
        if _is_stock(app, "request_context")
        else _swapped(app, recorder, "request_context")
    )


def _is_stock(app: Flask, name: str) -> bool:
    return name not in app.__dict__ and getattr(type(app), name) is getattr(Flask, name)


def _stock_app_context(app: Flask, recorder: Recorder) -> t.Callable[..., t.Any]:
    """Flask's own ``app_context``, which makes contexts that tell."""
    reference = weakref.ref(app)
    observed = observed_class(AppContext, recorder)
    of_request = _of_request(observed)
    caller = sys._getframe  # noqa: SLF001

    def app_context() -> t.Any:
        if caller(1).f_code is internals.REQUEST_PUSH_CODE:
            return of_request(reference())
        start = now()
        ctx = observed(reference())
        ctx._ctxkit_made = (start, now())  # noqa: SLF001
        return ctx

    return app_context


def _stock_request_context(app: Flask, recorder: Recorder) -> t.Callable[..., t.Any]:
    """Flask's own ``request_context``, which makes contexts that tell."""
    reference = weakref.ref(app)
    make = internals.request_context_maker(observed_class(internals.CONTEXT_CLASSES[-1], recorder))

    def request_context(environ: t.Any) -> t.Any:
        start = now()
        ctx = make(reference(), environ)
        ctx._ctxkit_made = (start, now())  # noqa: SLF001
        return ctx

    return request_context


def _swapped(app: Flask, recorder: Recorder, name: str) -> t.Callable[..., t.Any]:
    """The factory *name* of an extension or a subclass; what it makes changes its class."""
    make, classes = original(app, name), dict[type, type]()

    def made(*args: t.Any, **kwargs: t.Any) -> t.Any:
        start = now()
        ctx = make(*args, **kwargs)
        try:
            base = type(ctx)
            observed = classes.get(base)
            if observed is None:
                observed = classes[base] = observed_class(base, recorder)
            ctx.__class__ = observed
            ctx._ctxkit_made = (start, now())  # noqa: SLF001
        except BaseException as own:
            recorder.failed(name, own)
        return ctx

    return made


def observed_class(base: t.Any, recorder: Recorder) -> type:
    """A subclass of the context class *base* whose pushes and pops are recorded."""
    make = _request_context
    if not internals.ONE_CONTEXT and issubclass(base, AppContext):
        make = _app_context
    return _named_like(base, make(base, recorder))


def _named_like(base: type, observed: type) -> type:
    # A context's repr shows the name of its class.
    observed.__name__, observed.__qualname__ = base.__name__, base.__qualname__
    observed.__module__, observed.__doc__ = base.__module__, base.__doc__
    return observed


def _request_context(base: t.Any, recorder: Recorder) -> type:
    """For a request context of the old line, and for every context since 3.2."""
    base_push, base_pop, base_match = base.push, base.pop, base.match_request

    class Observed(base):  # type: ignore[misc]
        _ctxkit: Recording | None = None
        _ctxkit_made: tuple[int, int] | None = None
        _ctxkit_origin: Origin | None = None

        def push(self) -> None:
            recording = self._ctxkit
            if recording is not None:
                _pushed_again(recorder, self, recording)
                base_push(self)
                _own_app_context(recorder, self, recording)
                return
            frame = sys._getframe(1)  # noqa: SLF001
            recording = begin(recorder, self, request_in(self), frame, now())
            if recording is None:
                base_push(self)
                return
            try:
                base_push(self)
            except BaseException as error:
                bind(recorder, self, recording)
                _push_raised(recorder, recording, error)
                raise
            if recording.app_context is None:
                bind(recorder, self, recording)
            recording.current = recording.block

        def match_request(self) -> None:
            recording = self._ctxkit
            if recording is None or recording.match_end:
                base_match(self)
                return
            recording.match_start = start = now()
            bind(recorder, self, recording)
            recording.current = MATCH
            base_match(self)
            recording.match_end = now()
            try:
                request = recording.request
                recording.endpoint = request.endpoint
                if request.routing_exception is not None:
                    recorder.raised(recording, MATCH, start, request.routing_exception)
            except BaseException as own:
                recorder.failed("match", own)

        def pop(self, *args: t.Any, **kwargs: t.Any) -> None:
            recording = self._ctxkit
            began = 0
            if recording is not None:
                if recording.streaming or recording.ended:
                    began = now()  # what came before is the body's time, or the client's
                if recording.block is not None:
                    _block_ends(recorder, self, recording, args)
                elif args and args[0] is not None:
                    recorder.ended_by(recording, args[0])
                recording.response = None  # one that was never sent ends here
            try:
                base_pop(self, *args, **kwargs)
            except BaseException as error:
                _pop_raised(recorder, self, error)
                raise
            if recording is not None:
                _popped(recorder, self, recording, began)

        def copy(self) -> t.Any:
            made = base.copy(self)
            if self._ctxkit is not None:
                _copied(recorder, made, self._ctxkit, sys._getframe(1))  # noqa: SLF001
            return made

        def _ctxkit_leave(self, error: BaseException | None) -> None:
            leave(recorder, self, error)

    return Observed


def _app_context(base: t.Any, recorder: Recorder) -> type:
    """For an application context of the old line, which may be a request's."""
    base_push, base_pop = base.push, base.pop

    class Observed(base):  # type: ignore[misc]
        _ctxkit: Recording | None = None
        _ctxkit_made: tuple[int, int] | None = None
        _ctxkit_origin: Origin | None = None
        _ctxkit_pushed = 0
        """When a request had pushed its own application context."""

        def push(self) -> None:
            start = now()
            frame = sys._getframe(1)  # noqa: SLF001
            if frame.f_code is internals.REQUEST_PUSH_CODE:
                base_push(self)
                self._ctxkit_pushed = now()
                return
            if self._ctxkit is not None:
                _pushed_again(recorder, self, self._ctxkit)
                base_push(self)
                return
            recording = begin(recorder, self, None, frame, start)
            base_push(self)
            if recording is not None:
                bind(recorder, self, recording)
                recording.current = recording.block

        def pop(self, *args: t.Any, **kwargs: t.Any) -> None:
            recording = self._ctxkit
            if recording is None or recording.has_request:
                base_pop(self, *args, **kwargs)  # a request's own pop tells
                return
            if recording.block is not None:
                _block_ends(recorder, self, recording, args)
            try:
                base_pop(self, *args, **kwargs)
            except BaseException as error:
                _pop_raised(recorder, self, error)
                raise
            _popped(recorder, self, recording)

        def _ctxkit_leave(self, error: BaseException | None) -> None:
            leave(recorder, self, error)

    return Observed


def _of_request(observed: t.Any) -> type:
    """For an application context that a request makes for itself, on the old line.

    The request's own push and pop tell of it, so each costs it no more than a time.
    """
    base = observed.__base__
    base_push = base.push

    class OfRequest(observed):  # type: ignore[misc]
        pop = base.pop
        _ctxkit_pushed: int = 0

        def push(self) -> None:
            if self._ctxkit_pushed:  # by Flask, and now by somebody else
                self.__class__ = observed
                self.push()
                return
            base_push(self)
            self._ctxkit_pushed = now()

    return _named_like(base, OfRequest)


def _copied(recorder: Recorder, made: t.Any, parent: Recording, frame: FrameType) -> None:
    """*made* is a copy of the context of *parent*, for a function to run in."""
    try:
        frame = calling(frame, OUTSIDE)
        made._ctxkit_origin = Origin("copy", parent, frame.f_code, frame.f_lineno)  # noqa: SLF001
    except BaseException as own:
        recorder.failed("copy", own)


def _work_ends(ctx: t.Any, recording: Recording, family: Lineage) -> None:
    if family.origin is None:
        return
    # What is handed to it and when it ends are no steps, so each call is examined.
    recording.odd = True
    if family.origin.how == "copy":
        ctx.__dict__.pop(CLAIM, None)


def _place(frame: FrameType) -> str:
    return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"


def leave(recorder: Recorder, ctx: t.Any, error: BaseException | None) -> None:
    """Take *ctx* off its stack, and run no teardown function."""
    recording = ctx._ctxkit  # noqa: SLF001
    if recording is not None:
        _block_ends(recorder, ctx, recording, (error,))
    internals.leave(ctx, error)
    if recording is not None:
        _popped(recorder, ctx, recording)


def _push_raised(recorder: Recorder, recording: Recording, error: BaseException) -> None:
    try:
        site, _ = flask_step(error.__traceback__)
        site, start = (MATCH, recording.match_start) if recording.match_start else (site, 0)
        recorder.raised(recording, site, start or recording.push_end, error)
    except BaseException as own:
        recorder.failed("push", own)


def _block_ends(
    recorder: Recorder, ctx: t.Any, recording: Recording, args: tuple[t.Any, ...]
) -> None:
    """Note what the context was pushed for, if it is popped for the last time."""
    block = recording.block
    try:
        if block is None or internals.push_count(ctx) != 1 or not internals.is_current(ctx):
            return
        recording.block = recording.current = None
        # What happened since it was pushed, such as statements, happened inside of it.
        start, error = recording.match_end or recording.push_end, _error_of(args)
        if error is None:
            recording.note(block, start)
            return
        recorder.raised(recording, block, start, error)
        if isinstance(error, Exception) and not isinstance(error, click.exceptions.Exit):
            recording.error = recorder.describe(error)
            if recorder.on_escape is not None:
                recorder.on_escape(recording, error, recording.error)
    except BaseException as own:
        recorder.failed("block", own)


def _error_of(args: tuple[t.Any, ...]) -> BaseException | None:
    """What ended a block, as Flask tells it the teardown functions."""
    if args:
        return t.cast("BaseException | None", args[0])
    return None if internals.ONE_CONTEXT else sys.exc_info()[1]


def _pushed_again(recorder: Recorder, ctx: t.Any, recording: Recording) -> None:
    try:
        if not internals.is_pushed(ctx):
            recorder.registry.entered(ctx, recording)
        origin = ctx._ctxkit_origin  # noqa: SLF001
        if origin is not None and origin.how == "copy":
            claim(recorder, ctx, recording)
        site = PUSH_APP if internals.request_of(ctx) is None else PUSH_REQUEST
        moment = now()
        recording.add((site, moment, moment, None, _PUSHED_AGAIN))
    except BaseException as own:
        recorder.failed("push", own)


def _own_app_context(recorder: Recorder, ctx: t.Any, recording: Recording) -> None:
    """A request that is pushed again may have made an application context for itself."""
    try:
        app_context, own = internals.app_context_of(ctx)
        if own:
            app_context._ctxkit = recording  # noqa: SLF001
    except BaseException as error:
        recorder.failed("push", error)


def _popped(recorder: Recorder, ctx: t.Any, recording: Recording, began: int = 0) -> None:
    try:
        if pushes_of(ctx):
            return
        if recorder.on_end is not None:
            recorder.on_end(ctx)
        if (
            request_tearing_down.receivers
            or appcontext_tearing_down.receivers
            or appcontext_popped.receivers
        ):
            for signal in _AT_THE_END:
                heard(recording, signal, ctx.app)
        start = recording.last_end()
        if began:
            start = max(start, began)
        if recording.current is not None:  # a streamed body, whose changes are its own
            recording.look_inside(recording.current)
        if recording.odd and not recording.skips_told:
            recording.skips_told = True
            note_skipped(recording, ctx)
        recording.note(POP, start)
        recorder.registry.left(recording)
        if recording.lineage is not None:
            _work_ends(ctx, recording, recording.lineage)
        if not recording.streaming and recording.ended is None:
            recorder.finish(recording)
    except BaseException as own:
        recorder.failed("pop", own)


def _pop_raised(recorder: Recorder, ctx: t.Any, error: BaseException) -> None:
    recording = ctx._ctxkit  # noqa: SLF001
    if recording is None:
        return
    try:
        recording.odd = True
        if isinstance(error, WRONG_POP) and _raised_in_pop(error):
            note = "popped in the wrong order or place"
            recorder.raised(recording, POP, recording.last_end(), error, note)
            place = _place(calling(sys._getframe(2), OUTSIDE))  # noqa: SLF001
            where = f"{place} in {current_unit().name}"
            recorder.registry.popped_wrongly(ctx, recording, error, where)
            return
        if recording.error is None:
            recording.error = recorder.describe(error)
        _popped(recorder, ctx, recording)
    except BaseException as own:
        recorder.failed("pop", own)


def _raised_in_pop(error: BaseException) -> bool:
    """Whether Flask's own pop raised *error*, and not a function that it called."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if frames is None:
        return False
    frame = frames.tb_frame
    return frame.f_code.co_name == "pop" and frame.f_globals.get("__name__") == "flask.ctx"
