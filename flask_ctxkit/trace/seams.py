"""How the recorder is told: the public seams of an app, set as attributes of the instance.

Each seam passes every argument through, holds the app weakly (a closure over the app would
make it uncollectable by reference count), and calls whatever stood in its place before.
"""

from __future__ import annotations

import sys
import typing as t
import weakref
from inspect import iscoroutinefunction
from types import FrameType, GeneratorType

from flask import (
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    before_render_template,
    got_request_exception,
    request_finished,
    request_started,
    request_tearing_down,
    template_rendered,
)
from werkzeug.wsgi import ClosingIterator

from .. import internals
from ..definition import Definition
from .model import Kind, Phase
from .recorder import KEY, Recorder
from .recording import Recording, now
from .site import (
    MAKE_REQUEST,
    MATCH,
    OPEN_SESSION,
    POP,
    PREPROCESSORS,
    PUSH_APP,
    PUSH_REQUEST,
    REQUEST_STARTED,
    STREAM,
    Site,
)

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from blinker import Signal
    from flask import Flask

MADE: t.Final = "_ctxkit_made"
"""On a context that is not pushed yet: when its making began and ended."""
PUSHED: t.Final = "_ctxkit_pushed"
"""On the application context of a request: when its push began and ended."""

PHASES: t.Final[dict[str, Phase]] = {
    "preprocess_request": "before_request",
    "dispatch_request": "view",
    "handle_user_exception": "error_handler",
    "handle_http_exception": "error_handler",
    "handle_exception": "error_handler",
    "do_teardown_request": "teardown_request",
    "do_teardown_appcontext": "teardown_appcontext",
    "update_template_context": "template",
    "send": "signal",
}
"""The phase of a function that goes through ``ensure_sync``, by the function that calls it."""

WRONG_POP: t.Final = (AssertionError, LookupError, RuntimeError, ValueError)
"""What the Flask lines raise for a context that is popped in the wrong order or place."""

_OUTSIDE: t.Final = frozenset({"flask.ctx", "contextlib", "click.core", "click.decorators"})


def original(app: Flask, name: str) -> t.Callable[..., t.Any]:
    """What *name* of *app* is now: another extension's attribute, or its class's method."""
    set_before = app.__dict__.get(name)
    if set_before is not None:
        return t.cast("t.Callable[..., t.Any]", set_before)
    function, reference = getattr(type(app), name), weakref.ref(app)

    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        return function(reference(), *args, **kwargs)

    return call


# --------------------------------------------------------------------------- contexts


def observe_contexts(app: Flask, recorder: Recorder) -> None:
    """Let the contexts that *app* makes tell *recorder* of their pushes and pops."""
    classes: dict[type, type] = {}

    def seam(name: str) -> t.Callable[..., t.Any]:
        make = original(app, name)

        def made(*args: t.Any, **kwargs: t.Any) -> t.Any:
            start = now()
            ctx = make(*args, **kwargs)
            try:
                base = type(ctx)
                observed = classes.get(base)
                if observed is None:
                    observed = classes[base] = observed_class(base, recorder)
                ctx.__class__ = observed
                ctx.__dict__[MADE] = (start, now())
            except BaseException as own:
                recorder.failed(name, own)
            return ctx

        return made

    app.app_context = seam("app_context")  # type: ignore[method-assign]
    app.request_context = seam("request_context")  # type: ignore[method-assign]


def observed_class(base: t.Any, recorder: Recorder) -> type:
    """A subclass of the context class *base* whose pushes and pops are recorded."""
    if not internals.ONE_CONTEXT and issubclass(base, internals.AppContext):
        return _observed_app_context(base, recorder)

    class Observed(base):  # type: ignore[misc]
        def push(self) -> None:
            start = now()
            recording = self.__dict__.get(KEY)
            if recording is None:
                recording = _begin(recorder, self, sys._getframe(1), start)
                if recording is None:
                    return base.push(self)
            else:
                _pushed_again(recorder, self, recording)
            try:
                base.push(self)
            except BaseException as error:
                _bound(recorder, self, recording, start)
                recorder.raised(recording, recording.current or OPEN_SESSION, start, error)
                raise
            _bound(recorder, self, recording, start)
            recording.current = None
            return None

        def match_request(self) -> None:
            recording = self.__dict__.get(KEY)
            if recording is None or recording.endpoint is not None:
                return base.match_request(self)
            start = now()
            _bound(recorder, self, recording, start)
            recording.current = MATCH
            base.match_request(self)
            _matched(recorder, recording, start)
            return None

        def pop(self, *args: t.Any, **kwargs: t.Any) -> None:
            _pop(base, recorder, self, args, kwargs)

        def copy(self) -> t.Any:
            made = base.copy(self)
            recording = self.__dict__.get(KEY)
            if recording is not None:
                made.__dict__["_ctxkit_parent"] = recording.id
            return made

    return _named_like(Observed, base)


def _observed_app_context(base: t.Any, recorder: Recorder) -> type:
    class Observed(base):  # type: ignore[misc]
        def push(self) -> None:
            start = now()
            frame = sys._getframe(1)
            if frame.f_code is internals.REQUEST_PUSH_CODE:
                base.push(self)
                self.__dict__[PUSHED] = (start, now())
                return
            recording = self.__dict__.get(KEY)
            if recording is None:
                recording = _begin(recorder, self, frame, start)
            else:
                _pushed_again(recorder, self, recording)
            base.push(self)
            if recording is not None and recording.app_context is None:
                _bound(recorder, self, recording, start)

        def pop(self, *args: t.Any, **kwargs: t.Any) -> None:
            recording = self.__dict__.get(KEY)
            if recording is not None and recording.has_request:
                base.pop(self, *args, **kwargs)  # the request's own pop tells
            else:
                _pop(base, recorder, self, args, kwargs)

    return _named_like(Observed, base)


def _named_like(observed: type, base: type) -> type:
    # A context's repr shows the name of its class.
    observed.__name__, observed.__qualname__ = base.__name__, base.__qualname__
    observed.__module__, observed.__doc__ = base.__module__, base.__doc__
    return observed


def _begin(
    recorder: Recorder, ctx: t.Any, frame: FrameType | None, start: int
) -> Recording | None:
    try:
        made = ctx.__dict__.pop(MADE, None)
        kind, frame = _kind(ctx, frame, copied=made is None)
        recording = recorder.begin(ctx, kind, start if made is None else made[0])
        if recording is None:
            return None
        if frame is not None:
            recording.pushed_by, recording.pushed_at = frame.f_code, frame.f_lineno
        if recording.has_request:
            recording.current = OPEN_SESSION
            if made is not None:
                recording.note((MAKE_REQUEST, *made, "ok", None, None, None, ()))
        else:
            recording.current = PUSH_APP
        if made is None:
            recording.parent = ctx.__dict__.get("_ctxkit_parent", recording.parent)
        ctx.__dict__[KEY] = recording
    except BaseException as own:
        recorder.failed("begin", own)
        return None
    return recording


def _kind(
    ctx: t.Any, frame: FrameType | None, *, copied: bool
) -> tuple[Kind, FrameType | None]:
    """The kind of a context, and the frame that pushed it, from the caller of its push."""
    if frame is None or frame.f_code is internals.WSGI_APP_CODE:
        return "request", frame
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OUTSIDE:
        frame = frame.f_back
    if copied:
        return "task", frame
    if internals.request_of(ctx) is not None:
        return "test", frame
    return ("cli" if frame.f_globals.get("__name__") == "flask.cli" else "script"), frame


def _bound(recorder: Recorder, ctx: t.Any, recording: Recording, start: int) -> None:
    """Once per context, when its variables are set: note the pushes and the session."""
    if recording.app_context is not None or recording.ended is not None:
        return
    try:
        app_context = internals.app_context_of(ctx) if recording.has_request else ctx
        pushed = app_context.__dict__.pop(PUSHED, None)
        if pushed is not None:
            app_context.__dict__[KEY] = recording
        elif not internals.ONE_CONTEXT and recording.has_request:
            recording.reused = True
        recorder.bind(recording, app_context)
        if appcontext_pushed.receivers:
            _heard(recording, appcontext_pushed, ctx.app)
        # Since 3.2 no seam lies between the push and open_session.
        begun, ended = pushed or (recording.mark, recording.mark)
        if not recording.has_request:
            begun, ended = start, now()
        if not recording.reused:
            changes = recording.look(PUSH_APP)
            recording.note((PUSH_APP, begun, ended, "ok", changes, None, None, ()))
        if recording.has_request:
            mark = recording.mark
            recording.note((PUSH_REQUEST, mark, mark, "ok", None, None, None, ()))
            recorder.opened(recording, ctx)
            recording.note((OPEN_SESSION, mark, start, "ok", None, None, None, ()))
    except BaseException as own:
        recorder.failed("push", own)


def _matched(recorder: Recorder, recording: Recording, start: int) -> None:
    try:
        request = recording.request
        recording.endpoint = request.endpoint
        error = request.routing_exception
        if error is None:
            recording.note((MATCH, start, now(), "ok", None, None, None, ()))
        else:
            recorder.raised(recording, MATCH, start, error)
    except BaseException as own:
        recorder.failed("match", own)


def _pushed_again(recorder: Recorder, ctx: t.Any, recording: Recording) -> None:
    try:
        if not internals.is_pushed(ctx):
            recorder.registry.entered(ctx, recording)
        site = PUSH_APP if internals.request_of(ctx) is None else PUSH_REQUEST
        moment = now()
        recording.note((site, moment, moment, "ok", None, None, "pushed again", ()))
    except BaseException as own:
        recorder.failed("push", own)


def _pop(base: t.Any, recorder: Recorder, ctx: t.Any, args: t.Any, kwargs: t.Any) -> None:
    recording: Recording | None = ctx.__dict__.get(KEY)
    try:
        base.pop(ctx, *args, **kwargs)
    except BaseException as error:
        if recording is not None:
            _pop_raised(recorder, ctx, recording, error)
        raise
    if recording is not None:
        _popped(recorder, ctx, recording)


def _popped(recorder: Recorder, ctx: t.Any, recording: Recording) -> None:
    try:
        if internals.is_pushed(ctx):
            return
        for signal in (request_tearing_down, appcontext_tearing_down, appcontext_popped):
            if signal.receivers:
                _heard(recording, signal, ctx.app)
        changes = recording.look(POP)
        recording.note((POP, recording.mark, now(), "ok", changes, None, None, ()))
        recorder.registry.left(recording)
        if not recording.streaming and recording.ended is None:
            recorder.finish(recording)
    except BaseException as own:
        recorder.failed("pop", own)


def _pop_raised(
    recorder: Recorder, ctx: t.Any, recording: Recording, error: BaseException
) -> None:
    try:
        recording.odd = True
        if isinstance(error, WRONG_POP) and _raised_in_pop(error):
            recorder.raised(recording, POP, recording.mark, error, "popped in the wrong order or place")
            recorder.registry.popped_wrongly(ctx, recording, error)
            return
        if recording.error is None:
            recording.error = recorder.describe(error)
        _popped(recorder, ctx, recording)
    except BaseException as own:
        recorder.failed("pop", own)


def _raised_in_pop(error: BaseException) -> bool:
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if frames is None:
        return False
    frame = frames.tb_frame
    return frame.f_code.co_name == "pop" and frame.f_globals.get("__name__") == "flask.ctx"


def _heard(recording: Recording, signal: Signal, app: Flask) -> tuple[str, ...]:
    """Note who listens to *signal*, which has just been sent; the kit itself doesn't count."""
    names = tuple(
        name
        for receiver in signal.receivers_for(app)
        if not (name := _receiver_name(receiver)).startswith("flask_ctxkit.")
    )
    if names:
        recording.signals = {**recording.signals, signal.name: names}
    return names


def _receiver_name(receiver: t.Any) -> str:
    owner = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{owner.__module__}.{owner.__qualname__}"


# ------------------------------------------------------------------------------ hooks


def observe_functions(app: Flask, recorder: Recorder, own: t.Collection[t.Any]) -> None:
    """Time every hook, view and handler of *app*: all of them go through ``ensure_sync``.

    :param own: the kit's own hooks, which are not recorded.
    """
    make_sync, reference = original(app, "ensure_sync"), weakref.ref(app)
    own_ids = frozenset(map(id, own))
    current, sites, phases = recorder.current, recorder.sites, PHASES
    caller = sys._getframe

    def ensure_sync(function: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if id(function) in own_ids:
            return function
        recording = current()
        if recording is None or recording.recorder is not recorder:
            return make_sync(function, *args, **kwargs)
        try:
            name = caller(1).f_code.co_name
            phase = phases.get(name)
            if name == "process_response":
                phase = _after_phase(function, caller(1))
            elif phase == "view" and _in_view(recording):
                phase = None  # View.as_view passes its method through ensure_sync once more
            elif phase == "template" and function.__module__ == "flask.templating":
                phase = None  # Flask's own context processor, in every template
            site = None if phase is None else sites.site(phase, function, t.cast("Flask", reference()))
            if site is not None and iscoroutinefunction(function):
                function = _in_other_thread(function, recording)
        except BaseException as failure:
            recorder.failed("ensure_sync", failure)
            site = None
        sync = make_sync(function, *args, **kwargs)
        return sync if site is None else timed(sync, site, recording, recorder)

    app.ensure_sync = ensure_sync  # type: ignore[method-assign]


def _in_view(recording: Recording) -> bool:
    return recording.current is not None and recording.current.phase == "view"


def _after_phase(function: t.Any, frame: FrameType) -> Phase:
    # Flask runs them in one method, one loop after the other.
    ctx = internals.current_request_context()
    if ctx is not None:
        for registered in internals.after_this_request_functions(ctx):
            if registered is function:
                return "after_this_request"
    return "after_request"


def timed(
    sync: t.Callable[..., t.Any], site: Site, recording: Recording, recorder: Recorder
) -> t.Callable[..., t.Any]:
    """*sync*, noted as one step of *recording*, with what it changed."""
    phase = site.phase
    responds = phase in {"after_request", "after_this_request"}

    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        outer = recording.current
        if outer is not None:
            recording.look_inside(outer)
        recording.current = site
        start = now()
        if responds:
            try:
                recording.first_response(args[0], start)
                start = now()
            except BaseException as own:
                recorder.failed("make_response", own)
        try:
            result = sync(*args, **kwargs)
        except BaseException as error:
            recording.current = outer
            recorder.raised(recording, site, start, error)
            raise
        end = now()
        recording.current = outer
        try:
            changes = (
                recording.look_response(result, site) if responds else recording.look(site)
            )
            if recording.pending:
                changes = recording.with_pending(site, changes)
            outcome = "answered" if phase == "before_request" and result is not None else "ok"
            recording.note((site, start, end, outcome, changes, None, None, ()))
        except BaseException as own:
            recorder.failed("look", own)
        return result

    return call


def _in_other_thread(function: t.Any, recording: Recording) -> t.Any:
    """The coroutine function *function*, which tells which thread runs it."""
    from functools import wraps
    from threading import get_ident

    @wraps(function)
    async def told(*args: t.Any, **kwargs: t.Any) -> t.Any:
        outer, recording.thread = recording.thread, get_ident()
        try:
            return await function(*args, **kwargs)
        finally:
            recording.thread = outer

    return told


# ---------------------------------------------------------------------------- signals


class TemplateSeam:
    """Notes what is rendered, and the exception that nobody handled, from Flask's signals."""

    def __init__(self, app: Flask, recorder: Recorder) -> None:
        self.recorder = recorder
        self._open: dict[int, list[tuple[str, int, Site | None]]] = {}
        # blinker holds bound methods weakly; the app's state holds this object.
        before_render_template.connect(self.rendering, app)
        template_rendered.connect(self.rendered, app)
        got_request_exception.connect(self.unhandled, app)

    def rendering(self, sender: Flask, template: t.Any, **_: t.Any) -> None:
        try:
            recording = self.recorder.current()
            if recording is not None:
                name = template.name if type(template.name) is str else "a string"
                site = Site("template", Definition(name, "", None, "this app"))
                recording.templates = (*recording.templates, (name, len(recording.steps)))
                if recording.current is not None:
                    recording.look_inside(recording.current)
                rows = self._open.setdefault(recording.serial, [])
                rows.append((name, now(), recording.current))
                recording.current = site
        except BaseException as own:
            self.recorder.failed("template", own)

    def rendered(self, sender: Flask, template: t.Any, **_: t.Any) -> None:
        try:
            recording = self.recorder.current()
            rows = None if recording is None else self._open.get(recording.serial)
            if recording is None or not rows:
                return
            _, start, outer = rows.pop()
            if not rows:
                del self._open[recording.serial]
            site, recording.current = recording.current, outer
            if site is not None and site.phase == "template":
                changes = recording.with_pending(site, recording.look(site))
                recording.note((site, start, now(), "ok", changes, None, None, ()))
        except BaseException as own:
            self.recorder.failed("template", own)

    def unhandled(self, sender: Flask, exception: BaseException, **_: t.Any) -> None:
        try:
            recording = self.recorder.current()
            if recording is not None:
                self.recorder.escaped(recording, exception)
        except BaseException as own:
            self.recorder.failed("exception", own)


def before_hooks(recorder: Recorder, app: Flask) -> None:
    """Called by the kit's own first before_request: note what ran since the match."""
    recording = recorder.current()
    if recording is None or not recording.has_request:
        return
    start, end = recording.mark, now()
    if request_started.receivers:
        members = _heard(recording, request_started, app)
        if members:
            changes = recording.look(REQUEST_STARTED)
            recording.note((REQUEST_STARTED, start, end, "ok", changes, None, None, members))
    if app.url_value_preprocessors:
        members = _preprocessors(app, recording.request)
        if members:
            changes = recording.look(PREPROCESSORS)
            recording.note((PREPROCESSORS, recording.mark, end, "ok", changes, None, None, members))


def _preprocessors(app: Flask, request: t.Any) -> tuple[str, ...]:
    names = (None, *reversed(request.blueprints))
    table = app.url_value_preprocessors
    return tuple(f"{f.__module__}.{f.__qualname__}" for name in names for f in table.get(name, ()))


def after_hooks(recorder: Recorder, response: t.Any) -> Recording | None:
    """Called by the kit's own last after_request: the response, if no hook has shown it."""
    recording = recorder.current()
    if recording is not None and recording.has_request:
        recording.first_response(response, now())
        recording.mark = now()
        return recording
    return None


# ------------------------------------------------------------------------------- wsgi


class Call:
    """One call of the WSGI app: the ``start_response`` that it gets."""

    __slots__ = ("recorder", "recording", "start_response")

    def __init__(self, recorder: Recorder, start_response: StartResponse) -> None:
        self.recorder = recorder
        self.start_response = start_response
        self.recording: Recording | None = None

    def __call__(self, status: str, headers: t.Any, *exc_info: t.Any) -> t.Any:
        try:
            recording = self.recorder.current()
            if recording is not None:
                self.recording = recording
                self.recorder.started_response(recording, status, headers)
                recording.streaming = recording.streamed
                if request_finished.receivers:
                    _heard(recording, request_finished, recording.app_context.app)
        except BaseException as own:
            self.recorder.failed("start_response", own)
        return self.start_response(status, headers, *exc_info)

    def body(self, body: t.Any) -> t.Any:
        """*body*, watched to its end where it is streamed and not the server's own file."""
        recording = self.recording
        if recording is None or not recording.streaming:
            return body
        if type(body) is ClosingIterator or type(body) is GeneratorType:
            return Body(body, recording, self.recorder)
        # The server recognises its own wsgi.file_wrapper by its type.
        recording.streaming = False
        if recording.ended is None and recording.steps[-1][0] is POP:
            self.recorder.finish(recording)
        return body


class Body:
    """A streamed response body, watched to its end."""

    __slots__ = ("_body", "_chunks", "_closed", "_next", "_recorder", "_recording", "_start")

    def __init__(self, body: t.Any, recording: Recording, recorder: Recorder) -> None:
        self._body = body
        self._next = iter(body).__next__
        self._recording = recording
        self._recorder = recorder
        self._start = now()
        self._chunks = 0
        self._closed = False

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        recording = self._recording
        outer, recording.current = recording.current, STREAM
        try:
            chunk: bytes = self._next()
        except StopIteration:
            raise
        except BaseException as error:
            self._recorder.raised(recording, STREAM, self._start, error)
            raise
        finally:
            recording.current = outer
        self._chunks += 1
        return chunk

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._end("finished")

    def __del__(self) -> None:
        if not self._closed:
            self._end("left")

    def _end(self, state: t.Literal["finished", "left"]) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            recording = self._recording
            recording.state = state
            recording.odd = recording.odd or state == "left"
            note = f"{self._chunks} chunks"
            changes = recording.look(STREAM)
            recording.note((STREAM, self._start, now(), "ok", changes, None, note, ()))
            recording.streaming = False
            self._recorder.finish(recording)
        except BaseException as own:
            self._recorder.failed("stream", own)


def call_app(
    inner: t.Callable[..., t.Any],
    recorder: Recorder,
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> t.Any:
    """Call the WSGI app *inner* and watch its response to the end."""
    call = Call(recorder, start_response)
    body = inner(environ, call)
    try:
        return call.body(body)
    except BaseException as own:
        recorder.failed("body", own)
        return body
