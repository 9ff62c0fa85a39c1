"""Both context stacks of every unit, bottom to top, as records."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .. import internals
from ..units import Unit, current_unit
from .registry import Registry, Watched, push_site

if t.TYPE_CHECKING:
    from collections.abc import Mapping

Capture = t.Callable[[str, t.Any], t.Any]


@dataclass(frozen=True, slots=True)
class StackedContext:
    """One context on a stack. ``g`` maps names to captured values; ``session`` is None
    where the context has none, and else ``{"opened": bool, "names": {name: captured}}``.
    ``pushed_times`` counts how many pops it is away from its end; a ``zombie`` is current
    although it was popped.
    """

    kind: t.Literal["app", "request"]
    app: str
    pushed: str | None
    method: str | None
    path: str | None
    endpoint: str | None
    started: int | None
    g: Mapping[str, t.Any]
    session: Mapping[str, t.Any] | None
    pushed_times: int
    zombie: bool
    top: bool


@dataclass(frozen=True, slots=True)
class Stacks:
    """Both stacks of all units, by the unit's key; ``units`` has the units themselves."""

    units: Mapping[str, Unit]
    app_stack: Mapping[str, tuple[StackedContext, ...]]
    request_stack: Mapping[str, tuple[StackedContext, ...]]
    current: str


def stacks(registry: Registry, capture: Capture) -> Stacks:
    """The stacks of the current unit, walked, and of the others, as they told of pushes.

    A unit's own stacks are exact. Another unit's are walked from the last context of it that
    was recorded, so contexts of apps without a kit that stand above that one are not seen.
    """
    here = current_unit()
    known = {id(ctx): record for _, ctx, record in registry.pushed()}
    units = {here.key: here}
    apps: dict[str, list[t.Any]] = {here.key: internals.app_stack()}
    requests: dict[str, list[t.Any]] = {here.key: internals.request_stack()}
    for unit, ctx, _ in registry.pushed():
        if unit.key == here.key:
            continue
        # The last one that was pushed knows what it stands on.
        units[unit.key] = unit
        app_context = internals.own_app_context(ctx)
        if app_context is not None:
            apps[unit.key] = internals.stack_below(app_context)
        if internals.request_of(ctx) is not None:
            requests[unit.key] = _requests(internals.stack_below(ctx))
    return Stacks(
        units=units,
        app_stack={key: _told(stack, "app", known, capture) for key, stack in apps.items()},
        request_stack={
            key: _told(stack, "request", known, capture) for key, stack in requests.items()
        },
        current=here.key,
    )


def _requests(stack: list[t.Any]) -> list[t.Any]:
    # Since 3.2 contexts with and without a request stand on one stack.
    return [ctx for ctx in stack if internals.request_of(ctx) is not None]


def _told(
    stack: list[t.Any],
    kind: t.Literal["app", "request"],
    known: Mapping[int, Watched],
    capture: Capture,
) -> tuple[StackedContext, ...]:
    last = len(stack) - 1
    return tuple(
        describe(ctx, kind, known.get(id(ctx)), capture, top=position == last)
        for position, ctx in enumerate(stack)
    )


def describe(
    ctx: t.Any,
    kind: t.Literal["app", "request"],
    record: Watched | None,
    capture: Capture,
    *,
    top: bool = False,
) -> StackedContext:
    """*ctx* as a record. Looking at its session doesn't count as access."""
    request = internals.request_of(ctx)
    g = getattr(getattr(ctx, "g", None), "__dict__", {}) if kind == "app" else {}
    return StackedContext(
        kind=kind,
        app=ctx.app.name,
        pushed=None if record is None else push_site(record),
        method=None if request is None else request.method,
        path=None if request is None else request.path,
        endpoint=None if request is None else request.endpoint,
        started=None if record is None else record.started,
        g={str(name): capture(str(name), value) for name, value in list(g.items())},
        session=_session(ctx, capture) if kind == "request" else None,
        pushed_times=internals.push_count(ctx),
        zombie=not internals.is_pushed(ctx),
        top=top,
    )


def _session(ctx: t.Any, capture: Capture) -> dict[str, t.Any]:
    raw = internals.raw_session(ctx)
    items = list(dict.items(raw)) if issubclass(type(raw), dict) else []
    names = {str(name): capture(str(name), value) for name, value in items}
    return {"opened": raw is not None, "names": names}
