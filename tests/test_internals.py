"""What is read of Flask's inside stays true on each Flask line."""

from __future__ import annotations

import contextvars
import typing as t

import flask
import pytest
from flask import Flask, after_this_request, current_app, g, request, session
from werkzeug.local import LocalProxy
from werkzeug.test import create_environ

from flask_ctxkit import internals


def make(name: str = "inside") -> Flask:
    app = Flask(name)
    app.secret_key = "a key of more than thirty-two characters"
    return app


def test_outside_there_is_nothing() -> None:
    def look() -> None:
        assert internals.current_app_context(None) is None
        assert internals.current_request_context() is None
        assert internals.app_stack() == internals.request_stack() == []

    contextvars.Context().run(look)


def test_the_version_says_how_many_objects_a_request_has() -> None:
    line = tuple(int(part) for part in internals.FLASK_VERSION.split(".")[:2])
    assert (line >= (3, 2)) == internals.ONE_CONTEXT
    assert len(internals.CONTEXT_CLASSES) == (1 if internals.ONE_CONTEXT else 2)


def test_stacks_stand_bottom_to_top_however_they_were_pushed() -> None:
    one, two = make("one"), make("two")

    def walk() -> None:
        outer, inner, again = one.app_context(), two.app_context(), one.app_context()
        for ctx in (outer, inner, outer, again):
            ctx.push()
        apps = internals.app_stack()
        if internals.ONE_CONTEXT:  # one that is not on top only counts its pushes
            assert apps == [outer, inner, again]
            assert internals.push_count(outer) == 2
        else:
            assert apps == [outer, inner, outer, again]
            assert [internals.push_count(ctx) for ctx in apps] == [2, 1, 2, 1]
        for ctx in apps[::-1]:
            ctx.pop()

    contextvars.Context().run(walk)


def test_request_contexts_stand_on_their_own_stack() -> None:
    app = make()
    with app.app_context() as ambient, app.test_request_context("/a") as first:
        with app.test_request_context("/b") as second:
            assert internals.request_stack() == [first, second]
            assert internals.current_request_context() is second
            assert internals.is_current(second)
            assert not internals.is_current(first)
        found, own = internals.app_context_of(first)
        assert own is False
        assert (found is first) if internals.ONE_CONTEXT else (found is ambient)
    assert not internals.is_pushed(first)
    assert internals.push_count(first) == 0


def test_a_requests_own_application_context_belongs_to_it() -> None:
    app = make()

    def look() -> None:
        with app.test_request_context("/") as ctx:
            top = internals.current_app_context(None)
            assert internals.whole_context(top) is ctx
            found, own = internals.app_context_of(ctx)
            assert found is top
            assert own is not internals.ONE_CONTEXT
            with app.app_context() as inner:
                assert internals.whole_context(inner) is inner

    contextvars.Context().run(look)


def test_a_stack_of_another_context_can_be_walked() -> None:
    app = make()
    elsewhere = contextvars.Context()
    ctx = app.app_context()
    elsewhere.run(ctx.push)
    assert internals.context_in(elsewhere) is ctx
    assert internals.app_stack(elsewhere) == [ctx]
    elsewhere.run(ctx.pop)
    assert internals.context_in(elsewhere) is None


def test_looking_at_a_session_is_no_access() -> None:
    app = make()
    with app.test_request_context("/") as ctx:
        raw = internals.raw_session(ctx)
        assert raw is not None
        assert not raw.accessed
        assert t.cast("t.Any", session)._get_current_object() is raw
    with app.app_context() as plain:
        if internals.ONE_CONTEXT:
            assert internals.raw_session(plain) is None
        assert internals.request_of(plain) is None


def test_functions_of_this_request_are_listed() -> None:
    app = make()
    with app.test_request_context("/") as ctx:
        assert list(internals.after_this_request_functions(ctx)) == []
        function = after_this_request(lambda response: response)
        assert list(internals.after_this_request_functions(ctx)) == [function]


def test_headers_are_read_as_they_are() -> None:
    response = flask.Response(headers={"X-A": "1"})
    response.headers.add("X-A", "2")
    pairs = internals.header_pairs(response.headers)
    assert [pair for pair in pairs if pair[0] == "X-A"] == [("X-A", "1"), ("X-A", "2")]
    assert pairs is internals.header_pairs(response.headers)


def test_a_running_wsgi_app_is_found_in_its_frame() -> None:
    app = make()
    seen: list[t.Any] = []

    @app.get("/")
    def index() -> str:
        import sys

        frame: t.Any = sys._getframe()
        while frame.f_code is not internals.WSGI_APP_CODE:
            assert internals.wsgi_context(frame) is None
            frame = frame.f_back
        seen.append(internals.wsgi_context(frame) is internals.current_request_context())
        return ""

    app.test_client().get("/")
    assert seen == [True]


def test_a_placed_function_sees_what_a_view_would_and_leaves_no_trace() -> None:
    app = make()
    ran: list[str] = []
    app.teardown_request(lambda _error: ran.append("teardown"))
    app.before_request(lambda: ran.append("before"))
    app.add_url_rule("/<name>", "view", lambda name: name)

    def look() -> tuple[t.Any, ...]:
        g.seen = True
        return (
            request.path,
            request.view_args,
            dict(session),
            current_app.name,
            len(internals.app_stack()),
            len(internals.request_stack()),
        )

    def outside() -> None:
        found = internals.run_placed(app, create_environ("/tea"), look)
        assert found == ("/tea", {"name": "tea"}, {}, "inside", 1, 1)
        assert internals.app_stack() == []
        assert ran == []

    contextvars.Context().run(outside)
    with app.test_request_context("/outer") as ctx:
        assert internals.run_placed(app, create_environ("/tea"), look)[0] == "/tea"
        assert internals.current_request_context() is ctx
        assert "seen" not in g


def test_an_error_of_a_placed_function_leaves_nothing_behind() -> None:
    app = make()

    def fail() -> None:
        raise ZeroDivisionError

    def outside() -> None:
        with pytest.raises(ZeroDivisionError):
            internals.run_placed(app, create_environ("/"), fail)
        assert internals.app_stack() == []

    contextvars.Context().run(outside)


def test_a_proxy_tells_what_it_was_made_for_without_being_used() -> None:
    calls: list[int] = []

    def find() -> list[int]:
        calls.append(1)
        return calls

    assert internals.proxy_parts(LocalProxy(find)) == (find, None)
    assert calls == []
    made_for, name = internals.proxy_parts(t.cast("LocalProxy[t.Any]", request))
    assert isinstance(made_for, contextvars.ContextVar)
    assert name == "request"


def test_a_g_of_stock_class_writes_through_its_dict() -> None:
    """The recorder watches ``g`` by the class of its ``__dict__``."""
    writes: list[str] = []

    class Logged(dict[str, t.Any]):
        def __setitem__(self, name: str, value: t.Any) -> None:
            writes.append(name)
            dict.__setitem__(self, name, value)

    stock = internals.GLOBALS_CLASS()
    object.__setattr__(stock, "__dict__", Logged())
    stock.one = 1
    setattr(stock, "two", 2)  # noqa: B010  # the way of who knows the name only at run time
    stock.setdefault("three", 3)
    assert writes[:2] == ["one", "two"]
    assert (stock.one, stock.get("two"), stock.pop("three")) == (1, 2, 3)
    assert list(stock) == ["one", "two"]
