"""Werkzeug's ``Local``, ``LocalStack`` and ``LocalProxy``, which here can be listed.

``all()`` answers for every thread, greenlet and asyncio task at once. The context variable
alone owns what a unit has stored; the list only refers to it weakly. So dead units, tasks
and contexts vanish from the list by themselves, with all that they held.
"""

from __future__ import annotations

import sys
import typing as t
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from weakref import ref

import werkzeug.local
from werkzeug.local import LocalProxy

from ..errors import CtxKitError
from ..units import Unit, current_unit, units_alive

__all__ = ["Local", "LocalProxy", "LocalStack", "locals_by_name", "unwrap"]

T = t.TypeVar("T")
S = t.TypeVar("S", bound="_Namespace | _Items")

LAYERS_LIMIT: t.Final = 100
"""Proxies that may stand behind one another before they count as a circle."""


class _Namespace(dict[str, t.Any]):
    # Never changed once it is stored. Hashed by identity, for its weak reference's sake.
    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]


class _Items(list[t.Any]):
    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]


class _Listing:
    # Local.all as a method would hide a value that somebody stores as local.all.
    __slots__ = ("_list",)

    def __init__(self, list_: t.Callable[[Local], dict[str, dict[str, t.Any]]]) -> None:
        self._list = list_

    @t.overload
    def __get__(
        self, local: None, owner: type[Local]
    ) -> t.Callable[[Local], dict[str, dict[str, t.Any]]]: ...
    @t.overload
    def __get__(
        self, local: Local, owner: type[Local]
    ) -> t.Callable[[], dict[str, dict[str, t.Any]]]: ...
    def __get__(self, local: Local | None, owner: type[Local]) -> t.Any:
        if local is None:
            return self._list
        try:
            return local.__getattr__("all")
        except AttributeError:
            return partial(self._list, local)


class Local(werkzeug.local.Local):
    """A namespace whose values each thread, greenlet and task has for itself.

    Lives as long as the module that holds it; a value lives until its unit deletes or
    releases it, or ends. A task begins with what its creator had, and changes by either
    are not seen by the other.

    ``local.all()`` returns ``{unit key: {name: value}}`` for all units of this process
    that hold something, as copies. A unit stands there with what it wrote last; what it
    only inherited is listed under the unit that wrote it, and under the calling unit for
    itself. Where a value is stored as ``local.all``, ask ``Local.all(local)``.

    :param context_var: where to store, instead of in a context variable of its own.
    """

    # Mangled, so that they are no names that a user would store.
    __slots__ = ("__get", "__gone", "__set", "__units", "_ctxkit_made_in")
    __get: t.Callable[[t.Any], t.Any]
    __set: t.Callable[[t.Any], object]
    __units: dict[ref[_Namespace], Unit]
    __gone: t.Callable[[ref[_Namespace]], object]

    def __init__(self, context_var: ContextVar[dict[str, t.Any]] | None = None) -> None:
        if context_var is None:
            context_var = ContextVar(f"flask_ctxkit.Local<{id(self)}>.storage")
        super().__init__(context_var)
        units: dict[ref[_Namespace], Unit] = {}
        # Bound once, since each write needs them; a plain assignment would store a value.
        object.__setattr__(self, "_Local__get", context_var.get)
        object.__setattr__(self, "_Local__set", context_var.set)
        object.__setattr__(self, "_Local__units", units)
        object.__setattr__(self, "_Local__gone", units.pop)
        object.__setattr__(self, "_ctxkit_made_in", _caller())

    def __setattr__(self, name: str, value: t.Any) -> None:
        values = _Namespace(self.__get(()))
        values[name] = value
        self.__units[ref(values, self.__gone)] = current_unit()
        self.__set(values)

    def __delattr__(self, name: str) -> None:
        values = _Namespace(self.__get(()))
        if name not in values:
            raise AttributeError(name)
        del values[name]
        if values:
            self.__units[ref(values, self.__gone)] = current_unit()
            self.__set(values)
        else:
            self.__release_local__()

    def __list(self) -> dict[str, dict[str, t.Any]]:
        return {k: dict(values) for k, values in _by_unit(self.__units, self.__get(None)).items()}

    all = _Listing(__list)


class LocalStack(werkzeug.local.LocalStack[T]):
    """A stack that each thread, greenlet and task has for itself.

    An item lives until its unit pops it or ends. Popping the last item returns it and
    leaves nothing stored.

    :param context_var: where to store, instead of in a context variable of its own.
    """

    __slots__ = ("__get", "__gone", "__set", "__units", "_ctxkit_made_in")

    def __init__(self, context_var: ContextVar[list[T]] | None = None) -> None:
        if context_var is None:
            context_var = ContextVar(f"flask_ctxkit.LocalStack<{id(self)}>.storage")
        super().__init__(context_var)
        self.__get: t.Callable[[t.Any], t.Any] = context_var.get
        self.__set: t.Callable[[t.Any], object] = context_var.set
        self.__units: dict[ref[_Items], Unit] = {}
        self.__gone: t.Callable[[ref[_Items]], object] = self.__units.pop
        self._ctxkit_made_in = _caller()

    def push(self, obj: T) -> list[T]:
        """Put *obj* on top and return the whole stack of the calling unit."""
        items = _Items(self.__get(()))
        items.append(obj)
        self.__units[ref(items, self.__gone)] = current_unit()
        self.__set(items)
        return items

    def pop(self) -> T | None:
        """Remove and return the item on top; None for an empty stack."""
        items = _Items(self.__get(()))
        if not items:
            return None
        top: T = items.pop()
        if items:
            self.__units[ref(items, self.__gone)] = current_unit()
            self.__set(items)
        else:
            self.__release_local__()
        return top

    def all(self) -> dict[str, list[T]]:
        """``{unit key: [items bottom to top]}`` of all units that hold something.

        Copies, keyed as in :class:`Local`.
        """
        return {k: list(items) for k, items in _by_unit(self.__units, self.__get(None)).items()}


def _by_unit(units: dict[ref[S], Unit], mine: S | None) -> dict[str, S]:
    here = current_unit()
    # A storage outlives its unit where another context has inherited it, or where somebody
    # keeps a dead greenlet, a done task, or forks.
    alive = {id(unit) for unit in units_alive()}
    found: dict[str, S] = {}
    # copy() is one step; a loop over items() fails when another thread writes.
    for reference, unit in units.copy().items():
        storage = reference()
        if storage is not None and id(unit) in alive:
            found[unit.key] = storage  # the last of a unit stays
    found.pop(here.key, None)
    if mine:
        found[here.key] = mine
    return found


def unwrap(obj: t.Any) -> t.Any:
    """The object behind *obj* and all proxies that stand behind one another.

    What is no proxy is returned as it is; a function or a partial is not called. The result
    can be handed to another thread, which a proxy can't. As with every use of ``session``,
    unwrapping it makes Flask add ``Vary: Cookie`` to the response.

    :raises RuntimeError: Werkzeug's and Flask's own, outside of the proxy's context.
    :raises CtxKitError: for a proxy that leads back to itself.
    """
    for _ in range(LAYERS_LIMIT):
        # Not isinstance(), which believes and runs an object's own __class__.
        if not issubclass(type(obj), LocalProxy):
            return obj
        obj = obj._get_current_object()  # noqa: SLF001 - Werkzeug documents it
    raise CtxKitError(
        f"More than {LAYERS_LIMIT} proxies stand behind one another, so one leads back to"
        " itself. Make the inner one from the object it is for, not from a proxy."
    )


def locals_by_name() -> dict[str, Local | LocalStack[t.Any]]:
    """All locals and local stacks that a module holds, by "module.name".

    One that several modules import is named after the module that made it.
    """
    found: dict[int, tuple[bool, str, t.Any]] = {}
    for module_name, module in sys.modules.copy().items():
        if not issubclass(type(module), ModuleType):
            continue
        # Past a lazy module's own __getattribute__, which would load it.
        namespace: dict[str, t.Any] = object.__getattribute__(module, "__dict__")
        for name, value in namespace.copy().items():
            if issubclass(type(value), Local | LocalStack):
                foreign = value._ctxkit_made_in != module_name  # noqa: SLF001 - our own classes
                entry = (foreign, f"{module_name}.{name}", value)
                found[id(value)] = min(found.get(id(value), entry), entry, key=lambda e: e[:2])
    return {name: value for _, name, value in found.values()}


def _caller() -> str:
    # Where Local() or LocalStack() was called, past the __init__ of subclasses.
    frame = sys._getframe(2)  # noqa: SLF001
    while frame.f_code.co_name == "__init__" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))
