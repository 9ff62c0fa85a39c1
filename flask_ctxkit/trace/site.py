"""A site is a step that a request can take: a phase, and the function that runs in it."""

from __future__ import annotations

import typing as t
from types import FunctionType

from ..definition import Definition, define
from .model import Phase

if t.TYPE_CHECKING:
    from flask import Flask

KEPT: t.Final = 2000
"""The most sites that are remembered; functions made anew in each request would pile up."""


class Site:
    """Compared by identity, so that a request's way is a tuple of sites."""

    __slots__ = ("blueprint", "definition", "own", "phase")

    def __init__(
        self,
        phase: Phase,
        definition: Definition,
        blueprint: str | None = None,
        *,
        own: bool = False,
    ) -> None:
        self.phase = phase
        self.definition = definition
        self.blueprint = blueprint
        self.own = own
        """Whether the function is Flask's or the kit's, and not a hook or a view."""


def flask_site(phase: Phase, name: str | None = None) -> Site:
    """A step of Flask's own, which has no function of the user's."""
    return Site(phase, Definition(name or phase, "flask", None, "Flask"), own=True)


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

FLASK_FUNCTIONS: t.Final[dict[str, Site]] = {
    "request_context": MAKE_REQUEST,
    "open_session": OPEN_SESSION,
    "match_request": MATCH,
    "raise_routing_exception": MATCH,
    "make_response": MAKE_RESPONSE,
    "save_session": SAVE_SESSION,
}
"""Which step of Flask's own a function in a traceback belongs to."""

_TABLES: t.Final[dict[str, str]] = {
    "before_request": "before_request_funcs",
    "after_request": "after_request_funcs",
    "teardown_request": "teardown_request_funcs",
    "url_value_preprocessor": "url_value_preprocessors",
}


class Sites:
    """The sites of one app's functions, made at first use and remembered."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Phase, t.Any], Site] = {}

    def site(self, phase: Phase, function: t.Any, app: Flask) -> Site:
        """The site of *function* in *phase*."""
        # Only plain functions: the hash of a callable object would be the user's code.
        plain = type(function) is FunctionType
        if plain:
            known = self._known.get((phase, function))
            if known is not None:
                return known
        site = Site(phase, define(function, app), _blueprint(phase, function, app))
        if plain:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[phase, function] = site
        return site


def _blueprint(phase: Phase, function: object, app: Flask) -> str | None:
    """The blueprint that registered *function*, or None for the app itself."""
    if phase == "view":
        for endpoint, view in app.view_functions.items():
            if view is function:
                return endpoint.rpartition(".")[0] or None
    if phase == "error_handler":
        for name, codes in app.error_handler_spec.items():
            if any(f is function for handlers in codes.values() for f in handlers.values()):
                return t.cast("str | None", name)
    table = getattr(app, _TABLES.get(phase, ""), {})
    for name, functions in table.items():
        if any(registered is function for registered in functions):
            return t.cast("str | None", name)
    return None
