"""Stand-ins for what Flask 2.3 and 3.0 removed, for old extensions that still use it."""

from __future__ import annotations

import typing as t

import flask
from flask import Blueprint, Flask, current_app
from flask import globals as flask_globals

from .. import internals
from ..errors import ContextStackError
from ..units import current_unit
from .first_request import FirstRequest

if t.TYPE_CHECKING:
    from types import TracebackType

    from flask.blueprints import BlueprintSetupState
    from typing_extensions import Self

F = t.TypeVar("F", bound=t.Callable[..., t.Any])


class ContextStack:
    """One of the two context stacks of Flask 2.1, over the contexts that are pushed today.

    It keeps nothing itself, so each thread, greenlet and task sees its own. Since Flask 3.2
    a context with a request stands in both stacks.

    :param name: what Flask called it.
    :param of_requests: whether it is the stack of contexts with a request.
    """

    __slots__ = ("_name", "_of_requests")

    def __init__(self, name: str, *, of_requests: bool) -> None:
        self._name = name
        self._of_requests = of_requests

    @property
    def top(self) -> t.Any:
        """The context on top, Flask's own object, or None. What an extension sets on it lives
        as long as the context.
        """
        if self._of_requests:
            return internals.top_request_context()
        return internals.current_app_context(None)

    def push(self, ctx: t.Any) -> list[t.Any]:
        """Push *ctx*, as its own ``push()`` does, and return the stack, bottom to top.

        :raises ContextStackError: for what is no context of this stack.
        """
        is_context = isinstance(ctx, internals.CONTEXT_CLASSES)
        if not is_context or (internals.request_of(ctx) is not None) != self._of_requests:
            wanted = "app.test_request_context()" if self._of_requests else "app.app_context()"
            raise ContextStackError(
                f"{self._name} takes contexts like {wanted}, not {_described(ctx)}. Push that "
                "with its own push(), or keep it on g.",
                stack=self._name,
            )
        ctx.push()
        return list(self)

    def pop(self) -> t.Any:
        """Pop the context on top, as its own ``pop()`` does, and return it; None for an empty
        stack. Its teardown functions run.

        :raises ContextStackError: for an application context that a request pushed.
        :raises RuntimeError: Flask's own, where another context is current.
        """
        ctx = self.top
        if ctx is None:
            return None
        if not self._of_requests and internals.is_requests_own(ctx):
            raise ContextStackError(
                f"The context on top of {self._name} is the one of a request, which pops it "
                "itself. Pop only what you pushed.",
                stack=self._name,
            )
        ctx.pop()
        return ctx

    def __iter__(self) -> t.Iterator[t.Any]:
        return iter(internals.request_stack() if self._of_requests else internals.app_stack())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return self.top is not None

    def __repr__(self) -> str:
        return f"<{self._name}, {len(self)} pushed>"

    def __ident_func__(self) -> str:
        """Who runs the caller, as a key: old extensions keep one session per unit by it."""
        return current_unit().key


def _described(ctx: t.Any) -> str:
    if not isinstance(ctx, internals.CONTEXT_CLASSES):
        return f"a {type(ctx).__name__}"
    return "a context with a request" if internals.request_of(ctx) else "one without a request"


def before_first_request(app: Flask, function: F) -> F:
    """``app.before_first_request``: run *function* before the app's first request, once in
    each process. In an app with a kit it is ``kit.before_first_request``.
    """
    _functions_of(app).append(function)
    return function


def before_app_first_request(blueprint: Blueprint, function: F) -> F:
    """``blueprint.before_app_first_request``: the same for the app that it is registered on."""

    def register(state: BlueprintSetupState) -> None:
        before_first_request(t.cast("Flask", state.app), function)

    blueprint.record_once(register)
    return function


def _functions_of(app: Flask) -> list[t.Callable[[], t.Any]]:
    kit = app.extensions.get("ctxkit")
    if kit is not None:
        return t.cast("FirstRequest", kit.first).functions
    # Flask's own name for the list.
    found: list[t.Callable[[], t.Any]] | None = vars(app).get("before_first_request_funcs")
    if found is None:
        first = FirstRequest(_call)
        found = first.functions
        vars(app)["before_first_request_funcs"] = found

        def run_before_first_request() -> None:
            if not first.done:
                first.run()

        app.before_request_funcs.setdefault(None, []).insert(0, run_before_first_request)
    return found


def _call(function: t.Callable[[], t.Any]) -> None:
    current_app.ensure_sync(function)()


class LegacyNames:
    """What one :func:`install_legacy` put in its place; a ``with`` block takes it back."""

    def __init__(self) -> None:
        self._put: list[tuple[t.Any, str, t.Any]] = []

    def put(self, owner: t.Any, name: str, value: t.Any) -> None:
        """Give *owner* the attribute, unless it has one of that name."""
        if name not in vars(owner):
            setattr(owner, name, value)
            self._put.append((owner, name, value))

    def uninstall(self) -> None:
        """Take back what this call put, where it is still in its place. Modules that have
        imported a name keep it, and it goes on to work.
        """
        while self._put:
            owner, name, value = self._put.pop()
            if vars(owner).get(name) is value:
                delattr(owner, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()


def install_legacy() -> LegacyNames:
    """Put what Flask 2.3 and 3.0 removed back in its place, for the whole process.

    That is ``_request_ctx_stack`` and ``_app_ctx_stack`` in ``flask`` and ``flask.globals``,
    ``Flask.before_first_request`` and ``Blueprint.before_app_first_request``. Call it before
    the first import of an extension that needs them. A name that is there already stays as
    it is, so a second call changes nothing.

    :return: what takes it back, for tests.
    """
    names = LegacyNames()
    for stack, of_requests in (("_request_ctx_stack", True), ("_app_ctx_stack", False)):
        stand_in = ContextStack(stack, of_requests=of_requests)
        names.put(flask_globals, stack, stand_in)
        names.put(flask, stack, vars(flask_globals)[stack])
    names.put(Flask, "before_first_request", before_first_request)
    names.put(Blueprint, "before_app_first_request", before_app_first_request)
    if not internals.ONE_CONTEXT:
        # ctx.g was there in the time of the stacks, and is again since 3.2.
        names.put(internals.CONTEXT_CLASSES[-1], "g", property(internals.g_of_request))
    return names
