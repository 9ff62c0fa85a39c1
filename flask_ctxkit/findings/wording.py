"""How findings name what they speak of."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ..trace.model import Error, Event
    from .facts import Hook

SHOWN: t.Final = 5
"""The most names of a list that a sentence shows; the others are counted."""


def short(name: str) -> str:
    """A qualified name without the function that it was defined in."""
    return name.rpartition("<locals>.")[2]


def named(step: Event | Hook, kind: str = "request") -> str:
    """What a sentence calls it: load_user, Flask-Limiter's check, or view cart.

    :param kind: that of the trace: what pushed a context that is no request's is no view.
    """
    name = short(step.name)
    if step.phase == "view":
        return f"view {name}" if kind == "request" else name
    source = step.source
    if not source or source in {"this app", "Flask"} or source.startswith("blueprint "):
        return name
    return f"{source}'s {name}"


def told(step: Event | Hook, kind: str = "request") -> str:
    """What :func:`named` says, and where it is defined: "load_user (shop/auth.py:12)"."""
    return f"{named(step, kind)} ({step.where})" if step.where else named(step, kind)


def phased(step: Event | Hook, kind: str = "request") -> str:
    """What :func:`told` says, after its phase: "before_request load_user (shop/auth.py:12)"."""
    # A step of Flask's own is called like its phase.
    known = step.phase in {"view", step.name}
    return told(step, kind) if known else f"{step.phase} {told(step)}"


def listed(names: t.Iterable[str]) -> str:
    """As "a", "a and b", or "a, b and c"; of many the first few, and how many more."""
    unique = list(dict.fromkeys(names))
    if len(unique) > SHOWN:
        unique = [*unique[: SHOWN - 1], f"{len(unique) - SHOWN + 1} more"]
    return " and ".join(filter(None, [", ".join(unique[:-1]), *unique[-1:]]))


def raiser(error: Error, unnamed: str = "the line") -> str:
    """The function whose line raised *error*, and where: "send_mail (shop/mail.py:31)"."""
    name = next((f for f in reversed(error.frames) if f.startswith(f"{error.where} ")), "")
    shown = name.partition(" ")[2]
    return f"{shown} ({error.where})" if shown.isidentifier() else f"{unnamed} {error.where}"


def identity(step: Event | Hook) -> str:
    """The same for the same function in every trace."""
    return f"{short(step.name)} {step.where}"
