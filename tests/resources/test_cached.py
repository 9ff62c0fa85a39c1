"""A cached function computes once per context, whoever asks at once."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
import typing as t

import pytest
from flask import Flask

from flask_ctxkit import (
    CtxKit,
    OutsideContextError,
    ReentranceError,
    ResourceError,
    UnhashableArgumentError,
)

Log = list[t.Any]


def make() -> tuple[Flask, CtxKit]:
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=False)
    return app, CtxKit(app)


def test_it_computes_once_per_context() -> None:
    """Also None, and anew in the next context."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    def user() -> None:
        """Who asks."""
        calls.append(1)

    for _ in range(2):
        with app.app_context():
            user()
            user()
    assert len(calls) == 2
    assert user.__wrapped__.__doc__ == "Who asks."


def test_equal_arguments_are_one_however_they_are_passed() -> None:
    """By place, by name, or by default; what is not equal is another one."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    def price(item: int, currency: str = "EUR", *, exact: bool = True) -> str:
        calls.append((item, currency, exact))
        return f"{item} {currency}"

    with app.app_context():
        assert price(1) == price(1, "EUR") == price(item=1) == price(currency="EUR", item=1)
        assert price(1, exact=True) == "1 EUR"
        assert calls == [(1, "EUR", True)]
        price(1, exact=False)
        price(2)
        price(1, "USD")
    assert len(calls) == 4


def test_every_shape_of_arguments() -> None:
    """None at all, any number, any names."""
    app, kit = make()

    @kit.cached
    def anything(*args: object, **kwargs: object) -> object:
        return object()

    with app.app_context():
        assert anything() is anything()
        assert anything(1, 2) is anything(1, 2)
        assert anything(a=1, b=2) is anything(b=2, a=1)
        assert anything(1) is not anything(1, 2)
        assert anything(("a", 1)) is not anything(a=1)


def test_a_wrong_call_fails_as_it_would() -> None:
    """A missing argument is a TypeError, and nothing is kept."""
    app, kit = make()

    @kit.cached
    def double(number: int) -> int:
        return 2 * number

    with app.app_context():
        with pytest.raises(TypeError, match="number"):
            double()  # type: ignore[call-arg]
        assert double(2) == 4


def test_methods_keep_apart_by_their_object() -> None:
    """The object is an argument like any other."""
    app, kit = make()

    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @kit.cached
        def stock(self, item: int) -> list[object]:
            return [self.name, item]

    with app.app_context():
        one, other = Shop("one"), Shop("other")
        assert one.stock(1) is one.stock(1)
        assert other.stock(1) == ["other", 1]


def test_what_cannot_be_hashed_is_named() -> None:
    """A TypeError that says which argument, and what to pass instead."""
    app, kit = make()

    @kit.cached
    def total(items: list[int], of: object = None) -> int:
        return sum(items)

    with app.app_context():
        with pytest.raises(UnhashableArgumentError, match="called with a list, which") as told:
            total([1])
        assert isinstance(told.value, TypeError)
        with pytest.raises(UnhashableArgumentError, match="a dict"):
            total((), of={})  # type: ignore[arg-type]


def test_an_equality_of_the_users_that_raises_is_the_users() -> None:
    """It is not taken for something that can't be hashed."""

    class Odd:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise TypeError("mine")

    app, kit = make()

    @kit.cached
    def same(odd: Odd) -> None:
        return None

    with app.app_context():
        same(Odd())
        with pytest.raises(TypeError, match="mine") as told:
            same(Odd())
        assert not isinstance(told.value, UnhashableArgumentError)


def test_a_failure_is_not_kept() -> None:
    """The next call tries again."""
    app, kit = make()
    answers = iter([ValueError("first"), "second"])

    @kit.cached
    def flaky() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with app.app_context():
        with pytest.raises(ValueError, match="first"):
            flaky()
        assert flaky() == flaky() == "second"


def test_forget_drops_all_results_of_this_context() -> None:
    """And nothing where nothing is kept."""
    app, kit = make()

    @kit.cached
    def value(number: int) -> object:
        return object()

    with app.app_context():
        value.forget()
        outer = value(1)
        with app.app_context():
            value(1)
            value.forget()
        assert value(1) is outer
        value.forget()
        assert value(1) is not outer
    with pytest.raises(OutsideContextError, match="value"):
        value.forget()


def test_outside_of_a_context_it_is_a_clear_error() -> None:
    """Named like the function."""
    _, kit = make()

    @kit.cached
    def user() -> None: ...

    with pytest.raises(OutsideContextError, match="user was asked for outside"):
        user()


def test_a_generator_cannot_be_kept() -> None:
    """Only its first caller could read it."""
    _, kit = make()

    def rows() -> t.Iterator[int]:
        yield 1

    async def async_rows() -> t.AsyncIterator[int]:
        yield 1

    for function in (rows, async_rows):
        with pytest.raises(ResourceError, match="Return a list"):
            kit.cached(function)


def test_a_function_that_calls_itself() -> None:
    """With other arguments it is a recursion, with the same ones it would never end."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    def fibonacci(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    @kit.cached
    def endless() -> int:
        return endless()

    with app.app_context():
        assert fibonacci(30) == 832040
        assert len(calls) == 31
        with pytest.raises(ReentranceError, match="endless is needed to make"):
            endless()


def test_threads_that_share_a_context_compute_once() -> None:
    """The others wait, and get the same object."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    def slow(number: int) -> object:
        calls.append(number)
        time.sleep(0.05)
        return object()

    got: Log = []
    with app.app_context():
        threads = [
            threading.Thread(
                target=contextvars.copy_context().run, args=(lambda: got.append(slow(7)),)
            )
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls == [7]
    assert len(set(map(id, got))) == 1
    assert len(got) == 16


# ------------------------------------------------------------------------------- async


def test_an_async_function_stays_one() -> None:
    """Flask and others look at what it is."""
    _, kit = make()

    @kit.cached
    async def user() -> int:
        return 1

    assert inspect.iscoroutinefunction(user)


def test_tasks_that_share_a_context_compute_once() -> None:
    """The loop goes on while they wait."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    async def slow(number: int) -> object:
        calls.append(number)
        await asyncio.sleep(0.02)
        return object()

    async def main() -> list[object]:
        return await asyncio.gather(*(slow(7) for _ in range(10)))

    with app.app_context():
        got = asyncio.run(main())
    assert calls == [7]
    assert len(set(map(id, got))) == 1


def test_loops_of_different_threads_share_a_context() -> None:
    """Each waits in its own loop, and is woken there."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    async def slow() -> object:
        calls.append(1)
        await asyncio.sleep(0.05)
        return object()

    got: Log = []

    def work() -> None:
        got.append(asyncio.run(slow()))

    with app.app_context():
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls == [1]
    assert len(set(map(id, got))) == 1


def test_the_one_that_computes_is_cancelled() -> None:
    """The next one computes; nobody else is cancelled, and a waiter may be."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    async def slow() -> str:
        calls.append(1)
        await asyncio.sleep(0.03)
        return "done"

    async def main() -> list[object]:
        tasks = [asyncio.create_task(slow()) for _ in range(4)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with app.app_context():
        got = asyncio.run(main())
    assert isinstance(got[0], asyncio.CancelledError)
    assert isinstance(got[3], asyncio.CancelledError)
    assert got[1:3] == ["done", "done"]
    assert len(calls) == 2


def test_an_async_failure_is_not_kept() -> None:
    """Whoever waited tries next."""
    app, kit = make()
    calls: Log = []

    @kit.cached
    async def flaky() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ValueError("first")
        return "second"

    async def main() -> list[t.Any]:
        return [*await asyncio.gather(flaky(), flaky(), flaky(), return_exceptions=True)]

    with app.app_context():
        first, *rest = asyncio.run(main())
    assert isinstance(first, ValueError)
    assert rest == ["second", "second"]
    assert len(calls) == 2


def test_async_functions_that_wait_for_each_other() -> None:
    """Within one task, and between two: an error, and no deadlock."""
    app, kit = make()

    @kit.cached
    async def one() -> int:
        await asyncio.sleep(0.01)
        return await other()

    @kit.cached
    async def other() -> int:
        await asyncio.sleep(0.01)
        return await one()

    async def main() -> list[t.Any]:
        with pytest.raises(ReentranceError):
            await one()
        both = asyncio.gather(one(), other(), return_exceptions=True)
        return [*await asyncio.wait_for(both, 10)]

    with app.app_context():
        got = asyncio.run(main())
    assert any(isinstance(error, ReentranceError) for error in got)
    assert all(isinstance(error, Exception) for error in got)


def test_async_outside_of_a_context() -> None:
    """The error comes where it is awaited."""
    _, kit = make()

    @kit.cached
    async def user() -> None: ...

    with pytest.raises(OutsideContextError):
        asyncio.run(user())


@pytest.mark.parametrize("trace", [False, True], ids=["quiet", "traced"])
def test_an_async_view_shares_the_context_of_its_request(trace: bool) -> None:
    """Its body runs in a loop of another thread; hooks, tasks and the end are one context."""
    pytest.importorskip("asgiref")
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=trace)
    kit = CtxKit(app)
    log: Log = []
    db = kit.resource("db", object, lambda _: log.append("closed"))

    @kit.cached
    async def user() -> object:
        log.append("computed")
        await asyncio.sleep(0.01)
        return db()

    @app.before_request
    async def load() -> None:
        await user()

    @app.get("/")
    async def view() -> str:
        found = await asyncio.gather(*(user() for _ in range(5)), asyncio.to_thread(db))
        return str(len(set(map(id, found))))

    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["1", "1"]
    assert log == ["computed", "closed"] * 2
