"""A resource: opened lazily once per context, and closed when the context ends."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

from ..internals import current_app_context
from .attachment import current_scope
from .recipe import Recipe, recipe, stand_in

T = t.TypeVar("T")


class Resource(t.Generic[T]):
    """Something that each context opens for itself when it is first asked for.

    Calling it returns the object of the current context. Lives as long as the kit; an object
    that it opened lives until its context ends. Made by :meth:`flask_ctxkit.CtxKit.resource`.
    """

    def __init__(
        self,
        name: str,
        open: t.Callable[..., t.Any],  # noqa: A002
        close: t.Callable[..., t.Any] | None = None,
        ping: t.Callable[[T], object] | None = None,
    ) -> None:
        self.name = name
        self.opened_by = open
        self.check = ping
        self._recipes = [recipe(name, open, close)]
        """How it is opened, and what stands in for it now: the last one counts."""
        self._recipe: Recipe = self._recipes[0]

    def __call__(self) -> T:
        """The object of the current context, opened now if it is not.

        Where threads, greenlets or tasks share the context, one opens it and the others wait.

        :raises OutsideContextError: outside of a context, and in one that has ended.
        :raises ReentranceError: where opening it needs itself.
        :raises Exception: what opening it raises; the next call tries again.
        """
        recipe = self._recipe
        try:
            slot = current_app_context(None)._ctxkit_scope.slots[recipe]  # noqa: SLF001 - ours
            if slot.state == "ready":
                return t.cast("T", slot.value)
        except (AttributeError, KeyError):
            pass  # no context, nothing open yet, or not this
        return t.cast("T", current_scope(self.name).open(self.name, recipe))

    async def ready(self) -> T:
        """The object, for coroutines: another thread that opens it is awaited.

        A plain call would stop the event loop meanwhile. What opens it is a plain function
        still, and runs in here.
        """
        scope, recipe = current_scope(self.name), self._recipe
        while (slot := scope.slots.get(recipe)) is not None and slot.state == "making":
            await slot.wait_async()  # where it fails, another thread may try next
        return t.cast("T", scope.open(self.name, recipe))

    @contextmanager
    def override(
        self, value: t.Any, close: t.Callable[..., t.Any] | None = None
    ) -> t.Iterator[None]:
        """Let *value* stand in for it, in all units and in contexts to come: for tests.

        A function, a class or a partial is a factory, called once per context; a generator
        function is closed as usual. Any other object is given as it is, also one that can be
        called, such as a mock. What is open already stays open, and is back afterwards.

        :param close: closes what the factory made.
        """
        instead = stand_in(self.name, value, close)
        self._use([*self._recipes, instead])
        try:
            yield
        finally:
            self._use([recipe for recipe in self._recipes if recipe is not instead])

    def _use(self, recipes: list[Recipe]) -> None:
        self._recipes = recipes
        self._recipe = recipes[-1]

    def __repr__(self) -> str:
        return f"<Resource {self.name!r}>"
