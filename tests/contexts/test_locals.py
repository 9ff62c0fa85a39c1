"""Local and LocalStack: Werkzeug's behaviour, and the listing of every unit's storage."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import types
import typing as t
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import greenlet
import pytest
import werkzeug.local
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalManager, release_local

from flask_ctxkit.contexts import locals as locals_module
from flask_ctxkit.contexts.locals import Local, LocalProxy, LocalStack, locals_by_name, unwrap
from flask_ctxkit.errors import CtxKitError
from flask_ctxkit.units import current_unit


class Thing:
    """Something that can be watched dying."""


def in_thread(function: t.Callable[[], t.Any]) -> t.Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.fixture
def parked() -> t.Iterator[t.Callable[[t.Callable[[], object]], str]]:
    """Run a function in a thread that then waits; what comes back is the thread's unit key."""
    done = threading.Event()
    threads: list[threading.Thread] = []

    def park(function: t.Callable[[], object]) -> str:
        ready = threading.Event()
        keys: list[str] = []

        def run() -> None:
            function()
            keys.append(current_unit().key)
            ready.set()
            done.wait(20)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        assert ready.wait(10)
        return keys[0]

    park.done = done  # type: ignore[attr-defined]
    park.threads = threads  # type: ignore[attr-defined]
    yield park
    done.set()
    for thread in threads:
        thread.join()


# Werkzeug's behaviour

NAMES = st.sampled_from(["a", "b", "all", "_set", "push"])
LOCAL_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), NAMES, st.integers()),
        st.tuples(st.just("get"), NAMES),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("list")),
        st.tuples(st.just("release")),
        st.tuples(st.just("proxy"), NAMES),
        st.tuples(st.just("inner"), st.just("")),
    ),
    max_size=25,
)


def local_step(local: werkzeug.local.Local, step: t.Sequence[t.Any]) -> t.Any:
    match step:
        case ("set", name, value):
            return setattr(local, name, value)
        case ("get", "all"):
            # The one name that answers here and not there: for what is not stored.
            return dict(local).get("all", "nothing")
        case ("get", name):
            return getattr(local, name)
        case ("delete", name):
            return delattr(local, name)
        case ("list",):
            return list(local)
        case ("release",):
            return release_local(local)
        case ("proxy", "all"):
            return None
        case ("proxy", name):
            return unwrap(local(name))
    raise AssertionError(step)


STACK_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.one_of(st.none(), st.integers(), st.text(max_size=2))),
        st.tuples(st.just("pop")),
        st.tuples(st.just("top")),
        st.tuples(st.just("release")),
        st.tuples(st.just("proxy")),
        st.tuples(st.just("inner")),
    ),
    max_size=25,
)


def stack_step(stack: werkzeug.local.LocalStack[t.Any], step: t.Sequence[t.Any]) -> t.Any:
    match step:
        case ("push", value):
            return list(stack.push(value))
        case ("pop",):
            return stack.pop()
        case ("top",):
            return stack.top
        case ("release",):
            return release_local(stack)
        case ("proxy",):
            return unwrap(stack())
    raise AssertionError(step)


def results(run: t.Callable[[t.Any], t.Any], steps: t.Sequence[t.Any]) -> list[t.Any]:
    """What each step gives; after "inner" the rest runs in a copied context, then again here."""
    found: list[t.Any] = []
    for index, step in enumerate(steps):
        if step[0] == "inner":
            rest = steps[index + 1 :]
            found.append(contextvars.copy_context().run(results, run, rest[:5]))
            continue
        try:
            found.append(run(step))
        except (AttributeError, RuntimeError) as error:
            found.append((type(error), str(error)))
    return found


@given(LOCAL_STEPS)
def test_any_sequence_of_steps_on_a_local_gives_what_werkzeugs_gives(
    steps: list[tuple[t.Any, ...]],
) -> None:
    def in_own_context(local: werkzeug.local.Local) -> list[t.Any]:
        return contextvars.Context().run(results, partial(local_step, local), steps)

    assert in_own_context(Local()) == in_own_context(werkzeug.local.Local())


@given(STACK_STEPS)
def test_any_sequence_of_steps_on_a_stack_gives_what_werkzeugs_gives(
    steps: list[tuple[t.Any, ...]],
) -> None:
    def in_own_context(stack: werkzeug.local.LocalStack[t.Any]) -> list[t.Any]:
        return contextvars.Context().run(results, partial(stack_step, stack), steps)

    assert in_own_context(LocalStack()) == in_own_context(werkzeug.local.LocalStack())


@given(LOCAL_STEPS)
def test_the_listing_says_what_the_unit_itself_reads(steps: list[tuple[t.Any, ...]]) -> None:
    local = Local()

    def play() -> tuple[t.Any, t.Any]:
        results(partial(local_step, local), steps)
        return dict(local), Local.all(local)

    own, listed = contextvars.Context().run(play)
    assert listed == ({current_unit().key: own} if own else {})


@given(STACK_STEPS)
def test_the_listing_says_what_is_on_the_units_own_stack(steps: list[tuple[t.Any, ...]]) -> None:
    stack: LocalStack[t.Any] = LocalStack()

    def play() -> t.Any:
        results(partial(stack_step, stack), steps)
        listed = stack.all()
        rest: list[t.Any] = []
        while stack.all():
            rest.insert(0, stack.pop())
        return listed, rest

    listed, rest = contextvars.Context().run(play)
    assert listed == ({current_unit().key: rest} if rest else {})


def test_our_classes_are_werkzeugs_and_our_proxy_is_its_own() -> None:
    assert issubclass(Local, werkzeug.local.Local)
    assert issubclass(LocalStack, werkzeug.local.LocalStack)
    assert LocalProxy is werkzeug.local.LocalProxy


def test_what_werkzeug_has_for_locals_works_on_ours() -> None:
    local, stack = Local(), LocalStack[int]()
    local.user, _ = "ada", stack.push(1)
    manager = LocalManager([local, stack])
    assert local("user") == "ada"
    assert stack() == 1
    manager.cleanup()
    assert (list(local), stack.top) == ([], None)
    with pytest.raises(RuntimeError, match="no user here"):
        str(local("user", unbound_message="no user here"))


def test_a_context_variable_of_the_users_is_stored_in_and_read_from() -> None:
    var: contextvars.ContextVar[dict[str, t.Any]] = contextvars.ContextVar("mine")
    var.set({"set": "by hand"})
    local = Local(var)
    assert local.set == "by hand"
    assert local.all() == {current_unit().key: {"set": "by hand"}}
    local.more = 1
    assert var.get() == {"set": "by hand", "more": 1}


def test_two_locals_on_one_context_variable_see_each_others_values() -> None:
    var: contextvars.ContextVar[list[int]] = contextvars.ContextVar("shared")
    one, two = LocalStack(var), LocalStack(var)
    one.push(1)
    two.push(2)
    assert one.all() == two.all() == {current_unit().key: [1, 2]}


def test_a_subclass_with_its_own_arguments_works() -> None:
    class Named(Local):
        __slots__ = ("_title",)

        def __init__(self, title: str) -> None:
            super().__init__()
            object.__setattr__(self, "_title", title)

    named = Named("cart")
    named.size = 3
    assert (named._title, named.size) == ("cart", 3)
    assert named._ctxkit_made_in == __name__


def test_all_can_be_stored_as_any_name() -> None:
    local = Local()
    local.all = "the user's own"  # type: ignore[assignment, method-assign, unused-ignore]
    stored: object = local.all
    assert stored == "the user's own"
    assert Local.all(local) == {current_unit().key: {"all": "the user's own"}}
    del local.all
    assert local.all() == {}


# The listing


def test_every_thread_stands_with_its_own_values(
    parked: t.Callable[[t.Callable[[], object]], str],
) -> None:
    local, stack = Local(), LocalStack[str]()
    local.user = "main"

    def work(name: str) -> None:
        local.user = name
        stack.push(name)
        stack.push(name.upper())

    keys = {name: parked(partial(work, name)) for name in ("ada", "bob")}
    assert local.all() == {
        current_unit().key: {"user": "main"},
        keys["ada"]: {"user": "ada"},
        keys["bob"]: {"user": "bob"},
    }
    assert stack.all() == {keys["ada"]: ["ada", "ADA"], keys["bob"]: ["bob", "BOB"]}


def test_what_is_listed_is_a_copy() -> None:
    local, stack = Local(), LocalStack[int]()
    local.x = 1
    stack.push(1)
    local.all()[current_unit().key]["x"] = 2
    stack.all()[current_unit().key].append(2)
    assert (local.x, stack.top) == (1, 1)


def test_popping_the_last_item_returns_it_and_leaves_nothing_stored() -> None:
    stack = LocalStack[Thing]()
    stack.push(Thing())
    dying = weakref.ref(stack.top)
    item = stack.pop()
    assert item is dying()
    assert stack.all() == {}
    assert stack.pop() is None
    del item
    assert dying() is None, "the storage still holds what was popped"


def test_deleting_the_last_name_takes_the_unit_off_the_list() -> None:
    local = Local()
    local.x = 1
    del local.x
    assert local.all() == {}
    with pytest.raises(AttributeError):
        del local.x


def test_none_on_the_stack_is_an_item() -> None:
    stack = LocalStack[None]()
    stack.push(None)
    assert stack.all() == {current_unit().key: [None]}
    assert stack.pop() is None
    assert stack.all() == {}


def test_a_dead_thread_vanishes_with_what_it_held() -> None:
    local, stack = Local(), LocalStack[Thing]()
    dying: list[weakref.ref[Thing]] = []

    def work() -> None:
        local.thing = Thing()
        stack.push(Thing())
        dying.extend([weakref.ref(local.thing), weakref.ref(stack.top)])  # type: ignore[arg-type]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    gc.collect()
    assert (local.all(), stack.all()) == ({}, {})
    assert [ref() for ref in dying] == [None, None]


def test_what_is_overwritten_is_let_go_at_once_without_the_collector() -> None:
    local = Local()
    local.thing = Thing()
    dying = weakref.ref(local.thing)
    gc.disable()
    try:
        local.thing = None
        assert dying() is None
    finally:
        gc.enable()


def test_nothing_piles_up_over_many_writes() -> None:
    local, stack = Local(), LocalStack[int]()
    for number in range(1000):
        local.x = number
        stack.push(number)
        stack.pop()
    assert len(local._Local__units) == 1
    assert len(stack._LocalStack__units) == 0  # type: ignore[attr-defined]


def test_a_left_context_vanishes_and_the_units_own_storage_stands_again() -> None:
    local = Local()
    local.where = "outside"

    def inside() -> dict[str, dict[str, t.Any]]:
        local.where = "inside"
        return local.all()

    assert contextvars.copy_context().run(inside) == {current_unit().key: {"where": "inside"}}
    assert local.all() == {current_unit().key: {"where": "outside"}}
    assert in_thread(local.all) == {current_unit().key: {"where": "outside"}}


def test_a_task_that_inherits_changes_only_its_own_copy() -> None:
    local, stack = Local(), LocalStack[str]()

    async def child() -> t.Any:
        inherited = local.user, stack.top
        local.user = "child"
        stack.push("child")
        await asyncio.sleep(0)
        return inherited, local.user, stack.top, current_unit().key

    async def main() -> None:
        local.user = "parent"
        stack.push("parent")
        task = asyncio.create_task(child())
        await asyncio.sleep(0)
        key = next(key for key in local.all() if key != current_unit().key)
        assert local.all()[key] == {"user": "child"}
        assert local.all()[current_unit().key] == {"user": "parent"}
        assert stack.all() == {current_unit().key: ["parent"], key: ["parent", "child"]}
        assert await task == (("parent", "parent"), "child", "child", key)
        assert (local.user, stack.top) == ("parent", "parent")
        gc.collect()
        assert set(local.all()) == {current_unit().key}

    asyncio.run(main())
    gc.collect()
    assert (local.all(), stack.all()) == ({}, {})


def test_a_task_that_only_inherits_is_listed_for_itself_and_else_under_the_writer() -> None:
    local = Local()

    async def child() -> dict[str, dict[str, t.Any]]:
        return {**local.all(), "me": current_unit().key}  # type: ignore[dict-item]

    async def main() -> None:
        local.user = "parent"
        seen = await asyncio.create_task(child())
        me = seen.pop("me")
        assert seen == {current_unit().key: {"user": "parent"}, me: {"user": "parent"}}
        assert set(local.all()) == {current_unit().key}

    asyncio.run(main())


def test_what_a_unit_released_is_not_its_own_although_a_copied_context_still_holds_it() -> None:
    local, stack = Local(), LocalStack[int]()
    local.user = "ada"
    stack.push(1)
    held = contextvars.copy_context()
    release_local(local)
    stack.pop()
    assert (local.all(), stack.all()) == ({}, {})
    assert held.run(local.all) == {current_unit().key: {"user": "ada"}}


def test_many_tasks_each_keep_their_own() -> None:
    local = Local()

    async def work(number: int) -> None:
        local.number = number
        await asyncio.sleep(0.01)
        assert local.number == number

    async def main() -> None:
        tasks = [asyncio.create_task(work(number)) for number in range(50)]
        await asyncio.sleep(0)
        assert sorted(values["number"] for values in local.all().values()) == list(range(50))
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_greenlet_begins_empty_and_vanishes_when_it_is_dead() -> None:
    local = Local()
    local.user = "main"
    main = greenlet.getcurrent()

    def work() -> None:
        assert list(local) == []
        local.user = "green"
        main.switch(current_unit().key)

    green = greenlet.greenlet(work)
    key = green.switch()
    assert local.all() == {current_unit().key: {"user": "main"}, key: {"user": "green"}}
    green.switch()
    assert green.dead
    assert set(local.all()) == {current_unit().key}


def test_listing_while_others_write_is_neither_torn_nor_an_error() -> None:
    local, stop = Local(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            local.pair = (number, number)
            local.other = number
            del local.other

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3000):
            for values in local.all().values():
                one, two = values.get("pair", (0, 0))
                assert one == two
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def run_alone(script: str) -> t.Any:
    """What *script* prints as JSON, run in a process of its own with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_under_gevent_each_greenlet_and_patched_thread_is_listed() -> None:
    seen = run_alone("""
        from gevent import monkey; monkey.patch_all()
        import gc, gevent, json, threading
        from flask_ctxkit.contexts.locals import Local, LocalStack
        from flask_ctxkit.units import current_unit
        local, stack = Local(), LocalStack()

        def work(name):
            assert list(local) == []
            local.user = name
            stack.push(name); stack.push(name * 2)
            gevent.sleep(0.05)
            assert (local.user, stack.top) == (name, name * 2)

        greenlets = [gevent.spawn(work, name) for name in "ab"]
        thread = threading.Thread(target=work, args=("c",)); thread.start()
        gevent.sleep(0.01)
        kinds = sorted(key.split("/")[1].split("-")[0] for key in local.all())
        during = [sorted(v["user"] for v in local.all().values()), sorted(stack.all().values())]
        gevent.joinall(greenlets); thread.join()
        del greenlets, thread
        gevent.sleep(0); gc.collect()
        print(json.dumps([kinds, during, local.all(), stack.all()]))
    """)
    kinds, during, local_after, stack_after = seen
    assert kinds == ["greenlet"] * 3
    assert during == [["a", "b", "c"], [["a", "aa"], ["b", "bb"], ["c", "cc"]]]
    assert local_after == stack_after == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_lists_only_its_own_units() -> None:
    seen = run_alone(
        """
        import json, os, sys, threading
        from flask_ctxkit.contexts.locals import Local
        from flask_ctxkit.units import current_unit
        local = Local()
        local.user = "parent"
        reader, writer = os.pipe()
        if os.fork() == 0:
            before = local.all() == {current_unit().key: {"user": "parent"}}
            local.user = "child"
            os.write(writer, json.dumps([before, list(local.all().values())]).encode())
            os._exit(0)
        os.close(writer)
        os.wait()
        print(open(reader).read())
    """.replace("open(reader).read()", "os.read(reader, 1000).decode()")
    )
    assert seen == [True, [{"user": "child"}]]


# Names of locals


def test_locals_are_named_after_the_module_that_made_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, views = types.ModuleType("shop.state"), types.ModuleType("shop.views")
    exec(  # in a module of its own, whose name the local then knows
        "from flask_ctxkit.contexts.locals import Local, LocalStack\n"
        "current, jobs = Local(), LocalStack()",
        state.__dict__,
    )
    views.here = state.current  # type: ignore[attr-defined]
    views.proxy = state.current("user")  # type: ignore[attr-defined]
    for position, module in enumerate((views, state)):
        monkeypatch.setitem(sys.modules, ("shop.views", "shop.state")[position], module)
    found = {name: value for name, value in locals_by_name().items() if name.startswith("shop")}
    assert found == {"shop.state.current": state.current, "shop.state.jobs": state.jobs}


def test_a_module_that_loads_itself_lazily_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> t.Any:
            raise AssertionError("loaded")

    monkeypatch.setitem(sys.modules, "lazy_one", Lazy("lazy_one"))
    monkeypatch.setitem(sys.modules, "no_module", t.cast("types.ModuleType", None))
    assert isinstance(locals_by_name(), dict)


# unwrap


def test_all_layers_of_proxies_come_off() -> None:
    stack = LocalStack[Thing]()
    thing = Thing()
    stack.push(thing)
    inner = stack()
    assert unwrap(LocalProxy(lambda: LocalProxy(lambda: inner))) is thing


@pytest.mark.parametrize("plain", [None, 0, "text", Thing, partial(int, "7"), lambda: 7])
def test_what_is_no_proxy_comes_back_as_it_is(plain: t.Any) -> None:
    assert unwrap(plain) is plain


def test_an_object_that_claims_to_be_a_proxy_is_none() -> None:
    # By type(), since mypy does not let a class statement say so.
    claims = type("Claims", (), {"__class__": property(lambda _: LocalProxy)})()
    assert isinstance(claims, LocalProxy)
    assert unwrap(claims) is claims


def test_a_partial_behind_a_proxy_is_not_called() -> None:
    hidden = partial(int, "7")
    assert unwrap(LocalProxy(lambda: hidden)) is hidden


def test_outside_of_its_context_werkzeugs_error_comes_unchanged() -> None:
    proxy = LocalStack[int]()(unbound_message="nothing on the stack")
    with pytest.raises(RuntimeError) as caught:
        unwrap(proxy)
    assert type(caught.value) is RuntimeError
    assert str(caught.value) == "nothing on the stack"


def test_a_proxy_that_leads_back_to_itself_is_an_error_and_no_hang() -> None:
    circle: LocalProxy[t.Any] = LocalProxy(lambda: circle)
    with pytest.raises(CtxKitError, match="leads back to itself"):
        unwrap(circle)
    assert locals_module.LAYERS_LIMIT >= 10
