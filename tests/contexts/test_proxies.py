"""What a proxy points at: told without using the proxy."""

from __future__ import annotations

import dataclasses
import typing as t
from contextvars import ContextVar
from functools import partial

import flask
import pytest
import werkzeug.local
from flask import Flask
from werkzeug.local import LocalProxy

from flask_ctxkit import internals
from flask_ctxkit.contexts.locals import Local, LocalStack
from flask_ctxkit.contexts.proxies import points_at, read_attribute, type_name

held = LocalStack[object]()


def proxy_of(name: str) -> LocalProxy[t.Any]:
    return t.cast("LocalProxy[t.Any]", getattr(flask, name))


@pytest.fixture
def shop() -> Flask:  # pytest-flask would push a context for one named app
    app = Flask("shop")
    app.secret_key = "x" * 32
    return app


@pytest.mark.parametrize("name", ["request", "session", "g", "current_app"])
def test_outside_of_a_context_the_message_is_flasks_own(name: str) -> None:
    target = points_at(proxy_of(name))
    with pytest.raises(RuntimeError) as caught:
        proxy_of(name)._get_current_object()
    assert (target.bound, target.type) == (False, None)
    assert target.message == str(caught.value)
    assert (target.made_for, target.name) == (
        "context_var",
        {"current_app": "app"}.get(name, name),
    )


def test_in_a_request_each_proxy_names_its_object_and_context(shop: Flask) -> None:
    with shop.test_request_context("/cart", method="POST"):
        found = {n: points_at(proxy_of(n)) for n in ("request", "session", "g", "current_app")}
    assert {name: target.bound for name, target in found.items()} == dict.fromkeys(found, True)
    assert found["request"].type == "flask.wrappers.Request"
    assert found["session"].type == "flask.sessions.SecureCookieSession"
    assert found["g"].type == "flask.ctx._AppCtxGlobals"
    assert found["current_app"].type == "flask.app.Flask"
    assert found["request"].context == "request context of POST /cart, app shop"
    assert found["request"].layers == (f"request of {found['request'].source}",)
    in_one = "request context of POST /cart, app shop"
    in_two = "application context, app shop"
    assert found["g"].context == (in_one if internals.ONE_CONTEXT else in_two)


@pytest.mark.parametrize("name", ["request", "session"])
def test_an_application_context_alone_has_neither_request_nor_session(
    shop: Flask, name: str
) -> None:
    with shop.app_context():
        assert points_at(proxy_of("g")).bound
        target = points_at(proxy_of(name))
    assert target.bound is False
    assert target.message


def test_looking_at_the_session_does_not_make_the_response_vary(shop: Flask) -> None:
    @shop.get("/")
    def look() -> str:
        target = points_at(proxy_of("session"))
        return f"{target.bound}"

    @shop.get("/use")
    def use() -> str:
        return f"{flask.session.get('x')}"

    client = shop.test_client()
    looked, used = client.get("/"), client.get("/use")
    assert looked.text == "True"
    assert "Vary" not in looked.headers
    assert used.headers["Vary"] == "Cookie", "the comparison is worth nothing"


def test_a_proxy_of_a_local_names_the_module_that_holds_it() -> None:
    held.push(7)
    target = points_at(held())
    held.pop()
    assert target.type == "int"
    assert (target.made_for, target.source) == ("local_stack", f"{__name__}.held")
    empty = points_at(held(unbound_message="no item"))
    assert (empty.bound, empty.message) == (False, "no item")


@pytest.mark.parametrize("cls", [Local, werkzeug.local.Local])
def test_a_proxy_of_a_locals_value_and_its_attribute(cls: type[werkzeug.local.Local]) -> None:
    local = cls()
    assert points_at(local("user")).bound is False
    local.user = partial(int, "7")
    assert points_at(local("user")).type == "functools.partial"
    assert "that no module holds" in points_at(local("user")).source
    local.user = Exception()
    local.user.cart = [1]
    assert points_at(local("user.cart")).type == "list"
    assert points_at(local("user.other")).message == "Exception has no 'other'."


def test_a_function_of_the_users_is_not_called_unless_told_to() -> None:
    calls: list[int] = []

    def find_user(number: int) -> str:
        calls.append(number)
        return "ada"

    proxy: LocalProxy[str] = LocalProxy(partial(find_user, 7))
    target = points_at(proxy)
    assert (target.bound, target.type, calls) == (None, None, [])
    assert target.made_for == "function"
    assert target.source.endswith("find_user()")
    told = points_at(proxy, call=True)
    assert (told.bound, told.type, calls) == (True, "str", [7])


def test_a_function_that_fails_is_an_answer_and_no_error() -> None:
    def missing() -> str:
        raise RuntimeError("no user")

    def broken() -> str:
        raise ZeroDivisionError

    assert points_at(LocalProxy(missing), call=True).message == "no user"
    target = points_at(LocalProxy(broken), call=True)
    assert (target.bound, target.message) == (None, "Its function raised ZeroDivisionError.")


def test_a_property_of_the_users_is_not_run() -> None:
    class Holder:
        __slots__ = ("__dict__", "empty", "filled")
        filled: int

        @property
        def user(self) -> t.NoReturn:
            raise AssertionError("run")

        def __repr__(self) -> t.NoReturn:
            raise AssertionError("run")

    class Dynamic:
        def __getattr__(self, name: str) -> t.NoReturn:
            raise AssertionError("run")

    holder = Holder()
    holder.filled = 1
    var: ContextVar[t.Any] = ContextVar("var")
    var.set(holder)
    assert points_at(LocalProxy(var)).type == type_name(holder)
    assert points_at(LocalProxy(var, "user")).bound is None
    assert points_at(LocalProxy(var, "filled")).bound is True
    assert points_at(LocalProxy(var, "empty")).bound is False
    var.set(Dynamic())
    assert points_at(LocalProxy(var, "user")).bound is None


def test_attributes_of_a_class_are_read_as_they_stand() -> None:
    class Holder:
        __slots__ = ("slot",)
        plain = 1

        @property
        def computed(self) -> t.NoReturn:
            raise AssertionError("run")

    assert read_attribute(Holder, "plain") == (True, 1)
    assert read_attribute(Holder, "slot") == (None, None)
    assert read_attribute(Holder, "computed") == (None, None)
    assert read_attribute(Holder, "absent") == (False, None)


def test_a_name_that_g_lacks_is_known_to_be_absent(shop: Flask) -> None:
    with shop.app_context():
        flask.g.there = 1
        g = proxy_of("g")._get_current_object()
        assert read_attribute(g, "there") == (True, 1)
        assert read_attribute(g, "absent") == (False, None)


def test_proxies_behind_proxies_each_stand_as_a_layer() -> None:
    var: ContextVar[t.Any] = ContextVar("outer")
    var.set(held())
    held.push("x")
    target = points_at(LocalProxy(var))
    held.pop()
    assert target.type == "str"
    assert target.layers == ("outer", f"{__name__}.held")


def test_a_proxy_made_for_a_proxy_does_not_ask_it() -> None:
    def explode() -> t.NoReturn:
        raise AssertionError("asked")

    inner: LocalProxy[t.Any] = LocalProxy(lambda: len)
    outer = LocalProxy(inner)
    object.__setattr__(inner, "_get_current_object", explode)
    assert points_at(outer).bound is None


def test_a_circle_of_proxies_ends() -> None:
    var: ContextVar[t.Any] = ContextVar("circle")
    token = var.set(LocalProxy(var))
    assert points_at(LocalProxy(var)).message == "It leads back to itself."
    var.reset(token)  # asgiref asks every value for its class, and would go round for ever


@pytest.mark.parametrize("plain", [None, 7, Local(), lambda: 1])
def test_what_is_no_proxy_is_refused(plain: t.Any) -> None:
    with pytest.raises(TypeError, match="LocalProxy"):
        points_at(plain)


def test_the_answer_is_plain_data(shop: Flask) -> None:
    with shop.test_request_context():
        for value in dataclasses.asdict(points_at(proxy_of("request"))).values():
            assert value is None or type(value) in {bool, str, tuple}
