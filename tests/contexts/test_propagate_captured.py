"""A proxy that is handed to work elsewhere is noticed and named, and nothing else is."""

from __future__ import annotations

import functools
import threading
import typing as t
import warnings

import pytest
from flask import Flask, current_app, g, request, session
from werkzeug.local import Local, LocalProxy

from flask_ctxkit import CapturedProxyWarning, ContextExecutor, propagate, unwrap
from flask_ctxkit.contexts.captured import captured_by, captured_in

from .test_propagate import in_thread, make

local = Local()
current_tea = local("tea")
found_user = LocalProxy(lambda: "ada")


@pytest.fixture
def shop() -> t.Iterator[Flask]:
    app = make()
    with app.test_request_context("/tea"):
        yield app


def nothing(*_: t.Any, **__: t.Any) -> None:
    pass


class Holder:
    def work(self) -> None:
        pass


def closure_over(value: t.Any) -> t.Callable[[], t.Any]:
    return lambda: value


def by_default(one: int = 1, held: t.Any = g, *, named: t.Any = session) -> None:
    pass


# ------------------------------------------------------------------------------ what is


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (closure_over(request), ["request in the closure variable value"]),
        (closure_over(closure_over(g)), ["g in the closure variable value"]),
        (closure_over([1, session]), ["session in the closure variable value"]),
        (closure_over({"x": (g,)}), ["g in the closure variable value"]),
        (by_default, ["g as the default of held", "session as the default of named"]),
        (functools.partial(nothing, 1, request), ["request as argument 2"]),
        (functools.partial(nothing, user=g), ["g as argument user"]),
        (functools.partial(functools.partial(nothing, g)), ["g as argument 1"]),
        (functools.partial(closure_over(g)), ["g in the closure variable value"]),
        (Holder.work.__get__(request), ["request as the object of work"]),
        (found_user, ["as the function"]),
        (closure_over(current_tea), ["in the closure variable value"]),
        (closure_over(found_user), ["in the closure variable value"]),
    ],
)
def test_what_a_function_holds(function: t.Any, told: list[str]) -> None:
    """In its closure at any depth, its defaults, a partial, or as its object."""
    found = captured_by(function)
    assert len(found) == len(told)
    for line, end in zip(found, told, strict=True):
        assert line.endswith(end)


def test_proxies_of_others_are_named_by_where_they_come_from() -> None:
    (of_local,) = captured_by(closure_over(current_tea))
    assert of_local.startswith("a proxy for tea of ")
    (of_function,) = captured_by(closure_over(found_user))
    assert of_function.startswith("a proxy for ")
    assert "<lambda>()" in of_function


def test_what_is_passed() -> None:
    assert captured_in((1, g), {"to": request}) == ("g as argument 2", "request as argument to")
    assert captured_in(([g],), {}) == ("g as argument 1",)
    assert captured_in((closure_over(g),), {}) == ("g in the closure variable value",)


def test_nothing_behind_a_proxy_is_asked() -> None:
    """Outside of a context, and where asking runs the user's code."""
    asked: list[int] = []
    proxy = LocalProxy(lambda: asked.append(1))
    assert len(captured_in((proxy, request, current_tea), {"x": session})) == 4
    assert asked == []


# ---------------------------------------------------------------------------- what isn't


class Hostile:
    """Whatever is asked of it fails."""

    def __getattribute__(self, name: str) -> t.Any:
        raise AssertionError(name)

    __eq__ = __hash__ = __len__ = __iter__ = t.cast("t.Any", __getattribute__)


def test_a_value_that_is_none_is_never_touched() -> None:
    hostile = Hostile()
    assert captured_by(closure_over(hostile)) == ()
    assert captured_in((hostile, [hostile]), {"x": hostile}) == ()
    assert captured_by(hostile) == ()


def test_names_of_modules_are_none() -> None:
    """They are looked up when the function runs, where they are right."""
    assert captured_by(lambda: (request.path, g.get("x"), session)) == ()


def test_the_app_is_none() -> None:
    """``current_app`` leads to the same app in each of its contexts."""
    assert captured_by(closure_over(current_app)) == ()
    assert captured_in((current_app,), {}) == ()


def test_a_variable_that_is_not_set_yet_is_none() -> None:
    def work() -> t.Any:
        return later

    assert captured_by(work) == ()
    later = 1
    assert work() == 1


def test_a_circle_ends() -> None:
    def work() -> t.Any:
        return work, circle

    circle: list[t.Any] = []
    circle.append(circle)
    assert captured_by(work) == ()


def test_sound_work_warns_of_nothing(shop: Flask) -> None:
    """Values, objects behind proxies, and names; warnings are errors here."""
    g.user = "ada"
    behind = unwrap(current_app)

    def work(name: str, app: Flask) -> tuple[str, str, bool]:
        return name, request.path, app is unwrap(current_app) is behind

    assert in_thread(functools.partial(propagate(work), g.user, behind)) == ("ada", "/tea", True)
    with ContextExecutor(1) as pool:
        assert pool.submit(work, g.user, behind).result(20) == ("ada", "/tea", True)


# --------------------------------------------------------------------------- the warning


def test_what_is_held_warns_where_the_work_is_propagated(shop: Flask) -> None:
    with pytest.warns(CapturedProxyWarning) as caught:
        propagate(closure_over(g))
    (warning,) = caught
    message = str(warning.message)
    assert "closure_over.<locals>.<lambda> got g in the closure variable value" in message
    assert message.endswith("or the object: unwrap(proxy).")
    assert warning.filename == __file__


def test_what_is_passed_warns_with_the_place_that_started_the_work(shop: Flask) -> None:
    """It is noticed in the thread, whose own frames tell nothing."""
    with pytest.warns(CapturedProxyWarning, match="nothing got g as argument 1") as caught:
        in_thread(functools.partial(propagate(nothing), g))
    assert [warning.filename for warning in caught] == [__file__]


def test_a_pool_names_its_users_line(shop: Flask) -> None:
    with ContextExecutor(1) as pool:
        with pytest.warns(CapturedProxyWarning, match="request as argument 1") as caught:
            pool.submit(nothing, request).result(20)
        with pytest.warns(CapturedProxyWarning, match="g in the closure") as mapped:
            [*pool.map(closure_over(g))]
    assert {warning.filename for warning in [*caught, *mapped]} == {__file__}


def test_each_place_warns_once(shop: Flask) -> None:
    """By Python's own default."""
    work = propagate(nothing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            in_thread(functools.partial(work, g))
    assert len(caught) == 1


def test_a_warning_that_is_an_error_is_the_works(shop: Flask) -> None:
    with pytest.raises(CapturedProxyWarning):
        propagate(closure_over(g))
    work = propagate(nothing)
    with pytest.raises(CapturedProxyWarning):
        in_thread(functools.partial(work, g))


def test_in_a_thread_class_the_bound_thread_is_no_proxy(shop: Flask) -> None:
    thread = threading.Thread(target=nothing)
    thread.run = propagate(thread.run)  # type: ignore[method-assign]
    thread.start()
    thread.join(20)
