"""What runs once in each process, before its first request."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
import typing as t

from ..units import current_unit, thread_ident

if t.TYPE_CHECKING:
    from ..units import Unit

Function = t.Callable[[], t.Any]
PAUSE: t.Final = 0.005
"""Seconds between two looks of a greenlet that waits."""


class FirstRequest:
    """Functions that run once per process, in their order, before its first request.

    Lives as long as its app. One that raises runs again for the next request, and those
    after it; those before it do not. A function that is added late runs before the next
    request.

    :param call: calls one of the functions.
    :param waited: told since when a unit waited for another one to run them, by
        ``time.perf_counter_ns``.
    """

    def __init__(
        self, call: t.Callable[[Function], t.Any], waited: t.Callable[[int], t.Any] | None = None
    ) -> None:
        self.functions: list[Function] = []
        self._call, self._waited = call, waited
        self._ran = (0, 0)
        """The process, and how many functions ran in it."""
        self._locks: dict[int, threading.Lock] = {}
        self._runner: Unit | None = None

    @property
    def done(self) -> bool:
        """Whether all of them ran in this process."""
        return self._ran == (os.getpid(), len(self.functions))

    def run(self) -> None:
        """Run what has not run in this process. Where another unit is at it, wait for that.

        A request that one of the functions makes itself passes.

        :raises Exception: what a function raises.
        """
        if self in _running.get():
            return
        # One lock per process: a fork inherits a lock as it is, also held by a thread that
        # it has not. Made late, since gevent may patch locks after the app was loaded.
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        start = time.perf_counter_ns()
        self._acquire(lock)
        token = _running.set((*_running.get(), self))
        try:
            if self._waited is not None and self.done:
                self._waited(start)
            self._run()
        finally:
            _running.reset(token)
            self._runner = None
            lock.release()

    def _run(self) -> None:
        pid = os.getpid()
        count = self._ran[1] if self._ran[0] == pid else 0
        while count < len(self.functions):
            self._call(self.functions[count])
            count += 1
            self._ran = (pid, count)

    def _acquire(self, lock: threading.Lock) -> None:
        me, gevent = current_unit(), sys.modules.get("gevent")
        if not lock.acquire(blocking=False):
            if gevent is not None and self._leaves_to_a_hub(me):
                while not lock.acquire(blocking=False):
                    gevent.sleep(PAUSE)
            else:
                lock.acquire()
        self._runner = me

    def _leaves_to_a_hub(self, me: Unit) -> bool:
        """Whether to wait for a lock that gevent has not patched would stop this thread's hub,
        and with it the one greenlet that can release it.
        """
        if me.kind == "greenlet":
            return True
        runner = self._runner
        return (
            runner is not None
            and runner.kind == "greenlet"
            and thread_ident(runner) == thread_ident(me)
        )


_running: t.Final = contextvars.ContextVar[tuple[FirstRequest, ...]](
    "flask_ctxkit.first_request", default=()
)
"""Whose functions run now: an async one of them runs in a thread of its own."""
