"""The same statement again and again, and no connection left to run one on."""

from __future__ import annotations

import contextlib
import threading
import typing as t

import pytest

pytest.importorskip("sqlalchemy")

from flask import Flask

from flask_ctxkit import PoolExhaustedError, SqlHelper
from flask_ctxkit.findings.statements import REPEATS

Watch = t.Callable[..., t.Any]
Helper = SqlHelper[tuple[t.Any, ...]]


@pytest.fixture
def db() -> t.Iterator[Helper]:
    with contextlib.closing(SqlHelper.from_url(name="shop", pool_timeout=0.05)) as db:
        db.execute("create table tea (id integer, cup integer)")
        db.executemany("insert into tea values (?, ?)", [(n, n % 3) for n in range(30)])
        yield db


def test_a_query_in_a_loop_is_named(watch: Watch, db: Helper) -> None:
    """With its text, how often it ran, and the line that ran it."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        cups = db.fetchall("select id, cup from tea")
        return str([db.fetchone("select * from tea where id = ?", cup) for _, cup in cups])

    watched = watch(app)
    watched.client.get("/")
    watched.client.get("/")
    finding = watched.one("statement-repeated")
    line = index.__code__.co_firstlineno + 3
    assert finding.message == (
        f"One request ran the same statement 30 times, at findings/test_statements.py:{line}: "
        "select * from tea where id = ?"
    )
    assert finding.evidence[0].where == f"findings/test_statements.py:{line}"
    assert "Ask once for all" in finding.fix
    assert watched.rules.tally.counts() == {"statement-repeated": 2}


def test_a_query_with_its_values_in_the_text_is_one_too(watch: Watch, db: Helper) -> None:
    """It is the text without them that counts."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        with db as cursor:
            for number in range(REPEATS):
                cursor.execute(f"select * from tea where id = {number}")
        return ""

    watched = watch(app)
    watched.client.get("/")
    assert watched.codes == {"statement-repeated"}


def test_few_repeats_and_many_rows_at_once_are_sound(watch: Watch, db: Helper) -> None:
    """So are different statements, and the same one in different requests."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        for number in range(REPEATS - 1):
            db.fetchone("select * from tea where id = ?", number)
        db.executemany("insert into tea values (?, ?)", [(n, n) for n in range(100)])
        for number in range(2 * REPEATS):
            db.fetchone(f"select id as id_{number} from tea")
        return ""

    watched = watch(app)
    for _ in range(3):
        watched.client.get("/")
    assert watched.found == ()


def test_a_script_may_work_through_its_rows(watch: Watch, db: Helper) -> None:
    """One by one: nobody waits for it."""
    app = Flask(__name__)
    watched = watch(app)
    with app.app_context():
        for number in range(5 * REPEATS):
            db.fetchone("select * from tea where id = ?", number)
    assert len(watched.traces) == 1
    assert watched.found == ()


def test_the_count_is_true_where_the_middle_of_a_trace_is_gone(watch: Watch, db: Helper) -> None:
    """The last run says which one it was."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        with db as cursor:
            for number in range(300):
                cursor.execute("select * from tea where id = ?", number).fetchone()
        return ""

    watched = watch(app, CTXKIT_MAX_EVENTS=100)
    watched.client.get("/")
    assert watched.traces[0].dropped_events
    assert "300 times" in watched.one("statement-repeated").message


def test_an_exhausted_pool_is_named_with_who_holds_it(watch: Watch, db: Helper) -> None:
    """A view whose blocks take two connections of a pool of one."""
    app = Flask(__name__)

    @app.route("/report")
    def report() -> str:
        with db, db.cursor():
            return ""

    watched = watch(app)
    with contextlib.suppress(PoolExhaustedError):
        watched.client.get("/report")
    finding = watched.one("pool-exhausted")
    line = report.__code__.co_firstlineno + 2
    assert finding.message.startswith("'shop' has no connection left after 0.")
    assert f"findings/test_statements.py:{line}" in finding.message
    assert "in GET /report" in finding.message
    assert finding.evidence[0].where == f"findings/test_statements.py:{line}"
    assert finding.fix.startswith("Let the blocks of ")
    assert "which asks and holds 1 itself" in finding.fix


def test_an_exhausted_pool_that_was_handled_is_named_too(watch: Watch, db: Helper) -> None:
    """The visitor sees a page, and the pool is no larger for that."""
    app = Flask(__name__)
    app.register_error_handler(PoolExhaustedError, lambda _error: ("come back later", 503))
    app.add_url_rule("/", "index", lambda: str(db.fetchone("select 1")))
    watched = watch(app)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with db.cursor():
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold, name="nightly-report")
    thread.start()
    held.wait(20)
    assert watched.client.get("/").status_code == 503
    assert watched.client.get("/").status_code == 503
    done.set()
    thread.join()
    assert watched.client.get("/").status_code == 200
    assert "(nightly-report)" in watched.one("pool-exhausted").message
    assert watched.rules.tally.counts() == {"pool-exhausted": 2}


def test_a_pool_that_is_nobodys_helper_is_named_without_holders(watch: Watch) -> None:
    """SQLAlchemy's own error says who it is and not who holds it."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        with engine.connect(), engine.connect():
            return ""

    watched = watch(app)
    watched.client.get("/")
    engine.dispose()
    assert "unknown" in watched.one("pool-exhausted").message


def test_another_timeout_is_none(watch: Watch) -> None:
    """Of a socket, for instance."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        raise TimeoutError("timed out")

    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()
