"""A pool of threads whose every call runs in a fresh context of its own."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from .propagate import Work

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

P = t.ParamSpec("P")
R = t.TypeVar("R")


class ContextExecutor(ThreadPoolExecutor):
    """A :class:`~concurrent.futures.ThreadPoolExecutor` that runs what it is given as
    :func:`~flask_ctxkit.propagate` does. ``async`` functions are run to their end.

    Lifetime: as long as the app, or one ``with`` block. What is submitted takes along what is
    current where it is submitted, so one pool serves all requests, and several apps.

    :param max_workers: the most threads; None for as many as Python chooses.
    :param g: as for ``propagate``.
    :param request: as for ``propagate``.
    :param teardown: as for ``propagate``.
    :param options: what else a pool of threads takes: ``thread_name_prefix``, ``initializer``
        and ``initargs``.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        g: t.Literal["none", "copy"] | Iterable[str] = "none",
        request: t.Literal["snapshot", "none"] = "snapshot",
        teardown: bool = True,
        **options: t.Any,
    ) -> None:
        super().__init__(max_workers, **options)
        self._g = g if isinstance(g, str) else tuple(g)
        self._request = request
        self._teardown = teardown

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run *fn* in a thread of the pool, in a context of its own.

        :raises OutsideContextError: where no context is current.
        """
        return super().submit(self._work(fn), *args, **kwargs)

    def map(self, fn: Callable[..., R], *iterables: Iterable[t.Any], **how: t.Any) -> Iterator[R]:
        """Run *fn* for each item; all calls take along what is current now.

        :raises OutsideContextError: where no context is current.
        """
        return super().map(self._work(fn), *iterables, **how)

    def _work(self, function: t.Any) -> Work:
        if isinstance(function, Work):  # map() submits what it made
            return function
        return Work(function, self._g, self._request, self._teardown)
