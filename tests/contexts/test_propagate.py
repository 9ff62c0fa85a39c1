"""Work that runs elsewhere has a fresh context of its own, at each call."""

from __future__ import annotations

import functools
import gc
import itertools
import threading
import typing as t
import weakref
from contextlib import nullcontext

import pytest
from flask import (
    Flask,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_ctxkit import CtxKit, CtxKitError, OutsideContextError, propagate, unwrap
from flask_ctxkit.internals import app_stack, current_app_context, request_stack

KINDS = ["no kit", "tracing off", "tracing on"]


def make(kind: str = "tracing on", **config: t.Any) -> Flask:
    app = Flask("shop")
    app.config.update({"SECRET_KEY": "a key of more than thirty-two characters", **config})
    if kind != "no kit":
        app.config["CTXKIT_TRACE"] = kind == "tracing on"
        CtxKit(app)
    return app


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest) -> Flask:
    """Not named app: pytest-flask would push a request of it around each test."""
    return make(request.param)


def in_thread(work: t.Callable[[], t.Any]) -> t.Any:
    """What *work* returns in a new thread; what it raises is raised here."""
    done: list[t.Any] = []

    def run() -> None:
        try:
            done.append((True, work()))
        except BaseException as error:
            done.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    ((well, value),) = done
    if well:
        return value
    raise value


def view(shop: Flask, function: t.Callable[[], t.Any]) -> t.Any:
    """What *function* returns in a view of *app*."""
    answers: list[t.Any] = []

    @shop.get("/made")
    def made() -> str:
        answers.append(function())
        return "made"

    assert shop.test_client().get("/made").status_code == 200
    return answers[0]


def test_a_call_elsewhere_has_the_app_and_the_request(shop: Flask) -> None:
    def work() -> tuple[str, str]:
        return current_app.name, request.path

    assert view(shop, lambda: in_thread(propagate(work))) == ("shop", "/made")


def test_arguments_and_the_result_pass_through(shop: Flask) -> None:
    def add(one: int, /, *, two: int) -> int:
        return one + two

    with shop.app_context():
        added = propagate(add)
    assert in_thread(lambda: added(1, two=2)) == 3
    assert added.__name__ == "add"


def test_an_error_passes_through_as_it_is(shop: Flask) -> None:
    error = ValueError("mine")

    def fail() -> None:
        raise error

    with shop.app_context():
        work = propagate(fail)
    with pytest.raises(ValueError, match="mine") as caught:
        in_thread(work)
    assert caught.value is error


def test_each_call_has_a_g_of_its_own(shop: Flask) -> None:
    """Also at the same moment."""
    barrier = threading.Barrier(8)

    def count(number: int) -> tuple[int, int]:
        assert not [*g]
        g.number = number
        barrier.wait(10)
        return number, g.number

    def spread() -> list[tuple[int, int]]:
        done: list[tuple[int, int]] = []
        work = propagate(count)
        threads = [threading.Thread(target=lambda n=n: done.append(work(n))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return sorted(done)

    assert view(shop, spread) == [(n, n) for n in range(8)]


def test_one_callable_serves_any_number_of_calls(shop: Flask) -> None:
    with shop.test_request_context("/cart"):
        work = propagate(lambda: request.path)
    assert [in_thread(work) for _ in range(5)] == ["/cart"] * 5


def test_it_runs_after_the_request_has_ended(shop: Flask) -> None:
    work = view(shop, lambda: propagate(lambda: (request.path, current_app.name)))
    assert not has_app_context()
    assert in_thread(work) == ("/made", "shop")
    assert work() == ("/made", "shop")


def test_nothing_is_left_on_the_thread(shop: Flask) -> None:
    """Not even what the work itself pushed and forgot."""

    def forgetful() -> None:
        shop.app_context().push()

    def both() -> tuple[bool, bool]:
        with pytest.raises((AssertionError, RuntimeError)):
            work()
        return has_app_context(), has_request_context()

    with shop.test_request_context():
        work = propagate(forgetful)
    assert in_thread(both) == (False, False)


def test_in_the_same_thread_the_contexts_around_it_are_untouched(shop: Flask) -> None:
    with shop.test_request_context("/outer"):
        g.mine = 1
        before = (app_stack(), request_stack())

        def inside() -> tuple[bool, int, int]:
            g.mine = 2
            return request.path == "/outer", len(app_stack()), len(request_stack())

        assert propagate(inside)() == (True, 1, 1)
        assert (app_stack(), request_stack()) == before
        assert g.mine == 1


def test_calls_may_stand_inside_one_another(shop: Flask) -> None:
    def outer() -> list[str]:
        g.name = "outer"
        return [*propagate(inner)(), g.name]

    def inner() -> list[str]:
        assert "name" not in g
        g.name = "inner"
        return [request.path, g.name]

    with shop.test_request_context("/x"):
        work = propagate(outer)
    assert in_thread(work) == ["/x", "inner", "outer"]


# ---------------------------------------------------------------------------------- g


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ("none", {}),
        ("copy", {"user": "ada", "cart": [1]}),
        (["user"], {"user": "ada"}),
        (("user", "missing"), {"user": "ada"}),
        ([], {}),
    ],
)
def test_g_begins_with_what_was_asked_for(
    shop: Flask, wanted: t.Any, seen: dict[str, t.Any]
) -> None:
    """What is not set here is not set there."""

    def work() -> dict[str, t.Any]:
        return {name: g.get(name) for name in g}

    with shop.app_context():
        g.user, g.cart = "ada", [1]
        assert in_thread(propagate(work, g=wanted)) == seen


def test_what_g_holds_later_is_not_taken_along(shop: Flask) -> None:
    with shop.app_context():
        g.user = "ada"
        work = propagate(lambda: g.user, g="copy")
        g.user = "bob"
        assert in_thread(work) == "ada"


def test_a_copy_of_g_is_shallow(shop: Flask) -> None:
    """The objects are the parent's, so a change inside one is seen there."""
    with shop.app_context():
        g.cart = []
        in_thread(propagate(lambda: g.cart.append(1), g="copy"))
        assert g.cart == [1]


def test_what_the_kit_keeps_on_g_stays(shop: Flask) -> None:
    with shop.app_context():
        setattr(g, "_ctxkit", object())  # noqa: B010  # as the kit does
        assert in_thread(propagate(lambda: [*g], g="copy")) == []
        assert in_thread(propagate(lambda: [*g], g=["_ctxkit"])) == []


@pytest.mark.parametrize(
    "wrong", [{"g": "user"}, {"request": "copy"}, {"request": ["a"]}, {"g": None}]
)
def test_a_wrong_option_is_an_error_that_says_what_to_write(
    shop: Flask, wrong: dict[str, t.Any]
) -> None:
    with shop.test_request_context(), pytest.raises(CtxKitError, match="Write"):
        propagate(print, **wrong)


@settings(deadline=None)
@given(
    values=st.dictionaries(st.sampled_from("abcdef"), st.integers(), max_size=6),
    names=st.sets(st.sampled_from("abcdefgh")),
)
def test_names_of_g_are_taken_along_exactly(values: dict[str, int], names: set[str]) -> None:
    """For any g and any names: those that are set and asked for."""
    plain = make("no kit")
    with plain.app_context():
        for name, value in values.items():
            setattr(g, name, value)
        found = propagate(lambda: {name: g.get(name) for name in g}, g=names)()
    assert found == {name: values[name] for name in values if name in names}


# --------------------------------------------------------------------------- teardown


def closing(shop: Flask) -> list[str]:
    """What the app's teardown functions did."""
    done: list[str] = []

    @shop.teardown_appcontext
    def close(error: BaseException | None) -> None:
        done.append(f"close {g.pop('db', None)} {type(error).__name__}")

    @shop.teardown_request
    def end(error: BaseException | None) -> None:
        done.append(f"end {request.path}")

    return done


def test_teardown_functions_run_at_the_end_of_each_call(shop: Flask) -> None:
    done = closing(shop)

    def work() -> None:
        g.db = "mine"

    with shop.test_request_context("/x"):
        propagated = propagate(work)
        for _ in range(2):
            in_thread(propagated)
        assert done == ["end /x", "close mine NoneType"] * 2


def test_teardown_functions_hear_of_the_error(shop: Flask) -> None:
    done = closing(shop)

    def work() -> None:
        raise ValueError("mine")

    with shop.app_context():
        propagated = propagate(work)
    done.clear()
    with pytest.raises(ValueError, match="mine"):
        in_thread(propagated)
    assert done == ["close None ValueError"]


def test_teardown_functions_dont_close_what_is_the_parents(shop: Flask) -> None:
    """A connection on a copied g is still open for the request; the call's own is closed."""
    done = closing(shop)

    def reads() -> str:
        return str(g.db)

    def replaces() -> None:
        g.db = "the call's"

    with shop.app_context():
        g.db = "the parent's"
        assert in_thread(propagate(reads, g="copy")) == "the parent's"
        assert done == ["close None NoneType"]
        in_thread(propagate(replaces, g=["db"]))
        assert done[1:] == ["close the call's NoneType"]
        assert g.db == "the parent's"


def test_teardown_functions_can_be_left_out(shop: Flask) -> None:
    done = closing(shop)
    seen: list[str] = []
    popped = lambda *_, **__: seen.append("popped")
    tearing = lambda *_, **__: seen.append("tearing")
    pushed = lambda *_, **__: seen.append("pushed")

    def work() -> None:
        g.db = "open"

    with (
        shop.test_request_context(),
        appcontext_popped.connected_to(popped, shop),
        appcontext_tearing_down.connected_to(tearing, shop),
        appcontext_pushed.connected_to(pushed, shop),
    ):
        in_thread(propagate(work, teardown=False))
        in_thread(propagate(work, request="none", teardown=False))
        assert done == []
        assert seen == ["pushed", "popped"] * 2


def test_without_teardown_an_error_passes_through_as_well(shop: Flask) -> None:
    def work() -> None:
        raise ValueError("mine")

    with shop.test_request_context():
        propagated = propagate(work, teardown=False)
    with pytest.raises(ValueError, match="mine"):
        propagated()
    assert current_app_context(None) is None


def test_an_error_of_a_teardown_function_is_the_calls(shop: Flask) -> None:
    @shop.teardown_appcontext
    def broken(error: BaseException | None) -> None:
        if "mine" in g:
            raise RuntimeError("broken teardown")

    def work() -> None:
        g.mine = True

    with shop.app_context():
        propagated = propagate(work)
    # Flask 3.2 collects the errors of teardown functions in a group.
    with pytest.raises(Exception, match=r"broken teardown|during context teardown"):
        in_thread(propagated)
    assert in_thread(has_app_context) is False


class Node(t.NamedTuple):
    """A call in a tree of calls, each of which starts the next."""

    elsewhere: bool
    snapshot: bool
    teardown: bool
    fails: bool
    inner: list[t.Any]


NODES = st.recursive(
    st.builds(Node, *[st.booleans()] * 4, st.just([])),
    lambda inner: st.builds(Node, *[st.booleans()] * 4, st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(nodes=st.lists(NODES, max_size=3))
@settings(deadline=None)
@pytest.mark.parametrize("kind", KINDS)
def test_any_tree_of_calls_ends_each_context_once(kind: str, nodes: list[Node]) -> None:
    """Inner before outer, with the error that ended it, and untouched by the others."""
    shop = make(kind)
    closed: list[int] = []
    expected: list[int] = []
    serials = itertools.count()

    @shop.teardown_appcontext
    def close(error: BaseException | None) -> None:
        assert g.failed is (error is not None)
        closed.append(g.serial)

    def call(node: Node) -> None:
        assert [*g] == []
        serial = g.serial = next(serials)
        g.failed = node.fails
        start(node.inner)
        assert g.serial == serial
        if node.teardown:
            expected.append(serial)
        if node.fails:
            raise ValueError(str(serial))

    def start(inner: list[Node]) -> None:
        for node in inner:
            how: t.Any = "snapshot" if node.snapshot else "none"
            work = propagate(call, request=how, teardown=node.teardown)
            before = app_stack(), request_stack()
            with pytest.raises(ValueError, match=r"\d") if node.fails else nullcontext():
                in_thread(functools.partial(work, node)) if node.elsewhere else work(node)
            assert (app_stack(), request_stack()) == before

    with shop.test_request_context():
        g.serial, g.failed = next(serials), False
        start(nodes)
    assert closed == [*expected, 0]
    assert app_stack() == []
    if kind == "tracing on":
        kit = shop.extensions["ctxkit"]
        assert kit.recorder.cost()["failures"] == []
        assert kit.registry.contexts() == []
        assert kit.recorder.finished == next(serials)


# -------------------------------------------------------------------- with no request


def test_without_a_request_there_is_none_there(shop: Flask) -> None:
    with shop.app_context():
        work = propagate(lambda: (has_app_context(), has_request_context()))
    assert in_thread(work) == (True, False)


def test_the_request_can_be_left_behind(shop: Flask) -> None:
    """Also in the request's own thread, where Flask's variables still hold it."""

    def work() -> tuple[bool, bool, bool]:
        return has_app_context(), has_request_context(), bool(request)

    with shop.test_request_context():
        propagated = propagate(work, request="none")
        assert in_thread(propagated) == (True, False, False)
        assert propagated() == (True, False, False)


def test_a_request_of_another_app_is_none_of_this_ones(shop: Flask) -> None:
    """Before Flask 3.2 it is seen through the context of the app inside."""
    other = Flask("other")
    with shop.test_request_context(), other.app_context():
        work = propagate(lambda: (current_app.name, has_request_context()))
        assert in_thread(work) == ("other", False)


@pytest.mark.parametrize("teardown", [True, False])
def test_a_call_leaves_no_cycles(teardown: bool) -> None:
    """What it used is freed at its end, not by the cyclic collector some day."""
    shop = make("no kit")
    requests: list[weakref.ref[t.Any]] = []

    def work() -> None:
        requests.append(weakref.ref(unwrap(request)))

    with shop.test_request_context():
        propagated = propagate(work, teardown=teardown)
        gc.disable()
        try:
            propagated()
            assert requests[0]() is None
        finally:
            gc.enable()


# ---------------------------------------------------------------------------- refusals


def test_outside_of_a_context_it_says_where_to_call_it() -> None:
    with pytest.raises(OutsideContextError, match="not as a decorator of a module's function"):
        propagate(print)


def test_a_generator_function_is_refused(shop: Flask) -> None:
    """Its body would run after the context ended."""

    def lines() -> t.Iterator[str]:
        yield "x"

    async def items() -> t.AsyncIterator[str]:
        yield "x"

    with shop.app_context():
        for generator in (lines, items):
            with pytest.raises(CtxKitError, match="is a generator function"):
                propagate(generator)


class Sender:
    """Callable, and with a method."""

    def __call__(self) -> str:
        return request.path

    def send(self, what: str) -> str:
        return what + request.path


def test_any_callable_is_taken(shop: Flask) -> None:
    sender = Sender()
    with shop.test_request_context("/x"):
        assert in_thread(propagate(sender)) == "/x"
        assert in_thread(propagate(functools.partial(sender.send, "to "))) == "to /x"
        assert in_thread(functools.partial(propagate(sender.send), "to ")) == "to /x"
        assert in_thread(propagate(lambda: request.path)) == "/x"


def test_the_app_can_be_collected_when_the_work_is_gone() -> None:
    """Nothing but the callable holds it."""
    app = make("no kit")
    with app.test_request_context():
        work = propagate(lambda: None)
    work()
    reference = weakref.ref(app)
    del app, work
    gc.collect()
    assert reference() is None
