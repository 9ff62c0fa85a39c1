"""A session as work that runs elsewhere sees it: a copy of its own, which is not for writing."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import typing as t
import uuid
from collections import OrderedDict, defaultdict

from flask.sessions import SessionMixin
from markupsafe import Markup

from ..errors import SnapshotError

FIXED: t.Final = frozenset({
    str, bytes, int, float, complex, bool, type(None), Markup, uuid.UUID, decimal.Decimal,
    dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone,
})  # fmt: skip
"""Types whose values can't change, so that all may have the same one."""
KEY: t.Final = 40
"""The most characters of a key that a warning shows."""


class SessionCopy:
    """What *session* held when it was copied, for any number of sessions like it.

    Taking it is no access of *session*. ``shared`` names what could not be copied, such as
    "'cart' (lock)": all have the request's own.

    :param session: that of a request; None where none is open, which is an empty one.
    """

    def __init__(self, session: t.Any) -> None:
        copier = _Copier()
        self._values = {name: copier.of(name, value) for name, value in _values(session).items()}
        self._loose = copier.loose
        self.shared: tuple[str, ...] = tuple(copier.shared)

    def new(self) -> SnapshotSession:
        """A session of its own, with nothing in it that another one could change."""
        copier = _Copier()
        return SnapshotSession({
            name: copier.of(name, value) if name in self._loose else value
            for name, value in self._values.items()
        })  # fmt: skip


def _values(session: t.Any) -> dict[str, t.Any]:
    if session is None:
        return {}
    if not getattr(session, "loaded", True):
        len(session)  # the kit's own, which reads its cookie when it is touched
    if isinstance(session, dict):
        return dict(dict.items(session))
    accessed = session.accessed
    values = dict(session.items())
    if session.accessed != accessed:
        session.accessed = accessed
    return values


class _Copier:
    """Makes copies whose dicts, lists and sets can't be changed, at any depth.

    Other objects are copied as :func:`copy.deepcopy` does, once also where several values hold
    them. ``loose`` is the names of the values with such an object in them, ``shared`` tells of
    those that can't be copied.
    """

    def __init__(self) -> None:
        self.loose: set[str] = set()
        self.shared: list[str] = []
        self._name: t.Any = None
        self._copied: dict[int, t.Any] = {}

    def of(self, name: str, value: t.Any) -> t.Any:
        """A copy of *value*, which stands under *name*."""
        self._name, told = name, len(self.shared)
        try:
            return self._copy(value)
        except Exception:  # it holds itself, or what is no key of a dict once it is copied
            del self.shared[told:]
            return self._deep(value)

    def _copy(self, value: t.Any) -> t.Any:
        kind = type(value)
        if kind in FIXED:
            return value
        if kind in _DICTS:
            pairs = list(value.items())
            return _FrozenDict({self._copy(name): self._copy(inner) for name, inner in pairs})
        if kind in _LISTS:
            return _FrozenList(map(self._copy, value))
        if kind is tuple:
            return tuple(map(self._copy, value))
        if kind in _SETS:
            return frozenset(map(self._copy, value))
        return self._deep(value)

    def _deep(self, value: t.Any) -> t.Any:
        self.loose.add(self._name)
        try:
            return copy.deepcopy(value, self._copied)
        except Exception:  # its own __deepcopy__ refuses, or it can't be taken to pieces
            self._copied = {}  # what was begun is not to be met again
        name = repr(self._name[:KEY]) if type(self._name) is str else "a key that is no str"
        self.shared.append(f"{name} ({type(value).__qualname__})")
        return value


def _refuse(*_: t.Any, **__: t.Any) -> t.NoReturn:
    raise SnapshotError(
        "The session can't be changed here: this work has a read-only copy of it. The session is "
        "saved in a cookie of the response, which the request sends without waiting for this "
        "work. Change it in the view, or keep the result in a database or a cache."
    )


class _FrozenDict(dict[str, t.Any]):
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce_ex__(self, _: t.SupportsIndex) -> tuple[t.Any, ...]:
        return dict, (dict(self),)  # copy.deepcopy() and pickle make one that can be changed


class _FrozenList(list[t.Any]):
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse

    def __reduce_ex__(self, _: t.SupportsIndex) -> tuple[t.Any, ...]:
        return list, (list(self),)


_DICTS: t.Final = frozenset({dict, OrderedDict, defaultdict, _FrozenDict})
"""What is a plain dict in the cookie, and so in the next request."""
_LISTS: t.Final = frozenset({list, _FrozenList})
_SETS: t.Final = frozenset({set, frozenset})


class SnapshotSession(_FrozenDict, SessionMixin):
    """A read-only copy of a session, with all that is inside it."""

    new = False
    accessed = False

    @property
    def modified(self) -> bool:
        """Always False: there is nothing to save."""
        return False

    @modified.setter
    def modified(self, value: bool) -> None:
        if value:
            _refuse()
