"""A driver whose steps fail when a test wants them to."""

from __future__ import annotations

import typing as t

STEPS: t.Final = (
    "cursor", "execute", "executemany", "fetchone", "fetchall", "close cursor", "commit",
    "rollback", "close",
)  # fmt: skip
"""What a helper asks a driver's connections and cursors for."""


class FaultError(Exception):
    """A step failed because a test wanted it to."""


class Faulty:
    """A driver's connection or cursor: *plan* is asked before each step, and may raise."""

    def __init__(self, inner: t.Any, plan: t.Callable[[str], None], suffix: str = "") -> None:
        self._inner = inner
        self._plan = plan
        self._suffix = suffix

    def __getattr__(self, name: str) -> t.Any:
        found = getattr(self._inner, name)
        step = f"{name}{self._suffix}" if name == "close" else name
        if step not in STEPS:
            return found

        def planned(*args: t.Any, **options: t.Any) -> t.Any:
            self._plan(step)
            result = found(*args, **options)
            return Faulty(result, self._plan, " cursor") if name == "cursor" else result

        return planned
