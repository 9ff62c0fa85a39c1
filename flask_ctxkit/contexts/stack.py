"""Both context stacks of every unit, bottom to top, as records."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .. import internals
from ..globals import OURS
from ..units import Unit, current_unit
from .registry import Registry, Watched, push_site

if t.TYPE_CHECKING:
    from collections.abc import Mapping

Capture = t.Callable[[str, t.Any], t.Any]
Kind = t.Literal["app", "request"]
NAMES: t.Final = 200
"""The most names of one namespace that are told."""


@dataclass(frozen=True, slots=True)
class StackedContext:
    """One context on a stack. ``g`` maps names to captured values; ``session`` is None
    where the context has none, and else ``{"opened": bool, "names": {name: captured}}``.
    ``pushed_times`` counts how many pops it is away from its end; a ``zombie`` is current
    although it was popped.
    """

    kind: Kind
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
    pushed = registry.pushed()
    units = {here.key: here}
    apps: dict[str, list[t.Any]] = {here.key: internals.app_stack()}
    requests: dict[str, list[t.Any]] = {here.key: internals.request_stack()}
    for unit, ctx, record in pushed:
        if unit.key == here.key:
            continue
        # The last one that was pushed knows what it stands on.
        units[unit.key] = unit
        app_context = _app_context(ctx, record)
        if app_context is not None:
            apps[unit.key] = internals.stack_below(app_context)
        if internals.request_of(ctx) is not None:
            requests[unit.key] = _requests(internals.stack_below(ctx))
    look = Look({id(ctx): record for _, ctx, record in pushed}, capture, registry.shown)
    return Stacks(
        units=units,
        app_stack={key: look.told(stack, "app") for key, stack in apps.items()},
        request_stack={key: look.told(stack, "request") for key, stack in requests.items()},
        current=here.key,
    )


def _app_context(ctx: t.Any, record: Watched) -> t.Any:
    own = internals.own_app_context(ctx)
    if own is not None or record.reused:
        return own
    # Flask 3.1 pushes both contexts again for a stream, one after the other.
    again = record.app_context
    return again if again is not None and internals.is_pushed(again) else None


def _requests(stack: list[t.Any]) -> list[t.Any]:
    # Since 3.2 contexts with and without a request stand on one stack.
    return [ctx for ctx in stack if internals.request_of(ctx) is not None]


@dataclass(frozen=True, slots=True)
class Look:
    """Turns contexts into records: what is recorded of them, and how values are shown."""

    known: Mapping[int, Watched]
    capture: Capture
    shown: t.Callable[[str], str]

    def told(self, stack: list[t.Any], kind: Kind) -> tuple[StackedContext, ...]:
        """The records of *stack*, bottom to top."""
        last = len(stack) - 1
        return tuple(self.context(ctx, kind, top=n == last) for n, ctx in enumerate(stack))

    def context(self, ctx: t.Any, kind: Kind, *, top: bool = False) -> StackedContext:
        """*ctx* as a record. Looking at its session doesn't count as access."""
        request, record = internals.request_of(ctx), self.known.get(id(ctx))
        g = getattr(getattr(ctx, "g", None), "__dict__", {}) if kind == "app" else {}
        held = dict.copy(g)
        held.pop(OURS, None)
        return StackedContext(
            kind=kind,
            app=ctx.app.name,
            pushed=None if record is None else push_site(record),
            method=None if request is None else request.method,
            path=None if request is None else self.shown(request.path),
            endpoint=None if request is None else request.endpoint,
            started=None if record is None else record.started,
            g=self._names(list(held.items())),
            session=self._session(ctx) if kind == "request" else None,
            pushed_times=internals.push_count(ctx),
            zombie=not internals.is_pushed(ctx),
            top=top,
        )

    def _session(self, ctx: t.Any) -> dict[str, t.Any]:
        raw = internals.raw_session(ctx)
        items = list(dict.items(raw)) if issubclass(type(raw), dict) else []
        return {"opened": raw is not None, "names": self._names(items)}

    def _names(self, items: list[tuple[t.Any, t.Any]]) -> dict[str, t.Any]:
        # Not str(name): a key may be an object of the user's.
        named = [(n if type(n) is str else f"<{type(n).__name__}>", v) for n, v in items[:NAMES]]
        return {name: self.capture(name, value) for name, value in named}
