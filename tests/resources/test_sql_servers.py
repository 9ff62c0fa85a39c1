"""SqlHelper on real servers: whatever fails, not one connection is lost, by the server's count."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import subprocess
import sys
import threading
import time
import typing as t

import pytest

pytest.importorskip("sqlalchemy")

from flask_ctxkit import PoolExhaustedError, RolledBackError, SqlHelper
from tests.resources.databases import Database, MariaDB, PostgreSQL, running
from tests.resources.faults import STEPS, FaultError, Faulty

pytestmark = pytest.mark.service

THREADS = 32
ROUNDS = 12

Helper = SqlHelper[tuple[t.Any, ...]]


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDB])
def database(request: pytest.FixtureRequest) -> t.Iterator[Database]:
    with running(request.param) as database:
        yield database


# Not by skipping: a skipped test counts as failed where all tools are promised.
only_mariadb = pytest.mark.parametrize("database", [MariaDB], indirect=True)
only_postgresql = pytest.mark.parametrize("database", [PostgreSQL], indirect=True)


@pytest.fixture(autouse=True)
def table(database: Database) -> t.Iterator[None]:
    database.ask("create table tea (id varchar(40) primary key)")
    yield
    left = database.counts(0)
    database.ask("drop table tea")
    assert left == 0


@contextlib.contextmanager
def from_url(database: Database, **options: t.Any) -> t.Iterator[Helper]:
    with contextlib.closing(SqlHelper.from_url(database.url, **options)) as db:
        yield db


def add(db: Helper | t.Any, name: str) -> None:
    db.execute("insert into tea values (%s)", name)


def stored(database: Database) -> set[str]:
    return {row[0] for row in database.ask("select id from tea")}


def cut_in_half(
    db: Helper, database: Database, block: t.ContextManager[t.Any] | None = None
) -> None:
    """A block whose connection the server drops in the middle."""
    with block or db as cursor:
        add(cursor, "first half")
        database.kill_all()
        add(cursor, "second half")


def nothing_is_out(db: Helper) -> bool:
    status = db.status()
    return (status.depth, status.cursors, status.held, status.waiting, db.holders()) == (
        0, 0, 0, 0, (),
    )  # fmt: skip


# ------------------------------------------------------------------------- errors at any step


class Work:
    """What one thread does: nested blocks that fail at random, and what it knows is committed."""

    def __init__(self, db: Helper, number: int, *, share: bool) -> None:
        self.db = db
        self.random = random.Random(number)
        self.number = number
        self.share = share
        self.written = 0
        self.committed: set[str] = set()
        self.unexpected: list[BaseException] = []

    def plan(self, step: str) -> None:
        if self.random.random() < 0.06:
            raise FaultError(step)

    def run(self) -> None:
        try:
            for _ in range(ROUNDS):
                with contextlib.suppress(FaultError, RolledBackError):
                    self.committed |= self.block(2)
        except BaseException as error:
            self.unexpected.append(error)

    def block(self, depth: int) -> set[str]:
        """A level with one inside; what it committed, or would have."""
        done: set[str] = set()
        inner: set[str] = set()
        with self.db as cursor:
            done.add(self.insert(cursor))
            if depth > 1:
                with contextlib.suppress(FaultError):
                    inner = self.block(depth - 1)
                # What an inner one committed on a connection of its own is there at once.
                if not self.share:
                    self.committed |= inner
            cursor.execute("select 1").fetchone()
            if self.random.random() < 0.1:
                raise FaultError("view")
        return done | inner

    def insert(self, cursor: t.Any) -> str:
        self.written += 1
        name = f"{self.number}-{self.written}"
        add(cursor, name)
        return name


@pytest.mark.parametrize("nested", ["connection", "savepoint"])
def test_no_connection_is_lost_whatever_fails(database: Database, nested: t.Any) -> None:
    """32 threads, two levels deep, with faults at every step; and what a block that ended well
    wrote is there, and nothing else.
    """
    current = threading.local()
    with from_url(database, pool_size=2 * THREADS, max_overflow=0, pool_timeout=20) as engine:
        db = SqlHelper(
            lambda: Faulty(engine._pool.take().connection, current.work.plan), nested=nested
        )
        works = [Work(db, number, share=nested == "savepoint") for number in range(THREADS)]

        def run(work: Work) -> None:
            current.work = work
            work.run()

        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [error for work in works for error in work.unexpected] == []
        assert nothing_is_out(db)
        assert db.status().failed > 0
        assert engine.status().pool.taken == 0
        assert database.counts(database.count()) <= 2 * THREADS
        with contextlib.ExitStack() as stack:  # each place of the pool is still there
            for _ in range(2 * THREADS):
                stack.enter_context(engine.cursor()).execute("select 1").fetchone()
            assert database.count() == 2 * THREADS
        assert stored(database) == set().union(*(work.committed for work in works))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_once_loses_nothing(database: Database, step: str) -> None:
    """Each in turn, on a pool of one connection, which the next block then gets."""
    failing: list[str] = []

    def plan(asked: str) -> None:
        if asked in failing:
            failing.remove(asked)
            raise FaultError(asked)

    with from_url(database, pool_size=1, max_overflow=0, pool_timeout=5) as engine:
        db = SqlHelper(lambda: Faulty(engine._pool.take().connection, plan))
        failing.append(step)
        with contextlib.suppress(FaultError), db as cursor:
            add(cursor, "one")
            cursor.executemany("insert into tea values (%s)", [("two",), ("three",)])
            cursor.execute("select id from tea").fetchone()
            cursor.fetchall()
            if step == "rollback":
                raise FaultError
        assert failing == []
        assert nothing_is_out(db)
        # A cursor or connection that fails to close has done its work.
        kept = {"one", "two", "three"} if step.startswith("close") else set()
        assert stored(database) == kept
        assert db.fetchone("select 1") == (1,)
        assert database.count() == 1


def test_a_connection_that_never_closes_is_given_up_and_its_place_is_not(
    database: Database,
) -> None:
    """A close that fails each time it is tried."""

    def plan(step: str) -> None:
        if step == "close":
            raise FaultError(step)

    with from_url(database, pool_size=1, max_overflow=0, pool_timeout=5) as engine:
        db = SqlHelper(lambda: Faulty(engine._pool.take().connection, plan))
        for name in ("one", "two", "three"):
            add(db, name)
        assert stored(database) == {"one", "two", "three"}
        assert engine.status().pool.taken == 0
        assert nothing_is_out(db)


# ------------------------------------------------------------------ servers that drop or end


def test_a_connection_that_was_dropped_while_idle_is_replaced(database: Database) -> None:
    """Nobody who comes next notices."""
    with from_url(database) as db:
        add(db, "before")
        database.kill_all()
        add(db, "after")
        assert stored(database) == {"before", "after"}
        assert database.counts(1) == 1


def test_a_connection_that_is_dropped_inside_a_block_fails_the_block(database: Database) -> None:
    """Nothing of it is committed, nothing runs twice, and the next block has another one."""
    with from_url(database) as db:
        with pytest.raises(Exception, match=r".") as raised:  # the driver's own
            cut_in_half(db, database)
        assert not isinstance(raised.value, RolledBackError)
        assert nothing_is_out(db)
        add(db, "next")
        assert stored(database) == {"next"}
        assert database.counts(1) == 1


def test_a_dropped_connection_whose_error_was_caught_commits_nothing(database: Database) -> None:
    """The block says so at its end."""

    def caught() -> None:
        with db as cursor:
            add(cursor, "first half")
            database.kill_all()
            with contextlib.suppress(Exception):
                add(cursor, "second half")

    with from_url(database) as db:
        with pytest.raises(RolledBackError, match="left the connection unusable") as raised:
            caught()
        assert raised.value.__cause__ is not None
        assert nothing_is_out(db)
        assert stored(database) == set()


def test_a_server_that_is_restarted_in_the_middle(database: Database) -> None:
    """Blocks fail while it is away, and after it each thread goes on; nothing is half done."""
    with from_url(database, pool_size=8, max_overflow=0, pool_timeout=20) as db:
        ended, committed = threading.Event(), set[str]()
        served_after: set[int] = set()
        restarted = threading.Event()

        def work(number: int) -> None:
            count = 0
            while not ended.is_set():
                count += 1
                names = {f"{number}-{count}-{half}" for half in "ab"}
                since = restarted.is_set()
                try:
                    with db as cursor:
                        for name in sorted(names):
                            add(cursor, name)
                            time.sleep(0.002)
                except Exception:  # the driver's own, or the pool's, while the server is away
                    time.sleep(0.02)
                    continue
                committed.update(names)
                if since:
                    served_after.add(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        database.restart()
        restarted.set()
        deadline = time.monotonic() + 20
        while len(served_after) < len(threads) and time.monotonic() < deadline:
            time.sleep(0.02)
        ended.set()
        for thread in threads:
            thread.join()
        assert served_after == set(range(8))
        found = stored(database)
        assert committed <= found
        # A commit whose answer was lost may have been done, but whole.
        assert {name[:-1] + half for name in found for half in "ab"} == found
        assert nothing_is_out(db)
        assert database.counts(8) <= 8


# ------------------------------------------------------------------- what a server's rules are


@only_postgresql
def test_an_error_that_was_caught_ends_the_transaction_and_that_is_said(database: Database) -> None:
    """PostgreSQL answers such a commit with a rollback and no error."""

    def caught() -> None:
        with db as cursor:
            add(cursor, "one")
            with contextlib.suppress(Exception):
                cursor.execute("insert into nowhere values (1)")

    with from_url(database) as db:
        with pytest.raises(RolledBackError, match="refuses all that comes after"):
            caught()
        assert stored(database) == set()
        assert nothing_is_out(db)


def test_a_transaction_saves_the_rest_of_its_level(database: Database) -> None:
    """What may fail is put into a savepoint."""
    with from_url(database) as db:
        with db as cursor:
            add(cursor, "one")
            with contextlib.suppress(Exception), db.transaction() as inner:
                add(inner, "two")
                inner.execute("insert into nowhere values (1)")
            with db.transaction() as inner:
                add(inner, "three")
        assert stored(database) == {"one", "three"}
        assert database.count() == 1


@contextlib.contextmanager
def autocommit_engine(database: Database) -> t.Iterator[Helper]:
    with from_url(database, isolation_level="AUTOCOMMIT", pool_size=1) as db:
        yield db


@contextlib.contextmanager
def autocommit_driver(database: Database) -> t.Iterator[Helper]:
    def connect() -> t.Any:
        connection = database.connect()
        if isinstance(database, MariaDB):
            connection.autocommit(True)
        else:
            connection.autocommit = True
        return connection

    yield SqlHelper(connect)


@contextlib.contextmanager
def autocommit_dbutils(database: Database) -> t.Iterator[Helper]:
    with contextlib.closing(dbutils_pool(database, autocommit=True)) as pool:
        yield SqlHelper(pool.connection)


@pytest.mark.parametrize("make", [autocommit_engine, autocommit_driver, autocommit_dbutils])
def test_a_transaction_is_whole_in_autocommit_mode(
    database: Database, make: t.Callable[[Database], t.ContextManager[Helper]]
) -> None:
    """Alone, in a level and in another one, by what a second connection sees."""
    with make(database) as db:
        with contextlib.suppress(ZeroDivisionError), db.transaction():
            add(db, "gone")
            raise ZeroDivisionError
        with db.transaction() as cursor:
            add(cursor, "one")
            with contextlib.suppress(Exception), db.transaction() as inner:
                add(inner, "gone")
                inner.execute("insert into nowhere values (1)")
            assert stored(database) == set()
        assert stored(database) == {"one"}
        with db:
            with contextlib.suppress(Exception), db.transaction() as inner:
                add(inner, "gone")
                inner.execute("insert into nowhere values (1)")
            with db.transaction() as inner:
                add(inner, "two")
        assert stored(database) == {"one", "two"}
        with pytest.raises(Exception, match=r"."):  # the driver's own
            cut_in_half(db, database, db.transaction())
        add(db, "three")
        assert stored(database) == {"one", "two", "three"}
        assert nothing_is_out(db)


def test_parameters_and_rows_go_through_as_the_driver_has_them(database: Database) -> None:
    """By position, by name, in numbers; and rows as dicts."""
    with from_url(database, rows="dict") as untyped:
        db = t.cast("SqlHelper[dict[str, t.Any]]", untyped)
        assert db.executemany("insert into tea values (%s)", [("a",), ("b",), ("c",)]) == 3
        assert db.execute("delete from tea where id = %(id)s", {"id": "b"}) == 1
        assert db.fetchall("select id from tea where id in (%s, %s) order by id", "a", "c") == [
            {"id": "a"}, {"id": "c"},
        ]  # fmt: skip
        assert db.fetchone("select id from tea where id like 'a%'") == {"id": "a"}
        assert db.fetchmany("select id from tea order by id", size=1) == [{"id": "a"}]
        assert db.fetchone("select id from tea where id = %s", ("z",)) is None


def test_an_exhausted_pool_names_who_holds_it(database: Database) -> None:
    """The same unit twice over, and a thread that has it longer."""
    with from_url(database, name="shop", pool_size=2, max_overflow=0, pool_timeout=0.2) as db:
        taken, done = threading.Event(), threading.Event()

        def hold() -> None:
            with db.cursor():
                taken.set()
                done.wait(20)

        thread = threading.Thread(target=hold, name="report")
        thread.start()
        taken.wait(20)
        with db, pytest.raises(PoolExhaustedError, match="'shop' has no connection") as raised:
            db.__enter__()
        done.set()
        thread.join()
        evidence = raised.value.evidence
        assert [holder["name"] for holder in evidence["holders"]] == ["report", "MainThread"]
        assert [holder["depth"] for holder in evidence["holders"]] == [0, 1]
        assert evidence["pool"] == "2 of 2"
        assert 0.2 <= evidence["waited"] < 5
        assert all("test_sql_servers.py:" in holder["where"] for holder in evidence["holders"])
        assert nothing_is_out(db)
        assert database.count() == 2


@only_mariadb
def test_a_server_that_takes_no_more_clients_is_an_exhausted_pool(database: Database) -> None:
    """It says so in its own words, without any pool."""
    pymysql = pytest.importorskip("pymysql")
    database.ask("set global max_connections = 10", "mysql")
    db = SqlHelper(
        lambda: pymysql.connect(host="127.0.0.1", port=database.port, user="root", database="test")
    )

    def take_many() -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(db.cursor())

    try:
        with pytest.raises(PoolExhaustedError) as raised:
            take_many()
    finally:
        database.ask("set global max_connections = 151", "mysql")
    assert len(raised.value.evidence["holders"]) == 11  # one more for an administrator
    assert nothing_is_out(db)


# ---------------------------------------------------------------------- the pools of others


def dbutils_pool(database: Database, **options: t.Any) -> t.Any:
    pooled = pytest.importorskip("dbutils.pooled_db")
    if isinstance(database, MariaDB):
        creator, name = pytest.importorskip("pymysql"), {"database": "test"}
    else:
        creator, name = pytest.importorskip("psycopg"), {"dbname": "test"}
    address = {"host": "127.0.0.1", "port": database.port, "user": database.user}
    return pooled.PooledDB(creator, **options, **address, **name)


@pytest.mark.parametrize("ping", [0, 1])
def test_a_pool_of_dbutils_replaces_what_was_dropped(database: Database, ping: int) -> None:
    """Also where it is told never to look, as the course notes have it."""
    pool = dbutils_pool(database, maxconnections=2, ping=ping)
    db = SqlHelper(pool.connection)
    try:
        add(db, "before")
        database.kill_all()
        add(db, "after")
        assert stored(database) == {"before", "after"}
        assert str(db.status().pool) == "0 of 2"
        assert database.counts(1) == 1
    finally:
        pool.close()


@pytest.mark.parametrize("ping", [0, 1, 7])
def test_a_pool_of_dbutils_never_goes_on_in_the_middle(database: Database, ping: int) -> None:
    """It would replace the connection and run the second half of the block alone."""
    pool = dbutils_pool(database, ping=ping)
    db = SqlHelper(pool.connection)
    try:
        with pytest.raises(Exception, match=r"."):  # the driver's own
            cut_in_half(db, database)
        assert stored(database) == set()
        add(db, "next")
        assert stored(database) == {"next"}
        assert nothing_is_out(db)
    finally:
        pool.close()


def test_an_exhausted_pool_of_dbutils_names_who_holds_it(database: Database) -> None:
    """One that does not block."""
    pool = dbutils_pool(database, maxconnections=1)
    db = SqlHelper(pool.connection)
    try:
        with db, pytest.raises(PoolExhaustedError, match="taken: 1 of 1"), db:
            pass
        assert nothing_is_out(db)
    finally:
        pool.close()


@only_postgresql
@pytest.mark.parametrize("method", ["connection", "getconn"])
def test_a_pool_of_psycopgs_gets_back_what_it_lent(database: Database, method: str) -> None:
    """Whichever of its two ways is used; a dropped connection is replaced."""
    psycopg_pool = pytest.importorskip("psycopg_pool")
    address = f"host=127.0.0.1 port={database.port} user={database.user} dbname=test"
    with psycopg_pool.ConnectionPool(
        address,
        min_size=1,
        max_size=2,
        timeout=0.5,
        check=psycopg_pool.ConnectionPool.check_connection,
    ) as pool:
        db = SqlHelper(getattr(pool, method), name="shop")
        for number in range(5):
            add(db, str(number))
        with db, db:
            assert str(db.status().pool) == "2 of 2"
            with pytest.raises(PoolExhaustedError, match="2 of 2"):
                db.cursor().__enter__()
        assert str(db.status().pool) == "0 of 2"
        with pytest.raises(Exception, match=r"."):  # the driver's own
            cut_in_half(db, database)
        add(db, "next")
        assert stored(database) == {"0", "1", "2", "3", "4", "next"}
        assert nothing_is_out(db)


# -------------------------------------------------------------------------- forks, greenlets


def number_of(db: Helper, database: Database) -> int:
    """How the server calls the connection that the helper takes next."""
    mine = "pg_backend_pid()" if isinstance(database, PostgreSQL) else "connection_id()"
    with db.cursor() as cursor:
        return int(t.cast("t.Any", cursor.execute(f"select {mine}").fetchone())[0])


def in_child(function: t.Callable[[], object]) -> None:
    """Fork, and call it in the child; it must not raise."""
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            function()
            failed = 0
        finally:
            os._exit(failed)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads of other tests
def test_a_child_process_leaves_the_parents_connections_alone(database: Database) -> None:
    """Also one that is forked inside of a block: the parent goes on, the child has its own."""
    with from_url(database, pool_size=3) as db, db.cursor() as other:
        other.execute("select 1").fetchone()
        db.__enter__()  # nobody but the helper refers to it
        add(db, "parent")
        idle = number_of(db, database)

        def child() -> None:
            assert nothing_is_out(db)
            assert number_of(db, database) != idle
            add(db, "child")
            gc.collect()
            db.close()

        in_child(child)
        assert other.execute("select 1").fetchone() == (1,)
        db.__exit__(None, None, None)
        assert number_of(db, database)
        add(db, "later")
        assert stored(database) == {"parent", "child", "later"}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads of other tests
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("nested", ["connection", "savepoint"])
def test_a_child_process_ends_no_block_of_its_parents(
    database: Database, used: bool, nested: t.Any
) -> None:
    """It leaves them, well or by an error, and the parent commits."""

    class LeavesError(Exception):
        pass

    def leave() -> None:
        if used:
            add(db, "child")
        raise LeavesError

    with from_url(database, pool_size=6, nested=nested) as db:
        parent = os.getpid()
        try:
            with db as outer, db.connection() as pair, db.transaction(), db as inner:
                for number, cursor in enumerate([outer, pair.cursor(), inner]):
                    add(cursor, f"parent {number}")
                child = os.fork()
                if child == 0:
                    leave()
                assert os.waitpid(child, 0)[1] == 0
        except BaseException as error:
            if os.getpid() == parent:
                raise
            os._exit(0 if type(error) is LeavesError else 1)
        assert nothing_is_out(db)
        wanted = {"parent 0", "parent 1", "parent 2", *(["child"] if used else [])}
        assert stored(database) == wanted


GREENLETS = """
import gevent.monkey; gevent.monkey.patch_all()
import sys, warnings
warnings.simplefilter("error")
import gevent
from flask_ctxkit import SqlHelper

sleep = {"mysql": "select sleep(2)", "postgresql": "select pg_sleep(2)"}[sys.argv[2]]
db = SqlHelper.from_url(sys.argv[1], pool_size=32, max_overflow=0, pool_timeout=10)

def work(number):
    found = []
    with db as outer:
        outer.execute("insert into tea values (%s)", f"outer {number}")
        gevent.sleep(0.01)
        with db as inner:
            inner.execute("insert into tea values (%s)", f"inner {number}")
            found.append(db.status().depth)
            gevent.sleep(0.01)
            found += inner.execute("select %s + 0", number).fetchone()
        found += outer.execute("select %s + 0", number).fetchone()
    return found

jobs = [gevent.spawn(work, number) for number in range(16)]
gevent.joinall(jobs, raise_error=True)
assert [job.value for job in jobs] == [[2, number, number] for number in range(16)], jobs
assert db.fetchone("select count(*) from tea") == (32,)

# A statement that is cut off in the middle: its answer must not be taken for the next one's.
cut = SqlHelper.from_url(sys.argv[1], pool_size=1, max_overflow=0, pool_timeout=10)
for kill in (gevent.Timeout(0.2), None):
    def slow():
        if kill is not None:
            kill.start()
        try:
            with cut as cursor:
                cursor.execute("insert into tea values ('cut')")
                cursor.execute(sleep)
        except gevent.Timeout as timeout:
            assert timeout is kill
    job = gevent.spawn(slow)
    gevent.sleep(0.2)
    job.join(5) if kill is not None else job.kill()
    assert job.ready()
    assert cut.fetchone("select 41 + 1") == (42,), "the answer of another statement"
    assert cut.fetchone("select count(*) from tea where id = 'cut'") == (0,)
    assert cut.status().held == 0 and cut.holders() == ()
db.close(); cut.close()
print("all is well")
"""


def test_greenlets_have_stacks_of_their_own_and_may_be_killed(database: Database) -> None:
    """Under monkey patching; a killed statement's connection is given up."""
    pytest.importorskip("gevent")
    kind = "mysql" if isinstance(database, MariaDB) else "postgresql"
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS, database.url, kind],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.stdout == "all is well\n", ran.stderr
