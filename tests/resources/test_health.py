"""Whether resources answer, and what became of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import typing as t

import pytest
from flask import Flask, appcontext_popped, appcontext_pushed, current_app

from flask_ctxkit import CtxKit

Log = list[t.Any]


def make(**config: object) -> tuple[Flask, CtxKit]:
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=True, **config)
    return app, CtxKit(app)


def state_of(app: Flask) -> t.Any:
    return app.extensions["ctxkit"]


def test_each_resource_is_asked_in_a_context_of_its_own() -> None:
    """It is opened, handed to its ping, and closed; without a ping, opening is the question."""
    app, kit = make()
    log: Log = []

    def open_it() -> t.Iterator[str]:
        log.append(current_app.name)
        yield "it"
        log.append("closed")

    kit.resource("asked", open_it, ping=lambda it: log.append(f"ping {it}"))
    kit.resource("opened", object)
    first, second = state_of(app).resources.ping(5.0)
    assert (first.name, first.ok, first.error) == ("asked", True, None)
    assert (second.name, second.ok) == ("opened", True)
    assert 0 <= first.ms < 5000
    assert log == [app.name, "ping it", "closed"]


def test_no_hook_and_no_trace_sees_a_ping() -> None:
    """Neither the app's functions nor who listens to its contexts."""
    app, kit = make()
    seen: Log = []
    app.teardown_appcontext(seen.append)
    kit.resource("it", object)

    def listens(*_: object, **__: object) -> None:
        seen.append("signal")

    with appcontext_pushed.connected_to(listens), appcontext_popped.connected_to(listens):
        state_of(app).resources.ping(5.0)
    assert seen == []
    assert len(state_of(app).store) == 0


def test_what_fails_is_told_without_secrets() -> None:
    """The opening or the ping; the close then knows."""
    app, kit = make()
    log: Log = []

    def refuse() -> t.NoReturn:
        raise ConnectionError("postgresql://shop:hunter2@db/shop refused")

    def silent(_: object) -> None:
        raise TimeoutError("no pong")

    kit.resource("refused", t.cast("t.Callable[[], object]", refuse))
    kit.resource("silent", object, lambda _, exc: log.append(type(exc).__name__), silent)
    first, second = state_of(app).resources.ping(5.0)
    assert not first.ok
    assert first.error.startswith("ConnectionError: postgresql://")
    assert "hunter2" not in first.error
    assert second.error == "TimeoutError: no pong"
    assert log == ["TimeoutError"]


def test_one_that_hangs_delays_no_other_and_is_not_asked_twice() -> None:
    """The answer comes after the timeout; a second question would hang as well."""
    app, kit = make()
    go_on, asked = threading.Event(), []

    def hang(_: object) -> None:
        asked.append(1)
        assert go_on.wait(30)

    kit.resource("hangs", object, ping=hang)
    kit.resource("good", object)
    resources = state_of(app).resources
    try:
        for _ in range(2):
            start = time.monotonic()
            hung, good = resources.ping(0.1)
            assert time.monotonic() - start < 5
            assert (hung.ok, good.ok) == (False, True)
            assert hung.error.startswith("no answer in 0.")
        assert asked == [1]
    finally:
        go_on.set()
    deadline = time.monotonic() + 10
    while not resources.ping(5.0)[0].ok:
        assert time.monotonic() < deadline
    assert resources.last_ping("hangs").ok


def test_one_that_hangs_when_the_process_ends_is_not_called_forgotten() -> None:
    """Nobody dropped its context: the kit's own thread is still in it."""
    script = """
import time
from flask import Flask
from flask_ctxkit import CtxKit

app = Flask("shop")
kit = CtxKit(app)
kit.resource("hangs", object, ping=lambda _: time.sleep(60))
hung = app.extensions["ctxkit"].resources.ping(0.2)
print(hung[0].error[:9])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("no answer\n", "")


def test_nobody_asked_yet() -> None:
    """There is no answer then, and no count."""
    app, kit = make()
    kit.resource("it", object)
    resources = state_of(app).resources
    assert resources.last_ping("it") is None
    assert resources.tally("it").opened == 0
    assert [*resources.known] == ["it"]


def test_apps_count_for_themselves() -> None:
    """One kit serves several apps, each with its own connections."""
    kit = CtxKit()
    it = kit.resource("it", object)
    one, other = Flask("one"), Flask("other")
    for app in (one, other):
        kit.init_app(app)
    with one.app_context():
        it()
    assert state_of(one).resources.tally("it").closed == 1
    assert state_of(other).resources.tally("it").opened == 0
    with pytest.raises(RuntimeError):
        it()
