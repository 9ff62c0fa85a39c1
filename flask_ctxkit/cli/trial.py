"""Running one request in this process, watched, and answering with its trace."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import CtxKitError
from ..redact import Redactor

if t.TYPE_CHECKING:
    from flask import Flask


MOST: t.Final = 1024 * 1024
"""Bytes of the body that are read at least, if it has so many."""


class TrialError(CtxKitError):
    """The request could not be watched."""

    code = "not-recorded"


def tried(
    app: Flask, method: str, path: str, headers: t.Sequence[tuple[str, str]], data: bytes
) -> dict[str, t.Any]:
    """Run a request through the test client and return its trace as a report.

    An app without a kit gets one. An exception that escapes the app stands in the trace.

    :raises TrialError: where the app refuses a kit, or nothing was recorded.
    """
    state = _watched(app)
    failure = _run(app, path, method=method, headers=list(headers), data=data)
    # Contexts that the request opened inside itself have traces of their own; its own ends
    # last. A kit without an app's requests so far has no other.
    found = next((trace for trace in state.store.newest() if trace.kind == "request"), None)
    if found is None:
        raise TrialError(f"Nothing was recorded of {method} {path}.") from failure
    from ..report import trace

    return trace(state, found.id)


def _run(app: Flask, path: str, **request: t.Any) -> BaseException | None:
    """Send the request and read its body; the exception that escaped, or None."""
    try:
        response = app.test_client().open(path, **request)
        try:
            _read(response.iter_encoded())
        finally:
            response.close()
    except (Exception, SystemExit) as error:  # the app's, propagated in debug and testing
        return error
    return None


def _read(chunks: t.Iterator[bytes]) -> None:
    # A stream does its work while it is read, but it may never end.
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MOST:
            break


def _watched(app: Flask) -> t.Any:
    """The state of the app's kit, which records from now on."""
    state: t.Any = app.extensions.get("ctxkit")
    if state is None:
        state = _fitted(app)
    # This process ends with the command, so what was configured off is on here only.
    state.config = dataclasses.replace(state.config, trace=True, trace_rate=1.0)
    state.recorder.rate = 1.0
    state.start_tracing(app)
    return state


def _fitted(app: Flask) -> t.Any:
    from flask_ctxkit import CtxKit

    try:
        CtxKit(app)
    except AssertionError as error:
        raise TrialError(
            "The app has answered a request while it was imported, so it takes no kit any more. "
            "Add CtxKit(app) to it."
        ) from error
    return app.extensions["ctxkit"]


def redactor_for(app: Flask) -> Redactor:
    """What makes values of *app* showable: the redactor of its kit, or one like it."""
    state: t.Any = app.extensions.get("ctxkit")
    if state is not None:
        return t.cast("Redactor", state.redactor)
    return Redactor((), (), cookie_names=(app.config["SESSION_COOKIE_NAME"],))
