"""A site is a step that a request can take: a phase, and the function that runs in it."""

from __future__ import annotations

import typing as t

from ..definition import Definition, define

if t.TYPE_CHECKING:
    from flask import Flask

    from .model import Phase


class Site:
    """Compared by identity, so that a request's way is a tuple of sites."""

    __slots__ = ("blueprint", "definition", "phase")

    def __init__(self, phase: Phase, definition: Definition, blueprint: str | None = None) -> None:
        self.phase = phase
        self.definition = definition
        self.blueprint = blueprint


def flask_site(phase: Phase, name: str | None = None) -> Site:
    """A step of Flask's own, which has no function of the user's."""
    return Site(phase, Definition(name or phase, "flask", None, "Flask"))


MAKE_REQUEST: t.Final = flask_site("make_request")
PUSH_APP: t.Final = flask_site("push_app")
PUSH_REQUEST: t.Final = flask_site("push_request")
OPEN_SESSION: t.Final = flask_site("open_session")
MATCH: t.Final = flask_site("match")
REQUEST_STARTED: t.Final = flask_site("signal", "request_started")
PREPROCESSORS: t.Final = flask_site("url_value_preprocessor")
MAKE_RESPONSE: t.Final = flask_site("make_response")
SAVE_SESSION: t.Final = flask_site("save_session")
START_RESPONSE: t.Final = flask_site("make_response", "start_response")
POP: t.Final = flask_site("pop")
STREAM: t.Final = flask_site("stream")
HEADERS: t.Final = Site(
    "after_request", Definition("headers for the viewer", "flask_ctxkit", None, "flask_ctxkit")
)
"""The kit's own headers, told like anyone's."""
WAITED: t.Final = Site(
    "before_first_request",
    Definition("waited for another request", "flask_ctxkit", None, "flask_ctxkit"),
)
"""Another request ran what comes before the first one."""

RECEIVERS: t.Final = flask_site("signal", "a receiver")

FLASK_FUNCTIONS: t.Final[dict[str, Site]] = {
    "request_context": MAKE_REQUEST,
    "open_session": OPEN_SESSION,
    "match_request": MATCH,
    "raise_routing_exception": MATCH,
    "preprocess_request": PREPROCESSORS,
    "make_response": MAKE_RESPONSE,
    "send": RECEIVERS,
    "save_session": SAVE_SESSION,
}
"""Which step of Flask's own a function in a traceback belongs to."""

CALLERS: t.Final[dict[str, Phase]] = {
    "preprocess_request": "before_request",
    "dispatch_request": "view",
    "process_response": "after_request",
    "handle_user_exception": "error_handler",
    "handle_http_exception": "error_handler",
    "handle_exception": "error_handler",
    "do_teardown_request": "teardown_request",
    "do_teardown_appcontext": "teardown_appcontext",
    "update_template_context": "template",
    "send": "signal",
}
"""The phase of a function that goes through ``ensure_sync``, by the name of its caller."""

_TABLES: t.Final[dict[str, str]] = {
    "before_request": "before_request_funcs",
    "after_request": "after_request_funcs",
    "teardown_request": "teardown_request_funcs",
    "template": "template_context_processors",
}


def make_site(phase: Phase, function: t.Any, app: Flask) -> tuple[Site, bool]:
    """The site of *function*, and whether it stands in a table of *app*.

    A function that stands in none was made for this request alone.
    """
    registered, blueprint = _registered(phase, function, app)
    return Site(phase, define(function, app), blueprint), registered


def _registered(phase: Phase, function: object, app: Flask) -> tuple[bool, str | None]:
    """Whether *function* is registered on *app* for *phase*, and by which blueprint."""
    if phase == "view":
        for endpoint, view in app.view_functions.items():
            if view is function:
                return True, endpoint.rpartition(".")[0] or None
    elif phase == "error_handler":
        for name, codes in app.error_handler_spec.items():
            if any(f is function for handlers in codes.values() for f in handlers.values()):
                return True, name
    elif phase == "teardown_appcontext":
        return any(f is function for f in app.teardown_appcontext_funcs), None
    table = getattr(app, _TABLES.get(phase, ""), {})
    for name, functions in table.items():
        if any(f is function for f in functions):
            return True, t.cast("str | None", name)
    return False, None
