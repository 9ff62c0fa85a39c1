"""Watches one call of the WSGI app: its ``start_response``, and a streamed body to its end."""

from __future__ import annotations

import typing as t
from functools import partial
from types import GeneratorType

from flask import request_finished
from werkzeug.wsgi import ClosingIterator

from ..deferred import defer
from ..internals import current_app
from .recording import Recording, Remark, now
from .signals import heard
from .site import POP, STREAM

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

    from .recorder import Recorder


Inner = t.Callable[[t.Any, "WSGIEnvironment", "StartResponse"], t.Any]


def inner_app(app: Flask) -> Inner:
    """The ``wsgi_app`` that *app* has, called with the app first: its class's method, so that
    nothing holds the app, or what somebody set before.
    """
    set_before = app.__dict__.get("wsgi_app")
    if set_before is None:
        return t.cast("Inner", type(app).wsgi_app)

    def wsgi_app(_: object, environ: WSGIEnvironment, start_response: StartResponse) -> t.Any:
        return set_before(environ, start_response)

    return wsgi_app


def call_app(
    inner: Inner,
    app: Flask | None,
    recorder: Recorder,
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> t.Any:
    """Call *inner*, the WSGI app of *app*, and watch its response to the end."""
    recording: Recording | None = None

    def start(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
        nonlocal recording
        try:
            recording = recorder.current()
            if recording is not None:
                recorder.started_response(recording, status, headers)
                recording.streaming = recording.streamed
                if request_finished.receivers:
                    heard(recording, request_finished, current_app())
        except BaseException as own:
            recorder.failed("start_response", own)
        if exc_info is None:
            return start_response(status, headers)
        return start_response(status, headers, exc_info)

    try:
        body = inner(app, environ, start)
    except BaseException:
        if recording is not None and recording.streaming:
            _no_body(recording, recorder)  # a teardown function raised
        raise
    if recording is None or not recording.streaming:
        return body
    return _watched(body, recording, recorder)


def _watched(body: t.Any, recording: Recording, recorder: Recorder) -> t.Any:
    """*body*, watched to its end unless it is the server's own file."""
    try:
        if type(body) is ClosingIterator or type(body) is GeneratorType:
            return Body(body, recording, recorder)
    except BaseException as own:
        recorder.failed("body", own)
    # The server recognises its own wsgi.file_wrapper by its type.
    _no_body(recording, recorder)
    return body


def _no_body(recording: Recording, recorder: Recorder) -> None:
    """There is no body to watch: the end was the pop, or will be."""
    try:
        recording.streaming = False
        if recording.ended is None and recording.last_site() is POP:
            recorder.finish(recording)
    except BaseException as own:
        recorder.failed("body", own)


class Body:
    """A streamed response body, watched to its end."""

    __slots__ = ("_body", "_chunks", "_closed", "_next", "_recorder", "_recording", "_start")

    def __init__(self, body: t.Any, recording: Recording, recorder: Recorder) -> None:
        self._closed = True
        self._body = body
        self._next = iter(body).__next__
        self._recording = recording
        self._recorder = recorder
        self._start = now()
        self._chunks = 0
        self._closed = False
        recording.current = STREAM

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        recording = self._recording
        recording.current = STREAM
        try:
            chunk: bytes = self._next()
        except StopIteration:
            recording.current = None
            raise
        except BaseException as error:
            recording.current = None
            self._recorder.raised(recording, STREAM, self._start, error)
            raise
        recording.current = None
        self._chunks += 1
        return chunk

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                close()
        finally:
            if not self._closed:
                self._closed = True
                recording = self._recording
                recording.state = "finished"
                _end(recording, self._recorder, self._start, now(), self._chunks)

    def __del__(self) -> None:
        if not self._closed:
            # Not the body itself: the generator inside it is closed now.
            defer(partial(_left, self._recording, self._recorder, self._start, now(), self._chunks))


def _left(recording: Recording, recorder: Recorder, start: int, end: int, chunks: int) -> None:
    """The body was dropped at *end*, a while ago, without being closed."""
    recording.state, recording.left_at, recording.odd = "left", end, True
    _end(recording, recorder, start, end, chunks)


def _end(recording: Recording, recorder: Recorder, start: int, end: int, chunks: int) -> None:
    try:
        remark = Remark(note=f"{chunks} chunks")
        recording.add((STREAM, start, end, recording.look(STREAM), remark))
        recording.streaming = False
        if recording.ended is None:
            recorder.finish(recording)
    except BaseException as own:
        recorder.failed("stream", own)
