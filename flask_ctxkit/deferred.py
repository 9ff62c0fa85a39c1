"""What finalizers leave to be done, where nothing is interrupted by it.

A finalizer or the callback of a weak reference runs wherever the collector does: under a lock
that it would need itself, or inside of ``ContextVar.reset()``. Up to Python 3.11 one that reads the
variable there leaves an object in its cache that is freed next, and one that sets any frees the
map that is being worked on; the process then dies at the next look. Flask's own log handler reads
such a variable. So the kit's finalizers only leave their work here, and who comes by does it: the
next call of an app, the next question to the kit, and the interpreter's end.
"""

from __future__ import annotations

import os
import typing as t
import weakref
from collections import deque

Work = t.Callable[[], object]

# One per process, as the collector is: an app may be collected together with what it left.
waiting: t.Final[deque[tuple[int, Work]]] = deque()
"""Work, each with the process that left it; to be tested for truth."""


def defer(work: Work) -> None:
    """Leave *work* for later. Safe in a finalizer: it takes no lock and runs no other code."""
    waiting.append((os.getpid(), work))


def run_deferred() -> None:
    """Do what was left, if anything was. What a forked child inherited is its parent's to do.

    What fails is told as of a finalizer that raises, by :func:`sys.unraisablehook`.

    :raises KeyboardInterrupt, SystemExit: as they came: they are sent to the process.
    """
    while waiting:
        try:
            pid, work = waiting.popleft()
        except IndexError:
            return  # another thread took the last one
        try:
            if pid == os.getpid():
                work()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            _Unraised(error)


class _Unraised:
    """Tells of *error* when it ends, which is at once."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


# At exit the newest finalizers run first, and so this one after those that leave work here.
weakref.finalize(waiting, run_deferred)
