"""How a namespace changed since the last look: ``g``, the session, the response headers."""

from __future__ import annotations

import typing as t
from operator import is_

if t.TYPE_CHECKING:
    from .model import Captured

Capture = t.Callable[[str, t.Any], "Captured"]
"""Turns a name and a user's value into a redacted copy."""

NAMES: t.Final = 200
"""The most names of a namespace whose values are captured; more are counted."""


class Delta(t.NamedTuple):
    """How a namespace changed: names to captured values, ``[before, after]`` if changed."""

    added: dict[str, Captured]
    changed: dict[str, Captured]
    removed: dict[str, Captured]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.added, *self.changed, *self.removed)


def merged(first: Delta | None, second: Delta | None) -> Delta | None:
    """The change from before *first* to after *second*."""
    if first is None or second is None:
        return second if first is None else first
    added, changed, removed = dict(first.added), dict(first.changed), dict(first.removed)
    for name, after in second.added.items():
        if name in removed:
            changed[name] = [removed.pop(name), after]
        else:
            added[name] = after
    for name, (before, after) in second.changed.items():
        if name in added:
            added[name] = after
        else:
            changed[name] = [changed.pop(name, [before])[0], after]
    for name, before in second.removed.items():
        if added.pop(name, second) is second:
            removed[name] = changed.pop(name, [before])[0]
    return Delta(added, changed, removed) if added or changed or removed else None


class Watcher:
    """Remembers a namespace by the identity of its values, never by comparing them.

    It keeps a replaced or removed value alive until the step that replaced it has ended:
    by its address alone a new value could pass for the old one.
    """

    __slots__ = ("_capture", "_names", "_seeded", "_values", "known")

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._names: t.Sequence[t.Any] = ()
        self._values: t.Sequence[t.Any] = ()
        self.known: dict[str, Captured] = {}
        """What was there at the last look, captured."""
        self._seeded = False

    def seed(self, live: dict[t.Any, t.Any]) -> None:
        """Take what *live* holds as given; its values are captured if one of them changes."""
        if live:
            self._names, self._values, self._seeded = [*live], [*live.values()], True

    def captured(self) -> dict[str, Captured]:
        """What was there at the last look, captured now if nothing had changed since."""
        if self._seeded:
            self._seeded = False
            pairs = zip(self._names[:NAMES], self._values, strict=False)
            self.known = {_text(key): self._capture(_text(key), value) for key, value in pairs}
        return self.known

    def look(self, live: dict[t.Any, t.Any]) -> Delta | None:
        """What changed in *live* since the last look, or None."""
        if len(live) == len(self._names):
            if not live:
                return None
            if all(map(is_, live.values(), self._values)) and all(map(is_, live, self._names)):
                return None
        return self._differ(live)

    def _differ(self, live: dict[t.Any, t.Any]) -> Delta | None:
        before = dict(zip(map(_text, self._names), self._values, strict=True))
        known, capture = self.captured(), self._capture
        added: dict[str, Captured] = {}
        changed: dict[str, Captured] = {}
        after: dict[str, Captured] = {}
        names, values = list(live), list(live.values())
        for key, value in zip(names[:NAMES], values, strict=False):
            name = _text(key)
            if name not in known:
                after[name] = added[name] = capture(name, value)
            elif before.get(name, known) is value:
                after[name] = known[name]
            else:
                after[name] = capture(name, value)
                changed[name] = [known[name], after[name]]
        if len(names) > NAMES:
            after["$cut"] = len(names) - NAMES
            added["$cut"] = after["$cut"]
        removed = {name: known[name] for name in known if name not in after}
        self._names, self._values, self.known = names, values, after
        return Delta(added, changed, removed) if added or changed or removed else None

    def look_headers(self, pairs: list[tuple[str, str]]) -> Delta | None:
        """What changed in a list of headers; the values of a repeated name are joined."""
        if len(pairs) == len(self._values) and all(map(is_, pairs, self._values)):
            return None
        self._values = pairs
        joined: dict[str, str] = {}
        for name, value in pairs[:NAMES]:
            joined[name] = f"{joined[name]}\n{value}" if name in joined else value
        known = self.known
        after = {name: self._capture(name, value) for name, value in joined.items()}
        added = {name: after[name] for name in after if name not in known}
        removed = {name: known[name] for name in known if name not in after}
        changed = {
            name: [known[name], after[name]]
            for name in after
            if name in known and known[name] != after[name]  # captured: plain data
        }
        self.known = after
        return Delta(added, changed, removed) if added or changed or removed else None

    def release(self) -> None:
        """Let go of the user's objects; what was captured stays."""
        self.captured()
        self._names = self._values = ()


def _text(key: object) -> str:
    return key if type(key) is str else f"<{type(key).__name__}>"


class SessionWatch:
    """The session as the last step left it. Looking never counts as access."""

    __slots__ = ("_known", "first", "raw", "seen")

    def __init__(self, raw: t.Any, capture: Capture) -> None:
        self.raw = raw
        self.first: t.Any = None
        """The site of the step that touched the session first."""
        self.seen: Watcher | None = None
        if issubclass(type(raw), dict):
            self.seen = Watcher(capture)
            self.seen.seed(raw)

    def look(self, site: t.Any) -> Delta | None:
        """What changed since the last look; None as well where nobody touched the session."""
        if self.first is None:
            if not self.raw.accessed:
                return None
            self.first = site
        return None if self.seen is None else self.seen.look(self.raw)

    def state(self) -> dict[str, t.Any]:
        """The session's part of a trace, but for what the response tells."""
        names = {} if self.seen is None else self.seen.captured()
        if self.first is None:
            state = "untouched" if names else "absent"
        else:
            state = "changed" if self.raw.modified else "read"
        return {"state": state, "names": names, "accessed_by": self.first}
