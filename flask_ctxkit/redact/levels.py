"""The second level of looking: names, types, sizes and marks, but no values."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .capture import Captured

_KEPT: t.Final = frozenset({"$type", "$size", "$hidden", "$mark", "$name", "$cycle", "$cut"})
_PARTS: t.Final = frozenset({"$items", "$attributes"})


def without_values(captured: Captured) -> Captured:
    """*captured* for who may look but not see values.

    Key names, types, sizes and marks stay; each value becomes its ``"$type"`` and, for a
    str, its ``"$size"``. What went through here before comes back as it is.
    """
    if isinstance(captured, dict):
        return {
            key: value if key in _KEPT else without_values(value)
            for key, value in captured.items()
            if key in _KEPT or key in _PARTS or key[:1] != "$" or key[:2] == "$$"
        }
    if isinstance(captured, list):
        return [without_values(item) for item in captured]
    if isinstance(captured, str):
        return {"$type": "str", "$size": len(captured)}
    return {"$type": type(captured).__name__}
