"""Who holds what of one context."""

from __future__ import annotations

import typing as t

from .claims import claims_of
from .scope import KEY, Holder, Scope

if t.TYPE_CHECKING:
    from .claims import Claim


def held_by(ctx: t.Any) -> tuple[Holder, ...]:
    """What the application context *ctx* holds: its resources in the order of opening, then
    what it has of pools, or waits for.
    """
    scope: Scope | None = getattr(ctx, KEY, None)
    held = () if scope is None else scope.holders()
    # A resource that is a connection, or has one, stands there already.
    claims = (claim for claim in claims_of(ctx) if scope is None or not scope.holds(claim.slot))
    return (*held, *map(_lent, claims))


def _lent(claim: Claim) -> Holder:
    state: t.Literal["open", "opening"] = "open" if claim.granted else "opening"
    return Holder(claim.name, claim.unit, str(claim.site), claim.age_s, state)
