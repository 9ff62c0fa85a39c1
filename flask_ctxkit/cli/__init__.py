"""Tell me: the ``flask ctx`` commands."""

from __future__ import annotations

from .commands import ctx

__all__ = ["ctx"]
