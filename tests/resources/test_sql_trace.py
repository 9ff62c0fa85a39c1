"""What a SqlHelper does stands on the trace of the context that asked, and no secret with it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import typing as t
from unittest import mock

import pytest

pytest.importorskip("sqlalchemy")

from flask import Flask

from flask_ctxkit import CtxKit, SqlHelper
from flask_ctxkit.report.live import live
from flask_ctxkit.resources.sql import statements
from tests.resources.faults import Counted, failing, names

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask_ctxkit.trace.model import Event, Trace

Helper = SqlHelper[tuple[t.Any, ...]]


class Watched:
    """An app whose view is a function of the test."""

    def __init__(
        self, before: t.Callable[[CtxKit], t.Any] = lambda _kit: None, **config: t.Any
    ) -> None:
        self.app = Flask(__name__)
        self.app.config.update({"CTXKIT_TRACE": True, **config})
        self.made = before(CtxKit(self.app))
        self.app.add_url_rule("/", "index", self.answer)
        self.view: t.Callable[[], object] = dict
        self.state = self.app.extensions["ctxkit"]

    def answer(self) -> str:
        self.view()
        return ""

    def run(self, view: t.Callable[[], object]) -> list[Event]:
        """What *view* did with resources."""
        self.view = view
        assert self.app.test_client().get("/").status_code == 200
        assert self.failures == {}
        return [event for event in self.trace.events if event.phase == "resource"]

    def held(self) -> list[dict[str, t.Any]]:
        """What the only live context holds, as the page has it."""
        [found] = self.state.registry.contexts()
        return t.cast("list[dict[str, t.Any]]", live(found)["resources"])

    @property
    def failures(self) -> dict[str, int]:
        """How often the kit failed, by what it did."""
        rows = self.state.recorder._failures.items()
        return {step: count for (step, _), (count, _) in rows}

    @property
    def trace(self) -> Trace:
        return t.cast("Trace", next(iter(self.state.store.newest())))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.name, event.note) for event in events]


def test_a_block_is_told_step_by_step(db: Helper, watched: Watched) -> None:
    """With depth, open cursors, how full the pool is, and the lines that asked."""

    def view() -> None:
        with db as cursor:
            cursor.execute("insert into tea values (?)", "green")

    events = watched.run(view)
    first = view.__code__.co_firstlineno
    assert [(event.name, event.where) for event in events] == [
        ("open db", f"resources/test_sql_trace.py:{first + 1}"),
        ("insert into tea values (?)", f"resources/test_sql_trace.py:{first + 2}"),
        ("commit db", f"resources/test_sql_trace.py:{first + 1}"),
        ("close db", f"resources/test_sql_trace.py:{first + 1}"),
    ]
    opened, statement, _, closed = events
    assert opened.note == "depth 1; 1 held, 0 cursors open; pool 1 of 15"
    assert statement.note == "1 row; 1 parameter: str[5]"
    assert closed.note is not None
    assert closed.note.startswith("held ")
    assert {event.outcome for event in events} == {"ok"}
    assert all(event.depth == 1 for event in events)


def test_what_ends_with_its_context_is_told_with_the_line_that_opened_it(db: Helper) -> None:
    """No line of the user's runs then, so that Flask's would be the nearest."""
    watched = Watched(lambda kit: kit.resource("reader", db.cursor))
    events = watched.run(lambda: watched.made().execute("select 1"))
    assert [event.name for event in events][-3:] == ["close reader", "commit db", "close db"]
    assert len({event.where for event in events}) == 1


def test_a_statement_that_is_told_at_the_end_is_counted_with_the_others(db: Helper) -> None:
    """Its rows were left in the cursor until the context closed that."""
    watched = Watched(lambda kit: kit.resource("reader", db.cursor))

    def view() -> None:
        for number in range(3):
            watched.made().execute("select 1 where 1 = ?", number)

    notes = [event.note for event in watched.run(view) if event.name.startswith("select")]
    assert [note and "repeated" in note for note in notes] == [False, True, True]
    assert notes[-1] == "repeated: 3rd time in this context; 0 rows; 1 parameter: int"


def test_the_lines_are_the_users_also_behind_an_exit_stack(db: Helper, watched: Watched) -> None:
    """Not those of the library that calls for them."""

    def view() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(db).execute("select 1").fetchone()
            stack.enter_context(db.cursor()).execute("select 2").fetchone()

    events = watched.run(view)
    assert len(events) == 8
    assert all(str(event.where).startswith("resources/test_sql_trace.py:") for event in events)


@pytest.mark.parametrize(
    ("fetch", "rows"),
    [
        (lambda cursor: cursor.fetchall(), "3 rows"),
        (lambda cursor: cursor.fetchone(), "1 row"),
        (lambda cursor: cursor.fetchmany(2), "2 rows"),
        (lambda cursor: [*cursor], "3 rows"),
        (lambda cursor: None, "0 rows"),
    ],
)
def test_rows_are_counted_as_they_are_fetched(
    db: Helper, watched: Watched, fetch: t.Any, rows: str
) -> None:
    """Where the driver does not tell their number."""
    db.executemany("insert into tea values (?)", [("a",), ("b",), ("c",)])

    def view() -> None:
        with db as cursor:
            fetch(cursor.execute("select name from tea"))

    assert told(watched.run(view))[1] == ("select name from tea", f"{rows}; no parameters")


def test_one_cursor_tells_each_of_its_statements(db: Helper, watched: Watched) -> None:
    """In their order, whichever way they are run."""

    def view() -> None:
        with db as cursor:
            cursor.execute("select name from tea")
            cursor.executemany("insert into tea values (?)", [("a",), ("b",)])
            cursor.execute("create table milk (n)")
            db.fetchone("select ?", 1)

    assert told(watched.run(view))[1:-2] == [
        ("select name from tea", "0 rows; no parameters"),
        ("insert into tea values (?)", "2 rows; 2 times 1 parameter: str[1]"),
        ("create table milk (n)", "no parameters"),
        ("select ?", "1 row; 1 parameter: int"),
    ]


def test_repeated_statements_are_marked(db: Helper, watched: Watched) -> None:
    """Those of one text, with whatever values in it; each context counts for itself."""

    def view() -> None:
        with db as cursor:
            for number in range(3):
                cursor.execute(f"select name from tea where name = '{number}'")
            cursor.execute("select count(*) from tea")

    for _ in range(2):
        notes = [note for name, note in told(watched.run(view)) if name.startswith("select name")]
        assert notes == [
            "0 rows; no parameters",
            "repeated: 2nd time in this context; 0 rows; no parameters",
            "repeated: 3rd time in this context; 0 rows; no parameters",
        ]


def test_many_different_statements_are_counted_in_bounds(db: Helper, watched: Watched) -> None:
    """The first ones go on being counted."""

    def view() -> None:
        with mock.patch.object(statements, "COUNTED", 2):
            for column in "abcabc":
                db.fetchone(f"select 1 as {column}")

    notes = [note or "" for name, note in told(watched.run(view)) if name.startswith("select")]
    assert ["repeated" in note for note in notes] == [False, False, False, True, True, False]


def test_a_statement_that_fails_is_told_with_its_error(db: Helper, watched: Watched) -> None:
    """And the rollback after it."""

    def view() -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("insert into nowhere values (?)", 1)

    _, statement, rollback, _ = watched.run(view)
    assert (statement.outcome, statement.note) == ("raised", "1 parameter: int")
    assert statement.error is not None
    assert statement.error.type == "OperationalError"
    assert rollback.name == "rollback db"


def test_rows_that_fail_to_come_are_told(watched: Watched) -> None:
    """With the statement that they are of."""
    driver = Counted("fetchone")
    db = SqlHelper(driver.connect)

    def view() -> None:
        with contextlib.suppress(OSError), db as cursor:
            with mock.patch.object(type(cursor.driver), "rowcount", -1):
                cursor.execute("select 1")
            cursor.fetchone()

    events = watched.run(view)
    assert [(event.name, event.outcome) for event in events][1] == ("select ?", "raised")


def test_steps_that_fail_on_the_way_out_are_told(watched: Watched) -> None:
    """Though they are not raised."""
    db = SqlHelper(Counted("close cursor", "rollback", "close").connect)

    def view() -> None:
        with failing(db):
            pass

    assert [(event.name, event.outcome) for event in watched.run(view)] == [
        ("open db", "ok"),
        ("close a cursor", "raised"),
        ("rollback db", "raised"),
        ("close db", "raised"),
        ("close db", "raised"),
    ]


def test_a_connection_that_can_not_be_had_is_told(watched: Watched) -> None:
    """Where it was asked for."""
    db = SqlHelper(Counted("connect").connect, name="shop")

    def view() -> None:
        with contextlib.suppress(OSError):
            db.fetchone("select 1")

    [event] = watched.run(view)
    assert (event.name, event.outcome, event.note) == ("open shop", "raised", None)


def test_savepoints_are_told_by_the_lines_of_their_blocks(db: Helper, watched: Watched) -> None:
    """Begun, released, or rolled back to."""

    def view() -> None:
        with db:
            with db.transaction():
                pass
            with failing(db.transaction()):
                pass

    assert [event.name for event in watched.run(view)] == [
        "open db", "savepoint", "release savepoint", "savepoint", "rollback to savepoint of db",
        "commit db", "close db",
    ]  # fmt: skip


def test_parameters_are_told_to_who_may_see_values(db: Helper, watched: Watched) -> None:
    """Captured like anything of the user's: bounded, and without secrets that have a name."""

    def view() -> None:
        db.execute("insert into tea values (?)", "green")
        db.executemany("insert into tea values (:name)", [{"name": "oolong"}, {"name": "black"}])
        db.fetchall("select * from tea where name = :token and 1 = :n", {"token": "mint", "n": 1})
        db.fetchall("select ? as password, ?", "mint", 5)
        db.fetchall("select name from tea")

    events = [event for event in watched.run(view) if event.name[:6] in {"insert", "select"}]
    shown: list[t.Any] = [event.parameters for event in events]
    first, many, named, secret, none = shown
    assert first["$items"] == ["green"]
    assert many == [{"name": "oolong"}, {"name": "black"}]
    assert (named["n"], named["token"]["$hidden"]) == (1, 'name contains "token"')
    assert secret["$hidden"] == 'name contains "password"'
    assert none is None
    assert "mint" not in repr(watched.trace)


@pytest.mark.parametrize("may_see", [True, False])
def test_who_may_only_look_sees_the_shape_of_parameters(db: Helper, *, may_see: bool) -> None:
    """And neither pages nor JSON hold a value for them."""
    watched = Watched(CTXKIT_VALUES=may_see, CTXKIT_PAGES=True, CTXKIT_TOKEN="look-" + "a" * 32)
    watched.run(lambda: db.execute("insert into tea values (?)", "lapsang"))
    client = watched.app.test_client()
    asked = {"Authorization": f"Bearer {watched.app.config['CTXKIT_TOKEN']}"}
    for suffix in ("", ".json"):
        page = client.get(f"/_ctx/requests/{watched.trace.id}{suffix}", headers=asked)
        assert page.status_code == 200
        assert "1 parameter: str[7]" in page.text
        assert ("lapsang" in page.text) is may_see


def test_a_large_parameter_is_bounded(db: Helper, watched: Watched) -> None:
    """A file that is stored takes no more room than any captured text."""
    rows = [("x" * 100_000,)] * 1000
    events = watched.run(lambda: db.executemany("insert into tea values (?)", rows))
    assert len(json.dumps([event.parameters for event in events])) < 30_000


def test_no_secret_is_ever_told(db: Helper, watched: Watched) -> None:
    """Not as a parameter, in the text, in a comment, in a row, nor in what a server answers."""
    secret = "hunter2hunter2"

    class Token(str):
        __slots__ = ()

    def view() -> None:
        db.execute("insert into tea values (?)", secret)
        db.execute(f"insert into tea values ('{secret}') -- {secret}")
        db.execute(f"/* '{secret}' */ update tea set name = \"{secret}\"")
        db.executemany("insert into tea values (:name)", [{"name": secret}, {"name": secret}])
        db.fetchall("select * from tea where name = :token", {"token": secret})
        db.fetchall("select * from tea where name = ?", Token(secret))
        with contextlib.suppress(sqlite3.Error):
            db.execute(f"select 'it's {secret}'")

    events = watched.run(view)
    assert len(events) == 28
    page = watched.app.test_client().get(
        f"/_ctx/requests/{watched.trace.id}.json", environ_base={"REMOTE_ADDR": "127.0.0.1"}
    )
    assert secret not in repr(watched.trace)
    assert secret not in json.dumps(page.text)


def test_what_is_not_recorded_costs_no_step(db: Helper) -> None:
    """Outside of a context, in an app without a kit, and with tracing off."""
    with mock.patch.object(statements, "Statement", side_effect=AssertionError):
        assert db.fetchone("select 1") == (1,)
        with Flask(__name__).app_context():
            assert db.fetchone("select 1") == (1,)
        watched = Watched(CTXKIT_TRACE=False)
        with watched.app.app_context():
            assert db.fetchone("select 1") == (1,)
        assert len(watched.state.store) == 0


def test_watching_that_fails_hurts_nobody(db: Helper, watched: Watched, path: Path) -> None:
    """The failures are counted as the kit's own."""
    for number, step in enumerate(("text_of", "_times"), 1):
        broken = mock.patch.object(statements, step, side_effect=ZeroDivisionError)
        with broken, watched.app.app_context():
            db.execute("insert into tea values (?)", step)
        assert watched.failures == {"statement": number}
    assert names(path) == ["text_of", "_times"]


def test_a_command_and_a_script_are_told_too(db: Helper, watched: Watched) -> None:
    """Any context that is recorded."""
    with watched.app.app_context():
        db.fetchone("select 1")
    assert [event.name for event in watched.trace.events if event.phase == "resource"] == [
        "open db", "select ?", "commit db", "close db",
    ]  # fmt: skip


def test_a_live_context_shows_what_it_has_of_a_pool(db: Helper, watched: Watched) -> None:
    """With who asked, where, and since when."""
    seen: list[t.Any] = []

    def view() -> None:
        with db, db.cursor():
            seen.extend(watched.held())
        assert watched.held() == []

    watched.run(view)
    first = view.__code__.co_firstlineno
    assert [(row["resource"], row["state"], row["where"]) for row in seen] == [
        ("db", "open", f"resources/test_sql_trace.py:{first + 1}"),
        ("db", "open", f"resources/test_sql_trace.py:{first + 1}"),
    ]
    assert all(row["age_s"] >= 0 and row["unit"]["key"] for row in seen)


def test_a_live_context_shows_that_it_waits_for_a_pool(watched: Watched) -> None:
    """While it does; a connection that was refused is not waited for any more."""
    seen: list[t.Any] = []

    def connect() -> t.Any:
        seen.extend(watched.held())
        raise OSError("no route to host")

    def view() -> None:
        with contextlib.suppress(OSError):
            SqlHelper(connect, name="shop").execute("select 1")
        assert watched.held() == []

    watched.run(view)
    assert [(row["resource"], row["state"]) for row in seen] == [("shop", "opening")]


def test_a_connection_that_is_a_resource_is_shown_once(db: Helper) -> None:
    """As the resource."""
    watched = Watched(before=lambda kit: kit.resource("db", db.connection))

    def view() -> None:
        watched.made().cursor()
        assert [(row["resource"], row["state"]) for row in watched.held()] == [("db", "open")]

    watched.run(view)


def test_a_pool_that_fails_to_say_how_full_it_is_costs_nothing(watched: Watched) -> None:
    """It is unknown."""
    driver = Counted()
    db = SqlHelper(driver.connect)

    def view() -> None:
        with mock.patch.object(db._pool, "gauge", side_effect=ZeroDivisionError), db:
            assert str(db.status().pool) == "unknown"

    assert str(watched.run(view)[0].note).endswith("pool unknown")
    assert driver.open == 0


class DatabaseError(Exception):
    """A driver's."""


def test_an_error_of_the_driver_tells_no_value() -> None:
    """MariaDB quotes the entry that is there already, PostgreSQL the whole row."""
    connection = mock.MagicMock()
    cursor = connection.cursor.return_value
    cursor.execute.side_effect = DatabaseError(1062, "Duplicate entry 'Oolong' for key 'name'")
    db = SqlHelper(lambda: connection)
    watched = Watched()

    def insert() -> None:
        with contextlib.suppress(DatabaseError):
            db.execute("insert into tea values (%s)", "Oolong")

    [error] = [event.error for event in watched.run(insert) if event.error is not None]
    assert error.message == "<int>, Duplicate entry …"
