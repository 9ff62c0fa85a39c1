"""Which contexts did a test leave pushed, and which did it find?"""

from __future__ import annotations

import gc
import typing as t
from dataclasses import dataclass

from .. import internals
from .sites import PushSites, push_site

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEFT: t.Final = "_ctxkit_left_by"
"""The attribute of a context that names the test which left it pushed."""
OWNER: t.Final = "_ctxkit_owner"
"""The attribute of a context that holds the fixture which pushed it."""

Pushed = dict[int, tuple[t.Any, int]]
"""Contexts by their address, with how often each is pushed. Not by themselves: that would
call the ``__eq__`` of a subclass of somebody's."""


@dataclass(slots=True)
class Owner:
    """A fixture of a wider scope than one test, and whether it ended."""

    fixture: str
    scope: str
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """A context that a test, or a fixture which ended with it, left pushed.

    ``app`` is the context's app; ``text`` says what was left, and where it was pushed.
    """

    app: t.Any
    text: str

    @property
    def has_kit(self) -> bool:
        """Whether the context's app has a kit."""
        return "ctxkit" in self.app.extensions


def pushed() -> Pushed:
    """The contexts that are current for the caller.

    A request and the application context that it pushed for itself are one. A context that is
    current without being pushed, which Flask's older lines can leave, counts as pushed once.
    """
    stack = internals.app_stack()
    if not internals.ONE_CONTEXT:
        requests = internals.request_stack()
        own = {id(internals.own_app_context(ctx)) for ctx in requests}
        stack = [*(ctx for ctx in stack if id(ctx) not in own), *requests]
    return {id(ctx): (ctx, max(1, internals.push_count(ctx))) for ctx in stack}


class LeakCheck:
    """Compares what is pushed before and after each test.

    What was pushed before the first test, and by a fixture of a wider scope that did not end
    yet, is legal. Only the thread that runs the tests is looked at.

    :param root: the folder that places are told relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._owners: dict[object, Owner] = {}
        self._legal: Pushed = {}
        self._found: list[t.Any] = []
        self._at_end: list[t.Any] = []
        self.sites = PushSites()

    def test_begins(self) -> None:
        """What is pushed now is none of the next test's."""
        self._legal, self._at_end = pushed(), []
        self._found = [ctx for ctx, _ in self._legal.values() if hasattr(ctx, LEFT)]

    def found(self) -> list[str]:
        """What earlier tests had left when this one began, and which test left each."""
        return [f"{self._told(ctx)}, left by {getattr(ctx, LEFT)}" for ctx in self._found]

    def fixture_set_up(self, fixture: object, owner: Owner, before: Pushed) -> None:
        """What *fixture* pushed since *before* is its own until it ends."""
        self._owners[fixture] = owner
        for ctx, times in _more(pushed(), before):
            self._legal[id(ctx)] = (ctx, times)
            if not _is_owned(ctx):
                setattr(ctx, OWNER, owner)
                vars(ctx).pop(LEFT, None)

    def fixture_ended(self, fixture: object) -> None:
        """*fixture* was torn down."""
        owner = self._owners.pop(fixture, None)
        if owner is not None:
            owner.ended = True

    def teardown_begins(self) -> None:
        """Note what is pushed while nothing is torn down yet."""
        self._at_end = [ctx for ctx, _ in _more(pushed(), self._legal)]

    def at_end(self) -> list[str]:
        """What the test, and the fixtures of its scope, had pushed when their teardown began."""
        return [self._told(ctx) for ctx in self._at_end]

    def test_ended(self, test: str) -> list[Left]:
        """What *test*, and the fixtures that ended with it, left pushed. Each is told once."""
        if self._left():
            # An abandoned generator that holds a context pops it when it is collected.
            gc.collect()
        left = []
        for ctx in self._left():
            left.append(Left(ctx.app, f"{self._told(ctx)}{_state(ctx)}"))
            setattr(ctx, LEFT, test)
        self._legal = {}
        return left

    def _left(self) -> list[t.Any]:
        now = pushed()
        more = {id(ctx): ctx for ctx, _ in _more(now, self._legal)}
        ended = {id(ctx): ctx for ctx, _ in now.values() if _outlives_owner(ctx)}
        return [*(more | ended).values()]

    def _told(self, ctx: t.Any) -> str:
        """What *ctx* is, and where it was pushed."""
        site = push_site(ctx, self._root)
        return f"{_described(ctx)}, pushed {f'at {site}' if site else 'before Flask was watched'}"


def _more(now: Pushed, before: Pushed) -> Iterator[tuple[t.Any, int]]:
    """The contexts of *now* that were pushed more often since *before*."""
    for key, (ctx, times) in now.items():
        known, often = before.get(key, (None, 0))
        if known is not ctx or times > often:
            yield ctx, times


def _is_owned(ctx: t.Any) -> bool:
    owner: Owner | None = getattr(ctx, OWNER, None)
    return owner is not None and not owner.ended


def _outlives_owner(ctx: t.Any) -> bool:
    return hasattr(ctx, OWNER) and not _is_owned(ctx) and not hasattr(ctx, LEFT)


def _described(ctx: t.Any) -> str:
    request = internals.request_of(ctx)
    if request is None:
        return f"an application context of {ctx.app.name!r}"
    from ..redact import Redactor

    # Links in mails carry secrets in their paths.
    path = Redactor().url(request.path)
    return f"the context of {request.method} {path} of {ctx.app.name!r}"


def _state(ctx: t.Any) -> str:
    """What is odd about *ctx*, which was left pushed; empty for what is usual."""
    owner: Owner | None = getattr(ctx, OWNER, None)
    if owner is not None and owner.ended:
        return f", by the fixture {owner.fixture!r} ({owner.scope} scope), which ended"
    times = internals.push_count(ctx)
    if times > 1:
        return f", {times} times"
    return "" if times else ", popped in the wrong place, so that it is still current"
