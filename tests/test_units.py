"""Who runs now: one record per thread, greenlet and task of a process."""

from __future__ import annotations

import _thread
import asyncio
import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import types
import typing as t
from concurrent.futures import ThreadPoolExecutor

import greenlet
import pytest

from flask_ctxkit.units import (
    NAME_LIMIT,
    Unit,
    current_unit,
    thread_ident,
    unit_of,
    units_alive,
    units_of_threads,
)

IMPORTS = """
import json, os, sys, threading
from flask_ctxkit.units import current_unit, thread_ident, units_alive
"""


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


def in_thread(function: t.Callable[[], t.Any], name: str | None = None) -> t.Any:
    answers: list[t.Any] = []
    thread = threading.Thread(target=lambda: answers.append(function()), name=name)
    thread.start()
    thread.join()
    return answers[0]


# Threads


def test_a_thread_is_the_same_record_each_time_it_asks() -> None:
    first = current_unit()
    assert current_unit() is first
    assert (first.kind, first.name) == ("thread", "MainThread")
    assert first.ident == threading.get_ident()
    assert first.key == f"{first.worker}/thread-{first.serial}"


def test_two_threads_are_two_units_with_their_own_names() -> None:
    mine, other = current_unit(), in_thread(current_unit, name="importer")
    assert other.kind == "thread"
    assert other.name == "importer"
    assert other.serial != mine.serial


def test_an_ident_that_is_used_again_gets_a_new_serial() -> None:
    seen = [in_thread(current_unit) for _ in range(20)]
    assert len({unit.serial for unit in seen}) == 20
    assert len({unit.ident for unit in seen}) < 20, "no ident was used again: prove it elsewhere"


def test_threads_that_ask_at_the_same_time_get_different_serials() -> None:
    barrier = threading.Barrier(48)

    def ask() -> Unit:
        barrier.wait()
        return current_unit()

    with ThreadPoolExecutor(48) as pool:
        asked = [future.result() for future in [pool.submit(ask) for _ in range(48)]]
    assert len({unit.key for unit in asked}) == 48


def test_a_thread_that_python_did_not_start_leaves_no_record_behind() -> None:
    answers: list[Unit] = []
    done = threading.Event()
    before = len(threading.enumerate())

    def ask() -> None:
        answers.append(current_unit())
        done.set()

    _thread.start_new_thread(ask, ())
    assert done.wait(10)
    assert answers[0].name == f"thread-{answers[0].serial}"
    assert len(threading.enumerate()) == before


def test_a_long_name_is_cut_and_a_name_of_another_class_is_not_touched() -> None:
    class Loud(str):
        __slots__ = ()

        def __getitem__(self, index: t.Any) -> str:
            raise AssertionError("touched")

    def ask_as_loud() -> Unit:
        threading.current_thread()._name = Loud("loud")  # type: ignore[attr-defined]
        return current_unit()

    assert len(in_thread(current_unit, name="x" * 5000).name) == NAME_LIMIT
    loud = in_thread(ask_as_loud)
    assert loud.name == f"thread-{loud.serial}"


def test_a_dead_thread_vanishes() -> None:
    unit = in_thread(current_unit)
    gc.collect()
    assert unit not in units_alive()
    assert thread_ident(unit) is None


def test_living_units_can_be_listed_while_others_come_and_go() -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            in_thread(current_unit)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    mine = current_unit()
    try:
        for _ in range(2000):
            assert mine in units_alive()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# Tasks


def test_a_task_is_a_unit_of_its_own_with_its_name() -> None:
    async def ask() -> tuple[Unit, Unit]:
        first = current_unit()
        await asyncio.sleep(0)
        return first, current_unit()

    async def main() -> t.Any:
        task = asyncio.create_task(ask(), name="fetch rates")
        return (await task), id(task), current_unit()

    (first, second), ident, outer = asyncio.run(main())
    assert first is second
    assert (first.kind, first.name, first.ident) == ("task", "fetch rates", ident)
    assert outer.kind == "task"
    assert outer.serial != first.serial


def test_a_callback_of_a_loop_belongs_to_its_thread() -> None:
    asked: list[Unit] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: asked.append(current_unit()))
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert asked == [current_unit()]


def test_to_thread_is_a_thread_although_it_shares_the_context_of_its_task() -> None:
    async def main() -> Unit:
        return await asyncio.to_thread(current_unit)

    assert asyncio.run(main()).kind == "thread"


def test_a_finished_task_vanishes() -> None:
    async def ask() -> Unit:
        return current_unit()

    unit = asyncio.run(ask())
    gc.collect()
    assert unit.kind == "task"
    assert unit not in units_alive()


def test_a_finished_task_that_somebody_keeps_is_not_alive() -> None:
    async def main() -> tuple[bool, bool]:
        task = asyncio.create_task(asyncio.sleep(0))
        unit = unit_of(task)
        before = unit in units_alive()
        await task
        return before, unit in units_alive()

    assert asyncio.run(main()) == (True, False)


# Greenlets


def test_a_greenlet_is_a_unit_and_the_main_one_is_its_thread() -> None:
    asked = greenlet.greenlet(current_unit).switch()
    assert asked.kind == "greenlet"
    assert asked.name == f"greenlet-{asked.serial}"
    assert current_unit().kind == "thread"


def test_each_greenlet_of_a_thread_keeps_its_own_unit_over_switches() -> None:
    main = greenlet.getcurrent()

    def ask_twice() -> tuple[Unit, Unit]:
        first = current_unit()
        main.switch()
        return first, current_unit()

    one, two = greenlet.greenlet(ask_twice), greenlet.greenlet(ask_twice)
    one.switch()
    two.switch()
    (first, again), (second, again_too) = one.switch(), two.switch()
    assert first is again
    assert second is again_too
    assert first.serial != second.serial


def test_a_greenlet_inside_a_task_is_the_task() -> None:
    """SQLAlchemy's asyncio support runs a task's code in a greenlet of its own."""

    async def main() -> tuple[Unit, Unit]:
        return current_unit(), greenlet.greenlet(current_unit).switch()

    outside, inside = asyncio.run(main())
    assert outside is inside


def test_a_greenlet_whose_name_raises_is_named_by_its_serial() -> None:
    class Rude(greenlet.greenlet):
        @property
        def name(self) -> str:
            raise SystemError

    asked = Rude(current_unit).switch()
    assert asked.name == f"greenlet-{asked.serial}"


def test_a_dead_greenlet_vanishes_also_while_somebody_keeps_it() -> None:
    asking = greenlet.greenlet(current_unit)
    told = unit_of(asking)
    assert told in units_alive()
    assert asking.switch() is told
    assert asking.dead
    assert told not in units_alive()


@pytest.mark.parametrize("module", ["greenlet", "asyncio.events"])
def test_a_package_that_another_thread_is_just_importing_does_not_hurt(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    assert current_unit().kind == "thread"


def test_neither_asyncio_nor_greenlet_is_imported_for_it() -> None:
    loaded = run_alone(
        f"""{IMPORTS}
        current_unit(); units_alive()
        print(json.dumps([name for name in ("asyncio", "greenlet") if name in sys.modules]))
    """.replace("\n        ", "\n")
    )
    assert loaded == []


# gevent

GEVENT_ASKS = """
import asyncio, gevent
native = None

async def main():
    # While the task blocks, other greenlets of the thread run and see its loop.
    task = current_unit()
    other = gevent.spawn(current_unit)
    gevent.sleep(0.01)
    return [task.kind, other.value.kind]

in_loop = asyncio.run(main())
def ask_twice():
    return current_unit(), gevent.sleep(0), current_unit()

greenlets = [gevent.spawn(ask_twice) for _ in range(3)]
gevent.joinall(greenlets)
named = []
thread = threading.Thread(target=lambda: named.append(current_unit()), name="poller")
thread.start(); thread.join()
main_unit = current_unit()
minimal = gevent.spawn(current_unit); minimal.join()
print(json.dumps({
    "in_loop": in_loop,
    "kinds": [g.value[0].kind for g in greenlets],
    "serials": len({g.value[0].serial for g in greenlets}),
    "stable": all(g.value[0] is g.value[2] for g in greenlets),
    "poller": [named[0].kind, named[0].name],
    "minimal": [minimal.value.name, minimal.name],
    "main": [main_unit.kind, main_unit.name],
    "native": main_unit.ident in sys._current_frames(),
    "thread_of_greenlet": thread_ident(minimal.value) == main_unit.ident,
    "again": current_unit() is main_unit,
}))
"""


@pytest.mark.parametrize("patched", ["before", "after"])
def test_under_gevent_each_greenlet_is_a_unit(patched: str) -> None:
    patch = "\nfrom gevent import monkey; monkey.patch_all()\n"
    start = patch + IMPORTS if patched == "before" else IMPORTS + "current_unit()" + patch
    seen = run_alone(start + GEVENT_ASKS)
    assert seen["in_loop"] == ["task", "greenlet"]
    assert seen["kinds"] == ["greenlet"] * 3
    assert seen["serials"] == 3
    assert seen["stable"]
    assert seen["poller"] == ["greenlet", "poller"]
    assert seen["minimal"][0] == seen["minimal"][1]
    assert seen["main"] == ["thread", "MainThread"]
    assert seen["native"]
    assert seen["thread_of_greenlet"]
    assert seen["again"]


# Forks

FORK = (
    IMPORTS
    + """
import ctypes
fork = {"python": os.fork, "c": ctypes.PyDLL(None).fork}[sys.argv[1]]
parents = [current_unit()]
thread = threading.Thread(target=lambda: parents.append(current_unit()))
thread.start(); thread.join()

def ask():
    found = [current_unit()]
    thread = threading.Thread(target=lambda: found.append(current_unit()))
    thread.start(); thread.join()
    return {"pid": os.getpid(), "keys": [unit.key for unit in found],
        "same": current_unit() is found[0],
        "alive": [unit.key for unit in units_alive()], "parents": thread_ident(parents[0])}

def in_child(function):
    reader, writer = os.pipe()
    if fork() == 0:
        os.close(reader)
        os.write(writer, json.dumps(function()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        return json.load(pipe)

child = in_child(lambda: {**ask(), "grandchild": in_child(ask)})
print(json.dumps({"child": child, "pid": os.getpid(), "after": current_unit() is parents[0]}))
"""
)

OLD_KERNEL = """
import mmap

class Page(mmap.mmap):
    def madvise(self, option):
        raise OSError("unknown advice")

mmap.mmap = Page
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("mark", ["page", "pid"])
@pytest.mark.parametrize("way", ["python", "c"])
def test_a_forked_child_has_units_of_its_own(way: str, mark: str) -> None:
    """Also when it was forked in C, as uWSGI does, where Python's own hooks do not run."""
    script = FORK.replace("sys.argv[1]", repr(way))
    if mark == "pid":  # the way of systems that can't wipe a page
        script = OLD_KERNEL + script
    seen = run_alone(script)
    for process in (seen["child"], seen["child"]["grandchild"]):
        assert process["keys"] == [f"{process['pid']}/thread-{n}" for n in (1, 2)]
        assert process["same"]
        assert process["alive"] == [f"{process['pid']}/thread-1"]
        assert process["parents"] is None
    assert seen["after"]
    assert len({seen["pid"], seen["child"]["pid"], seen["child"]["grandchild"]["pid"]}) == 3


# From outside


@pytest.fixture
def parked() -> t.Iterator[tuple[threading.Thread, t.Callable[[], Unit]]]:
    """A thread that runs but asks for its unit only when told to."""
    ask, asked, done = threading.Event(), threading.Event(), threading.Event()
    answers: list[Unit] = []

    def wait() -> None:
        ask.wait(10)
        answers.append(current_unit())
        asked.set()
        done.wait(10)

    def unit() -> Unit:
        ask.set()
        assert asked.wait(10)
        return answers[0]

    thread = threading.Thread(target=wait, name="parked")
    thread.start()
    yield thread, unit
    ask.set()
    done.set()
    thread.join()


def test_a_thread_that_never_asked_is_told_and_keeps_that_unit_when_it_asks(
    parked: tuple[threading.Thread, t.Callable[[], Unit]],
) -> None:
    thread, ask = parked
    assert thread.ident
    told = units_of_threads(sys._current_frames())
    assert told[threading.get_ident()] is current_unit()
    assert told[thread.ident].name == "parked"
    assert units_of_threads(sys._current_frames())[thread.ident] is told[thread.ident]
    assert ask() is told[thread.ident]
    assert units_of_threads(sys._current_frames())[thread.ident] is told[thread.ident]
    assert thread_ident(told[thread.ident]) == thread.ident


def test_a_told_ident_that_is_used_again_is_another_unit() -> None:
    told: list[Unit] = []
    for _ in range(20):
        ready, done = threading.Event(), threading.Event()

        def wait(ready: threading.Event = ready, done: threading.Event = done) -> None:
            ready.set()
            done.wait(10)

        thread = threading.Thread(target=wait)
        thread.start()
        assert ready.wait(10)
        assert thread.ident
        told.append(units_of_threads(sys._current_frames())[thread.ident])
        done.set()
        thread.join()
    assert len({unit.ident for unit in told}) < 20, "no ident was used again"
    assert len({unit.serial for unit in told}) == 20
    units_of_threads(sys._current_frames())
    assert not set(told) & set(units_alive())


def test_a_new_thread_never_takes_over_the_unit_told_for_a_dead_one() -> None:
    told: dict[int, str] = {}
    taken_over: list[bool] = []
    for _ in range(20):
        asked = in_thread(current_unit)
        if asked.ident in told:
            taken_over.append(asked.key == told[asked.ident])
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda r=ready, d=done: (r.set(), d.wait(10)))
        thread.start()
        assert ready.wait(10)
        assert thread.ident
        told[thread.ident] = units_of_threads(sys._current_frames())[thread.ident].key
        done.set()
        thread.join()
    assert taken_over, "no ident was used again"
    assert not any(taken_over)


def test_a_task_and_a_greenlet_can_be_named_from_outside() -> None:
    async def main() -> None:
        async def wait() -> Unit:
            return current_unit()

        task = asyncio.create_task(wait(), name="later")
        told = unit_of(task)
        assert (told.kind, told.name) == ("task", "later")
        assert thread_ident(told) is None, "nobody knows yet where it will run"
        assert await task is told

    asyncio.run(main())
    suspended = greenlet.greenlet(current_unit)
    told = unit_of(suspended)
    assert told.kind == "greenlet"
    assert suspended.switch() is told
