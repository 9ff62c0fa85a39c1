"""Frames of threads, greenlets and tasks, and the phase that they are in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
import typing as t

import pytest
from flask import Blueprint, Flask, Response, abort, g, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.routing import BaseConverter

from flask_ctxkit import CtxKit

if t.TYPE_CHECKING:
    from flask_ctxkit.contexts.registry import Live


class Bed:
    """A place where one request sleeps until it is woken."""

    def __init__(self) -> None:
        self.asleep, self.awake = threading.Event(), threading.Event()

    def sleep(self, place: str, wanted: str) -> None:
        if place == wanted:
            self.asleep.set()
            assert self.awake.wait(30)


PLACES: t.Final[dict[str, tuple[str | None, str | None]]] = {
    "open_session": ("open_session", None),
    "match": ("match", None),
    "before": ("before_request", "before"),
    "blueprint before": ("before_request", "bp_before"),
    "view": ("view", "view"),
    "deep": ("view", "view"),
    "decorated": ("view", "decorated"),
    "handler": ("error_handler", "handler"),
    "http handler": ("error_handler", "http_handler"),
    "after": ("after_request", "after"),
    "save_session": ("save_session", None),
    "teardown": ("teardown_request", "teardown"),
    "app teardown": ("teardown_appcontext", "app_teardown"),
}


def sleepy(place: str, bed: Bed, settings: dict[str, t.Any]) -> Flask:
    """An app that sleeps in *place*."""
    app = Flask("sleepy")
    app.config.update(settings, CTXKIT_SESSION_INTERFACE=False)
    app.secret_key = "a key of more than thirty-two characters"

    class Sessions(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.Any:
            bed.sleep("open_session", place)
            return super().open_session(app, request)

        def save_session(self, *args: t.Any) -> None:
            bed.sleep("save_session", place)
            super().save_session(*args)

    class Word(BaseConverter):
        def to_python(self, value: str) -> str:
            bed.sleep("match", place)
            return value

    app.session_interface = Sessions()
    app.url_map.converters["word"] = Word
    blueprint = Blueprint("bp", __name__)

    @app.before_request
    def before() -> None:
        bed.sleep("before", place)

    @blueprint.before_request
    def bp_before() -> None:
        bed.sleep("blueprint before", place)

    def deeper() -> None:
        bed.sleep("deep", place)

    @blueprint.get("/<word:name>")
    def view(name: str) -> str:
        bed.sleep("view", place)
        deeper()
        if place == "handler":
            raise ZeroDivisionError
        if place == "http handler":
            abort(404)
        return name

    @app.errorhandler(ZeroDivisionError)
    def handler(error: Exception) -> str:
        bed.sleep("handler", place)
        return "handled"

    @app.errorhandler(404)
    def http_handler(error: Exception) -> str:
        bed.sleep("http handler", place)
        return "handled"

    @app.after_request
    def after(response: Response) -> Response:
        bed.sleep("after", place)
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        bed.sleep("teardown", place)

    @app.teardown_appcontext
    def app_teardown(error: BaseException | None) -> None:
        bed.sleep("app teardown", place)

    def decorated(**values: t.Any) -> t.Any:
        bed.sleep("decorated", place)
        return view(**values)

    app.register_blueprint(blueprint)
    if place == "decorated":
        app.view_functions["bp.view"] = decorated
    CtxKit(app)
    return app


def look(app: Flask, path: str, bed: Bed) -> Live:
    """What is seen of a request to *path* while it sleeps."""
    thread = threading.Thread(target=lambda: app.test_client().get(path), name="sleeper")
    thread.start()
    try:
        assert bed.asleep.wait(30)
        time.sleep(0.01)
        (live,) = app.extensions["ctxkit"].registry.contexts(frames=True)
    finally:
        bed.awake.set()
        thread.join()
    assert app.extensions["ctxkit"].registry.contexts() == []
    return t.cast("Live", live)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_every_phase_is_told_with_its_hook(place: str, *, trace: bool) -> None:
    bed = Bed()
    live = look(sleepy(place, bed, {"CTXKIT_TRACE": trace}), "/tea", bed)
    phase, hook = PLACES[place]
    if trace and place == "save_session":
        phase = None  # nothing tells a recording that the session is being saved
    assert live.phase == phase
    if hook is None:
        assert live.hook in {None, phase}
    else:
        assert live.hook is not None
        assert live.hook.rpartition(".")[2] == hook
        assert live.where is not None
        assert live.where.startswith("contexts/test_frames.py:")
    assert (live.unit.kind, live.unit.name) == ("thread", "sleeper")
    assert (live.method, live.path) == ("GET", "/tea")
    functions = [frame.function.rpartition(".")[2] for frame in live.frames]
    assert functions.index("sleep") < functions.index("wsgi_app")
    assert ("deeper" in functions) == (place == "deep")


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("place", ["hook", "view"])
def test_an_async_function_is_told_by_its_own_name(place: str, *, trace: bool) -> None:
    """Its body runs in another thread, while the thread of the request waits."""
    bed, app = Bed(), Flask("sleepy")
    app.config["CTXKIT_TRACE"] = trace

    @app.before_request
    async def hook() -> None:
        bed.sleep("hook", place)

    @app.get("/tea")
    async def view() -> str:
        bed.sleep("view", place)
        return "tea"

    CtxKit(app)
    live = look(app, "/tea", bed)
    assert live.phase == ("before_request" if place == "hook" else "view")
    assert live.hook is not None
    assert live.hook.rpartition(".")[2] == place
    assert live.where is not None
    assert live.where.startswith("contexts/test_frames.py:")


def test_frames_end_after_sixty() -> None:
    app = Flask("deep")
    bed = Bed()
    app.config["CTXKIT_TRACE"] = False

    @app.get("/")
    def view() -> str:
        def down(depth: int) -> None:
            if depth:
                down(depth - 1)
            else:
                bed.sleep("", "")

        down(200)
        return ""

    CtxKit(app)
    live = look(app, "/", bed)
    assert live.phase == "view"
    assert len(live.frames) == 60


def test_a_request_inside_a_request_is_two_contexts() -> None:
    app = Flask("nested")
    bed = Bed()
    app.config["CTXKIT_TRACE"] = False
    app.add_url_rule("/outer", "outer", lambda: app.test_client().get("/inner").text)

    @app.get("/inner")
    def inner() -> str:
        bed.sleep("", "")
        return "inner"

    CtxKit(app)
    thread = threading.Thread(target=lambda: app.test_client().get("/outer"))
    thread.start()
    assert bed.asleep.wait(30)
    found = app.extensions["ctxkit"].registry.contexts()
    bed.awake.set()
    thread.join()
    assert sorted((live.path, live.hook.rpartition(".")[2]) for live in found) == [
        ("/inner", "inner"),
        ("/outer", "<lambda>"),
    ]


def test_a_suspended_task_tells_where_it_waits() -> None:
    app = Flask("tasks")
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)

    async def wait_inside(event: asyncio.Event) -> None:
        with app.app_context():
            g.name = "task"
            await event.wait()

    async def main() -> None:
        event = asyncio.Event()
        tasks = [asyncio.create_task(wait_inside(event), name=f"job-{n}") for n in range(200)]
        await asyncio.sleep(0)
        started = time.perf_counter()
        found = app.extensions["ctxkit"].registry.contexts(frames=True)
        assert time.perf_counter() - started < 2
        assert {live.unit.name for live in found} == {f"job-{n}" for n in range(200)}
        assert {live.frames[-1].function.rpartition(".")[2] for live in found} == {"wait_inside"}
        event.set()
        await asyncio.gather(*tasks)
        assert app.extensions["ctxkit"].registry.contexts() == []

    asyncio.run(main())


GREENLETS = """
    from gevent import monkey
    monkey.patch_all()
    import gevent, time
    from flask import Flask
    from flask_ctxkit import CtxKit

    app = Flask("green")
    app.config["CTXKIT_TRACE"] = {trace}
    CtxKit(app)
    waiting, arrived = gevent.event.Event(), []

    @app.get("/<int:n>")
    def view(n):
        arrived.append(n)
        waiting.wait()
        return str(n)

    clients = [gevent.spawn(app.test_client().get, f"/{{n}}") for n in range({count})]
    while len(arrived) < {count}:
        gevent.sleep(0.01)
    registry = app.extensions["ctxkit"].registry
    started = time.process_time()
    found = registry.contexts(frames=True)
    took = time.process_time() - started
    print(len(found), sorted({{live.unit.kind for live in found}}))
    print(len({{live.unit.key for live in found}}))
    print(sorted({{(live.phase, live.hook.rpartition(".")[2]) for live in found}}))
    print(all(any(f.function.rpartition(".")[2] == "view" for f in l.frames) for l in found))
    print(took < 2)
    waiting.set()
    gevent.joinall(clients)
    del clients
    print(registry.contexts())
"""


@pytest.mark.parametrize("trace", [True, False])
def test_three_hundred_greenlets_are_each_told_where_they_wait(*, trace: bool) -> None:
    """In a process of its own, which gevent patches. A look costs no scan for each of them."""
    pytest.importorskip("gevent")
    script = textwrap.dedent(GREENLETS.format(trace=trace, count=300))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.splitlines() == [
        "300 ['greenlet']",
        "300",
        "[('view', 'view')]",
        "True",
        "True",
        "[]",
    ], done.stderr


HUNG = """
    from gevent import monkey
    monkey.patch_all()
    import gevent, os, time
    from gevent.monkey import get_original
    from flask import Flask
    from flask_ctxkit import CtxKit

    app = Flask("hung")
    app.config["CTXKIT_TRACE"] = {trace}
    CtxKit(app)
    asleep = gevent.event.Event()

    @app.get("/asleep")
    def sleeper():
        asleep.wait()
        return ""

    @app.get("/hangs")
    def hangs():
        end = time.perf_counter() + 3
        while time.perf_counter() < end:  # never yields to the hub
            sum(range(1000))
        return ""

    registry = app.extensions["ctxkit"].registry
    told = []

    def watch():
        get_original("time", "sleep")(1)
        found = registry.contexts(frames=True)
        told.append(sorted((live.path, live.phase, live.hook.rpartition(".")[2]) for live in found))
        told.append(registry.missing() != () or True)

    clients = [gevent.spawn(app.test_client().get, path) for path in ("/asleep", "/hangs")]
    get_original("_thread", "start_new_thread")(watch, ())
    gevent.sleep(0)
    clients[1].join()
    print(told[0])
    asleep.set()
    clients[0].join()
"""


@pytest.mark.parametrize("trace", [True, False])
def test_a_native_thread_sees_through_a_hub_that_hangs(*, trace: bool) -> None:
    """It takes no lock that gevent has patched, and that the hung greenlet may hold."""
    pytest.importorskip("gevent")
    script = textwrap.dedent(HUNG.format(trace=trace))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [
        "[('/asleep', 'view', 'sleeper'), ('/hangs', 'view', 'hangs')]"
    ], done.stderr


def test_a_path_of_another_app_is_not_told_as_ours() -> None:
    """Each kit reads the frames of its own app."""
    apps = []
    beds = [Bed(), Bed()]
    for name, bed in zip(("one", "two"), beds, strict=True):
        app = Flask(name)
        app.config["CTXKIT_TRACE"] = False

        def view(bed: Bed = bed) -> str:
            bed.sleep("", "")
            return request.path

        app.add_url_rule(f"/{name}", "view", view)
        CtxKit(app)
        apps.append(app)
    threads = [
        threading.Thread(target=app.test_client().get, args=(f"/{app.name}",)) for app in apps
    ]
    for thread, bed in zip(threads, beds, strict=True):
        thread.start()
        assert bed.asleep.wait(30)
    seen = [app.extensions["ctxkit"].registry.contexts() for app in apps]
    for thread, bed in zip(threads, beds, strict=True):
        bed.awake.set()
        thread.join()
    assert [[live.app for live in lives] for lives in seen] == [["one"], ["two"]]
