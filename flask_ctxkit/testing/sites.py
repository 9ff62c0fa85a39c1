"""Where was each context pushed? Also where nothing is recorded, and for apps without a kit."""

from __future__ import annotations

import os
import sys
import typing as t
from functools import wraps

from .. import internals
from ..definition import short_path

if t.TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

SITE: t.Final = "_ctxkit_pushed_at"
"""The attribute of a context that holds the code and the line which pushed it last."""
_PUSHERS: t.Final = frozenset({"flask", "werkzeug", "contextlib", "click", "flask_ctxkit"})
"""Packages that push on behalf of their caller."""


class PushSites:
    """While it watches, each context knows the line that pushed it.

    Tests push by hand and at any time, also contexts of apps that have no kit, so this looks
    where all of them pass: at the ``push`` of Flask's own context classes. It is for test runs
    only, and never changes what a push does.
    """

    def __init__(self) -> None:
        self._replaced: list[tuple[t.Any, t.Any, t.Any]] = []

    def watch(self) -> None:
        """Begin."""
        for cls in internals.CONTEXT_CLASSES:
            original = vars(cls)["push"]
            cls.push = noting = _noting(original)  # type: ignore[attr-defined]
            self._replaced.append((cls, original, noting))

    def stop(self) -> None:
        """Leave Flask's classes as they were, unless somebody wrapped the ``push`` once more."""
        while self._replaced:
            cls, original, noting = self._replaced.pop()
            if vars(cls)["push"] is noting:
                cls.push = original


def _noting(push: t.Any) -> t.Any:
    @wraps(push)
    def noting(ctx: t.Any) -> None:
        frame = sys._getframe(1)  # noqa: SLF001
        while frame.f_back is not None and _pushes_for_another(frame, ctx):
            frame = frame.f_back
        # Not the frame, which would keep the caller's variables alive.
        setattr(ctx, SITE, (frame.f_code, frame.f_lineno))
        push(ctx)

    return noting


def _pushes_for_another(frame: FrameType, ctx: t.Any) -> bool:
    """Whether *frame* is of a package that pushes for its caller, or of the context's own class."""
    if _package(frame.f_globals) in _PUSHERS:
        return True
    return frame.f_code.co_name in {"push", "__enter__"} and frame.f_locals.get("self") is ctx


def _package(module: t.Mapping[str, t.Any]) -> str:
    return str(module.get("__name__", "")).partition(".")[0]


def push_site(ctx: t.Any, root: Path) -> str | None:
    """The line that pushed *ctx*, as "file:line" relative to *root*, or None if unknown."""
    found = getattr(ctx, SITE, None)
    if found is not None:
        code, line = found
        return f"{_shown(code.co_filename, root)}:{line}"
    recording = getattr(ctx, "_ctxkit", None)
    if recording is None:
        return None
    from ..contexts.registry import push_site as recorded

    return recorded(recording)


def _shown(filename: str, root: Path) -> str:
    inside = filename.startswith(str(root) + os.sep)
    return os.path.relpath(filename, root) if inside else short_path(filename)
