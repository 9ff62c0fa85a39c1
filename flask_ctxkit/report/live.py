"""What is pushed now, in every unit, and where is it stuck?"""

from __future__ import annotations

import time
import typing as t

from .pools import pools
from .units import unit

if t.TYPE_CHECKING:
    from ..contexts.frames import Frame
    from ..contexts.registry import Held, Leak, Live
    from .sources import Sources

LEAKS: t.Final = 50
"""The most leaks that are told, the newest ones."""


def contexts(sources: Sources) -> dict[str, t.Any]:
    """Every live context of the process with its frames, the leaks, what can't be seen, and how
    full the app's pools are.
    """
    return {
        "contexts": lives(sources.registry.contexts(frames=True)),
        "leaks": [leak(found) for found in reversed(sources.registry.leaks)][:LEAKS],
        "missing": list(sources.registry.missing()),
        "pools": pools(sources.app, sources.resources),
    }


def lives(found: t.Sequence[Live]) -> list[dict[str, t.Any]]:
    """Live contexts as plain data; what several have in common, such as frames, is one object."""
    frames = {id(one.frames): one.frames for one in found}
    told = {key: _frames(value) for key, value in frames.items()}
    units = {one.unit: unit(one.unit) for one in found}
    return [_live(one, told[id(one.frames)], units[one.unit]) for one in found]


def live(found: Live) -> dict[str, t.Any]:
    """A live context as plain data; its age in seconds, its frames innermost first."""
    return lives([found])[0]


def _frames(found: t.Sequence[Frame]) -> list[dict[str, t.Any]]:
    return [{"file": one.file, "line": one.line, "function": one.function} for one in found]


def _live(found: Live, frames: list[dict[str, t.Any]], of: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "id": found.id,
        "kind": found.kind,
        "app": found.app,
        "unit": of,
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
        "frames": frames,
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
