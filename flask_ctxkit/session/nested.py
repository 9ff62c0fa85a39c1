"""Changes inside a value of the session, which Flask doesn't notice."""

from __future__ import annotations

import typing as t
from functools import partial

from . import tags

if t.TYPE_CHECKING:
    from .mapping import CtxSession

Write = t.Callable[[t.Any], "str | bytes | None"]
"""A part of a session as it would be saved, or None if it can't be."""

FIXED: t.Final = tags.SCALARS | {bytes}
"""Types whose values can't change inside."""


def may_change_inside(session: CtxSession) -> bool:
    """Whether *session* was read from a cookie and holds a value that can change inside."""
    if session.received is None and session.reread is None:
        return False
    return not FIXED.issuperset(map(type, dict.values(session)))


def changed_inside(session: CtxSession, encode: tags.Encode, original: tags.Tag) -> tuple[str, ...]:
    """The names of the values of *session* that are not what its cookie said.

    Both are compared as the JSON that would be saved, so no ``__eq__`` is called, and a
    difference that no cookie could hold is none. What can't be saved at all has changed.
    """
    if session.received is None:
        return ()
    received = session.received[0]
    now = dict(dict.items(session))
    if as_json(now, encode, original) == received:
        return ()
    # The cookie may have been written by something that orders or escapes otherwise.
    before: dict[str, t.Any] = dict(tags.decode(received) or ())
    return tuple(
        str(name)
        for name in {**before, **now}
        if (name in before) != (name in now)
        or as_json(before[name], encode, original) != as_json(now[name], encode, original)
    )


def changed_as_written(session: CtxSession, serializer: t.Any) -> tuple[str, ...]:
    """As :func:`changed_inside`, by a *serializer* or a JSON provider of the app's own.

    The cookie is read once more: what it said is compared with what is there, both as the
    serializer writes them. One that writes the same otherwise each time, as what encrypts
    does, shows no change.
    """
    now, before = dict(dict.items(session)), as_it_came(session, serializer)
    names = [*filter(partial(_differs, serializer, before, now), {**before, **now})]
    if not names:
        return ()
    once_more = as_it_came(session, serializer)
    return tuple(str(n) for n in names if not _differs(serializer, before, once_more, n))


def as_it_came(session: CtxSession, serializer: t.Any) -> dict[str, t.Any]:
    """The values that the cookie of *session* said, made anew."""
    if session.reread is not None:
        return dict(session.reread() or ())
    return {} if session.received is None else dict(serializer.loads(session.received[0]) or ())


def _differs(
    serializer: t.Any, one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any], name: str
) -> bool:
    if name not in one or name not in other:
        return (name in one) != (name in other)
    return _written(serializer, name, one[name]) != _written(serializer, name, other[name])


def _written(serializer: t.Any, name: str, value: t.Any) -> str | bytes | None:
    return repr(value) if type(value) in FIXED else as_written({name: value}, serializer)


def as_written(value: t.Any, serializer: t.Any) -> str | bytes | None:
    """*value* as the app's own *serializer* writes it, or None if that fails."""
    try:
        text: str | bytes = serializer.dumps(value)
    except Exception:  # whatever the app's own raises: it can't be saved
        return None
    return text


def as_json(value: t.Any, encode: tags.Encode, original: tags.Tag) -> str | None:
    """*value* as it would be saved, or None if it can't be."""
    try:
        return encode(tags.tag(value, original))
    except (TypeError, ValueError, RecursionError):
        return None


def unsavable(values: t.Mapping[str, t.Any], write: Write) -> tuple[str, ...]:
    """The names in *values* that can't be saved."""
    return tuple(str(n) for n, v in values.items() if write({n: v}) is None)


def sizes(values: t.Mapping[str, t.Any], write: Write) -> dict[str, int]:
    """How many bytes each name takes with its value as it is saved, the largest first."""
    found = {}
    for name, value in values.items():
        text = write({name: value}) or ""
        raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        found[str(name)] = max(len(raw) - 1, 0)  # the brace that the others share
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))
