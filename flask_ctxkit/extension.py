"""The extension: reads the config, builds what the app owns, sets the seams."""

from __future__ import annotations

import typing as t
import weakref

from flask.sessions import SecureCookieSessionInterface

from .config import Config
from .errors import AlreadyRegisteredError, ResourceError
from .findings.model import Rule
from .findings.yours import rule_of
from .hooks import register_closing, register_hooks
from .resources.cached import Cached, cached
from .resources.resource import Resource
from .session.abilities import equip
from .session.interface import CtxSessionInterface
from .session.protection import protect
from .state import State

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flask import Flask

F = t.TypeVar("F", bound=t.Callable[..., t.Any])
R = t.TypeVar("R", bound="Rule | t.Callable[..., t.Any]")
P = t.ParamSpec("P")
T = t.TypeVar("T")
CloseWithError = t.Callable[[T, BaseException | None], object]


def _has_stock_sessions(app: Flask) -> bool:
    """Whether *app* still has Flask's own interface, and nobody set an attribute of it."""
    interface = app.session_interface
    return type(interface) is SecureCookieSessionInterface and not interface.__dict__


class CtxKit:
    """Makes the contexts of a Flask app visible.

    ::

        kit = CtxKit(app)

    or, in a factory, ``kit = CtxKit()`` and then ``kit.init_app(app)``. One kit serves
    several apps; an app takes one kit.

    :param app: the app to register on now.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._before_first: list[t.Callable[[], t.Any]] = []
        self._rules: list[Rule] = []
        self._resources: dict[str, Resource[t.Any]] = {}
        self._states: weakref.WeakSet[State] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register on *app*: read its ``CTXKIT_`` keys, register the hooks, set the seam.

        :raises ConfigError: for an unknown or wrong ``CTXKIT_`` key.
        :raises AlreadyRegisteredError: if *app* has a kit.
        """
        if "ctxkit" in app.extensions:
            raise AlreadyRegisteredError(
                f"The app {app.name!r} already has a kit. Call CtxKit(app) or kit.init_app(app) "
                "once; current_ctxkit is what the app owns.",
                app=app.name,
            )
        state = State(app, Config.from_mapping(app.config))
        interface = app.session_interface
        if state.config.session_interface and _has_stock_sessions(app):
            interface = CtxSessionInterface()
        equip(interface, state.config)
        protect(interface, state.config, app.instance_path)
        app.session_interface = interface
        for rule in self._rules:
            state.rules.add(rule)
        app.extensions["ctxkit"] = state
        state.first.functions += self._before_first
        self._states.add(state)
        state.resources.known = self._resources
        if self._resources:
            register_closing(app)
        state.own_hooks = register_hooks(app, state)
        app.wsgi_app = state.seam(app)  # type: ignore[method-assign]
        state.start_tracing(app)

    def before_first_request(self, function: F) -> F:
        """Run *function* before the first request of each process, and before its hooks.

        It runs once per app, also where several threads get their first request at once: the
        others wait. An exception in it is that request's, and it runs again for the next one.
        A request that it makes itself doesn't wait for it.
        """
        self._before_first.append(function)
        for state in self._states:
            state.first.functions.append(function)
        return function

    def rule(self, rule: R) -> R:
        """Look for a mistake of your own: a :class:`~flask_ctxkit.findings.Rule`, or a
        function of ``(trace, known)`` that yields findings.

        :raises CtxKitError: if its code is taken or not well-formed.
        """
        added = rule if isinstance(rule, Rule) else rule_of(rule)
        for state in self._states:
            state.rules.add(added)
        self._rules.append(added)
        return rule

    def cached(self, function: t.Callable[P, T]) -> Cached[P, T]:
        """Compute *function* once per context and arguments, and keep the result to its end.

        Where threads, greenlets or tasks share the context, one computes and the others wait.
        A failure is not kept. Async functions and methods work too; arguments must be
        hashable, and equal ones are one. ``function.forget()`` drops what is kept.

        :raises ResourceError: for a generator function.
        """
        return cached(function)

    @t.overload
    def resource(
        self,
        name: str,
        open: t.Callable[[], t.Iterator[T]],
        close: None = None,
        ping: t.Callable[[T], object] | None = None,
    ) -> Resource[T]: ...
    @t.overload
    def resource(
        self,
        name: str,
        open: t.Callable[[], AbstractContextManager[T]],
        close: None = None,
        ping: t.Callable[[T], object] | None = None,
    ) -> Resource[T]: ...
    @t.overload
    def resource(
        self,
        name: str,
        open: t.Callable[[], T],
        close: t.Callable[[T], object] | None = None,
        ping: t.Callable[[T], object] | None = None,
    ) -> Resource[T]: ...
    # Not one of both forms of close: a lambda would then be of any type, and the object too.
    @t.overload
    def resource(
        self,
        name: str,
        open: t.Callable[[], T],
        close: t.Callable[[T, BaseException | None], object],
        ping: t.Callable[[T], object] | None = None,
    ) -> Resource[T]: ...
    def resource(
        self,
        name: str,
        open: t.Callable[..., t.Any],  # noqa: A002
        close: t.Callable[..., t.Any] | None = None,
        ping: t.Callable[[t.Any], object] | None = None,
    ) -> Resource[t.Any]:
        """Open something once per context, on first use, and close it when the context ends.

        ::

            db = kit.resource("db", connect, close=Connection.close)
            db().execute(...)

        What was opened last is closed first, after all teardown functions of the app. One
        close that fails stops no other: it is logged, counted and on the trace.

        :param open: a generator function that yields the object once, and has the exception
            thrown in that ended the context; or what makes a context manager, which is entered
            and left; or, with *close*, what makes the object.
        :param close: called with the object, and with the exception that ended the context or
            None if it takes a second argument.
        :param ping: called with an object to learn whether it is alive; it raises if not.
        :return: what returns the object of the current context when it is called.
        :raises ResourceError: for a name that is taken, and for what can't be opened that way.
        """
        if name in self._resources:
            raise ResourceError(
                f"There is a resource {name!r} already. Choose another name.", name=name
            )
        made: Resource[t.Any] = Resource(name, open, close, ping)
        self._resources[name] = made
        for state in self._states:
            app = state.app_or_none()
            if app is not None:
                register_closing(app)
        return made
