"""What is the app made of, before any request?"""

from __future__ import annotations

import typing as t
from importlib import metadata

import flask

from ..definition import define
from .resources import resources

if t.TYPE_CHECKING:
    from blinker import NamedSignal
    from flask import Flask

    from ..resources.health import Resources
    from .sources import Redacts

SIGNALS: t.Final[t.Mapping[str, NamedSignal]] = {
    name: getattr(flask, name)
    for name in (
        "appcontext_pushed", "request_started", "before_render_template", "template_rendered",
        "got_request_exception", "request_finished", "request_tearing_down",
        "appcontext_tearing_down", "appcontext_popped", "message_flashed",
    )
}  # fmt: skip

_TABLES: t.Final[t.Mapping[str, str]] = {
    "url_value_preprocessor": "url_value_preprocessors",
    "before_request": "before_request_funcs",
    "after_request": "after_request_funcs",
    "teardown_request": "teardown_request_funcs",
    "template": "template_context_processors",
    "url_defaults": "url_default_functions",
}

Row = dict[str, t.Any]


def startup(app: Flask, redactor: Redacts, known: Resources | None = None) -> Row:
    """The set-up of *app*: its config (redacted), routes, hooks and whatever registered
    itself. Only what the app's tables hold is read; nothing of the user's is called.

    :param known: the app's resources, if it has a kit.
    """
    return {
        "config": dict(redactor.config(app.config)),
        "routes": [_route(app, rule) for rule in app.url_map.iter_rules()],
        "hooks": _hook_tables(app),
        "extensions": [_extension(app, name) for name in sorted(map(str, app.extensions))],
        "resources": resources(app, known),
        "session_interface": _class_of(app.session_interface),
        "error_handlers": list(_error_handlers(app)),
        "signals": {
            name: [define(receiver, app).name for receiver in signal.receivers_for(app)]
            for name, signal in SIGNALS.items()
        },
        "blueprints": [_blueprint(app, name) for name in app.blueprints],
        # Not list_commands(): that would import every plug-in.
        "commands": sorted(app.cli.commands),
        "jinja": _jinja(app),
    }


def _function(app: Flask, function: object, blueprint: str | None) -> Row:
    found = define(function, app)
    source = found.source
    if blueprint is not None and source == "this app":
        source = f"blueprint {blueprint}"
    return {
        "function": found.name,
        "module": found.module,
        "source": source,
        "blueprint": blueprint,
        "where": found.where,
    }


def _route(app: Flask, rule: t.Any) -> Row:
    blueprint = rule.endpoint.rpartition(".")[0] or None
    view = app.view_functions.get(rule.endpoint)
    told = {} if view is None else _function(app, view, blueprint)
    return {
        "rule": rule.rule,
        "endpoint": rule.endpoint,
        "methods": sorted(rule.methods or ()),
        "view": told.get("function"),
        "where": told.get("where"),
        "source": told.get("source"),
        "blueprint": blueprint,
    }


def _hook_tables(app: Flask) -> dict[str, list[Row]]:
    tables = {
        phase: [
            _function(app, function, blueprint)
            for blueprint, functions in getattr(app, attribute).items()
            for function in functions
        ]
        for phase, attribute in _TABLES.items()
    }
    tables["teardown_appcontext"] = [
        _function(app, function, None) for function in app.teardown_appcontext_funcs
    ]
    return tables


def _extension(app: Flask, name: str) -> Row:
    instance = app.extensions.get(name)
    source = define(type(instance), app).source
    distribution = source if source not in {"this app", "Flask", "flask_ctxkit"} else None
    if source == "flask_ctxkit":
        distribution = "flask-ctxkit"
    return {
        "name": name,
        "class": f"{type(instance).__module__}.{type(instance).__qualname__}",
        "distribution": distribution,
        "version": _version(distribution),
    }


def _version(distribution: str | None) -> str | None:
    if distribution is None:
        return None
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _class_of(instance: object) -> Row:
    return {"class": type(instance).__qualname__, "module": type(instance).__module__}


def _error_handlers(app: Flask) -> t.Iterator[Row]:
    for blueprint, codes in app.error_handler_spec.items():
        for code, handlers in codes.items():
            for exception, function in handlers.items():
                told = _function(app, function, blueprint)
                yield {"code": code, "exception": exception.__qualname__} | told


def _blueprint(app: Flask, name: str) -> Row:
    blueprint = app.blueprints[name]
    return {
        "name": name,
        "import_name": blueprint.import_name,
        "url_prefix": blueprint.url_prefix,
        "endpoints": sum(
            rule.endpoint.rpartition(".")[0] == name for rule in app.url_map.iter_rules()
        ),
    }


def _jinja(app: Flask) -> Row:
    # Reading jinja_env makes it, and after that the app can't set jinja_options any more.
    environment = app.__dict__.get("jinja_env")
    processors = app.template_context_processors
    return {
        "globals": [] if environment is None else sorted(map(str, environment.globals)),
        "filters": [] if environment is None else sorted(map(str, environment.filters)),
        "context_processors": [
            _function(app, function, blueprint)
            for blueprint, functions in processors.items()
            for function in functions
        ],
    }
