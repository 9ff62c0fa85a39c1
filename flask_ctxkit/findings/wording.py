"""How findings name what they speak of."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..trace.model import Event
    from .facts import Hook

SHOWN: t.Final = 5
"""The most names of a list that a sentence shows; the others are counted."""
_OWN: t.Final = ("this app", "blueprint ", "Flask")


def short(name: str) -> str:
    """A qualified name without the function that it was defined in."""
    return name.rpartition("<locals>.")[2]


def named(step: Event | Hook) -> str:
    """What a sentence calls it: load_user, Flask-Limiter's check, or view cart."""
    name = short(step.name)
    if step.phase == "view":
        return f"view {name}"
    if step.source and not step.source.startswith(_OWN):
        return f"{step.source}'s {name}"
    return name


def told(step: Event | Hook) -> str:
    """What :func:`named` says, and where it is defined: "load_user (shop/auth.py:12)"."""
    return f"{named(step)} ({step.where})" if step.where else named(step)


def phased(step: Event | Hook) -> str:
    """What :func:`told` says, after its phase: "before_request load_user (shop/auth.py:12)"."""
    return told(step) if step.phase == "view" else f"{step.phase} {told(step)}"


def listed(names: t.Iterable[str]) -> str:
    """As "a", "a and b", or "a, b and c"; of many the first few, and how many more."""
    unique = list(dict.fromkeys(names))
    if len(unique) > SHOWN:
        unique = [*unique[: SHOWN - 1], f"{len(unique) - SHOWN + 1} more"]
    return " and ".join(filter(None, [", ".join(unique[:-1]), *unique[-1:]]))


def identity(step: Event | Hook) -> str:
    """The same for the same function in every trace."""
    return f"{short(step.name)} {step.where}"
