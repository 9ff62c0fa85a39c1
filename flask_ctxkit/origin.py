"""Where work comes from that runs in a context of its own."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .definition import short_path

if t.TYPE_CHECKING:
    from types import CodeType, FrameType

How = t.Literal["copy", "propagate"]

KEY: t.Final = "_ctxkit_origin"
"""The attribute of a context that holds its origin."""
MADE: t.Final = "_ctxkit_made"
"""The attribute that holds when it was made for a request; None where it is of work."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A call of ``propagate``, or of Flask's ``copy_current_request_context``.

    ``parent`` is the recording of the context that was current there, or None. ``code`` and
    ``line`` are the place of the call. ``function`` is what runs, None where that is not known
    yet. ``captured`` names the proxies that it was given, such as "g as argument 1".
    """

    how: How
    parent: t.Any
    code: CodeType
    line: int
    function: t.Any = None
    captured: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place of the call, as "file:line"."""
        return f"{short_path(self.code.co_filename)}:{self.line}"


def calling(frame: FrameType, outside: t.Container[str]) -> FrameType:
    """The first frame, from *frame* outward, whose module is not among *outside*."""
    while frame.f_back is not None and frame.f_globals.get("__name__") in outside:
        frame = frame.f_back
    return frame
