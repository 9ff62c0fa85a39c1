"""How a namespace changed since the last look: ``g``, the session, the response headers.

Values are compared by identity only: ``==`` would call the ``__eq__`` of the user's. A value
that was replaced or removed so stays alive until the step that did it has ended; by its
address alone a new value could pass for the old one.
"""

from __future__ import annotations

import typing as t
from operator import is_

if t.TYPE_CHECKING:
    from .model import Captured

Capture = t.Callable[[str, t.Any], "Captured"]
"""Turns a name and a user's value into a redacted copy."""

Delta = tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]
"""What was added, changed (``[before, after]``) and removed, names to captured values."""

Live = dict[t.Any, t.Any]
NAMES: t.Final = 200
"""The most names of a namespace whose values are captured; more are counted."""
_NOTHING: t.Final[dict[str, t.Any]] = {}


class Watcher:
    """A namespace as the last look left it."""

    __slots__ = ("_capture", "_known", "_names", "_values")

    def __init__(self, capture: Capture, live: Live | None = None) -> None:
        self._capture = capture
        self._known: dict[str, Captured] | None = None
        self._names: list[t.Any]
        self._values: list[t.Any]
        if live:
            self._names, self._values = [*live], [*live.values()]
        else:
            self._names = self._values = _EMPTY

    def known(self) -> dict[str, Captured]:
        """What was there at the last look, captured; now, if nothing had changed since."""
        if self._known is None:
            pairs = zip(map(name_of, self._names[:NAMES]), self._values, strict=False)
            self._known = {name: self._capture(name, value) for name, value in pairs}
        return self._known

    def look(self, live: Live) -> Delta | None:
        """What changed in *live* since the last look, or None."""
        names, values = self._names, self._values
        before, count = len(names), len(live)
        # Most steps change nothing, and most that do only add.
        if before <= count and all(map(is_, values, live.values())) and all(map(is_, names, live)):
            return None if before == count else self._added(live, before, count)
        return self._differ(live)

    def _added(self, live: Live, before: int, count: int) -> Delta:
        if count > NAMES:
            return t.cast("Delta", self._differ(live))
        self._names, self._values = [*live], [*live.values()]
        capture, added = self._capture, {}
        for place in range(before, count):
            name = name_of(self._names[place])
            added[name] = capture(name, self._values[place])
        self._known = {**self._known, **added} if self._known and before else None
        if self._known is None and before == 0:
            self._known = added
        return added, _NOTHING, _NOTHING

    def _differ(self, live: Live) -> Delta | None:
        known = self.known()
        before = dict(zip(map(name_of, self._names), self._values, strict=True))
        self._names, self._values = [*live], [*live.values()]
        added: dict[str, Captured] = {}
        changed: dict[str, Captured] = {}
        after: dict[str, Captured] = {}
        for key, value in zip(self._names[:NAMES], self._values, strict=False):
            name = name_of(key)
            if name in known and before.get(name, known) is value:
                after[name] = known[name]
                continue
            after[name] = captured = self._capture(name, value)
            if name in known:
                changed[name] = [known[name], captured]
            else:
                added[name] = captured
        more = len(self._names) - NAMES
        if more > 0:
            after["$cut"] = more
            if known.get("$cut") != more:
                added["$cut"] = more
        removed = {name: known[name] for name in known if name not in after}
        self._known = after
        return (added, changed, removed) if added or changed or removed else None

    def release(self) -> None:
        """Let go of the user's objects; what was captured stays."""
        if self._names:
            self.known()
            self._names = self._values = _EMPTY


_EMPTY: t.Final[list[t.Any]] = []


def name_of(key: object) -> str:
    """*key* if it is a string, or a stand-in: other keys are the user's objects."""
    return key if type(key) is str else f"<{type(key).__name__}>"


def merged(first: Delta | None, second: Delta | None) -> Delta | None:
    """The change from before *first* to after *second*."""
    if first is None or second is None:
        return second if first is None else first
    added, changed, removed = dict(first[0]), dict(first[1]), dict(first[2])
    for name, after in second[0].items():
        if name in removed:
            changed[name] = [removed.pop(name), after]
        else:
            added[name] = after
    for name, (before, after) in second[1].items():
        if name in added:
            added[name] = after
        else:
            changed[name] = [changed.pop(name, [before])[0], after]
    for name, before in second[2].items():
        if name in added:
            del added[name]
        else:
            removed[name] = changed.pop(name, [before])[0]
    return (added, changed, removed) if added or changed or removed else None


class Watched(dict[t.Any, t.Any]):
    """The ``__dict__`` of a ``g``: it tells whether it was written to.

    Flask's ``g`` goes through its ``__dict__`` for each write, so one flag stands for a
    comparison after each step. Reading an attribute of ``g`` costs what it did.
    """

    __slots__ = ("written",)

    def __setitem__(self, name: t.Any, value: t.Any) -> None:
        self.written = True
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: t.Any) -> None:
        self.written = True
        dict.__delitem__(self, name)

    def pop(self, *args: t.Any) -> t.Any:
        self.written = True
        return dict.pop(self, *args)

    def popitem(self) -> t.Any:
        self.written = True
        return dict.popitem(self)

    def clear(self) -> None:
        self.written = True
        dict.clear(self)

    def update(self, *args: t.Any, **kwargs: t.Any) -> None:
        self.written = True
        dict.update(self, *args, **kwargs)

    def setdefault(self, *args: t.Any) -> t.Any:
        self.written = True
        return dict.setdefault(self, *args)

    def __ior__(self, other: t.Any) -> t.Any:  # type: ignore[misc]
        self.written = True
        dict.update(self, other)
        return self


Headers = t.Sequence[tuple[str, "Captured"]]
"""Captured headers, in their order."""


def headers_delta(before: Headers, after: Headers) -> Delta | None:
    """How two captured lists of headers differ; the values of a repeated name are joined."""
    known, now = _joined(before), _joined(after)
    added = {name: value for name, value in now.items() if name not in known}
    removed = {name: value for name, value in known.items() if name not in now}
    changed = {
        name: [known[name], value]
        for name, value in now.items()
        if name in known and known[name] != value
    }
    return (added, changed, removed) if added or changed or removed else None


def _joined(headers: Headers) -> dict[str, Captured]:
    joined: dict[str, Captured] = {}
    for name, value in headers:
        if name not in joined:
            joined[name] = value
        elif type(joined[name]) is str and type(value) is str:
            joined[name] = f"{joined[name]}\n{value}"
        else:
            joined[name] = [joined[name], value]
    return joined
