"""Which line of the user's asked for something."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

from ..definition import short_path

if t.TYPE_CHECKING:
    from types import FrameType

_OWN: t.Final = f"{Path(__file__).parent.parent}/"
_CARRIERS: t.Final = ("/contextlib.py", "/werkzeug/local.py")
"""Files that only hand a call on."""


class Site(t.NamedTuple):
    """A line of code; ``str()`` of it is "file:line" with the last two parts of the path."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{short_path(self.file)}:{self.line}"


UNKNOWN: t.Final = Site("?", 0)


def caller() -> Site:
    """The innermost line on the stack that is not the kit's and not one of contextlib's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect would read the source
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN) and not file.endswith(_CARRIERS):
            return Site(file, frame.f_lineno)
        frame = frame.f_back
    return UNKNOWN
