"""Every context that is pushed is listed: of threads, greenlets, tasks, apps and kinds."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import textwrap
import threading
import time
import typing as t

import pytest
from flask import Flask, Response, copy_current_request_context, g, stream_with_context
from werkzeug.test import create_environ

from flask_ctxkit import CtxKit

if t.TYPE_CHECKING:
    from flask_ctxkit.contexts.registry import Live, Registry

KEY = "a key of more than thirty-two characters"


def kit_app(name: str = "shop", **config: t.Any) -> Flask:
    app = Flask(name)
    app.config.update({"SECRET_KEY": KEY, "CTXKIT_TRACE": True, **config})
    CtxKit(app)
    return app


def registry_of(app: Flask) -> Registry:
    return t.cast("Registry", app.extensions["ctxkit"].registry)


def lives(app: Flask, **how: t.Any) -> list[Live]:
    return registry_of(app).contexts(**how)


class Held:
    """A function of an app's that is held where it is until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.go.wait(20)


def in_thread(function: t.Callable[[], t.Any], name: str = "waiter") -> threading.Thread:
    thread = threading.Thread(target=function, name=name)
    thread.start()
    return thread


@pytest.mark.parametrize("trace", [True, False])
def test_a_request_in_a_hook_is_named_with_its_hook(trace: bool) -> None:
    app, held = kit_app(CTXKIT_TRACE=trace), Held()
    app.add_url_rule("/teas", "teas", lambda: "green")

    @app.before_request
    def nap() -> None:
        held()

    thread = in_thread(lambda: app.test_client().get("/teas"))
    assert held.reached.wait(10)
    (found,) = lives(app, frames=True)
    held.go.set()
    thread.join()
    assert (found.kind, found.app, found.method, found.path) == ("request", "shop", "GET", "/teas")
    assert (found.phase, found.state) == ("before_request", "running")
    assert found.hook is not None
    assert found.hook.endswith("nap")
    assert found.where is not None
    assert "test_registry.py:" in found.where
    assert found.unit.name == "waiter"
    assert found.pushed is not None
    assert found.pushed.startswith("flask/app.py:")
    assert found.age_exact is trace
    assert any(frame.function.endswith("__call__") for frame in found.frames)
    assert lives(app) == []


def test_a_request_in_a_view_tells_its_age_and_is_stuck_after_a_while() -> None:
    app, held = kit_app(CTXKIT_STUCK_AFTER=0.05), Held()

    @app.get("/slow")
    def slow() -> str:
        held()
        return "at last"

    thread = in_thread(lambda: app.test_client().get("/slow"))
    assert held.reached.wait(10)
    (young,) = lives(app)
    time.sleep(0.1)
    (old,) = lives(app)
    held.go.set()
    thread.join()
    assert (old.phase, old.endpoint) == ("view", "slow")
    assert old.stuck
    assert young.age_s is not None
    assert old.age_s is not None
    assert old.age_s >= young.age_s + 0.1
    assert old.id == young.id


def test_contexts_of_two_apps_in_one_thread_are_listed_by_their_own_kits() -> None:
    shop, cellar = kit_app("shop"), kit_app("cellar")
    with shop.app_context(), cellar.app_context(), shop.test_request_context("/teas"):
        assert [(found.app, found.kind) for found in lives(shop)] == [
            ("shop", "script"),
            ("shop", "test"),
        ]
        assert [found.app for found in lives(cellar)] == ["cellar"]
    assert lives(shop) == lives(cellar) == []


def test_a_command_is_a_context_of_its_own_kind() -> None:
    app = kit_app()
    seen: list[Live] = []

    @app.cli.command("restock")
    def restock() -> None:
        seen.extend(lives(app))

    assert app.test_cli_runner().invoke(args=["restock"]).exit_code == 0
    assert [found.kind for found in seen] == ["cli"]
    assert lives(app) == []


def test_a_context_that_the_client_preserves_is_listed_until_it_lets_go() -> None:
    app = kit_app()
    app.add_url_rule("/", "index", lambda: "x")
    with app.test_client() as client:
        client.get("/")
        assert "GET" in {found.method for found in lives(app)}
    assert lives(app) == []
    assert registry_of(app).leaks == ()


def test_copies_are_contexts_of_their_own() -> None:
    app, held = kit_app(), Held()
    with app.test_request_context("/teas"):
        thread = in_thread(copy_current_request_context(held), "copy")
        assert held.reached.wait(10)
        found = {live.unit.name: live for live in lives(app)}
        held.go.set()
        thread.join()
    assert found["copy"].kind == "task"
    assert found["copy"].path == "/teas"
    assert found["copy"].parent == found["MainThread"].id


def test_an_asyncio_task_is_a_unit_with_frames() -> None:
    app = kit_app()

    async def nap() -> None:
        with app.app_context():
            await asyncio.sleep(30)

    async def main() -> list[Live]:
        task = asyncio.create_task(nap(), name="napper")
        await asyncio.sleep(0)
        found = lives(app, frames=True)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found

    (found,) = asyncio.run(main())
    assert (found.unit.kind, found.unit.name, found.kind) == ("task", "napper", "script")
    assert any(frame.function.endswith("nap") for frame in found.frames)
    assert lives(app) == []


def test_the_body_of_an_async_view_is_found_in_the_thread_that_runs_it() -> None:
    app, held = kit_app(), Held()

    @app.get("/async")
    async def view() -> str:
        held()
        return "x"

    thread = in_thread(lambda: app.test_client().get("/async"))
    assert held.reached.wait(10)
    (found,) = lives(app, frames=True)
    held.go.set()
    thread.join()
    assert found.phase == "view"
    assert any(frame.function.endswith("__call__") for frame in found.frames)


GEVENT = """
    from gevent import monkey
    monkey.patch_all()
    import gevent
    from flask import Flask, g
    from flask_ctxkit import CtxKit

    app = Flask("shop")
    app.config.update(SECRET_KEY="a key of more than thirty-two characters", CTXKIT_TRACE={trace})
    CtxKit(app)

    @app.get("/<int:number>")
    def nap(number):
        g.number = number
        gevent.sleep(60)

    @app.before_request
    def check():
        pass

    greenlets = [gevent.spawn(app.test_client().get, f"/{{number}}") for number in range(20)]
    gevent.sleep(0.5)
    found = app.extensions["ctxkit"].registry.contexts(frames=True)
    units = [live.unit for live in found]
    print(len(found), len({{unit.key for unit in units}}), {{unit.kind for unit in units}})
    print(sorted(int(live.path[1:]) for live in found) == list(range(20)))
    print({{live.phase for live in found}}, {{live.hook.split(".")[-1] for live in found}})
    print(all(any(frame.function == "nap" for frame in live.frames) for live in found))
    gevent.killall(greenlets)
    print(len(app.extensions["ctxkit"].registry.contexts()))
"""


@pytest.mark.parametrize("trace", [True, False])
def test_greenlets_asleep_are_listed_with_their_frames(trace: bool) -> None:
    pytest.importorskip("gevent")
    script = textwrap.dedent(GEVENT.format(trace=trace))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "20 20 {'greenlet'}",
        "True",
        "{'view'} {'nap'}",
        "True",
        "0",
    ], done.stderr


def test_a_context_whose_thread_ended_is_left_behind_and_named_once() -> None:
    app = kit_app()
    kept: list[t.Any] = []

    def leave() -> None:
        ctx = app.app_context()
        ctx.push()
        kept.append(ctx)

    in_thread(leave, "forgetful").join()
    (found,) = lives(app)
    assert found.state == "left"
    (leak,) = registry_of(app).leaks
    assert (leak.kind, leak.unit.name, leak.still) == ("never-popped", "forgetful", True)
    assert leak.pushed is not None
    assert "test_registry.py:" in leak.pushed
    kept.clear()
    gc.collect()
    assert lives(app) == []
    assert len(registry_of(app).leaks) == 1


def test_watching_keeps_no_context_alive() -> None:
    app = kit_app()

    def leave() -> None:
        app.app_context().push()

    for _ in range(5):
        in_thread(leave).join()
    leaks = registry_of(app).leaks
    assert [leak.kind for leak in leaks] == ["never-popped"] * 5
    gc.collect()
    assert lives(app) == []


def test_a_context_popped_under_another_is_a_wrong_pop_with_its_push_site() -> None:
    app = kit_app()

    def mix_up() -> None:
        first, second = app.app_context(), app.app_context()
        first.push()
        second.push()
        with pytest.raises((AssertionError, RuntimeError)):
            first.pop()

    contextvars.Context().run(mix_up)
    leak = next(leak for leak in registry_of(app).leaks if leak.kind == "wrong-pop")
    assert leak.pushed is not None
    assert "test_registry.py:" in leak.pushed


def serve(app: Flask, path: str) -> bytes:
    """Answer a request as a server does, which closes the body."""
    body = app(create_environ(path), lambda *_args: lambda _data: None)
    try:
        return b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


def test_a_context_that_is_current_at_the_end_of_its_call_was_left() -> None:
    app = Flask("shop")
    app.config.update(SECRET_KEY=KEY, CTXKIT_TRACE=True)
    answer = app.wsgi_app

    def forgetful(environ: t.Any, start_response: t.Any) -> t.Any:
        app.app_context().push()
        return answer(environ, start_response)

    app.wsgi_app = forgetful  # type: ignore[method-assign]
    CtxKit(app)
    app.add_url_rule("/", "index", lambda: "x")
    kinds: list[str] = []

    def worker() -> None:
        assert serve(app, "/") == serve(app, "/") == b"x"
        kinds.extend(leak.kind for leak in registry_of(app).leaks)

    in_thread(worker).join()
    assert kinds == ["left-current", "dirty-start", "left-current"]


def test_a_request_that_starts_inside_a_half_read_stream_starts_dirty() -> None:
    """pallets/flask#6123: an abandoned body leaves its context on the worker's thread."""
    app = kit_app()

    @app.get("/feed")
    def feed() -> Response:
        return Response(stream_with_context(f"{number}" for number in range(3)))

    app.add_url_rule("/next", "next", lambda: "y")
    kinds: list[str] = []

    def worker() -> None:
        body = app(create_environ("/feed"), lambda *_args: lambda _data: None)
        assert next(iter(body)) == b"0"
        assert serve(app, "/next") == b"y"
        kinds.extend(leak.kind for leak in registry_of(app).leaks)
        assert [found.path for found in lives(app)] == ["/feed"]
        t.cast("t.Any", body).close()

    in_thread(worker).join()
    assert kinds == ["dirty-start"]


def test_legal_use_leaks_nothing() -> None:
    app = kit_app()

    @app.get("/inner")
    def inner() -> str:
        return "inner"

    @app.get("/outer")
    def outer() -> str:
        with app.app_context():
            g.deep = True
        return app.test_client().get("/inner").text

    with app.app_context():
        assert app.test_client().get("/outer").text == "inner"
    with app.test_request_context("/"), app.app_context():
        assert app.test_client().get("/outer").text == "inner"
    assert serve(app, "/outer") == b"inner"
    assert registry_of(app).leaks == ()
    assert lives(app) == []


def test_a_thousand_live_contexts_are_listed_in_linear_time() -> None:
    app = kit_app()
    contexts = [app.app_context() for _ in range(1000)]
    times: dict[int, float] = {}
    for count, ctx in enumerate(contexts, 1):
        ctx.push()
        if count in {100, 1000}:
            start = time.process_time()
            assert len(lives(app)) == count
            times[count] = time.process_time() - start
    for ctx in reversed(contexts):
        ctx.pop()
    assert lives(app) == []
    assert times[1000] < 30 * max(times[100], 0.001)
