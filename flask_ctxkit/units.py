"""Who runs now: a unit is a thread, a greenlet or an asyncio task of one process."""

from __future__ import annotations

import itertools
import mmap
import os
import sys
import threading
import typing as t
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

UnitKind = t.Literal["thread", "greenlet", "task"]
NAME_LIMIT: t.Final = 200
"""Characters of a unit's name that are kept."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Who runs a context: ``kind`` is "thread", "greenlet" or "task".

    ``serial`` counts per kind and never repeats within a process; ``ident`` does, across
    time and forks: a thread's native ident, or the ``id()`` of the greenlet or task.
    ``name`` is the one that the unit had when it was first met, ``worker`` the process id.
    """

    kind: UnitKind
    name: str
    ident: int
    serial: int
    worker: int

    @property
    def key(self) -> str:
        """``worker/kind-serial``, like ``4711/thread-5``."""
        return f"{self.worker}/{self.kind}-{self.serial}"


def current_unit() -> Unit:
    """Who runs the caller: the asyncio task, else the greenlet, else the thread.

    The same record for as long as the unit lives, and a new one after a fork. The main
    greenlet of a thread is the thread. What a loop calls outside of tasks (a callback)
    belongs to the greenlet or thread that runs the loop.
    """
    process = _roll.process if _roll.mark[0] else _roll.enter()
    # Looked up, never imported: who has not loaded them runs no unit of their kind. While
    # another thread is importing one it can lack the name: AttributeError.
    modules = sys.modules
    events = modules.get("asyncio.events")
    if events is not None:
        try:
            loop = events._get_running_loop()  # noqa: SLF001 - the public one raises, 10 x slower
        except AttributeError:
            loop = None
        task = None if loop is None else _task_of(loop)
        if task is not None:
            return process.of_task(task)
    package = modules.get("greenlet")
    if package is not None:
        try:
            greenlet = package.getcurrent()
        except AttributeError:
            greenlet = None
        if greenlet is not None and greenlet.parent is not None:
            return process.of_greenlet(greenlet)
    entry = process.mine.entry
    return process.of_thread() if entry is None else entry.unit


def thread_ident(unit: Unit) -> int | None:
    """The native ident of the thread in which *unit* was first met.

    It is a key of :func:`sys._current_frames`, also where gevent has patched the process.
    None for a unit that is gone, that belongs to another process, or that was first met
    from outside and is no thread.
    """
    entry = _roll.here().alive.get((unit.kind, unit.serial))
    return None if entry is None or entry.unit != unit else entry.thread


def owner_of(unit: Unit) -> t.Any:
    """The greenlet or task that is *unit*; None for a thread, and for a unit that is gone."""
    entry = _roll.here().alive.get((unit.kind, unit.serial))
    if entry is None or entry.unit != unit or entry.owner is None:
        return None
    return entry.owner()


def units_alive() -> list[Unit]:
    """The units of this process that were met and have not ended, in no order.

    A finished task or a dead greenlet is none, also while somebody still refers to it.
    """
    return [entry.unit for entry in _roll.here().entries() if not entry.ended()]


def unit_of(owner: t.Any) -> Unit:
    """The unit of *owner*, an asyncio task or a greenlet that is not a thread's main one.

    For looking from outside: *owner* need not run, nor ever have asked for its unit.
    """
    process = _roll.here()
    met_here = False  # the caller's thread is not the owner's
    return (process.of_task if hasattr(owner, "get_coro") else process.of_greenlet)(owner, met_here)


def units_of_threads(idents: t.Collection[int]) -> dict[int, Unit]:
    """The units of the threads *idents*, all keys of a :func:`sys._current_frames`.

    For looking from outside: a thread need not have asked for its unit. One that asks later
    gets the unit that is given here. What is not among *idents* is forgotten. Threads that
    Python did not start can only be told apart by their ident.
    """
    return _roll.here().of_threads(idents)


def _task_of(loop: t.Any) -> t.Any:
    # The running loop is kept per thread. Where gevent has patched the process, a loop that
    # runs in one greenlet is so found by all greenlets of the thread; the loop itself
    # remembers the greenlet, since it asked the patched get_ident().
    runs_in = getattr(loop, "_thread_id", None)
    if runs_in is not None and runs_in != threading.get_ident():
        return None
    return sys.modules["asyncio.tasks"].current_task(loop)


class _Entry:
    # A unit as its owner (the thread's local, the greenlet, the task) holds it alone.
    __slots__ = ("__weakref__", "owner", "thread", "unit")

    def __init__(self, unit: Unit, thread: int | None, owner: t.Any) -> None:
        self.unit = unit
        self.thread = thread
        self.owner = None if owner is None else ref(owner)

    def ended(self) -> bool:
        if self.owner is None:
            return False  # a thread takes its entry with it
        owner = self.owner()
        if owner is None:
            return True
        return bool(owner.done() if self.unit.kind == "task" else owner.dead)


class _Mine(threading.local):
    # Per thread, or per greenlet where gevent has patched it: only a thread (its main
    # greenlet) looks here, so both are right.
    entry: _Entry | None = None


class _Process:
    # All that is known of one process's units. No lock: each step below is atomic, and a
    # lock that gevent has patched could block a native thread for ever.
    __slots__ = ("_greenlets", "_looked_at", "_serials", "_tasks", "alive", "mine", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.mine = _Mine()
        self.alive: WeakValueDictionary[tuple[str, int], _Entry] = WeakValueDictionary()
        self._greenlets: WeakKeyDictionary[t.Any, _Entry] = WeakKeyDictionary()
        self._tasks: WeakKeyDictionary[t.Any, _Entry] = WeakKeyDictionary()
        # Threads seen from outside that have not asked yet, with a reference to their Thread:
        # idents are used again, at once, by the next thread.
        self._looked_at: dict[int, tuple[t.Callable[[], t.Any], _Entry]] = {}
        self._serials = {kind: itertools.count(1) for kind in t.get_args(UnitKind)}

    def of_thread(self) -> Unit:
        # Not current_thread(): for a thread that Python did not start it takes a lock and,
        # before 3.12, leaves a record for ever.
        thread = _active_thread(threading.get_ident())
        ident = _native_ident()
        looked_at = self._looked_at.pop(ident, None)
        if looked_at is not None and looked_at[0]() is _active_thread(ident):
            entry = looked_at[1]
        else:
            entry = self._meet("thread", getattr(thread, "name", None), ident, ident)
        self.mine.entry = entry
        return entry.unit

    def of_threads(self, idents: t.Collection[int]) -> dict[int, Unit]:
        self._forget_dead(idents)
        entries = sorted(self.entries("thread"), key=lambda entry: entry.unit.serial)
        known = {entry.unit.ident: entry.unit for entry in entries}
        return {ident: known.get(ident) or self._look_at(ident) for ident in idents}

    def _forget_dead(self, idents: t.Collection[int]) -> None:
        for ident, (reference, _) in list(self._looked_at.items()):
            if ident not in idents or reference() is not _active_thread(ident):
                self._looked_at.pop(ident, None)

    def _look_at(self, ident: int) -> Unit:
        thread = _active_thread(ident)
        entry = self._meet("thread", getattr(thread, "name", None), ident, ident)
        self._looked_at[ident] = (_nobody if thread is None else ref(thread), entry)
        return entry.unit

    def of_greenlet(self, greenlet: t.Any, met_here: bool = True) -> Unit:
        entry = self._greenlets.get(greenlet)
        if entry is None:
            name = _greenlet_name(greenlet)
            thread = _native_ident() if met_here else None
            entry = self._meet("greenlet", name, id(greenlet), thread, greenlet)
            entry = self._greenlets.setdefault(greenlet, entry)
        return entry.unit

    def of_task(self, task: t.Any, met_here: bool = True) -> Unit:
        entry = self._tasks.get(task)
        if entry is None:
            thread = _native_ident() if met_here else None
            entry = self._meet("task", task.get_name(), id(task), thread, task)
            entry = self._tasks.setdefault(task, entry)
        return entry.unit

    def entries(self, kind: UnitKind | None = None) -> list[_Entry]:
        # valuerefs() copies in one step; values() fails when another thread adds one.
        found = [reference() for reference in self.alive.valuerefs()]
        return [entry for entry in found if entry is not None and kind in (None, entry.unit.kind)]

    def _meet(
        self, kind: UnitKind, name: t.Any, ident: int, thread: int | None, owner: t.Any = None
    ) -> _Entry:
        serial = next(self._serials[kind])
        # A name of the user's own class is not touched, it may do anything.
        text = name[:NAME_LIMIT] if type(name) is str and name else f"{kind}-{serial}"
        entry = _Entry(Unit(kind, text, ident, serial, self.pid), thread, owner)
        self.alive[kind, serial] = entry
        return entry


def _active_thread(ident: int) -> threading.Thread | None:
    threads: dict[int, threading.Thread] = getattr(threading, "_active", {})
    return threads.get(ident)


def _nobody() -> None:
    return None


def _greenlet_name(greenlet: t.Any) -> t.Any:
    # A patched threading.Thread is a greenlet whose id is the thread's ident; the name that
    # its user chose says more than gevent's "Greenlet-3".
    thread = _active_thread(id(greenlet))
    if thread is not None and not isinstance(thread, threading._DummyThread):  # noqa: SLF001 - no public mark
        return thread.name
    try:
        return greenlet.name
    except Exception:  # a user's property; the unit is then named by its serial
        return None


def _native_ident() -> int:
    monkey = sys.modules.get("gevent.monkey")
    original = getattr(monkey, "get_original", None)
    if original is None:
        return threading.get_ident()
    return t.cast("int", original("_thread", "get_ident")())


class _ForkMark(t.Protocol):
    # [0] is 1 in the process that set it and 0 in its forked children.
    def __getitem__(self, index: t.Literal[0], /) -> int: ...
    def __setitem__(self, index: t.Literal[0], value: int, /) -> None: ...


class _PidMark:
    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = -1

    def __getitem__(self, index: t.Literal[0], /) -> int:
        return os.getpid() == self._pid

    def __setitem__(self, index: t.Literal[0], value: int, /) -> None:
        self._pid = os.getpid()


def _fork_mark() -> _ForkMark:
    # os.register_at_fork() is not enough: uWSGI forks without it. Asking for the pid is a
    # system call, 0.2 µs. Linux (4.14) wipes a marked page in every child: 0.02 µs.
    if sys.platform == "linux":
        wipe_on_fork = 18  # MADV_WIPEONFORK, madvise(2); mmap does not name it
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            page.madvise(wipe_on_fork)
        except OSError:  # an older or emulated kernel
            page.close()
        else:
            return page
    return _PidMark()


class _Roll:
    # The one place that survives a fork: it notices, and begins anew.
    __slots__ = ("_processes", "mark", "process")

    def __init__(self) -> None:
        self.mark = _fork_mark()
        self._processes: dict[int, _Process] = {}
        self.process = self.enter()

    def here(self) -> _Process:
        return self.process if self.mark[0] else self.enter()

    def enter(self) -> _Process:
        pid = os.getpid()
        # setdefault is atomic: of two first threads of a child both get the same process.
        self.process = process = self._processes.setdefault(pid, _Process(pid))
        for other in [key for key in self._processes if key != pid]:
            self._processes.pop(other, None)  # inherited, and a pid is used again one day
        self.mark[0] = 1
        return process


# A process has one set of threads, so this is one per process and not one per app.
_roll: t.Final = _Roll()
