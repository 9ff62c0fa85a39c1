"""Whose level it is: generators, threads, greenlets, tasks and requests on one SqlHelper."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import typing as t
import weakref

import pytest

pytest.importorskip("sqlalchemy")

from flask import Flask, g

from flask_ctxkit import (
    CtxKit,
    CtxKitError,
    LocalProxy,
    PoolExhaustedError,
    RolledBackError,
    SqlHelper,
)
from flask_ctxkit.internals import current_app_context
from flask_ctxkit.resources.holders import held_by
from tests.resources.faults import add, names

if t.TYPE_CHECKING:
    from pathlib import Path

Helper = SqlHelper[tuple[t.Any, ...]]


# --------------------------------------------------------------- who leaves which level, and where


def test_generators_that_take_turns_leave_their_own_levels(db: Helper, path: Path) -> None:
    """The one that began first may end first."""

    def rows(name: str, fail: bool = False) -> t.Iterator[str]:
        with db as cursor:
            yield name
            add(cursor, name)
            if fail:
                raise ZeroDivisionError
        yield "done"

    one, two = rows("a"), rows("b", fail=True)
    assert [next(one), next(two)] == ["a", "b"]
    assert db.status().depth == 2
    assert next(one) == "done"
    with pytest.raises(ZeroDivisionError):
        next(two)
    assert names(path) == ["a"]


def test_a_generator_may_be_closed_by_another_thread(db: Helper, path: Path) -> None:
    """As servers do with the body of a response, while this thread has a level open too."""

    def body() -> t.Generator[str, None, None]:
        with db as cursor:
            add(cursor, "a")
            yield "first"

    abandoned, finished = body(), body()
    next(abandoned)
    elsewhere = threading.Thread(target=abandoned.close)
    elsewhere.start()
    elsewhere.join()
    assert db.status().held == 0
    next(finished)
    assert db.status().depth == 1
    ended: list[object] = []

    def finish() -> None:
        with db as own:
            ended.append(next(finished, None))
            add(own, "b")

    elsewhere = threading.Thread(target=finish)
    elsewhere.start()
    elsewhere.join()
    assert ended == [None]
    assert db.status().depth == 0
    assert names(path) == ["a", "b"]


def test_an_abandoned_generator_gives_its_connection_back(db: Helper, path: Path) -> None:
    """When it is collected."""

    def body() -> t.Iterator[str]:
        with db as cursor:
            add(cursor, "a")
            yield "first"

    next(body())
    gc.collect()
    assert db.holders() == ()
    assert names(path) == []


def test_an_exit_stack_leaves_what_it_entered(db: Helper, path: Path) -> None:
    """Also while a with block that was entered after it is open."""
    stack = contextlib.ExitStack()
    add(stack.enter_context(db), "a")
    with db as own:
        own.execute("select 1")
        stack.close()
        assert names(path) == ["a"]
        assert db.status().depth == 1
        add(own, "b")
    assert names(path) == ["a", "b"]


def test_generators_that_take_turns_behind_a_proxy_leave_their_own_levels(
    db: Helper, path: Path
) -> None:
    """A proxy hands on who enters and who leaves."""
    proxy = t.cast("Helper", LocalProxy(lambda: db))

    def rows(name: str) -> t.Iterator[str]:
        with proxy as cursor:
            yield name
            add(cursor, name)

    one, two = rows("a"), rows("b")
    assert [next(one), next(two)] == ["a", "b"]
    where = {holder.where for holder in proxy.holders()}
    assert where == {f"resources/test_sql_units.py:{rows.__code__.co_firstlineno + 1}"}
    assert next(one, None) is None
    assert names(path) == ["a"]
    two.close()  # type: ignore[attr-defined]
    assert names(path) == ["a"]
    assert proxy.status().held == 0


def test_a_level_may_be_entered_and_left_by_hand(db: Helper, path: Path) -> None:
    """In two hooks of a request, for instance."""
    app = Flask(__name__)

    @app.before_request
    def open_db() -> None:
        g.cursor = db.__enter__()

    @app.teardown_request
    def close_db(error: BaseException | None) -> None:
        db.__exit__(None if error is None else type(error), error, None)

    @app.route("/<name>")
    def view(name: str) -> str:
        add(g.cursor, name)
        if name == "bad":
            raise ZeroDivisionError
        return name

    client = app.test_client()
    assert client.get("/good").status_code == 200
    assert client.get("/bad").status_code == 500
    assert names(path) == ["good"]


def test_who_entered_nothing_can_leave_nothing(db: Helper) -> None:
    """Whatever others have open."""
    with pytest.raises(CtxKitError, match="leaves a block of 'db' that it did not enter"):
        db.__exit__(None, None, None)
    found: list[BaseException] = []

    def leave() -> None:
        try:
            db.__exit__(None, None, None)
        except CtxKitError as error:
            found.append(error)

    with db:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        assert db.status().depth == 1
    assert len(found) == 1


def test_shared_levels_that_are_left_in_the_wrong_order_are_rolled_back(
    shared: Helper, path: Path
) -> None:
    """Both say so: an end of the outer one can't commit half of it."""
    outer, inner = shared.transaction(), shared.transaction()
    add(outer.__enter__(), "a")
    add(inner.__enter__(), "b")
    with pytest.raises(RolledBackError, match="Leave blocks in reverse order"):
        outer.__exit__(None, None, None)
    assert shared.status().held == 0
    with pytest.raises(RolledBackError, match="ended before it"):
        inner.__exit__(None, None, None)
    assert shared.status().depth == 0
    assert names(path) == []


def test_a_block_is_entered_once_at_a_time(db: Helper) -> None:
    """And may be used again after it; one that is not open has nothing to leave."""
    block = db.cursor()
    for _ in range(2):
        with block as cursor, pytest.raises(CtxKitError, match="open already"):
            block.__enter__()
        assert cursor.driver is not None
    block.__exit__(None, None, None)


# ------------------------------------------------------------------------ threads, tasks, contexts


def test_threads_have_stacks_of_their_own(db: Helper, path: Path) -> None:
    """Ten at once, three levels deep each."""
    depths: list[int] = []
    together = threading.Barrier(5)

    def work() -> None:
        with db, db, db as cursor:
            together.wait(20)
            depths.append(db.status().depth)
            cursor.execute("select 1")

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert depths == [3] * 5


def test_tasks_and_their_threads_have_stacks_of_their_own(db: Helper) -> None:
    """``to_thread`` hands the task's context variables on, and not its stack."""

    def in_thread() -> tuple[int, int]:
        before = db.status().depth
        with db:
            return before, db.status().depth

    async def work() -> tuple[int, tuple[int, int], int]:
        with db:
            await asyncio.sleep(0)
            inside = await asyncio.to_thread(in_thread)
            with db:
                await asyncio.sleep(0.001)
                return db.status().depth, inside, len(db.holders())

    async def both() -> t.Any:
        with db:
            return await asyncio.gather(work(), work())

    for depth, inside, held in asyncio.run(both()):
        assert depth == 2
        assert inside == (0, 1)
        assert held >= 3


def test_a_task_that_is_cancelled_gives_back_what_it_held(db: Helper, path: Path) -> None:
    """And what it wrote is rolled back."""

    async def work() -> None:
        with db as cursor:
            add(cursor, "a")
            await asyncio.sleep(20)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert db.holders() == ()
    assert names(path) == []


def test_it_is_a_resource_of_a_context(db: Helper, path: Path) -> None:
    """One connection per request, which commits or rolls back as the request ends."""
    app = Flask(__name__)
    app.config["CTXKIT_TRACE"] = True
    kit = CtxKit(app)
    current = kit.resource("db", db.connection)

    @app.route("/<name>")
    def view(name: str) -> str:
        assert current() is current()
        current().cursor().execute("insert into tea values (?)", name)
        assert len(db.holders()) == 1
        if name == "bad":
            raise ZeroDivisionError
        return name

    client = app.test_client()
    assert client.get("/good").status_code == 200
    assert client.get("/bad").status_code == 500
    assert names(path) == ["good"]


def by_hand(db: Helper) -> t.Callable[[], t.Iterator[t.Any]]:
    """What takes a connection at a line of its own."""

    def open_it() -> t.Iterator[t.Any]:
        with db.connection() as connection:
            yield connection

    return open_it


@pytest.mark.parametrize("open_by", [lambda db: db.connection, by_hand])
def test_a_resource_that_has_a_connection_is_one_holder(db: Helper, open_by: t.Any) -> None:
    """Whatever it is called; what is taken beside it is another one."""
    app = Flask(__name__)
    current = CtxKit(app).resource("conn", open_by(db))
    with app.app_context() as ctx:
        current().cursor().execute("select 1")
        assert [held.resource for held in held_by(ctx)] == ["conn"]
        with db:
            assert [held.resource for held in held_by(ctx)] == ["conn", "db"]
        current().close()
        assert [held.resource for held in held_by(ctx)] == ["conn"]
    assert held_by(ctx) == ()


def test_what_a_resource_did_not_give_back_is_a_holder(db: Helper) -> None:
    """While it is opened the resource is; once that is closed, the connection is."""
    app = Flask(__name__)
    kit = CtxKit(app)
    blocks: list[t.Any] = []
    seen: list[list[tuple[str, str]]] = []

    def look(*_: object) -> None:
        held = held_by(current_app_context(None))
        seen.append([(holder.resource, holder.state) for holder in held])

    def open_it() -> t.Any:
        blocks.append(db.connection())
        connection = blocks[0].__enter__()
        look()
        return connection

    last = kit.resource("last", object, look)
    conn = kit.resource("conn", open_it, lambda _: None)
    with app.app_context():
        last()
        conn()
    assert seen == [
        [("last", "open"), ("conn", "opening")], [("last", "closing"), ("db", "open")],
    ]  # fmt: skip
    blocks[0].__exit__(None, None, None)


def test_a_connection_of_a_resource_is_gone_with_its_context(db: Helper) -> None:
    """Without the cyclic collector."""
    app = Flask(__name__)
    current = CtxKit(app).resource("conn", db.connection)
    gc.collect()
    gc.disable()
    try:
        with app.app_context():
            connection = weakref.ref(current())
        assert connection() is None
    finally:
        gc.enable()


def test_beside_a_resource_that_has_the_last_connection(path: Path) -> None:
    """What asks the pool for another one is told of that one."""
    app = Flask(__name__)
    with contextlib.closing(
        SqlHelper.from_url(f"sqlite:///{path}", pool_size=1, max_overflow=0, pool_timeout=0.05)
    ) as db:
        current = CtxKit(app).resource("conn", db.connection)
        with app.app_context():
            current()
            with pytest.raises(PoolExhaustedError) as raised:
                db.execute("select 1")
            assert str(raised.value).endswith(
                ". Let the connection that this context holds as its resource 'conn' do it: ask "
                "that one for a cursor, and not 'db'."
            )
            assert len(raised.value.evidence["holders"]) == 1
            assert current().cursor().execute("select 1").fetchone() == (1,)


GREENLETS = """
import gevent.monkey; gevent.monkey.patch_all()
import gevent, warnings
warnings.simplefilter("error")
from flask_ctxkit import SqlHelper

db = SqlHelper.from_url("sqlite://", pool_timeout=5)
db.execute("create table tea (n integer)")

def work(number):
    with db as cursor:
        gevent.sleep(0)
        with db as inner:
            gevent.sleep(0.001)
            inner.execute("insert into tea values (?)", number)
            return db.status().depth

jobs = [gevent.spawn(work, number) for number in range(20)]
gevent.joinall(jobs, raise_error=True)
assert {job.value for job in jobs} == {2}
assert db.fetchone("select count(*), sum(n) from tea") == (20, 190)
assert db.status().held == 0
print("all is well")
"""


def test_greenlets_have_stacks_of_their_own() -> None:
    """Also on the one connection of a database in memory, for which they take turns."""
    pytest.importorskip("gevent")
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "all is well\n", ran.stderr
