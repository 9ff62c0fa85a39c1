"""Made once, by one unit, while the others wait: threads, greenlets and asyncio tasks.

There is no lock. Each step is one operation on a dict or a deque, which the interpreter does
whole; and a lock could stop the one loop or hub that runs whoever would release it.
"""

from __future__ import annotations

import asyncio
import sys
import time
import typing as t
from collections import deque
from contextlib import contextmanager, suppress

from ..errors import ReentranceError
from ..units import current_unit, thread_ident

if t.TYPE_CHECKING:
    from ..units import Unit

PAUSE: t.Final = 0.0005
LONGEST_PAUSE: t.Final = 0.01
"""Seconds that a greenlet leaves to the others between two looks; it grows from look to look."""
LOOP_WAIT: t.Final = 5.0
"""Seconds that a plain function may stop the event loop that it is called in."""


class Slot:
    """What one unit makes, and the others wait for.

    ``since`` is when it was asked for, by :func:`time.perf_counter_ns`; ``where`` the
    "file:line" that asked.
    """

    __slots__ = ("_wakers", "name", "since", "state", "unit", "value", "where")

    def __init__(self, name: str, where: str | None = None) -> None:
        self.name = name
        self.where = where
        self.unit = current_unit()
        self.since = time.perf_counter_ns()
        self.state: t.Literal["making", "ready", "failed"] = "making"
        self.value: t.Any = None
        self._wakers: deque[t.Callable[[], object]] = deque()

    def ready(self, value: t.Any) -> None:
        """It is made: wake those who wait."""
        self.value = value
        self._settle("ready")

    def failed(self) -> None:
        """It could not be made: one of those who wait tries next."""
        self._settle("failed")

    def _settle(self, state: t.Literal["ready", "failed"]) -> None:
        # Whoever waits adds its waker first and looks at the state then, so none is missed.
        self.state = state
        with suppress(IndexError):
            while True:
                self._wakers.popleft()()

    # ------------------------------------------------------------------------ waiting

    def wait(self, me: Unit) -> None:
        """Wait until it is made or failed.

        :raises ReentranceError: where *me* is in the very thread that makes it, or stopped
            its event loop for too long.
        """
        gevent = sys.modules.get("gevent")
        longest = LOOP_WAIT if me.kind == "task" else None
        if gevent is not None and self._leaves_to_a_hub(me):
            self._let_others_run(gevent.sleep, longest)
        elif thread_ident(me) == thread_ident(self.unit):
            raise in_circle(self)
        else:
            self._block(longest)

    def _leaves_to_a_hub(self, me: Unit) -> bool:
        """Whether the one that makes it, or others, go on only when a hub runs them."""
        if me.kind == "greenlet":
            return True
        if thread_ident(me) == thread_ident(self.unit):
            return self.unit.kind == "greenlet"
        return _is_patched()

    def _let_others_run(self, sleep: t.Callable[[float], object], longest: float | None) -> None:
        pause, end = PAUSE, None if longest is None else time.monotonic() + longest
        while self.state == "making":
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            if end is not None and time.monotonic() > end:
                raise self._stops_a_loop()

    def _block(self, longest: float | None) -> None:
        lock = _native_lock()
        lock.acquire()
        self._wakers.append(lock.release)
        if self.state == "making" and not lock.acquire(timeout=-1 if longest is None else longest):
            raise self._stops_a_loop()

    def _stops_a_loop(self) -> ReentranceError:
        return ReentranceError(
            f"A coroutine waited {LOOP_WAIT:g} seconds for {self.name}, which {self.unit.name} is "
            "making, and stopped its event loop for as long. Await it: resources have ready(), "
            "and a cached function can be async.",
            name=self.name,
            unit=self.unit.key,
        )

    async def wait_async(self) -> None:
        """Wait until it is made or failed, and let the event loop run."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def from_anywhere() -> None:
            with suppress(RuntimeError):  # that loop is closed, and nobody waits in it
                loop.call_soon_threadsafe(wake)

        self._wakers.append(from_anywhere)
        if self.state == "making":
            await woken


Slots = dict[t.Any, Slot]
Waits = dict["Unit", Slot]
"""Who waits for what, so that a circle is noticed."""


def once(
    slots: Slots, key: t.Any, make: t.Callable[[Slot], t.Any], new: Slot, waits: Waits
) -> t.Any:
    """What stands in *slots* for *key*; if nothing does, *make* makes it in the slot *new*.

    A failure is raised here and kept nowhere: who waited tries in turn.

    :raises ReentranceError: where waiting would never end.
    """
    while (slot := slots.setdefault(key, new)) is not new:
        if slot.state == "ready":
            return slot.value
        with _waiting(slot, new.unit, waits):
            slot.wait(new.unit)
    try:
        value = make(new)
    except BaseException:
        slots.pop(key, None)  # before it is said, so that who waited finds the place free
        new.failed()
        raise
    new.ready(value)
    return value


async def once_async(
    slots: Slots, key: t.Any, make: t.Callable[[], t.Awaitable[t.Any]], new: Slot, waits: Waits
) -> t.Any:
    """What :func:`once` does, for coroutines.

    Where the one that makes it is cancelled, the next one makes it.
    """
    while (slot := slots.setdefault(key, new)) is not new:
        if slot.state == "ready":
            return slot.value
        with _waiting(slot, new.unit, waits):
            await slot.wait_async()
    try:
        value = await make()
    except BaseException:
        slots.pop(key, None)  # before it is said, so that who waited finds the place free
        new.failed()
        raise
    new.ready(value)
    return value


@contextmanager
def _waiting(slot: Slot, me: Unit, waits: Waits) -> t.Iterator[None]:
    # Each says what it waits for before it looks for a circle: of two, one sees the other.
    waits[me] = slot
    try:
        _refuse_circle(slot, me, waits)
        yield
    finally:
        waits.pop(me, None)


def _refuse_circle(slot: Slot, me: Unit, waits: Waits) -> None:
    next_slot: Slot | None = slot
    for _ in range(len(waits) + 1):
        if next_slot is None or next_slot.state != "making":
            return
        if next_slot.unit == me:
            raise in_circle(slot)
        next_slot = waits.get(next_slot.unit)


def in_circle(slot: Slot) -> ReentranceError:
    """The error for whoever waits, in the end, for itself."""
    asked = f", asked for at {slot.where}" if slot.where else ""
    return ReentranceError(
        f"{slot.name} is needed to make {slot.name}: {slot.unit.name} is making it{asked}, and "
        "can't go on before it is made. Take this call out of what makes it.",
        name=slot.name,
        unit=slot.unit.key,
        where=slot.where,
    )


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("thread"))


def _native_lock() -> t.Any:
    # Looked up, never imported: a process without gevent has no other lock.
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        import _thread

        return _thread.allocate_lock()
    return monkey.get_original("_thread", "allocate_lock")()
