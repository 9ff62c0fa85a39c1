"""How a namespace changed since the last look: ``g``, the session, the response headers.

Values are compared by identity only: ``==`` would call the ``__eq__`` of the user's. A value
that was replaced or removed so stays alive until the step that did it has ended; by its
address alone a new value could pass for the old one.
"""

from __future__ import annotations

import typing as t
from itertools import chain
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


def same(live: Live, seen: tuple[t.Any, ...]) -> bool:
    """Whether *live* holds the names and values, by identity, that :func:`seen_in` saw."""
    return 2 * len(live) == len(seen) and all(map(is_, chain(live, live.values()), seen))


def seen_in(live: Live) -> tuple[t.Any, ...]:
    """The names of *live*, then its values, for :func:`same`."""
    return (*live, *live.values())


class Watcher:
    """A namespace as the last look left it."""

    __slots__ = ("_capture", "_known", "seen")

    def __init__(self, capture: Capture, live: Live | None = None) -> None:
        self._capture = capture
        self.seen = () if not live else seen_in(live)
        self._known: dict[str, Captured] | None = None if live else {}

    def known(self) -> dict[str, Captured]:
        """What was there at the last look, captured; now, if nothing had changed since."""
        if self._known is None:
            half = len(self.seen) // 2
            names = self.seen[: min(half, NAMES)]
            pairs = zip(map(name_of, names), self.seen[half:], strict=False)
            self._known = {name: self._capture(name, value) for name, value in pairs}
        return self._known

    def look(self, live: Live) -> Delta | None:
        """What changed in *live* since the last look, or None."""
        seen, count = self.seen, len(live)
        if 2 * count == len(seen) and all(map(is_, chain(live, live.values()), seen)):
            return None
        known, before = self.known(), len(seen) // 2
        self.seen = seen_in(live)
        if before < count <= NAMES and self.seen[:before] == seen[:before]:
            kept = self.seen[count : count + before]
            if all(map(is_, kept, seen[before:])):
                return self._added(before, count), _NOTHING, _NOTHING
        return self._differ(dict(zip(map(name_of, seen), seen[before:], strict=False)), known)

    def _added(self, before: int, count: int) -> dict[str, Captured]:
        added = {}
        for place in range(before, count):
            name = name_of(self.seen[place])
            added[name] = self._capture(name, self.seen[count + place])
        self._known = {**self.known(), **added}
        return added

    def _differ(self, before: dict[str, t.Any], known: dict[str, Captured]) -> Delta | None:
        added: dict[str, Captured] = {}
        changed: dict[str, Captured] = {}
        after: dict[str, Captured] = {}
        half = len(self.seen) // 2
        for key, value in zip(self.seen[: min(half, NAMES)], self.seen[half:], strict=False):
            name = name_of(key)
            if name in known and before.get(name, known) is value:
                after[name] = known[name]
                continue
            after[name] = captured = self._capture(name, value)
            if name in known:
                changed[name] = [known[name], captured]
            else:
                added[name] = captured
        if half > NAMES and known.get("$cut") != half - NAMES:
            after["$cut"] = added["$cut"] = half - NAMES
        removed = {name: known[name] for name in known if name not in after}
        self._known = after
        return (added, changed, removed) if added or changed or removed else None

    def release(self) -> None:
        """Let go of the user's objects; what was captured stays."""
        self.known()
        self.seen = ()


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


Headers = tuple[tuple[str, "Captured"], ...]
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
