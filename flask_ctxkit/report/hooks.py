"""What will run for that URL, in Flask's own order?"""

from __future__ import annotations

import typing as t
from itertools import chain

import flask
from flask.testing import EnvironBuilder
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect, Rule

from ..definition import define
from ..errors import CtxKitError

if t.TYPE_CHECKING:
    from blinker import NamedSignal
    from flask import Flask

Runs = t.Literal["always", "maybe"]
NOT_FOUND: t.Final = 404
NOT_ALLOWED: t.Final = 405
ANY_METHOD: t.Final = 20
"""The most characters of a method."""


class BadUrlError(CtxKitError):
    """The method or the path can't be part of a request."""


class Match(t.NamedTuple):
    """Where a URL leads. ``status`` is that of the routing error, or None."""

    rule: Rule | None
    view_args: t.Mapping[str, t.Any]
    status: int | None = None
    target: str | None = None
    allowed: tuple[str, ...] = ()
    error: HTTPException | None = None


def hooks(app: Flask, method: str, path: str) -> dict[str, t.Any]:
    """Every function that will run for *method* and *path*, in order.

    ``runs`` is "maybe" where it depends on what happens: an error handler, a template's
    context processors. A before_request function that returns a response ends the chain
    early; which one will can't be known.

    :param path: a path, with a query string or a host if the routes depend on one.
    :raises BadUrlError: if there can be no such request.
    """
    method = method.upper()
    found = match(app, method, path)
    endpoint = None if found.rule is None else found.rule.endpoint
    # Flask's Request.blueprints: the innermost first, then its parents.
    blueprints = _blueprints(endpoint)
    steps = list(_steps(app, method, found, blueprints))
    return {
        "method": method,
        "path": path,
        "endpoint": endpoint,
        "blueprints": blueprints,
        "status": found.status,
        "target": found.target,
        "rule": None if found.rule is None else found.rule.rule,
        "view_args": {name: str(value)[:200] for name, value in found.view_args.items()},
        "steps": [{"order": order} | step for order, step in enumerate(steps, 1)],
        "allowed": list(found.allowed),
    }


def match(app: Flask, method: str, path: str) -> Match:
    """Match a URL as a request to it would be.

    :raises BadUrlError: if there can be no such request.
    """
    if not (method.isascii() and method.replace("-", "").isalpha() and len(method) <= ANY_METHOD):
        raise BadUrlError("The method is not one of HTTP. Use one like GET.", parameter="method")
    if not path.startswith(("/", "http://", "https://")):
        raise BadUrlError('The path must begin with "/", like /cart.', parameter="path")
    try:
        environ = EnvironBuilder(app, path, method=method).get_environ()
        # Flask's own class: the app's may do work when it is made.
        adapter = app.create_url_adapter(flask.Request(environ))
    except (ValueError, HTTPException) as error:
        raise BadUrlError(
            f"No request can have this URL ({type(error).__name__}). Check its host and path.",
            parameter="path",
        ) from error
    if adapter is None:
        return Match(None, {}, NOT_FOUND, error=NotFound())
    try:
        rule, view_args = adapter.match(return_rule=True)
    except RequestRedirect as redirect:
        return Match(None, {}, redirect.code, redirect.new_url)
    except MethodNotAllowed as error:
        allowed = tuple(sorted(error.valid_methods or ()))
        return Match(None, {}, NOT_ALLOWED, None, allowed, error)
    except HTTPException as error:
        return Match(None, {}, error.code, error=error)
    return Match(rule, view_args, allowed=tuple(sorted(adapter.allowed_methods())))


def _blueprints(endpoint: str | None) -> list[str]:
    if endpoint is None or "." not in endpoint:
        return []
    name = endpoint.rpartition(".")[0]
    return [name, *_blueprints(name)]


# ------------------------------------------------------------------------------ steps


def _steps(
    app: Flask, method: str, found: Match, blueprints: list[str]
) -> t.Iterator[dict[str, t.Any]]:
    function: t.Any  # one of several kinds, by the table
    outside_in: list[str | None] = [None, *reversed(blueprints)]
    inside_out: list[str | None] = [*blueprints, None]

    def told(phase: str, function: object, owner: str | None, runs: Runs = "always") -> t.Any:
        return step(app, phase, function, owner, runs)

    def signal(sender: NamedSignal, runs: Runs = "always") -> t.Iterator[t.Any]:
        for receiver in sender.receivers_for(app):
            yield told("signal", receiver, None, runs) | {"signal": sender.name}

    yield from signal(flask.appcontext_pushed)
    yield told("open_session", type(app.session_interface).open_session, None)
    yield from signal(flask.request_started)
    for owner in outside_in:
        for function in app.url_value_preprocessors.get(owner, ()):
            yield told("url_value_preprocessor", function, owner)
    for owner in outside_in:
        for function in app.before_request_funcs.get(owner, ()):
            yield told("before_request", function, owner)
    yield from _answer(app, method, found, blueprints)
    for owner in inside_out:
        for function in reversed(app.after_request_funcs.get(owner, ())):
            yield told("after_request", function, owner)
    yield told("save_session", type(app.session_interface).save_session, None)
    yield from signal(flask.request_finished)
    for owner in inside_out:
        for function in reversed(app.teardown_request_funcs.get(owner, ())):
            yield told("teardown_request", function, owner)
    yield from signal(flask.request_tearing_down)
    for function in reversed(app.teardown_appcontext_funcs):
        yield told("teardown_appcontext", function, None)
    yield from signal(flask.appcontext_tearing_down)
    yield from signal(flask.appcontext_popped)


def _answer(
    app: Flask, method: str, found: Match, blueprints: list[str]
) -> t.Iterator[dict[str, t.Any]]:
    """The view with what may run inside it, or the handler of the routing error."""
    if found.rule is None:
        handler, owner = error_handler(app, found.error, blueprints)
        if handler is not None:
            yield step(app, "error_handler", handler, owner, "always")
        return
    if method == "OPTIONS" and getattr(found.rule, "provide_automatic_options", False):
        yield step(app, "view", type(app).make_default_options_response, None, "always")
        return
    owner = blueprints[0] if blueprints else None
    view = app.view_functions.get(found.rule.endpoint)
    if view is not None:
        yield step(app, "view", view, owner, "always") | {"endpoint": found.rule.endpoint}
    processors = app.template_context_processors
    for name in chain((None,), reversed(blueprints)):
        for function in processors.get(name, ()):
            yield step(app, "template", function, name, "maybe")
    for signal in (flask.before_render_template, flask.template_rendered):
        for receiver in signal.receivers_for(app):
            yield step(app, "signal", receiver, None, "maybe") | {"signal": signal.name}


def error_handler(
    app: Flask, error: HTTPException | None, blueprints: t.Sequence[str]
) -> tuple[t.Any, str | None]:
    """The handler that answers an HTTP error, and its blueprint: first by code, then by
    class, each time the innermost blueprint first.
    """
    if error is None:
        return None, None
    owners: tuple[str | None, ...] = (*blueprints, None)
    for code in (error.code, None):
        for owner in owners:
            # Read with get: looking into these defaultdicts would add to them.
            handlers = app.error_handler_spec.get(owner, {}).get(code)
            for kind in type(error).__mro__:
                handler = handlers.get(kind) if handlers else None
                if handler is not None:
                    return handler, owner
    return None, None


def step(
    app: Flask, phase: str, function: object, blueprint: str | None, runs: Runs
) -> dict[str, t.Any]:
    """One function as a row."""
    found = define(function, app)
    source = found.source
    if blueprint is not None and source == "this app":
        source = f"blueprint {blueprint}"
    return {
        "phase": phase,
        "function": found.name,
        "source": source,
        "module": found.module,
        "blueprint": blueprint,
        "where": found.where,
        "runs": runs,
    }
