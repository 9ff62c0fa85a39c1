"""Times every hook, view and handler: all of them go through ``app.ensure_sync``."""

from __future__ import annotations

import sys
import typing as t
import weakref
from functools import wraps
from inspect import iscoroutinefunction
from threading import get_ident
from types import FunctionType, MethodType

from flask import Flask

from .. import internals
from .opening import first_response
from .recording import ANSWERED, Recording, Remark, now
from .site import CALLERS, Site, make_site

if t.TYPE_CHECKING:
    from types import FrameType

    from ..definition import Definition
    from .model import Phase
    from .recorder import Recorder

KEPT: t.Final = 2000
"""The most timed functions that are remembered."""
_LOST: t.Final = Remark(note="returned None")

Timed = t.Callable[..., t.Any]


def observe_functions(app: Flask, recorder: Recorder, own: t.Collection[t.Any]) -> None:
    """Let every function that *app* calls for a request tell *recorder* of its call.

    :param own: the kit's own hooks, which are not recorded.
    """
    stock = "ensure_sync" not in app.__dict__ and type(app).ensure_sync is Flask.ensure_sync
    make_sync, reference = original(app, "ensure_sync"), weakref.ref(app)
    # What stands in a table of the app is timed by the same wrapper in each request.
    known: dict[str, dict[t.Any, Timed]] = {caller: {} for caller in CALLERS}
    unrecorded = frozenset(own)
    # Recordings of the same sites are examined only once, so what must be wrapped anew for each
    # request keeps its site.
    sites: dict[tuple[Phase, str | None, Definition], Site] = {}
    caller = sys._getframe  # noqa: SLF001

    def ensure_sync(func: t.Any) -> t.Any:
        # The hash of others is the user's code.
        if type(func) is FunctionType or _is_plain_method(func):
            if func in unrecorded:
                return func
            try:
                return known[caller(1).f_code.co_name][func]
            except KeyError:
                pass  # not met yet, or called by the user
        return unknown(_asking(caller(1)), func)

    def unknown(name: str, function: t.Any) -> t.Any:
        phase = CALLERS.get(name)
        app = reference()
        if phase is None or app is None or _inside_view(recorder, phase):
            return make_sync(function)
        try:
            if name == "update_template_context" and function.__module__ == "flask.templating":
                return function  # Flask's own, in every template
            phase = _after_phase(function) if phase == "after_request" else phase
            site, registered = make_site(phase, function, app)
            coroutine = iscoroutinefunction(function)
        except BaseException as failure:
            recorder.failed("ensure_sync", failure)
            return make_sync(function)
        plain = type(function) is FunctionType or _is_plain_method(function)
        table = known[name]
        if plain and function in table:
            return table[function]
        if len(sites) >= KEPT:
            sites.clear()
        site = sites.setdefault((phase, site.blueprint, site.definition), site)
        inner = _told(function, recorder) if coroutine else function
        timed = wrap(site, make_sync(inner), recorder)
        if registered and stock and plain and not coroutine:
            if len(table) >= KEPT:
                table.clear()
            table[function] = timed
        return timed

    app.ensure_sync = ensure_sync  # type: ignore[method-assign]


def _is_plain_method(function: t.Any) -> bool:
    """Whether it is a bound method, as extensions register theirs: since Python 3.8 its hash and
    its equality go by the identity of the object that it is bound to.
    """
    return type(function) is MethodType and type(function.__func__) is FunctionType


def _asking(frame: FrameType) -> str:
    """The name of the function that asked for *frame*, past an ``ensure_sync`` of somebody's
    that was set after the kit's and calls it.
    """
    while frame.f_code.co_name == "ensure_sync" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_name


def _inside_view(recorder: Recorder, phase: str) -> bool:
    # View.as_view passes its methods through ensure_sync once more.
    if phase != "view":
        return False
    recording = recorder.current()
    return (
        recording is not None
        and recording.current is not None
        and recording.current.phase == "view"
    )


def _after_phase(function: t.Any) -> Phase:
    # Flask runs both in one method, one loop after the other.
    ctx = internals.current_request_context()
    if ctx is not None:
        for registered in internals.after_this_request_functions(ctx):
            if registered is function:
                return "after_this_request"
    return "after_request"


def wrap(site: Site, function: t.Any, recorder: Recorder) -> Timed:
    """*function*, noted as one step of the recording that is current when it is called."""
    if site.phase in {"after_request", "after_this_request"}:
        return _wrap_after(site, function, recorder)
    # A call with *args and **kwargs costs the interpreter three times as much as a plain one.
    if site.phase == "before_request":
        return _wrap_before(site, function, recorder)
    if site.phase in {"teardown_request", "teardown_appcontext"}:
        return _wrap_teardown(site, function, recorder)
    handles = site.phase == "error_handler"

    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        recording = recorder.current()
        if recording is None:
            return function(*args, **kwargs)
        outer = recording.current
        if outer is not None:
            _inside(recorder, recording, outer)
        if handles:
            _handled(recorder, recording, args)
        recording.current = site
        start = now()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            recording.current = outer
            recorder.raised(recording, site, start, error)
            raise
        recording.current = outer
        try:
            recording.note(site, start)
        except BaseException as own:
            recorder.failed("note", own)
        return result

    return call


def _wrap_before(site: Site, function: t.Any, recorder: Recorder) -> Timed:
    def call() -> t.Any:
        recording = recorder.current()
        if recording is None:
            return function()
        outer = recording.current
        if outer is not None:
            _inside(recorder, recording, outer)
        recording.current = site
        start = now()
        try:
            result = function()
        except BaseException as error:
            recording.current = outer
            recorder.raised(recording, site, start, error)
            raise
        recording.current = outer
        try:
            recording.note(site, start, None if result is None else ANSWERED)
        except BaseException as own:
            recorder.failed("note", own)
        return result

    return call


def _wrap_teardown(site: Site, function: t.Any, recorder: Recorder) -> Timed:
    def call(exc: BaseException | None = None) -> t.Any:
        recording = recorder.current()
        if recording is None:
            return function(exc)
        outer = recording.current
        if outer is not None:
            _inside(recorder, recording, outer)
        recording.current = site
        start = now()
        try:
            result = function(exc)
        except BaseException as error:
            recording.current = outer
            recorder.raised(recording, site, start, error)
            raise
        recording.current = outer
        try:
            recording.note(site, start)
        except BaseException as own:
            recorder.failed("note", own)
        return result

    return call


def _wrap_after(site: Site, function: t.Any, recorder: Recorder) -> Timed:
    def call(response: t.Any) -> t.Any:
        recording = recorder.current()
        if recording is None:
            return function(response)
        outer = recording.current
        recording.current = site
        start = now()
        if recording.response is not response:
            try:
                first_response(recording, response, start)
            except BaseException as own:
                recorder.failed("make_response", own)
            start = now()
        try:
            result = function(response)
        except BaseException as error:
            recording.current = outer
            recorder.raised(recording, site, start, error, response=response)
            raise
        end = now()
        recording.current = outer
        try:
            if result is None:  # the response is lost, and what comes next fails on that
                recording.odd = True
                recording.note(site, start, _LOST)
                return result
            changes = recording.look_response(result, site)
            recording.add((site, start, end, changes, None))
        except BaseException as own:
            recorder.failed("look", own)
        return result

    return call


def _handled(recorder: Recorder, recording: Recording, args: tuple[t.Any, ...]) -> None:
    """An error handler is about to run: what it handles may come from no step that was seen."""
    try:
        recorder.unseen(recording, args[0])
    except BaseException as own:
        recorder.failed("error_handler", own)


def _inside(recorder: Recorder, recording: Recording, outer: Site) -> None:
    try:
        recording.look_inside(outer)
    except BaseException as own:
        recorder.failed("look", own)


def _told(function: t.Any, recorder: Recorder) -> t.Any:
    """The coroutine function *function*, which tells which thread runs it."""

    @wraps(function)
    async def told(*args: t.Any, **kwargs: t.Any) -> t.Any:
        recording = recorder.current()
        if recording is None:
            return await function(*args, **kwargs)
        outer, recording.thread = recording.thread, get_ident()
        try:
            return await function(*args, **kwargs)
        finally:
            recording.thread = outer

    return told


def original(app: Flask, name: str) -> t.Callable[..., t.Any]:
    """What *name* of *app* is now: another extension's attribute, or its class's method.

    The app is held weakly: a closure over it would make it uncollectable by reference count.
    """
    set_before = app.__dict__.get(name)
    if set_before is not None:
        return t.cast("t.Callable[..., t.Any]", set_before)
    function, reference = getattr(type(app), name), weakref.ref(app)

    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        return function(reference(), *args, **kwargs)

    return call
