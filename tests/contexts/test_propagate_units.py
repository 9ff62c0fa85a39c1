"""The same under threads, timers, pools, greenlets and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, current_app, g, has_app_context, request, session

from flask_ctxkit import ContextExecutor, CtxKitError, OutsideContextError, propagate

from .test_propagate import KINDS, make


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest) -> Flask:
    return make(request.param)


def path() -> str:
    assert [*g] == []
    g.seen = True
    return f"{current_app.name} {request.path}"


# ---------------------------------------------------------------------- threads, timers


def test_a_thread_and_a_timer_run_what_was_propagated(shop: Flask) -> None:
    found: list[str] = []

    def work() -> None:
        found.append(path())

    with shop.test_request_context("/tea"):
        threads = [
            threading.Thread(target=propagate(work)),
            threading.Timer(0.01, propagate(work)),
        ]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(20)
    assert found == ["shop /tea"] * 2


def test_a_thread_class_with_a_run_of_its_own(shop: Flask) -> None:
    class Sender(threading.Thread):
        found = ""

        def run(self) -> None:
            self.found = path()

    with shop.test_request_context("/tea"):
        sender = Sender()
        sender.run = propagate(sender.run)  # type: ignore[method-assign]
        sender.start()
    sender.join(20)
    assert sender.found == "shop /tea"


def test_any_pool_runs_what_was_propagated(shop: Flask) -> None:
    with shop.test_request_context("/tea"), ThreadPoolExecutor(2) as pool:
        assert pool.submit(propagate(path)).result(20) == "shop /tea"


# --------------------------------------------------------------------- ContextExecutor


def test_a_pool_takes_along_what_is_current_at_each_submit(shop: Flask) -> None:
    """One pool for many requests, whose threads keep nothing of any."""
    with ContextExecutor(2) as pool:
        futures = []
        for number in range(20):
            with shop.test_request_context(f"/{number}"):
                futures.append(pool.submit(path))
        assert [future.result(20) for future in futures] == [f"shop /{n}" for n in range(20)]
        assert not ThreadPoolExecutor.submit(pool, has_app_context).result(20)


def test_a_pool_passes_arguments_results_and_errors(shop: Flask) -> None:
    def divide(one: int, *, by: int) -> float:
        assert has_app_context()
        return one / by

    with shop.app_context(), ContextExecutor(2) as pool:
        assert pool.submit(divide, 6, by=3).result(20) == 2
        with pytest.raises(ZeroDivisionError):
            pool.submit(divide, 6, by=0).result(20)


def test_map_runs_each_item_in_a_context_of_its_own(shop: Flask) -> None:
    barrier = threading.Barrier(4)

    def work(one: int, two: int) -> tuple[int, str]:
        seen = path()
        barrier.wait(10)
        return one + two, seen

    with shop.test_request_context("/tea"), ContextExecutor(4) as pool:
        found = pool.map(work, range(4), range(4), timeout=20)
        assert [*found] == [(2 * n, "shop /tea") for n in range(4)]


def test_map_takes_the_snapshot_once(shop: Flask) -> None:
    def work(_: int) -> tuple[int, bool]:
        environ = request.environ
        return environ["made"], "changed" in environ

    with shop.test_request_context("/", environ_overrides={"made": 1}), ContextExecutor(1) as pool:
        found = pool.map(work, range(3))
        request.environ["changed"] = "since"
        assert [*found] == [(1, False)] * 3


def test_a_pool_has_the_options_of_propagate_and_of_its_class(shop: Flask) -> None:
    closed: list[str] = []
    begun: list[int] = []

    @shop.teardown_appcontext
    def close(_: BaseException | None) -> None:
        closed.append(threading.current_thread().name)

    def work() -> tuple[t.Any, ...]:
        return g.user, "cart" in g, bool(request), threading.current_thread().name[:5]

    pool = ContextExecutor(
        1,
        g=iter(["user"]),
        request="none",
        teardown=False,
        thread_name_prefix="brew",
        initializer=begun.append,
        initargs=(1,),
    )
    with shop.test_request_context(), pool:
        g.user, g.cart = "ada", []
        for _ in range(2):
            assert pool.submit(work).result(20) == ("ada", False, False, "brew_")
        assert (closed, begun) == ([], [1])


def test_a_pool_runs_async_functions_to_their_end(shop: Flask) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return path()

    with shop.test_request_context("/tea"), ContextExecutor(1) as pool:
        result: t.Any = pool.submit(work).result(20)
        assert result == "shop /tea"


def test_a_pool_outside_of_a_context_says_so() -> None:
    with ContextExecutor(1) as pool:
        with pytest.raises(OutsideContextError):
            pool.submit(path)
        with pytest.raises(OutsideContextError):
            pool.map(path)


def test_a_pool_with_a_wrong_option_says_so(shop: Flask) -> None:
    pool = ContextExecutor(1, g="user")
    with shop.app_context(), pool, pytest.raises(CtxKitError, match="list of names"):
        pool.submit(path)


# ------------------------------------------------------------------------------ asyncio


def test_to_thread_runs_what_was_propagated(shop: Flask) -> None:
    """It would else share the context, and its ``g``, with the task."""

    async def main() -> list[str]:
        g.mine = True
        return await asyncio.gather(*(asyncio.to_thread(propagate(path)) for _ in range(3)))

    with shop.test_request_context("/tea"):
        assert asyncio.run(main()) == ["shop /tea"] * 3


async def slow_path(name: str) -> tuple[str, str, bool]:
    assert [*g] == []
    g.name = name
    for _ in range(3):
        await asyncio.sleep(0)
    return g.name, request.path, asyncio.current_task() is not None


def test_tasks_run_what_was_propagated_each_in_its_own_context(shop: Flask) -> None:
    async def main() -> list[t.Any]:
        g.name = "main"
        work = propagate(slow_path)
        tasks = [asyncio.create_task(work(str(n))) for n in range(5)]
        direct = await work("direct")
        assert (g.name, request.path) == ("main", "/tea")
        return [direct, *(await asyncio.gather(*tasks))]

    with shop.test_request_context("/tea"):
        names = ["direct", *"01234"]
        assert asyncio.run(main()) == [(name, "/tea", True) for name in names]
        assert "name" in g


def test_a_task_runs_on_after_its_request(shop: Flask) -> None:
    async def main() -> t.Any:
        with shop.test_request_context("/tea"):
            task = asyncio.create_task(propagate(slow_path)("late"))
        assert not has_app_context()
        return await task

    assert asyncio.run(main()) == ("late", "/tea", True)


@pytest.mark.parametrize("fails", [True, False])
def test_async_teardown_functions_run_after_a_task_too(shop: Flask, fails: bool) -> None:
    """Flask itself can't run them where a loop is running."""
    done: list[t.Any] = []

    @shop.teardown_appcontext
    async def close(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        done.append((g.get("name"), type(error).__name__))

    @shop.teardown_request
    async def end(error: BaseException | None) -> None:
        done.append(request.path)

    async def work() -> str:
        g.name = "late"
        await asyncio.sleep(0)
        if fails:
            raise ValueError("mine")
        return request.path

    async def main(propagated: t.Any) -> t.Any:
        return await asyncio.gather(propagated(), propagated(), return_exceptions=True)

    with shop.test_request_context("/tea"):
        propagated = propagate(work)
    done.clear()
    found = asyncio.run(main(propagated))
    assert done.count("/tea") == 2
    assert done.count(("late", "ValueError" if fails else "NoneType")) == 2
    assert [str(one) for one in found] == (["mine"] * 2 if fails else ["/tea"] * 2)


def test_a_cancelled_task_ends_its_context(shop: Flask) -> None:
    ended: list[str] = []

    @shop.teardown_appcontext
    def close(error: BaseException | None) -> None:
        ended.append(type(error).__name__)

    async def waits() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            ended.append(request.path)

    async def main() -> None:
        with shop.test_request_context("/tea"):
            task = asyncio.create_task(propagate(waits)())
            await asyncio.sleep(0)
            ended.clear()
        await asyncio.sleep(0)
        ended.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["/tea", "CancelledError"]


def test_a_timeout_inside_an_async_function_works(shop: Flask) -> None:
    """It cancels the task that awaits, which is the one that the user made."""

    async def waits() -> str:
        try:
            await asyncio.wait_for(asyncio.sleep(20), 0.01)
        except asyncio.TimeoutError:
            return request.path
        return "slept"

    async def main() -> str:
        with shop.test_request_context("/tea"):
            return await propagate(waits)()

    assert asyncio.run(main()) == "/tea"


def test_an_async_function_that_is_closed_unfinished_is_closed_inside(shop: Flask) -> None:
    ended: list[str] = []

    @shop.teardown_appcontext
    async def close(error: BaseException | None) -> None:
        ended.append(type(error).__name__)

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(request.path)

    with shop.test_request_context("/tea"):
        coroutine = propagate(waits)()
        coroutine.send(None)
    ended.clear()
    coroutine.close()
    assert ended == ["/tea", "GeneratorExit"]
    assert not has_app_context()


def test_an_error_of_an_async_function_passes_through(shop: Flask) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("mine")

    async def main() -> None:
        await propagate(fails)()

    with shop.app_context(), pytest.raises(ValueError, match="mine"):
        asyncio.run(main())


def test_other_context_variables_are_those_of_the_caller(shop: Flask) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def reads() -> str:
        return variable.get()

    async def main() -> tuple[str, str]:
        variable.set("set")
        return await propagate(reads)(), propagate(variable.get)()

    with shop.app_context():
        assert asyncio.run(main()) == ("set", "set")


def test_an_async_view_propagates(shop: Flask) -> None:
    """Flask runs it in another thread than the one that pushed."""
    session_seen: list[t.Any] = []

    async def work(name: str) -> str:
        await asyncio.sleep(0)
        session_seen.append(dict(session))
        return name + request.path

    @shop.get("/tea")
    async def tea() -> str:
        session["user"] = "ada"
        work_here = propagate(work)
        one = asyncio.create_task(work_here("1"))
        two = asyncio.to_thread(propagate(path))
        return " ".join([await one, await two, await work_here("2")])

    assert shop.test_client().get("/tea").text == "1/tea shop /tea 2/tea"
    assert session_seen == [{"user": "ada"}] * 2


def test_a_callable_object_with_an_async_call(shop: Flask) -> None:
    class Work:
        async def __call__(self) -> str:
            await asyncio.sleep(0)
            return request.path

    async def main() -> str:
        return await propagate(Work())()

    with shop.test_request_context("/tea"):
        assert asyncio.run(main()) == "/tea"


# ------------------------------------------------------------------------------- gevent


GREENLETS = """
    import threading
    from flask import current_app, g, has_app_context, request, session
    from flask_ctxkit import ContextExecutor, propagate

    found, late = [], []

    def work(name):
        assert [*g] == [], [*g]
        g.name = name
        gevent.sleep(0.01)
        found.append((g.name, current_app.name, request.path, session["user"]))

    @app.get("/tea")
    def tea():
        session["user"] = "ada"
        g.name = "view"
        one = propagate(work)
        started = [gevent.spawn(one, n) for n in range(5)]
        thread = threading.Thread(target=one, args=(5,))
        thread.start()
        with ContextExecutor(2) as pool:
            [*pool.map(work, (6, 7))]
        gevent.joinall(started, raise_error=True)
        thread.join()
        late.append(gevent.spawn_later(0.05, one, 8))
        assert g.name == "view"
        return "x"

    assert app.test_client().get("/tea").status_code == 200
    assert not has_app_context()
    gevent.joinall(late, raise_error=True)
    assert sorted(found) == [(n, "shop", "/tea", "ada") for n in range(9)], found
    kit = app.extensions["ctxkit"]
    traces = [*kit.store.newest()]
    (parent,) = [t for t in traces if t.kind == "request"]
    tasks = [t for t in traces if t.kind == "task"]
    assert len(tasks) == 9 and {t.parent for t in tasks} == {parent.id}
    assert set(parent.children) == {t.id for t in tasks}
    assert {t.unit.kind for t in tasks} == {"greenlet"}, {t.unit.kind for t in tasks}
    assert kit.registry.leaks == () and kit.registry.contexts() == []
    assert kit.recorder.cost()["failures"] == []
    assert [t.findings for t in traces if t.findings] == []
    print("sound")
"""


def test_greenlets_run_what_was_propagated(in_greenlets: t.Callable[[str], str]) -> None:
    """With everything patched: greenlets, patched threads and pools, and after the request."""
    assert in_greenlets(GREENLETS) == "sound"
