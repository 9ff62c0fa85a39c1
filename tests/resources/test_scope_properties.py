"""Laws of closing, over random trees of contexts, units and failures."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import threading
import typing as t
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_ctxkit import CtxKit
from flask_ctxkit.internals import current_app_context, is_pushed

NAMES = ("a", "b", "c")
Use = tuple[str, bool]
"""A resource that is asked for, and whether opening it would fail."""


class PlannedError(Exception):
    """Planned, so that nothing else can pass for it."""


@dataclass(frozen=True)
class Workers:
    """Units that share a context: how they run, and what each asks for."""

    kind: t.Literal["inline", "threads", "tasks", "to_thread"]
    uses: list[list[Use]]


@dataclass(frozen=True)
class Node:
    """A context: what is done in it, in order, and how it ends."""

    kind: t.Literal["app", "request", "again"]
    steps: list[Workers | Node] = field(default_factory=list)
    fails: bool = False
    teardown_fails: bool = False


uses = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from([False, False, False, True])), max_size=4
)
workers = st.builds(
    Workers,
    st.sampled_from(["inline", "threads", "tasks", "to_thread"]),
    st.lists(uses, min_size=1, max_size=4),
)


def nodes(inside: st.SearchStrategy[t.Any]) -> st.SearchStrategy[Node]:
    kinds = st.sampled_from(["app", "request", "again"])
    return st.builds(Node, kinds, st.lists(inside, max_size=4), st.booleans(), st.booleans())


trees = nodes(st.recursive(workers, lambda inside: inside | nodes(inside), max_leaves=8))
bad_closes = st.frozensets(st.sampled_from(NAMES))


@dataclass
class Life:
    """What was opened and closed in one context up to its end, by number."""

    opened: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    open_now: set[str] = field(default_factory=set)
    told: set[bool] = field(default_factory=set)
    at_once: bool = False
    """Whether threads opened in it at once, so that nobody knows who was first."""


class Run:
    """Does what a tree says, and checks each context when it ends."""

    def __init__(self, *, trace: bool, bad: frozenset[str]) -> None:
        self.app = Flask(__name__)
        self.app.config.update(CTXKIT_TRACE=trace)
        self.kit = CtxKit(self.app)
        self.lives: dict[t.Any, Life] = defaultdict(Life)
        self.numbers = itertools.count()
        self.planned = threading.local()
        self.teardown_fails = False
        self.resources = {name: self.resource(name, bad_close=name in bad) for name in NAMES}
        self.app.teardown_appcontext(self.teardown)

    def resource(self, name: str, *, bad_close: bool) -> t.Callable[[], t.Any]:
        def open_it() -> tuple[Life, int]:
            if self.planned.fails:
                raise PlannedError(f"open {name}")
            life, number = self.lives[current_app_context(None)], next(self.numbers)
            assert name not in life.open_now
            life.open_now.add(name)
            life.opened.append(number)
            return life, number

        def close_it(opened: tuple[Life, int], exc: BaseException | None) -> None:
            life, number = opened
            life.closed.append(number)
            life.told.add(exc is not None)
            life.open_now.remove(name)
            if bad_close:
                raise PlannedError(f"close {name}")

        return self.kit.resource(name, open_it, close_it)

    def teardown(self, _: BaseException | None) -> None:
        if self.teardown_fails:
            raise PlannedError("teardown")

    # ---------------------------------------------------------------------------- doing

    def use(self, asked: list[Use]) -> None:
        for name, fails in asked:
            self.planned.fails = fails
            with suppress(PlannedError):
                self.resources[name]()

    def work(self, what: Workers) -> None:
        if what.kind == "inline":
            for asked in what.uses:
                self.use(asked)
        elif what.kind == "tasks":
            asyncio.run(self.tasks(what))
        else:
            self.lives[current_app_context(None)].at_once = True
            self.threads(what) if what.kind == "threads" else asyncio.run(self.to_thread(what))

    def threads(self, what: Workers) -> None:
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(self.use, asked))
            for asked in what.uses
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)

    async def to_thread(self, what: Workers) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.use, asked) for asked in what.uses))

    async def tasks(self, what: Workers) -> None:
        async def task(asked: list[Use]) -> None:
            for one in asked:
                await asyncio.sleep(0)
                self.use([one])

        await asyncio.gather(*(task(asked) for asked in what.uses))

    def context(self, node: Node) -> None:
        make = self.app.test_request_context if node.kind == "request" else self.app.app_context
        ctx = make()
        for _ in range(2 if node.kind == "again" else 1):
            owners: list[t.Any] = []
            try:
                self.live(ctx, node, owners)
            except BaseException as error:
                if "PlannedError" not in repr(error):
                    raise
            self.check(owners[0], node)

    def live(self, ctx: t.Any, node: Node, owners: list[t.Any]) -> None:
        with ctx:
            owners.append(current_app_context(None))
            for step in node.steps:
                self.context(step) if isinstance(step, Node) else self.work(step)
            assert self.lives[owners[0]].closed == []
            self.teardown_fails = node.teardown_fails
            if node.fails:
                raise PlannedError("context")

    def check(self, owner: t.Any, node: Node) -> None:
        """Each law, where *owner* has ended; Flask 3.0 and 3.1 let a request use another's."""
        if is_pushed(owner):
            return
        life = self.lives.pop(owner, Life())
        if life.at_once:
            assert sorted(life.closed) == sorted(life.opened)
        else:
            assert life.closed == life.opened[::-1]
        assert life.open_now == set()
        assert life.told <= {node.fails}


@settings(max_examples=150, deadline=None)
@given(tree=trees, trace=st.booleans(), bad=bad_closes)
def test_each_is_closed_once_and_the_last_one_first(
    tree: Node, trace: bool, bad: frozenset[str]
) -> None:
    """Whatever opens, closes, ends and fails, and in whatever unit; who closes is told why."""
    logging.getLogger("flask_ctxkit").disabled = True
    run = Run(trace=trace, bad=bad)
    run.context(tree)
    assert current_app_context(None) is None
    assert run.lives == {}
    resources = run.app.extensions["ctxkit"].resources
    tallies = [resources.tally(name) for name in NAMES]
    assert sum(tally.opened for tally in tallies) == next(run.numbers)
    for tally in tallies:
        assert tally.opened == tally.closed
        assert (tally.failed, tally.forgotten) == (tally.closed if tally.name in bad else 0, 0)
