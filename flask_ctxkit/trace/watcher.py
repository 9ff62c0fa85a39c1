"""How a namespace changed since the last look: ``g``, the session, the response headers.

Values are compared by identity only: ``==`` would call the ``__eq__`` of the user's. A value
that was replaced or removed so stays alive until the step that did it has ended; by its
address alone a new value could pass for the old one.
"""

from __future__ import annotations

import typing as t
from operator import is_

from ..globals import OURS

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
    """A namespace as the last look left it.

    It is read with dict's own methods: those of a session may count a look as access.
    """

    __slots__ = ("_capture", "_known", "_names", "_values")

    def __init__(self, capture: Capture, live: Live | None = None) -> None:
        self._capture = capture
        self._known: dict[str, Captured] | None = None
        self._names: list[t.Any]
        self._values: list[t.Any]
        if live is not None and dict.__len__(live):
            self._names, self._values = [*dict.keys(live)], [*dict.values(live)]
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
        before, count = len(names), dict.__len__(live)
        # Most steps change nothing, and most that do only add.
        if (
            before <= count
            and all(map(is_, values, dict.values(live)))
            and all(map(is_, names, dict.keys(live)))
        ):
            return None if before == count else self._added(live, before, count)
        return self._differ(live)

    def _added(self, live: Live, before: int, count: int) -> Delta:
        if count > NAMES:
            return t.cast("Delta", self._differ(live))
        self._names, self._values = [*dict.keys(live)], [*dict.values(live)]
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
        self._names, self._values = [*dict.keys(live)], [*dict.values(live)]
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


MISSING: t.Final = object()
"""Stands for the value of a name that is not there."""


def merged(first: Delta | None, second: Delta | None) -> Delta | None:
    """The change from before *first* to after *second*.

    What others did between the two is left out: a name was before as *first* found it.
    """
    if first is None or second is None:
        return second if first is None else first
    before, after = _sides(first)
    second_before, second_after = _sides(second)
    before, after = {**second_before, **before}, {**after, **second_after}
    added = {n: v for n, v in after.items() if before[n] is MISSING and v is not MISSING}
    removed = {n: v for n, v in before.items() if after[n] is MISSING and v is not MISSING}
    changed = {
        n: [before[n], v] for n, v in after.items() if v is not MISSING and before[n] is not MISSING
    }
    return (added, changed, removed) if added or changed or removed else None


def _sides(delta: Delta) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    added, changed, removed = delta
    before = dict.fromkeys(added, MISSING) | {n: v[0] for n, v in changed.items()} | {**removed}
    after = {**added} | {n: v[1] for n, v in changed.items()} | dict.fromkeys(removed, MISSING)
    return before, after


class Tracked(Live):
    """The ``__dict__`` of a stock ``g``: it remembers what each written name held before.

    Flask's ``g`` goes through its ``__dict__`` for each write, so a step that wrote nothing
    costs no comparison, and reading an attribute of ``g`` costs what it did.
    """

    __slots__ = ("log",)
    log: Live
    """The names written since the last look, and what they held before, or MISSING."""

    def _remember(self, name: t.Any) -> None:
        if name not in self.log:
            self.log[name] = dict.get(self, name, MISSING)

    def __setitem__(self, name: t.Any, value: t.Any) -> None:
        log = self.log
        if name not in log:
            log[name] = dict.get(self, name, MISSING)
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: t.Any) -> None:
        self._remember(name)
        dict.__delitem__(self, name)

    def pop(self, name: t.Any, *default: t.Any) -> t.Any:
        self._remember(name)
        return dict.pop(self, name, *default)

    def popitem(self) -> t.Any:
        name, value = dict.popitem(self)
        self.log.setdefault(name, value)
        return name, value

    def clear(self) -> None:
        for name in self:
            self._remember(name)
        dict.clear(self)

    def update(self, *args: t.Any, **kwargs: t.Any) -> None:
        values = dict(*args, **kwargs)
        for name in values:
            self._remember(name)
        dict.update(self, values)

    def setdefault(self, name: t.Any, default: t.Any = None) -> t.Any:
        self._remember(name)
        return dict.setdefault(self, name, default)

    def __ior__(self, other: t.Any) -> t.Any:  # type: ignore[misc]
        self.update(other)
        return self


def tracked(live: Live) -> Tracked:
    """A copy of *live* that tells what is written to it."""
    copy = Tracked(live)
    copy.log = {}
    return copy


NO_G: t.Final = tracked({})
"""Stands for a ``g`` that is not watched."""


def written(live: Tracked, known: dict[str, Captured], capture: Capture) -> Delta | None:
    """What was written to *live* since the last look, but for the kit's own name; brings *known*
    up to date.
    """
    log, live.log = live.log, {}
    added: dict[str, Captured] = {}
    changed = removed = _NOTHING  # most steps that write anything only add
    for key, before in log.items():
        value = dict.get(live, key, MISSING)
        if value is before:
            continue
        name = key if type(key) is str else name_of(key)
        if name == OURS:
            continue
        if before is MISSING and name not in known and len(added) < NAMES:
            known[name] = added[name] = capture(name, value)
            continue
        if changed is removed:
            changed, removed = {}, {}
        if len(added) + len(changed) >= NAMES:
            added["$cut"] = len(log) - NAMES
            break
        if value is MISSING:
            removed[name] = known.pop(name, None) if name in known else capture(name, before)
            continue
        was = known.get(name) if name in known or before is MISSING else capture(name, before)
        known[name] = captured = capture(name, value)
        if before is MISSING:
            added[name] = captured
        else:
            changed[name] = [was, captured]
    return (added, changed, removed) if added or changed or removed else None


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
