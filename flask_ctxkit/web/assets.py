"""The files that the pages need: a style sheet, a script, an icon."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TYPES: t.Final[t.Mapping[str, str]] = {
    "ctxkit.css": "text/css; charset=utf-8",
    "ctxkit.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files there are; a name that is not in here is never looked for on the disk."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file's bytes and its media type."""

    content: bytes
    content_type: str


@lru_cache(maxsize=len(TYPES))
def asset(name: str) -> Asset | None:
    """The file *name*, read once, or None."""
    if name not in TYPES:
        return None
    return Asset((Path(__file__).parent / "static" / name).read_bytes(), TYPES[name])
