"""Both context stacks of every unit, and what Local storages hold."""

from __future__ import annotations

import time
import typing as t

from ..contexts import stack
from ..contexts.locals import Local, locals_by_name

if t.TYPE_CHECKING:
    from ..contexts.stack import StackedContext
    from .sources import Sources


def stacks(sources: Sources) -> dict[str, t.Any]:
    """Both stacks, bottom to top, by the key of their unit; ``current`` is the caller's.

    Called where a request's contexts are placed, it tells what a view would see.
    """
    found = stack.stacks(sources.registry, sources.redactor.capture)
    units = {
        key: {"kind": unit.kind, "name": unit.name, "ident": unit.ident}
        for key, unit in found.units.items()
    }
    missing = list(sources.registry.missing())
    missing.append("Of another unit what stands above its last recorded context is not seen.")
    return {
        "app_stack": _by_unit(units, found.app_stack),
        "request_stack": _by_unit(units, found.request_stack),
        "locals": _locals(sources.redactor.capture),
        "current": found.current,
        "missing": missing,
    }


def _locals(capture: t.Callable[[str, t.Any], t.Any]) -> dict[str, t.Any]:
    """What each Local and LocalStack of a loaded module holds, by its name and unit."""
    found: dict[str, t.Any] = {}
    for name, local in locals_by_name().items():
        # As a function: a Local may hold a value of the name "all".
        storages = Local.all(local) if isinstance(local, Local) else local.all()
        found[name] = {unit: capture(name, held) for unit, held in storages.items()}
    return found


def _by_unit(
    units: t.Mapping[str, dict[str, t.Any]],
    stacked: t.Mapping[str, t.Sequence[StackedContext]],
) -> dict[str, t.Any]:
    return {
        key: units[key] | {"stack": [_context(found) for found in contexts]}
        for key, contexts in stacked.items()
    }


def _context(found: StackedContext) -> dict[str, t.Any]:
    started = found.started
    return {
        "kind": found.kind,
        "app": found.app,
        "pushed": found.pushed,
        "method": found.method,
        "path": found.path,
        "endpoint": found.endpoint,
        "age_s": None if started is None else round((time.perf_counter_ns() - started) / 1e9, 3),
        "g": dict(found.g),
        "session": _session(found),
        "pushed_times": found.pushed_times,
        "zombie": found.zombie,
        "top": found.top,
    }


def _session(found: StackedContext) -> dict[str, t.Any] | None:
    if found.session is None:
        return None
    state = "open" if found.session.get("opened") else "not opened"
    return {"state": state, "names": dict(found.session.get("names", {}))}
