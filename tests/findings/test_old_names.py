"""The table of old names: each row as the installed Flask is, and as applications meet it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import typing as t
import warnings
from importlib.metadata import version

import pytest
from flask import Blueprint, Flask, render_template_string

from flask_ctxkit.findings.old_names import DISPATCH, OLD_NAMES, UNNOTICED, OldName, numbers
from flask_ctxkit.internals import FLASK_VERSION, ONE_CONTEXT

HERE = numbers(FLASK_VERSION)
INSTALLED = {"Flask": HERE, "Werkzeug": numbers(version("werkzeug"))}


def label(old: OldName) -> str:
    return f"{old.of}-{old.place}-{old.name or old.modules[0]}"


def is_there(old: OldName) -> bool:
    """Whether the installed Flask has the name, with or without a warning."""
    app = Flask("shop")
    if old.place == "config":
        return old.name in app.config
    if old.place == "blueprint":
        return hasattr(Blueprint("tea", __name__), old.name)
    if old.place == "app":
        return hasattr(app, old.name)
    if old.place == "context":
        return hasattr(app.app_context(), old.name)
    return any(in_module(module, old.name) for module in old.modules)


def in_module(module: str, name: str) -> bool:
    if importlib.util.find_spec(module) is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return not name or hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("old", OLD_NAMES, ids=label)
def test_a_row_says_since_when_a_name_is_gone(old: OldName) -> None:
    """Gone where the row says so, there where it says that it goes later."""
    assert is_there(old) == (numbers(old.gone) > INSTALLED[old.of])


@pytest.mark.parametrize("old", [old for old in OLD_NAMES if old.since], ids=label)
def test_an_alias_is_an_old_name_since_the_release_that_the_row_says(old: OldName) -> None:
    """Flask itself warns of it from then on; for app.should_ignore_error once it is set."""
    if old.place != "module":
        assert old.name == "should_ignore_error"
        app = type("Old", (Flask,), {old.name: lambda self, error: False})("shop")
        app.add_url_rule("/", "index", lambda: "")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            app.test_client().get("/")
            app.test_client().get("/none")
    else:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(importlib.import_module(old.modules[0]), old.name)
    told = any(old.name in str(warning.message) for warning in caught)
    assert told == (numbers(t.cast("str", old.since)) <= HERE)


@pytest.mark.parametrize("name", DISPATCH)
def test_a_dispatch_method_takes_the_context_first_since_3_2(name: str) -> None:
    """And as many arguments as the table says."""
    _, *parameters = inspect.signature(getattr(Flask, name)).parameters.values()
    needed = [p for p in parameters if p.default is inspect.Parameter.empty]
    first = [p.name for p in parameters[:1]]
    assert (first == ["ctx"]) == ONE_CONTEXT
    assert len(needed) == DISPATCH[name] - (not ONE_CONTEXT)


def test_no_dispatch_method_is_left_out() -> None:
    """Whatever method of an app takes the context first stands in the table."""
    found = {
        name
        for name, method in inspect.getmembers(Flask, inspect.isfunction)
        if list(inspect.signature(method).parameters)[1:2] == ["ctx"]
    }
    assert found == (set(DISPATCH) if ONE_CONTEXT else set())


@pytest.mark.skipif(not ONE_CONTEXT, reason="Flask 3.2 changed the signatures")
def test_what_flask_does_about_old_signatures() -> None:
    """It warns of an old method of a subclass and calls it, but not of every one."""
    for name in DISPATCH:

        def old(self: Flask, *args: t.Any) -> t.Any:
            return None

        old.__name__ = name
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            before = vars(Flask)[name]
            type("Old", (Flask,), {name: old})
            setattr(Flask, name, before)  # Flask wraps its own method for the subclass's sake
        assert bool(caught) == (name not in UNNOTICED), name


@pytest.mark.skipif(not ONE_CONTEXT, reason="Flask 3.2 changed the signatures")
def test_an_old_method_that_flask_does_not_notice_breaks_at_once() -> None:
    """So it counts as gone with 3.2."""

    class Old(Flask):
        def update_template_context(self, context: t.Any) -> None:
            """As it was."""

    app = Old("shop")
    app.testing = True
    app.add_url_rule("/", "index", lambda: render_template_string("tea"))
    with pytest.raises(TypeError, match="positional argument"):
        app.test_client().get("/")


@pytest.mark.skipif(not ONE_CONTEXT, reason="Flask 3.2 changed the signatures")
def test_a_patch_or_a_call_in_the_old_way_breaks_at_once() -> None:
    """No wrapper helps them, so they count as gone with 3.2."""
    app = Flask("shop")
    app.testing = True
    with app.test_request_context(), pytest.raises(TypeError, match="missing 1 required"):
        app.preprocess_request()
    app.full_dispatch_request = lambda: app.make_response("")  # type: ignore[method-assign]
    with pytest.raises(TypeError, match="takes 0 positional arguments"):
        app.test_client().get("/")


def test_release_numbers_compare_as_numbers() -> None:
    assert numbers("3.2.0.dev0") == (3, 2)
    assert numbers("2.10") > numbers("2.9")
