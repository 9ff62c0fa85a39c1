"""Hooks, at the start: registered twice, or written so that they can't work."""

from __future__ import annotations

import typing as t
from types import FunctionType, MethodType

from ..definition import define
from .bytecode import innermost, outermost, refuses, returns_nothing
from .facts import TABLES
from .model import Evidence, Finding, Rule
from .wording import short

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..definition import Definition

ARGUMENTS: t.Final[t.Mapping[str, int]] = {
    "before_request": 0,
    "after_request": 1,
    "teardown_request": 1,
    "teardown_appcontext": 1,
    "url_value_preprocessor": 2,
}
"""How many arguments Flask passes to a hook."""
PASSED: t.Final[t.Mapping[str, str]] = {
    "before_request": "no arguments",
    "after_request": "the response",
    "teardown_request": "the exception, or None",
    "teardown_appcontext": "the exception, or None",
    "url_value_preprocessor": "the endpoint and the view's arguments",
}


class Registered(t.NamedTuple):
    """A function in one of the app's hook tables."""

    phase: str
    blueprint: str | None
    function: object


def registered(app: Flask) -> t.Iterator[Registered]:
    """Every hook of *app*, in the order of registration."""
    for phase, attribute in TABLES.items():
        for blueprint, functions in getattr(app, attribute).items():
            for function in functions:
                yield Registered(phase, blueprint, function)
    for function in app.teardown_appcontext_funcs:
        yield Registered("teardown_appcontext", None, function)


def registered_twice(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """The same function stands twice among the hooks that run for one request."""
    found: dict[t.Any, list[Registered]] = {}
    for row in registered(app):
        found.setdefault((row.phase, _sameness(row.function)), []).append(row)
    for rows in found.values():
        pair = _that_meet(rows)
        if pair is None:
            continue
        first, again = pair
        made = define(first.function, app)
        yield Finding(
            f"{first.phase} {_told(made)} is registered twice, {_scopes(first, again)}, so it "
            "runs twice.",
            (Evidence(f"{_told(made)} is defined here.", None, made.where),),
            _register_once(made),
            f"{first.phase} {made.name} {made.where}",
        )


def _sameness(function: object) -> t.Any:
    # Never the user's __eq__ or __hash__. What a closure made anew holds tells whether it is
    # the same hook again (init_app called twice) or another one of its kind (a factory).
    if type(function) is MethodType:
        return "method", id(function.__func__), id(function.__self__)
    if type(function) is FunctionType:
        cells = function.__closure__ or ()
        return "function", id(function.__code__), tuple(map(_cell, cells)), _defaults(function)
    return "object", id(function)


def _cell(cell: t.Any) -> t.Any:
    try:
        held = cell.cell_contents
    except ValueError:  # not filled yet
        return None
    return ("value", held) if type(held) in {str, int, bool, type(None)} else id(held)


def _defaults(function: FunctionType) -> t.Any:
    keywords = function.__kwdefaults__ or {}
    return tuple(map(id, function.__defaults__ or ())), tuple(map(id, keywords.values()))


def _that_meet(rows: list[Registered]) -> tuple[Registered, Registered] | None:
    """Two of *rows* that run in one request: for one blueprint, its parent, or the app."""
    for position, first in enumerate(rows):
        for again in rows[position + 1 :]:
            one, other = first.blueprint, again.blueprint
            if one is None or other is None or f"{one}.".startswith(f"{other}."):
                return first, again
            if f"{other}.".startswith(f"{one}."):
                return first, again
    return None


def _scopes(first: Registered, again: Registered) -> str:
    names = [
        f"for blueprint {r.blueprint}" if r.blueprint else "for the app" for r in (first, again)
    ]
    return f"both times {names[0]}" if names[0] == names[1] else f"{names[0]} and {names[1]}"


def _register_once(made: Definition) -> str:
    if made.source not in {"this app", "Flask"}:
        return f"Call init_app of {made.source} once: either pass the app to it, or call init_app."
    return f"Register {short(made.name)} once: as a decorator or by a call, not both."


def _told(made: Definition) -> str:
    name = short(made.name)
    if made.source not in {"this app", "Flask"}:
        name = f"{made.source}'s {name}"
    return f"{name} ({made.where})" if made.where else name


def no_response(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """An after_request function that never returns the response."""
    for phase, _, function in registered(app):
        if phase != "after_request" or not returns_nothing(function):
            continue
        made = define(function, app)
        yield Finding(
            f"after_request {_told(made)} never returns the response, so every request that it "
            "runs in fails.",
            (Evidence("Every return in it returns None.", None, made.where),),
            f"End {short(made.name)} with: return response",
            f"{made.name} {made.where}",
        )


def wrong_arguments(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """A hook that can't be called with what Flask passes."""
    for phase, _, function in registered(app):
        if not refuses(function, ARGUMENTS[phase]):
            continue
        made = define(function, app)
        yield Finding(
            f"{phase} {_told(made)} can't be called: Flask passes it {PASSED[phase]}.",
            (Evidence(f"It takes {_signature(function)}.", None, made.where),),
            f"Write: def {short(made.name).rpartition('.')[2]}({_wanted(phase)}): ...",
            f"{phase} {made.name} {made.where}",
        )


def _signature(function: object) -> str:
    plain = outermost(function) or innermost(function)
    if plain is None:
        return "other arguments"
    code = plain.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return f"({', '.join(names)})" if names else "no arguments"


def _wanted(phase: str) -> str:
    wanted = {"before_request": "", "after_request": "response"}
    return wanted.get(phase, "endpoint, values" if ARGUMENTS[phase] > 1 else "exc")


RULES: t.Final = (
    Rule(
        "hook-registered-twice",
        "warning",
        "hooks",
        "A hook is registered twice",
        "The same function was registered again: by a decorator and a call, by init_app called "
        "twice, or for a blueprint and the app.",
        "Register it once.",
        registered_twice,
        when="app",
    ),
    Rule(
        "after-request-returns-none",
        "error",
        "hooks",
        "An after_request function never returns the response",
        "What an after_request function returns is the response from then on.",
        "End the function with: return response",
        no_response,
        when="app",
    ),
    Rule(
        "hook-arguments",
        "error",
        "hooks",
        "A hook can't be called with what Flask passes",
        "before_request functions get no argument, after_request functions the response, teardown "
        "functions the exception or None.",
        "Give the function the parameters that Flask passes.",
        wrong_arguments,
        when="app",
    ),
)
