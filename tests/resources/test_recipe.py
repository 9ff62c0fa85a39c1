"""The forms in which a resource can be opened and closed."""

from __future__ import annotations

import functools
import sqlite3
import traceback
import typing as t
from contextlib import closing, contextmanager
from unittest.mock import MagicMock

import pytest
from flask import Flask

from flask_ctxkit import CtxKit, ResourceError

if t.TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: object, kind: type) -> None:
        """What mypy is asked with the real one, asked of the object."""
        assert type(value) is kind


Log = list[t.Any]


def make() -> tuple[Flask, CtxKit]:
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=False)
    return app, CtxKit(app)


class Thing:
    """What is opened; it notes how it was left."""

    def __init__(self, log: Log | None = None) -> None:
        self.log: Log = [] if log is None else log

    def __enter__(self) -> Thing:  # noqa: PYI034 - Python 3.10 has no Self
        self.log.append("entered")
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.log.append(type(error).__name__)
        return True

    def close(self) -> None:
        self.log.append("closed")


def fail(app: Flask, use: t.Callable[[], t.Any], error: Exception) -> Exception:
    """Let *error* end a context in which *use* was called, and return it."""

    def block() -> None:
        with app.app_context():
            use()
            raise error

    with pytest.raises(type(error)) as told:
        block()
    return told.value


def test_a_generator_gets_the_error_thrown_in() -> None:
    """So it can commit or roll back; and it may swallow the error, which still arrives."""
    app, kit = make()
    log: Log = []

    def open_it() -> t.Iterator[int]:
        try:
            yield 1
            log.append("commit")
        except ValueError as error:
            log.append(f"roll back {error}")

    number = kit.resource("number", open_it)
    with app.app_context():
        assert number() + 1 == 2
    fail(app, number, ValueError("no"))
    assert log == ["commit", "roll back no"]


def test_a_generator_that_hands_the_error_on_has_not_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is the context's error, and its traceback is not made longer."""
    app, kit = make()
    log: Log = []

    def open_it() -> t.Iterator[None]:
        try:
            yield
        finally:
            log.append("closed")

    error = fail(app, kit.resource("it", open_it), ValueError("no"))
    assert log == ["closed"]
    assert caplog.records == []
    assert "open_it" not in "".join(traceback.format_tb(error.__traceback__))


def test_a_close_that_hands_the_error_on_has_not_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One of a pair, and a context manager of the user's own: the error stays as it was."""
    app, kit = make()

    def hand_on(_: object, exc: BaseException | None) -> None:
        if exc is not None:
            raise exc

    class Strict(Thing):
        def __exit__(
            self, kind: object, error: BaseException | None, trace: object
        ) -> t.Literal[False]:
            hand_on(self, error)
            return False

    for use in (kit.resource("pair", object, hand_on), kit.resource("strict", Strict)):
        error = fail(app, use, ValueError("no"))
        assert "hand_on" not in "".join(traceback.format_tb(error.__traceback__))
    assert caplog.records == []
    resources = app.extensions["ctxkit"].resources
    assert [resources.tally(name).failed for name in ("pair", "strict")] == [0, 0]


@pytest.mark.parametrize("wrap", [lambda function: function, contextmanager])
def test_a_generator_that_yields_nothing_is_told(
    wrap: t.Callable[..., t.Any], caplog: pytest.LogCaptureFixture
) -> None:
    """By the resource's name and the place of its function; nothing is open."""
    app, kit = make()

    def open_never(ready: bool = False) -> t.Iterator[int]:
        if ready:
            yield 1

    never = kit.resource("never", functools.partial(wrap(open_never), ready=False))
    with app.app_context():
        for _ in range(2):
            with pytest.raises(ResourceError) as told:
                never()
    line = open_never.__code__.co_firstlineno
    assert str(told.value) == (
        f"never is opened by the generator {open_never.__qualname__} (resources/test_recipe.py:"
        f"{line}), which ended without a yield, so there is nothing to use. Write yield where the "
        "object is open, on every way through it, or raise what keeps it from opening."
    )
    assert told.value.evidence["where"] == f"resources/test_recipe.py:{line}"
    assert caplog.records == []


@pytest.mark.parametrize("wrap", [lambda function: function, contextmanager])
@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_a_generator_that_yields_twice_is_told(
    error: Exception | None, wrap: t.Callable[..., t.Any], caplog: pytest.LogCaptureFixture
) -> None:
    """When it is closed, which masks no error; and what stands behind is still run."""
    app, kit = make()
    log: Log = []

    def open_twice() -> t.Iterator[int]:
        try:
            yield 1
        except ValueError:
            log.append("caught")
        try:
            yield 2
        finally:
            log.append("closed")

    twice = kit.resource("twice", wrap(open_twice))
    if error is None:
        with app.app_context():
            assert twice() == 1
    else:
        fail(app, twice, error)
    assert log == ["closed"] if error is None else ["caught", "closed"]
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ResourceError)
    line = open_twice.__code__.co_firstlineno
    assert str(record.exc_info[1]) == (
        f"twice is opened by the generator {open_twice.__qualname__} (resources/test_recipe.py:"
        f"{line}), which yields a second time, and nobody asks for that object. Write one yield, "
        "with what closes the object behind it; of yields on different ways, return after each."
    )


def test_a_runtime_error_of_a_generator_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Also one that says what contextlib's would; and StopIteration is an error like others."""
    app, kit = make()

    def fails() -> t.Iterator[int]:
        raise RuntimeError("generator didn't yield")
        yield 1

    def fails_behind() -> t.Iterator[int]:
        yield 1
        raise RuntimeError("generator didn't stop")

    def hands_on() -> t.Iterator[int]:
        yield 1

    with app.app_context():
        with pytest.raises(RuntimeError, match=r"^generator didn't yield$"):
            kit.resource("fails", fails)()
        kit.resource("behind", fails_behind)()
    assert "RuntimeError: generator didn't stop" in caplog.text
    caplog.clear()
    fail(app, kit.resource("hands on", hands_on), StopIteration(1))
    assert caplog.records == []


def test_a_context_manager_is_entered_and_left() -> None:
    """Made by a class, by a function, or by ``contextmanager``; it can't hide the error."""
    app, kit = make()
    log: Log = []
    thing = kit.resource("thing", lambda: Thing(log))
    of_class = kit.resource("of_class", Thing)

    @contextmanager
    def managed() -> t.Iterator[str]:
        log.append("managed")
        yield "inside"

    inside = kit.resource("inside", managed)
    closed = kit.resource("closed", lambda: closing(Thing(log)))

    def use() -> None:
        assert isinstance(thing(), Thing)
        assert of_class().log == ["entered"]
        assert inside().upper() == "INSIDE"
        assert closed().log is log

    fail(app, use, ValueError("no"))
    assert log == ["entered", "managed", "closed", "ValueError"]


def test_a_pair_is_not_entered() -> None:
    """Who gives a close says all about it."""
    app, kit = make()
    log: Log = []
    thing = kit.resource("thing", lambda: Thing(log), Thing.close)
    with app.app_context():
        thing()
    assert log == ["closed"]


def test_the_close_of_a_pair_is_told_what_it_takes() -> None:
    """The error where it needs a second argument or calls it ``exc``; else the object alone."""
    app, kit = make()
    log: Log = []

    def needs(thing: object, why: BaseException | None) -> None:
        log.append(("needs", type(why).__name__))

    def named(thing: object, exc: BaseException | None = None) -> None:
        log.append(("named", type(exc).__name__))

    def waits(thing: object, timeout: float = 5) -> None:
        log.append(("waits", timeout))

    def many(*things: object) -> None:
        log.append(("many", len(things)))

    pairs = [kit.resource(close.__name__, object, close) for close in (needs, named, waits, many)]
    pairs.append(kit.resource("partial", object, functools.partial(named)))
    clear: t.Any = list.clear  # in C, which tells its arguments or does not
    pairs.append(kit.resource("c", list, clear))

    def use() -> None:
        for pair in pairs:
            pair()

    fail(app, use, ValueError("no"))
    assert log == [
        ("named", "ValueError"), ("many", 1), ("waits", 5), ("named", "ValueError"),
        ("needs", "ValueError"),
    ]  # fmt: skip


def test_it_is_of_the_type_that_is_opened() -> None:
    """For mypy too, however it is opened and closed."""
    app, kit = make()

    def generate() -> t.Iterator[Thing]:
        yield Thing()

    @contextmanager
    def manage() -> t.Iterator[Thing]:
        yield Thing()

    def close(thing: Thing, exc: BaseException | None) -> None:
        thing.close()

    generated, managed = kit.resource("generated", generate), kit.resource("managed", manage)
    entered, alone = kit.resource("entered", Thing), kit.resource("alone", lambda: [1])
    pair, told = kit.resource("pair", Thing, Thing.close), kit.resource("told", Thing, close)
    brief = kit.resource("brief", Thing, lambda thing: thing.close(), lambda thing: thing.log)
    both = kit.resource("both", Thing, lambda thing, exc: thing.close())
    with app.app_context():
        assert_type(generated(), Thing)
        assert_type(managed(), Thing)
        assert_type(entered(), Thing)
        assert type(alone()) is list
        assert_type(pair(), Thing)
        assert_type(told(), Thing)
        assert_type(brief(), Thing)
        assert_type(both(), Thing)


def test_what_needs_no_closing_is_only_dropped() -> None:
    """A plain object of a class."""
    app, kit = make()
    numbers = kit.resource("numbers", list[int])
    with app.app_context():
        numbers().append(1)
        assert numbers() == [1]
    with app.app_context():
        assert numbers() == []


def test_a_connection_whose_block_only_commits_is_refused() -> None:
    """``with`` over a connection of sqlite3 does not close it: it would be lost."""
    app, kit = make()
    lost = kit.resource("lost", lambda: sqlite3.connect(":memory:"))
    kept = kit.resource("kept", lambda: sqlite3.connect(":memory:"), sqlite3.Connection.close)
    with app.app_context():
        with pytest.raises(ResourceError, match=r"close=Connection\.close"):
            lost()
        connection = kept()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_what_can_not_work_is_refused_when_it_is_registered() -> None:
    """Coroutines, a generator with a close, and a name that is taken."""
    _, kit = make()

    async def coroutine() -> int:
        return 1

    async def async_generator() -> t.AsyncIterator[int]:
        yield 1

    def generator() -> t.Iterator[int]:
        yield 1

    for wrong in (coroutine, async_generator):
        with pytest.raises(ResourceError, match="coroutine function"):
            kit.resource("wrong", wrong)
    with pytest.raises(ResourceError, match="after the yield"):
        kit.resource("wrong", generator, print)
    kit.resource("taken", object)
    with pytest.raises(ResourceError, match="Choose another name"):
        kit.resource("taken", object)
    assert repr(kit.resource("wrong", object)) == "<Resource 'wrong'>"


# ------------------------------------------------------------------------------ stand-ins


def test_a_value_stands_in() -> None:
    """Also one that can be called; for contexts that are open already, and until the end."""
    app, kit = make()
    number = kit.resource("number", lambda: 1)
    mock = MagicMock()
    with app.app_context():
        assert number() == 1
        with number.override(2):
            assert number() == 2
            with number.override(mock):
                assert number() is mock
            assert number() == 2
        assert number() == 1
    mock.assert_not_called()


def test_a_factory_stands_in() -> None:
    """Called once per context, and closed like the real one; not entered by itself."""
    app, kit = make()
    log: Log = []
    thing: t.Any = kit.resource("thing", object)

    def generator() -> t.Iterator[str]:
        yield "made"
        log.append("end")

    with thing.override(lambda: Thing(log)), app.app_context():
        assert thing() is thing()
    assert log == []
    with thing.override(lambda: Thing(log), Thing.close), app.app_context():
        thing()
    assert log == ["closed"]
    with thing.override(generator), app.app_context():
        assert thing() == "made"
    assert log == ["closed", "end"]


def test_a_stand_in_goes_when_its_block_fails() -> None:
    """And what it opened is closed by its context."""
    app, kit = make()
    number = kit.resource("number", lambda: 1)

    def block() -> None:
        with number.override(2):
            raise ValueError

    with pytest.raises(ValueError):
        block()
    with app.app_context():
        assert number() == 1


def test_stand_ins_that_end_in_another_order() -> None:
    """Fixtures do: each takes away only its own."""
    app, kit = make()
    number = kit.resource("number", lambda: 1)
    first, second = number.override(2), number.override(3)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with app.app_context():
        assert number() == 3
        second.__exit__(None, None, None)
        assert number() == 1
