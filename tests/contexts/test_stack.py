"""Both stacks, bottom to top, of this unit and of others."""

from __future__ import annotations

import contextvars
import threading
import typing as t

import pytest
from flask import Flask, Response, g, request, session, stream_with_context

from flask_ctxkit import CtxKit, internals
from flask_ctxkit.contexts.stack import StackedContext, Stacks, stacks


def plain(name: str, value: t.Any) -> t.Any:
    return value


def kit_app(name: str = "shop") -> Flask:
    app = Flask(name)
    app.config.update(SECRET_KEY="a key of more than thirty-two characters", CTXKIT_TRACE=True)
    CtxKit(app)
    return app


def look(app: Flask) -> Stacks:
    return stacks(app.extensions["ctxkit"].registry, plain)


def apps(found: t.Iterable[StackedContext]) -> list[str]:
    return [context.app for context in found]


def test_outside_of_every_context_both_stacks_are_empty() -> None:
    app = kit_app()
    found = look(app)
    assert list(found.app_stack.values()) == list(found.request_stack.values()) == [()]


def test_the_top_is_marked_and_stands_last() -> None:
    shop, cellar = kit_app("shop"), kit_app("cellar")
    with shop.app_context(), cellar.app_context(), shop.test_request_context("/teas"):
        g.guest = "Mei"
        found = look(shop)
    here = found.app_stack[found.current]
    assert apps(here) == ["shop", "cellar", "shop"]
    assert [context.top for context in here] == [False, False, True]
    assert here[-1].g == {"guest": "Mei"}
    (request,) = found.request_stack[found.current]
    assert (request.method, request.path, request.zombie) == ("GET", "/teas", False)


def test_an_app_without_a_kit_stands_on_the_stack_too() -> None:
    shop, other = kit_app(), Flask("other")
    with other.app_context(), shop.app_context():
        found = look(shop)
    assert apps(found.app_stack[found.current]) == ["other", "shop"]


def test_a_context_pushed_twice_counts_its_pushes() -> None:
    app = kit_app()
    ctx = app.app_context()
    with ctx, ctx:
        found = look(app)
    here = found.app_stack[found.current]
    assert [context.pushed_times for context in here] == ([2] if internals.ONE_CONTEXT else [2, 2])


def test_another_thread_is_seen_with_what_it_stands_on() -> None:
    shop, cellar = kit_app("shop"), Flask("cellar")
    ready, go = threading.Event(), threading.Event()

    def pile() -> None:
        with shop.app_context(), cellar.app_context(), shop.test_request_context("/teas"):
            ready.set()
            assert go.wait(20)

    thread = threading.Thread(target=pile, name="pile")
    thread.start()
    assert ready.wait(10)
    found = look(shop)
    go.set()
    thread.join()
    (unit,) = [unit for unit in found.units.values() if unit.name == "pile"]
    assert apps(found.app_stack[unit.key]) == ["shop", "cellar", "shop"]
    assert [context.path for context in found.request_stack[unit.key]] == ["/teas"]


def test_looking_at_a_session_is_no_access() -> None:
    app = kit_app()
    app.add_url_rule("/fill", "fill", lambda: session.update(cart=1) or "x")

    @app.get("/")
    def index() -> str:
        found = look(app)
        assert found.request_stack[found.current][0].session is not None
        return "x"

    client = app.test_client()
    client.get("/fill")
    assert "Vary" not in client.get("/").headers


@pytest.mark.skipif(internals.ONE_CONTEXT, reason="since 3.2 nothing is popped out of order")
def test_a_context_that_is_current_although_it_was_popped_is_a_zombie() -> None:
    app = kit_app()
    outer, inner = app.app_context(), app.app_context()

    def break_it() -> Stacks:
        outer.push()
        inner.push()
        with pytest.raises(AssertionError):
            outer.pop()
        return look(app)

    found = contextvars.Context().run(break_it)
    # Flask reset the variable to what was below: nothing is current any more.
    assert found.app_stack[found.current] == ()


def test_a_stream_of_another_unit_stands_on_both_stacks() -> None:
    app, sleeps, go_on = kit_app(), threading.Event(), threading.Event()

    def lines() -> t.Iterator[str]:
        yield "one"
        sleeps.set()
        go_on.wait(20)
        yield request.path

    @app.get("/feed")
    def feed() -> t.Any:
        g.guest = "Mei"
        return Response(stream_with_context(lines()))

    reader = threading.Thread(target=lambda: app.test_client().get("/feed", buffered=True))
    reader.start()
    assert sleeps.wait(20)
    found = look(app)
    go_on.set()
    reader.join(20)
    (unit,) = set(found.units) - {found.current}
    assert [context.path for context in found.request_stack[unit]] == ["/feed"]
    assert [(context.app, context.g) for context in found.app_stack[unit]] == [
        ("shop", {"guest": "Mei"})
    ]
    (unit_after,) = look(app).units
    assert unit_after == found.current
