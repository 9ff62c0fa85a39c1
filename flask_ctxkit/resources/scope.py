"""What one context holds: opened on first use, closed last-in first-out when it ends."""

from __future__ import annotations

import logging
import os
import typing as t
import warnings
import weakref
from dataclasses import dataclass

from .. import internals
from ..deferred import defer
from ..errors import ClosedContextError
from ..globals import OURS
from .callers import caller
from .once import Slot, Slots, Waits, once
from .steps import Step, elsewhere, is_watched, now, tell

if t.TYPE_CHECKING:
    from flask import Flask

    from ..units import Unit
    from .recipe import Close, Recipe

KEY: t.Final = "_ctxkit_scope"
"""The attribute of an application context that refers to its scope."""
logger = logging.getLogger("flask_ctxkit")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who opened what: ``where`` is the "file:line" that asked for it, ``age_s`` the seconds
    since then, ``state`` "opening", "open" or "closing".
    """

    resource: str
    unit: Unit
    where: str | None
    age_s: float
    state: t.Literal["opening", "open", "closing"]


class Tallies(t.Protocol):
    """Whoever counts what becomes of resources, for one app."""

    waits: Waits

    def opened(self, name: str) -> None: ...
    def closed(self, name: str, *, failed: bool, forgotten: bool) -> None: ...
    def keep(self, scope: Scope) -> None: ...


class _Open:
    """Something that is open; compared by identity."""

    __slots__ = ("close", "recipe", "slot")

    def __init__(self, slot: Slot, recipe: Recipe, close: Close | None) -> None:
        self.slot = slot
        self.recipe = recipe
        self.close = close


class Scope:
    """What one context holds, from its first use to the context's end.

    It stays one: who copies the ``g`` that it stands on copies nothing that is open, and in a
    pickle of that there is None in its place.

    :param ctx: the application context that it belongs to; held weakly, as its owner.
    """

    def __init__(self, tallies: Tallies, ctx: t.Any) -> None:
        self.slots: Slots = {}
        """What is opened or open, by recipe."""
        self.cached: dict[t.Any, Slots] = {}
        """What ``@kit.cached`` keeps, by function."""
        self.ended = False
        self._tallies = tallies
        self._app: t.Callable[[], Flask | None] = weakref.ref(ctx.app)
        self._app_name = ctx.app.name
        self._context = weakref.ref(ctx, _dropping(self))
        self.g: weakref.ref[t.Any] | None = None
        """The ``g`` that it stands on, once it does."""
        self._stack: list[_Open] = []
        self._closing: _Open | None = None
        self._closed: set[Recipe] | None = None
        self.error: BaseException | None = None
        """What ends the context, once that is known."""
        self._is_lost = False
        self._pid = os.getpid()

    @property
    def waits(self) -> Waits:
        """Who waits for what, in the whole app."""
        return self._tallies.waits

    # ------------------------------------------------------------------------ opening

    def open(self, name: str, recipe: Recipe) -> t.Any:
        """The object that *recipe* opens, opened now if it is not.

        :raises ClosedContextError: where the context ended meanwhile.
        :raises ReentranceError: where opening it needs itself.
        """
        new = Slot(name, str(caller()))
        return once(self.slots, recipe, lambda slot: self._open(recipe, slot), new, self.waits)

    def _open(self, recipe: Recipe, slot: Slot) -> t.Any:
        if self._closed is not None and recipe in self._closed:
            raise closed(f"{slot.name} was closed a moment ago, since its context ends.")
        start = now()
        try:
            value, close = recipe.open()
        except BaseException as error:
            _tell("open", slot, start, now(), error)
            raise
        end = now()
        self._tallies.opened(slot.name)
        if not self._stack:
            self._tallies.keep(self)
        opened = _Open(slot, recipe, close)
        self._stack.append(opened)
        if self.ended:
            self._too_late(opened)
        # Told last: the trace of a context that ended just now need not learn of it.
        _tell("open", slot, start, end, None)
        return value

    def _too_late(self, opened: _Open) -> None:
        """The context ended while it was opened; whoever takes it off the stack closes it."""
        try:
            self._stack.remove(opened)
        except ValueError:
            pass  # the end itself found it
        else:
            self._close(opened, self.error)
        raise closed(f"The context ended while {opened.slot.name} was opened, so it was closed.")

    # ------------------------------------------------------------------------- ending

    def end(self, error: BaseException | None) -> None:
        """Close what is open, last in first out; one that fails stops no other.

        A close may still use what was opened before, and even open what was not; not what is
        closed already.

        :param error: the exception that ended the context.
        :raises BaseException: what is no ``Exception`` (a Ctrl-C) and came while closing, once
            all is closed.
        """
        self._closed, self.error = set(), error
        interrupt = self._drain(error)
        self._detach()
        self.ended = True
        interrupt = self._drain(error) or interrupt  # what was opened just then
        self.error, self.cached = None, {}
        if interrupt is not None:
            raise interrupt

    def _detach(self) -> None:
        """When the context is pushed again, it begins anew."""
        ctx = self._context()
        if ctx is not None and ctx.__dict__.get(KEY) is self:
            ctx.__dict__.pop(KEY, None)
            ctx.__dict__.pop(internals.POP, None)
            ctx.__dict__.pop(internals.ON_LEAVE, None)
        g = None if self.g is None else self.g()
        if g is not None and vars(g).get(OURS) is self:
            dict.pop(vars(g), OURS)  # past what notes each change of g

    def _drain(self, error: BaseException | None) -> BaseException | None:
        interrupt: BaseException | None = None
        while self._stack:
            try:
                opened = self._stack.pop()
            except IndexError:
                break  # another thread took the last one
            failure = self._close(opened, error)
            if failure is not None and not isinstance(failure, Exception):
                interrupt = interrupt or failure
        return interrupt

    def _close(self, opened: _Open, error: BaseException | None) -> BaseException | None:
        slot, failure, start = opened.slot, None, now()
        before, self._closing = self._closing, opened
        traceback = None if error is None else error.__traceback__
        try:
            if opened.close is not None:
                opened.close(error)
        except BaseException as raised:
            # A context manager may hand on what ended the context: that is no failure of it.
            failure = None if raised is error else raised
        if error is not None:
            error.__traceback__ = traceback  # not ours to make longer
        self._closing = before
        if self._closed is not None:
            self._closed.add(opened.recipe)
        if self.slots.get(opened.recipe) is slot:
            del self.slots[opened.recipe]
        _tell("close", slot, start, now(), failure)
        self._tallies.closed(slot.name, failed=failure is not None, forgotten=self._is_lost)
        if failure is not None:
            logger.error(
                "Closing %s, opened at %s, failed", slot.name, slot.where, exc_info=failure
            )
        return failure

    def lost(self) -> None:
        """Nobody will end it: what is open is closed soon. Called by finalizers."""
        if self._stack:
            defer(self.forgotten)

    def forgotten(self) -> None:
        """Close what nobody closed, and warn. Nothing in a forked child: it is its parent's."""
        if not self._stack or self._pid != os.getpid():
            return
        names = ", ".join(
            f"{opened.slot.name} (opened at {opened.slot.where} by {opened.slot.unit.name})"
            for opened in reversed(self._stack)
        )
        self._is_lost = True
        app = self._app()
        try:
            if app is None:
                self.end(None)
            else:
                internals.call_in_app_context(app, self._end_in)
        finally:
            warnings.warn(
                f"A context of the app {self._app_name!r} was dropped without being popped, and "
                f"left open: {names}. Use a with block, which pops it: with app.app_context(): ...",
                ResourceWarning,
                stacklevel=2,
            )

    def _end_in(self, ctx: t.Any) -> None:
        """End where *ctx* stands in for the context that is gone."""
        ctx.__dict__[KEY] = self
        self._context = weakref.ref(ctx)
        self.end(None)

    def __del__(self) -> None:
        self.lost()

    def __copy__(self) -> Scope:
        return self

    def __deepcopy__(self, _memo: object) -> Scope:
        return self

    def __reduce__(self) -> tuple[t.Any, ...]:
        return type(None), ()

    def __repr__(self) -> str:
        return f"<Scope of {self._app_name!r}, {len(self._stack)} open>"

    # -------------------------------------------------------------------------- asked

    def holders(self) -> tuple[Holder, ...]:
        """What is opened, open or being closed, in the order of opening."""
        moment = now()
        return tuple(
            Holder(slot.name, slot.unit, slot.where, (moment - slot.since) / 1e9, self._state(slot))
            for slot in self._held()
        )

    def _held(self) -> dict[Slot, None]:
        closing = self._closing
        slots = [opened.slot for opened in self._stack]
        slots += [] if closing is None else [closing.slot]
        slots += [slot for slot in list(self.slots.values()) if slot.state == "making"]
        return dict.fromkeys(slots)

    def holds(self, slot: Slot | None) -> bool:
        """Whether *slot* is among what :meth:`holders` tells."""
        return slot is not None and slot in self._held()

    def opening(self, unit: Unit) -> Slot | None:
        """What *unit* is opening; of several inside one another the innermost."""
        slots = reversed(list(self.slots.values()))
        return next((slot for slot in slots if slot.state == "making" and slot.unit == unit), None)

    def _state(self, slot: Slot) -> t.Literal["opening", "open", "closing"]:
        if slot.state == "making":
            return "opening"
        return "open" if self._closing is None or self._closing.slot is not slot else "closing"


def _dropping(scope: Scope) -> t.Callable[[object], None]:
    """What closes *scope* where its context was dropped and a copy of ``g`` keeps it alive."""
    reference = weakref.ref(scope)

    def dropped(_context: object) -> None:
        scope = reference()
        if scope is not None:
            scope.lost()

    return dropped


def _tell(
    action: t.Literal["open", "close"],
    slot: Slot,
    start: int,
    end: int,
    error: BaseException | None,
) -> None:
    if is_watched():
        note = elsewhere(slot.unit) if action == "open" else None
        tell(Step(action, f"{action} {slot.name}", slot.where, start, end, error, note))


def closed(what: str) -> ClosedContextError:
    """The error for whoever comes too late."""
    return ClosedContextError(
        f"{what} Work that outlives its request needs a context of its own: push one, "
        "with app.app_context(): ...",
        what=what,
    )
