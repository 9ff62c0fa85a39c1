"""What a proxy (``request``, ``session``, ``g``, your own) points at, without using it."""

from __future__ import annotations

import functools
import inspect
import typing as t
from contextvars import ContextVar
from dataclasses import dataclass
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType

import werkzeug.local
from flask import Flask
from werkzeug.local import LocalProxy
from werkzeug.utils import cached_property

from .. import internals
from .locals import LAYERS_LIMIT, locals_by_name

# It only looks into the __dict__ of g, where the name was not found already.
_G_GETATTR: t.Final = inspect.getattr_static(Flask.app_ctx_globals_class, "__getattr__", None)

MadeFor = t.Literal["context_var", "local", "local_stack", "function"]


@dataclass(frozen=True, slots=True)
class ProxyTarget:
    """Where a proxy leads at this moment, in the calling unit.

    ``bound`` says whether an object stands behind it; None where that can only be told by
    running code of the user's. ``type`` is the object's class. ``message`` says why there
    is none: the error that any use of the proxy raises, or what keeps it unknown.
    ``made_for`` and ``source`` say where the object comes from ("flask.request_ctx",
    "shop.state.current"), ``name`` which attribute of that it is. ``context`` describes
    Flask's context that holds it ("request context of GET /cart, app shop"). ``layers``
    holds one line for each proxy that stands before the object, outermost first.
    """

    bound: bool | None
    type: str | None
    message: str | None
    made_for: MadeFor
    source: str
    name: str | None
    context: str | None
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    # One step behind a proxy.
    bound: bool | None
    value: t.Any = None
    message: str | None = None
    holder: t.Any = None


def points_at(proxy: LocalProxy[t.Any], *, call: bool = False) -> ProxyTarget:
    """Where *proxy* leads now.

    No attribute of the user's is run, and ``session`` is not marked as accessed, so no
    ``Vary: Cookie`` comes of it.

    :param call: ask a proxy that was made for a function by calling the function.
    :raises TypeError: *proxy* is none.
    """
    if not is_proxy(proxy):
        raise TypeError(f"points_at() tells about a LocalProxy, not about {type_name(proxy)}.")
    layers: list[str] = []
    obj: t.Any = proxy
    while True:
        made_for, name = internals.proxy_parts(obj)
        source = source_of(made_for)
        layers.append(f"{name} of {source}" if name else source)
        found = _step(obj, made_for, name, call)
        if len(layers) == LAYERS_LIMIT:
            found = _Found(None, message="It leads back to itself.")
        if not found.bound or not is_proxy(found.value):
            break
        obj = found.value
    return ProxyTarget(
        bound=found.bound,
        type=type_name(found.value) if found.bound else None,
        message=found.message,
        made_for=_kind(made_for),
        source=source,
        name=name,
        context=_context_text(found.holder),
        layers=tuple(layers),
    )


def is_proxy(obj: object) -> bool:
    """Whether *obj* itself is a proxy, whatever stands behind it."""
    return issubclass(type(obj), LocalProxy)


def type_name(obj: object) -> str:
    """The class of *obj* as "module.Class"; one of the builtins without its module."""
    cls = type(obj)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def read_attribute(obj: t.Any, name: str) -> tuple[bool | None, t.Any]:
    """``(True, value)`` of an attribute that stands on *obj* or its class as it is.

    ``(False, None)`` where there is none; ``(None, None)`` where only the user's code could
    tell, as for a property, or where a value is computed at its first use.
    """
    missing = object()
    found = inspect.getattr_static(obj, name, missing)
    if found is missing:
        lazy = inspect.getattr_static(type(obj), "__getattr__", None)
        return (False if lazy is None or lazy is _G_GETATTR else None), None
    if issubclass(type(obj), type):
        of_class = found
    elif type(found) is MemberDescriptorType:
        return _filled_slot(obj, found)
    elif issubclass(type(found), cached_property):
        # Werkzeug's is a property also when the value is there.
        stored = inspect.getattr_static(obj, "__dict__", None)
        values = stored.__get__(obj) if type(stored) is GetSetDescriptorType else {}
        return (True, values[name]) if name in values else (None, None)
    else:
        of_class = inspect.getattr_static(type(obj), name, missing)
    if found is of_class and hasattr(type(found), "__get__") and type(found) is not FunctionType:
        return None, None
    return True, found


def _filled_slot(obj: t.Any, slot: MemberDescriptorType) -> tuple[bool, t.Any]:
    try:
        return True, slot.__get__(obj)
    except AttributeError:
        return False, None


def _step(proxy: LocalProxy[t.Any], made_for: t.Any, name: str | None, call: bool) -> _Found:
    kind = _kind(made_for)
    if kind == "context_var":
        try:
            holder = made_for.get()
        except LookupError:
            return _unbound(proxy)
        return _attribute(holder, name)
    if kind == "local":
        # Not by attribute access, which a subclass may have made its own.
        values = dict(werkzeug.local.Local.__iter__(made_for))
        first, _, rest = (name or "").partition(".")
        return _attribute(values[first], rest or None) if first in values else _unbound(proxy)
    if kind == "local_stack":
        top = werkzeug.local.LocalStack.top.__get__(made_for)
        return _unbound(proxy) if top is None else _attribute(top, name)
    if call:
        return _called(proxy)
    return _Found(None, message="It calls a function, which may do anything: not asked.")


def _kind(made_for: t.Any) -> MadeFor:
    # By type(): a proxy may be made for a proxy, and answers isinstance() by asking.
    cls = type(made_for)
    if issubclass(cls, ContextVar):
        return "context_var"
    if issubclass(cls, werkzeug.local.Local):
        return "local"
    return "local_stack" if issubclass(cls, werkzeug.local.LocalStack) else "function"


def _unbound(proxy: LocalProxy[t.Any]) -> _Found:
    # Nothing stands behind it, so asking runs no more than Werkzeug's look and its error.
    return _called(proxy)


def _called(proxy: LocalProxy[t.Any]) -> _Found:
    try:
        return _Found(True, proxy._get_current_object())  # noqa: SLF001 - Werkzeug documents it
    except RuntimeError as error:
        return _Found(False, message=str(error))
    except Exception as error:  # the user's function; its error is the answer
        return _Found(None, message=f"Its function raised {type_name(error)}.")


def _attribute(holder: t.Any, name: str | None) -> _Found:
    value = holder
    for part in name.split(".") if name else ():
        if is_proxy(value):
            return _Found(None, message=f"{part!r} is read through another proxy.", holder=holder)
        found, value = _read(value, part)
        if found is None:
            reason = f"{part!r} is computed by {type_name(holder)}: not asked."
            return _Found(None, message=reason, holder=holder)
        if not found:
            return _Found(False, message=_absent(holder, part), holder=holder)
    return _Found(True, value, holder=holder)


def _read(value: t.Any, name: str) -> tuple[bool | None, t.Any]:
    if _is_context(value):
        if name == "session":
            session = _session_of(value)
            return session is not None, session
        if name == "request":
            request = internals.request_of(value)
            return request is not None, request
    return read_attribute(value, name)


def _session_of(ctx: t.Any) -> t.Any:
    return None if internals.request_of(ctx) is None else internals.raw_session(ctx)


def _is_context(obj: object) -> bool:
    return issubclass(type(obj), internals.CONTEXT_CLASSES)


def _absent(holder: t.Any, name: str) -> str:
    if not _is_context(holder) or name not in {"session", "request"}:
        return f"{type_name(holder)} has no {name!r}."
    if internals.request_of(holder) is None:
        return "There is no request in this context."
    return "The session of this request is not opened yet."


def source_of(made_for: t.Any) -> str:
    """Where a proxy that was made for *made_for* has its object from."""
    kind = _kind(made_for)
    if kind == "context_var":
        return str(made_for.name)
    if kind != "function":
        names = [name for name, local in locals_by_name().items() if local is made_for]
        return names[0] if names else f"a {type_name(made_for)} that no module holds"
    function = made_for
    while type(function) is functools.partial:
        function = function.func
    if type(function) is FunctionType:
        return f"{function.__module__}.{function.__qualname__}()"
    return f"a {type_name(function)} that is called"


def _context_text(holder: t.Any) -> str | None:
    if not _is_context(holder):
        return None
    _, app = read_attribute(holder, "app")
    app_name = read_attribute(app, "import_name")[1]
    request = internals.request_of(holder)
    if request is None:
        return f"application context, app {app_name}"
    method, path = (read_attribute(request, name)[1] for name in ("method", "path"))
    return f"request context of {method} {path}, app {app_name}"
