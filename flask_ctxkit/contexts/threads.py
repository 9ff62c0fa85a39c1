"""Says of a thread that fails for want of a context which request started it."""

from __future__ import annotations

import logging
import sys
import threading
import typing as t
import weakref
from dataclasses import dataclass

from .. import internals
from ..definition import short_path
from ..origin import calling

if t.TYPE_CHECKING:
    from collections.abc import Callable

OUTSIDE: t.Final = frozenset({"flask_ctxkit.contexts.threads", "threading", "concurrent.futures"})
"""Modules that start threads on behalf of their caller."""
MARK: t.Final = "ctxkit_explained"
"""Under this name our ``Thread.start`` tells whose it is."""

logger = logging.getLogger("flask_ctxkit")


def explain_threads() -> Callable[[], None]:
    """Explain "Working outside of context" where it ends a thread, and the kit's own
    :exc:`OutsideContextError`.

    A note on the traceback then says which request, command or block started the thread, and
    where; before Python 3.11 a line of the log does. From now on each start of a thread is
    remembered, as long as the thread lives, and ``threading.excepthook`` is chained: what was
    set before is called as well. For apps with a kit. Asked twice, it is done once.

    :return: what undoes it. Hooks that others set meanwhile stay.
    """
    # Who set a hook or another start on top since then hides ours, but seldom both; and what
    # functools.wraps made has our mark as well.
    for already in (
        getattr(threading.excepthook, "__self__", None),
        getattr(threading.Thread.start, MARK, None),
    ):
        if isinstance(already, _Explained) and already.wanted:
            return already.undo
    return _Explained().undo


class Kit(t.Protocol):
    """What is needed of the kit of an app."""

    recorder: t.Any
    redactor: t.Any
    pipeline: t.Any


@dataclass(frozen=True, slots=True)
class _Starter:
    kit: Kit
    told: str
    """Who it was: "GET /cart (shop/views.py:31)"."""


class _Explained:
    # Lifetime: from explain_threads() to its undo().
    def __init__(self) -> None:
        self._starters: weakref.WeakKeyDictionary[threading.Thread, _Starter]
        self._starters = weakref.WeakKeyDictionary()
        self.wanted = True
        self._hook_before = threading.excepthook
        self._start_before = threading.Thread.start
        self._start = self._telling_start()
        threading.Thread.start = self._start  # type: ignore[method-assign,assignment]
        threading.excepthook = self.hook

    def undo(self) -> None:
        # Who set something on top goes on calling ours, which then does nothing of its own.
        self.wanted = False
        self._starters.clear()
        if threading.excepthook == self.hook:
            threading.excepthook = self._hook_before
        if threading.Thread.start is self._start:
            threading.Thread.start = self._start_before  # type: ignore[method-assign]

    def _telling_start(self) -> Callable[[threading.Thread], None]:
        before = self._start_before

        def start(thread: threading.Thread) -> None:
            if self.wanted:
                self._remember(thread)
            before(thread)

        setattr(start, MARK, self)
        return start

    def _remember(self, thread: threading.Thread) -> None:
        kit = _current_kit()
        try:
            if kit is not None:
                self._starters[thread] = _Starter(kit, _told(kit))
                return
            # A thread that a known one starts is of the same request.
            inherited = self._starters.get(threading.current_thread())
            if inherited is not None:
                self._starters[thread] = inherited
        except BaseException as own:
            _failed(kit, own)

    def hook(self, args: t.Any) -> None:
        starter = None if args.thread is None else self._starters.get(args.thread)
        if self.wanted and starter is not None and args.exc_value is not None:
            kit = starter.kit
            try:
                error = kit.recorder.describe(args.exc_value)
                kit.pipeline.explain_thread(args.exc_value, error, args.thread.name, starter.told)
            except BaseException as own:
                _failed(kit, own)
        self._hook_before(args)


def _current_kit() -> Kit | None:
    ctx = internals.current_app_context(None)
    return None if ctx is None else ctx.app.extensions.get("ctxkit")


def _told(kit: Kit) -> str:
    frame = calling(sys._getframe(1), OUTSIDE)  # noqa: SLF001
    place = f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"
    request_context = internals.current_request_context()
    request = None if request_context is None else internals.request_of(request_context)
    if request is None:
        return f"a context without a request ({place})"
    return f"{request.method} {kit.redactor.url(request.path)} ({place})"


def _failed(kit: Kit | None, own: BaseException) -> None:
    if kit is not None:
        kit.recorder.failed("explain_threads", own)
    elif isinstance(own, Exception):
        logger.warning("ctxkit: what started a thread was not noted: %s", type(own).__name__)
    else:
        raise own
