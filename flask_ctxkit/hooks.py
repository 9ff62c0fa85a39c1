"""The kit's own hooks, registered like anyone's."""

from __future__ import annotations

import typing as t
import weakref

from flask import request_started

from . import internals
from .resources.attachment import end_scope
from .resources.scope import KEY
from .session.interface import CtxSessionInterface
from .session.mapping import KINDS
from .trace.opening import before_hooks, first_response
from .trace.recording import now

if t.TYPE_CHECKING:
    from flask import Flask, Response

    from .state import State


def register_hooks(app: Flask, state: State) -> tuple[t.Callable[..., t.Any], ...]:
    """Register them so that one runs before all others and the rest after them.

    :return: the hooks.
    """
    recorder, first, reference = state.recorder, state.first, weakref.ref(app)
    table = app.url_value_preprocessors

    def ctxkit_before_request() -> None:
        if state.tracing and (request_started.receivers or table):
            recording = recorder.current()
            if recording is not None and recording.request is not None:
                try:
                    before_hooks(recording)
                except BaseException as own:
                    recorder.failed("before_request", own)
        if first.functions and not first.done:
            first.run()

    def ctxkit_after_request(response: Response) -> Response:
        if state.tracing and response is not None:
            recording = recorder.current()
            if recording is not None:
                try:
                    if recording.response is not response:
                        first_response(recording, response, now())
                    if state.headers:
                        state.add_headers(recording, response)
                    recording.saving = now()
                except BaseException as own:
                    recorder.failed("after_request", own)
        return response

    def ctxkit_teardown_request(exc: BaseException | None) -> None:
        try:
            session = internals.raw_session(internals.current_request_context())
            if exc is None and type(session) in KINDS and not session.modified:
                return  # nothing is lost
            app = t.cast("Flask", reference())
            interface = app.session_interface
            if isinstance(interface, CtxSessionInterface):
                interface.finish(app, session, exc)
        except BaseException as own:
            recorder.failed("teardown_request", own)

    # Flask runs after and teardown functions in reverse, so the first one is the last.
    app.before_request_funcs.setdefault(None, []).insert(0, ctxkit_before_request)
    app.after_request_funcs.setdefault(None, []).insert(0, ctxkit_after_request)
    app.teardown_request_funcs.setdefault(None, []).insert(0, ctxkit_teardown_request)
    return (
        ctxkit_before_request, ctxkit_after_request, ctxkit_teardown_request,
        ctxkit_teardown_appcontext,
    )  # fmt: skip


def register_closing(app: Flask) -> None:
    """Close what a context holds after all other teardown functions of *app*; once is enough.

    An app without resources is not even asked.
    """
    functions = app.teardown_appcontext_funcs
    if ctxkit_teardown_appcontext not in functions:
        # A new list: a context that ends just now reads the old one backward.
        app.teardown_appcontext_funcs = [ctxkit_teardown_appcontext, *functions]


def ctxkit_teardown_appcontext(exc: BaseException | None) -> None:
    """Close what the context that ends holds, while it still is current."""
    ctx = internals.current_app_context(None)
    if ctx is not None and KEY in ctx.__dict__ and internals.is_ending(ctx):
        end_scope(ctx, exc)
