"""What is pushed now, in every unit, and where is it stuck?"""

from __future__ import annotations

import time
import typing as t

from .pools import pools
from .units import unit

if t.TYPE_CHECKING:
    from ..contexts.registry import Held, Leak, Live
    from .sources import Sources

LEAKS: t.Final = 50
"""The most leaks that are told, the newest ones."""


def contexts(sources: Sources) -> dict[str, t.Any]:
    """Every live context of the process with its frames, the leaks, what can't be seen, and how
    full the app's pools are.
    """
    return {
        "contexts": [live(found) for found in sources.registry.contexts(frames=True)],
        "leaks": [leak(found) for found in reversed(sources.registry.leaks)][:LEAKS],
        "missing": list(sources.registry.missing()),
        "pools": pools(sources.app, sources.resources),
    }


def live(found: Live) -> dict[str, t.Any]:
    """A live context as plain data; its age in seconds, its frames innermost first."""
    return {
        "id": found.id,
        "kind": found.kind,
        "app": found.app,
        "unit": unit(found.unit),
        "method": found.method,
        "path": found.path,
        "endpoint": found.endpoint,
        "age_s": None if found.age_s is None else round(found.age_s, 3),
        "age_exact": found.age_exact,
        "phase": found.phase,
        "hook": found.hook,
        "where": found.where,
        "pushed": found.pushed,
        "state": found.state,
        "stuck": found.stuck,
        "parent": found.parent,
        "frames": [
            {"file": frame.file, "line": frame.line, "function": frame.function}
            for frame in found.frames
        ],
        "resources": [held(row) for row in found.held],
    }


def held(found: Held) -> dict[str, t.Any]:
    """What a context holds open, as plain data; its age in seconds."""
    return {
        "resource": found.resource,
        "state": found.state,
        "unit": unit(found.unit),
        "where": found.where,
        "age_s": round(found.age_s, 3),
    }


def leak(found: Leak) -> dict[str, t.Any]:
    """A leak as plain data; its age in seconds."""
    return {
        "kind": found.kind,
        "at": found.at,
        "age_s": round(max(0.0, time.time() - found.wall), 3),
        "unit": unit(found.unit),
        "method": found.method,
        "path": found.path,
        "pushed": found.pushed,
        "popped": found.popped,
        "message": found.message,
        "trace": found.trace,
        "still": found.still,
    }
