"""A unit of running code as plain data."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..units import Unit


def unit(found: Unit) -> dict[str, t.Any]:
    """A unit as plain data, with the key that names it."""
    return {
        "kind": found.kind,
        "name": found.name,
        "ident": found.ident,
        "serial": found.serial,
        "worker": found.worker,
        "key": found.key,
    }
