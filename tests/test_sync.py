"""The quicker ``ensure_sync`` gives what Flask's own gives, and leaves any other alone."""

from __future__ import annotations

import functools
import inspect
import typing as t

import pytest
from flask import Flask

from flask_ctxkit import CtxKit, sync


def plain() -> str:
    return "plain"


async def coroutine() -> str:
    return "coroutine"


async def generator() -> t.AsyncIterator[str]:
    yield "generator"


@functools.wraps(coroutine)
def wrapping() -> str:
    return "wrapping"


class Methods:
    def plain(self) -> str:
        return "plain method"

    async def coroutine(self) -> str:
        return "coroutine method"

    def __call__(self) -> str:
        return "callable"


class Awaitable:
    async def __call__(self) -> str:
        return "awaitable"


class Bound:
    """Compares and hashes badly, and has an ``ensure_sync`` asked of it all the same."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError

    def __hash__(self) -> int:
        raise AssertionError

    def __call__(self) -> str:
        return "bound"


KINDS: list[t.Any] = [
    plain, coroutine, generator, wrapping, Methods().plain, Methods().coroutine, Methods(),
    Awaitable(), Bound(), functools.partial(plain), functools.partial(coroutine), lambda: "lambda",
    len, str, staticmethod(plain).__func__,
]  # fmt: skip
if hasattr(inspect, "markcoroutinefunction"):

    def marked() -> t.Any:
        return coroutine()

    KINDS.append(inspect.markcoroutinefunction(marked))


def served(app: Flask) -> Flask:
    """After its first request, when what depends on ``app.debug`` is decided."""
    app.test_client().get("/")
    return app


def make(**config: t.Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    CtxKit(app)
    return app


@pytest.mark.parametrize("function", KINDS, ids=lambda f: getattr(f, "__name__", type(f).__name__))
def test_it_gives_what_flask_gives(function: t.Any) -> None:
    """The function itself, or a wrapper that runs the coroutine and waits for its result."""
    pytest.importorskip("asgiref")
    app, stock = served(make(CTXKIT_TRACE=False)), Flask(__name__)
    assert "ensure_sync" in app.__dict__
    ours, flasks = app.ensure_sync(function), stock.ensure_sync(function)
    assert (ours is function) is (flasks is function)
    if ours is not function:
        assert (type(ours), ours()) == (type(flasks), flasks())


def test_each_kind_of_app_that_makes_its_own_keeps_it() -> None:
    """Set on the app, or by a subclass."""

    class Async(Flask):
        def ensure_sync(self, func: t.Any) -> t.Any:
            return super().ensure_sync(func)

    override = Async(__name__)
    CtxKit(override)
    assert "ensure_sync" not in served(override).__dict__
    app = make(CTXKIT_TRACE=False)
    app.ensure_sync = own = lambda func: func  # type: ignore[method-assign]
    assert served(app).__dict__["ensure_sync"] is own


def test_recording_takes_its_place_also_later() -> None:
    """Where functions are recorded it would be asked for nothing."""
    app = make(CTXKIT_TRACE=False)
    kit = app.extensions["ctxkit"]

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        pass

    quick = served(app).ensure_sync
    assert quick(end) is end
    kit.trace_on()
    served(app)
    [trace] = kit.store.newest()
    assert "teardown_request" in [event.phase for event in trace.events]
    assert app.ensure_sync is not quick


def test_one_that_somebody_wrapped_stays_inside() -> None:
    """It is taken away only where it still stands."""
    app = served(make(CTXKIT_TRACE=False))
    inner = app.ensure_sync
    app.ensure_sync = outer = lambda func: inner(func)  # type: ignore[method-assign]  # noqa: PLW0108
    sync.stop(app, inner)
    assert app.ensure_sync is outer
    assert app.ensure_sync(plain) is plain
