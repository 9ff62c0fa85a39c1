"""Where a name lives: in ``g``, the session, the config, a module, a local - and how long."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import timedelta

import flask
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from .. import internals
from .locals import Local, LocalStack, locals_by_name
from .proxies import is_proxy, points_at, read_attribute
from .writes import Write, modules_of, namespace_of, writes_of

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

Place = dict[str, t.Any]
Capture = t.Callable[[str, object], t.Any]

IN_G: t.Final = (
    "Until its application context is popped: in a request, to the end of that request."
    " The next one begins with an empty g."
)
IN_REQUEST: t.Final = "As long as its request: until the request context is popped."
IN_CONFIG: t.Final = (
    "As long as the app, the same for all requests. Each worker process has its own copy."
)
IN_MODULE: t.Final = (
    "As long as the worker process, shared by all of its requests and threads. Other workers"
    " have their own."
)
IN_LOCAL: t.Final = (
    "Until the thread, greenlet or task that stored it deletes or releases it, or ends."
    " Each has its own value, and a thread that serves the next request still has it."
)
PROXY: t.Final = (
    "The proxy lives as long as the process; what it points at is another object in each context."
)
LARGE: t.Final = 86_400
"""Seconds from which a lifetime is told in days."""
NOT_COMPUTED: t.Final = "It is made when it is first read, so it is not read here."
BODY: t.Final = frozenset({"data", "files", "form", "json", "stream", "values"})
"""Names of a request whose values are the body's, which are never shown."""


def where_lives(app: Flask, name: str, capture: Capture) -> list[Place]:
    """All places in which *name* lives at this moment or is written by the app's source.

    :param name: a plain name, or one with a path: "user", "g.user", "request.args",
        "session.cart", "config.DEBUG", "current.user.name".
    :param capture: makes the copy of a value that is shown; called with a name and the value.

    Each answer is ``{"place": "g.user", "now": bool, "written": ["shop/auth.py:12 load_user"],
    "lives": "how long, in words"}``, with ``"value"`` where there is one to be seen. Seen are
    the contexts of the calling unit, and the locals of all units. What a property or a
    ``cached_property`` would compute is not computed, and the session is not accessed; where
    only that would tell, ``now`` is None.
    """
    head, _, rest = name.strip().partition(".")
    if not head:
        return []
    if rest and (finder := _ROOTS.get(head)) is not None:
        name, _, rest = rest.partition(".")
        return list(finder(_Asked(app, name, rest, capture)))
    asked = _Asked(app, head, rest, capture)
    return [place for find in _FINDERS for place in find(asked)]


class _Asked:
    # One question, with what several finders need.
    def __init__(self, app: Flask, name: str, rest: str, capture: Capture) -> None:
        self.app = app
        self.name = name
        self.rest = rest
        self.capture = capture
        self.modules: list[ModuleType] = modules_of(app)
        self.writes = writes_of(name, self.modules)

    def place(
        self,
        place: str,
        found: _Value | None,
        lives: str,
        written: Callable[[Write], bool] = lambda _: False,
    ) -> Iterator[Place]:
        """The answer for *place*, if the name is there now or is written there."""
        lines = [_line(write) for write in self.writes if written(write)]
        if found is not None and self.rest:
            found = _follow(found, self.rest)
            lines = lines if found is None else []
        if found is None and (not lines or self.rest):
            return
        full = f"{place}.{self.rest}" if self.rest else place
        now = False if found is None else found.now
        answer: Place = {"place": full, "now": now, "written": lines, "lives": lives}
        if found is not None and found.seen:
            last = self.rest.rpartition(".")[2] or self.name
            answer["value"] = self.capture(last, found.value)
        yield answer


@dataclass(frozen=True, slots=True)
class _Value:
    # seen: False where the name is there, but its value would have to be computed.
    # now: False where it will be there once there is a request, None where unknown.
    value: t.Any = None
    seen: bool = True
    now: bool | None = True


def _line(write: Write) -> str:
    return f"{write.where} {write.function}" if write.function else write.where


def _follow(found: _Value, path: str) -> _Value | None:
    for part in path.split("."):
        if not found.seen or is_proxy(found.value):
            return _Value(seen=False, now=found.now and None)
        if type(found.value) is dict and part in found.value:
            found = _Value(found.value[part])
            continue
        there, value = read_attribute(found.value, part)
        if there is False:
            return None
        found = _Value(value, seen=there is True, now=there)
    return found


def _in(names: t.Any, name: str) -> _Value | None:
    # Only of a dict, a subclass's own methods are passed by: a session may count accesses.
    if not issubclass(type(names), dict) or not dict.__contains__(names, name):
        return None
    return _Value(dict.__getitem__(names, name))


def _proxies(asked: _Asked) -> Iterator[Place]:
    proxy = {
        "g": flask.g,
        "session": flask.session,
        "request": flask.request,
        "current_app": flask.current_app,
    }.get(asked.name)
    if proxy is None or asked.rest:
        return
    target = points_at(t.cast("t.Any", proxy))
    where = f"now: {target.context}" if target.bound else "now: nothing, no context is pushed"
    yield {
        "place": f"flask.{asked.name}",
        "now": bool(target.bound),
        "written": [],
        "lives": f"{PROXY} {where[0].upper()}{where[1:]}.",
    }


def _in_g(asked: _Asked) -> Iterator[Place]:
    contexts = internals.app_stack()
    for depth, ctx in enumerate(reversed(contexts)):
        names = object.__getattribute__(ctx.g, "__dict__")
        below = f" This g stands {depth} below the top of the stack, out of reach." if depth else ""
        found = _in(names, asked.name)
        if found is not None:
            yield from asked.place(f"g.{asked.name}", found, IN_G + below, _to_g)
            return
    yield from asked.place(f"g.{asked.name}", None, IN_G, _to_g)


def _to_g(write: Write) -> bool:
    return write.place == "g"


def _in_session(asked: _Asked) -> Iterator[Place]:
    ctx = internals.current_request_context()
    session = None if ctx is None else internals.raw_session(ctx)
    yield from asked.place(
        f'session["{asked.name}"]',
        _in(session, asked.name),
        _session_life(asked.app, session),
        lambda write: write.place == "session",
    )


def _session_life(app: Flask, session: t.Any) -> str:
    interface = app.session_interface
    if not isinstance(interface, SecureCookieSessionInterface):
        return f"From request to request, as long as {type(interface).__name__} keeps it."
    lifetime = _duration(_in(app.config, "PERMANENT_SESSION_LIFETIME"))
    permanent = _in(session, "_permanent")
    if permanent is None:
        ends = f"until the browser ends, or for {lifetime} where session.permanent is set"
    else:
        ends = f"for {lifetime}" if permanent.value else "until the browser ends"
    return f"From request to request of one visitor, in the signed cookie, {ends}."


def _duration(found: _Value | None) -> str:
    value: t.Any = None if found is None else found.value
    seconds: t.Any = value.total_seconds() if isinstance(value, timedelta) else value
    if type(seconds) not in {int, float}:
        return "PERMANENT_SESSION_LIFETIME"
    if seconds >= LARGE:
        return f"{seconds / LARGE:g} days"
    return f"{seconds:g} seconds"


def _in_request(asked: _Asked) -> Iterator[Place]:
    ctx = internals.current_request_context()
    request = None if ctx is None else internals.request_of(ctx)
    # Without a request, its class still says which names it will have.
    there, value = read_attribute(
        asked.app.request_class if request is None else request, asked.name
    )
    if there is False or asked.name.startswith("_"):
        found, lives = None, IN_REQUEST
    elif there is None or request is None or asked.name in BODY:
        found, lives = _Value(seen=False, now=request is not None), f"{IN_REQUEST} {NOT_COMPUTED}"
    else:
        found, lives = _Value(value), IN_REQUEST
    yield from asked.place(
        f"request.{asked.name}", found, lives, lambda write: write.place == "request"
    )


def _in_config(asked: _Asked) -> Iterator[Place]:
    yield from asked.place(
        f'app.config["{asked.name}"]',
        _in(asked.app.config, asked.name),
        IN_CONFIG,
        lambda write: write.place == "config",
    )


def _in_app(asked: _Asked) -> Iterator[Place]:
    extensions = _in(asked.app.extensions, asked.name)
    yield from asked.place(f'app.extensions["{asked.name}"]', extensions, IN_CONFIG)
    names = object.__getattribute__(asked.app, "__dict__")
    if not asked.name.startswith("_"):
        yield from asked.place(f"app.{asked.name}", _in(names, asked.name), IN_CONFIG)


def _in_modules(asked: _Asked) -> Iterator[Place]:
    told: set[int] = set()
    for module in sorted(asked.modules, key=lambda module: _home_first(module, asked)):
        namespace = namespace_of(module)
        found = _in(namespace, asked.name)
        makes = _makes(str(namespace.get("__name__")))
        if found is not None:
            value = found.value
            imported = id(value) in told and not any(makes(write) for write in asked.writes)
            if imported or _is_flasks(value) or _is_local(value):
                continue
            told.add(id(value))
        yield from asked.place(f"{namespace.get('__name__')}.{asked.name}", found, IN_MODULE, makes)


def _makes(module_name: str) -> Callable[[Write], bool]:
    return lambda write: write.place == "module" and write.module == module_name


def _home_first(module: ModuleType, asked: _Asked) -> tuple[bool, bool]:
    # A name that several modules import is told for the one that makes it.
    name = str(namespace_of(module).get("__name__"))
    makes = _makes(name)
    return not any(makes(write) for write in asked.writes), name != asked.app.import_name


def _is_flasks(value: t.Any) -> bool:
    return any(
        value is proxy for proxy in (flask.g, flask.session, flask.request, flask.current_app)
    )


def _is_local(value: t.Any) -> bool:
    return issubclass(type(value), Local | LocalStack)


def _in_locals(asked: _Asked) -> Iterator[Place]:
    for full, local in locals_by_name().items():
        stored: dict[str, t.Any] = Local.all(local) if isinstance(local, Local) else local.all()
        own = full.rpartition(".")[2] == asked.name
        if own and not asked.rest:
            yield from asked.place(full, _Value(stored), IN_LOCAL)
        if not isinstance(local, Local):
            continue
        wanted = asked.rest.partition(".")[0] if own and asked.rest else asked.name
        yield from _in_local(asked, full, local, stored, wanted)


def _in_local(
    asked: _Asked, full: str, local: Local, stored: dict[str, t.Any], wanted: str
) -> Iterator[Place]:
    values = {unit: values[wanted] for unit, values in stored.items() if wanted in values}
    writes = asked.writes if wanted == asked.name else writes_of(wanted, asked.modules)
    lines = [_line(write) for write in writes if write.local == id(local)]
    if values or lines:
        answer: Place = {
            "place": f"{full}.{wanted}",
            "now": bool(values),
            "written": lines,
            "lives": IN_LOCAL,
        }
        if values:
            answer["value"] = {unit: asked.capture(wanted, value) for unit, value in values.items()}
        yield answer


_FINDERS: t.Final = (
    _proxies, _in_g, _in_session, _in_request, _in_locals, _in_config, _in_app, _in_modules,
)  # fmt: skip
_ROOTS: t.Final[dict[str, t.Callable[[_Asked], Iterator[Place]]]] = {
    "g": _in_g,
    "session": _in_session,
    "request": _in_request,
    "config": _in_config,
    "current_app": _in_app,
    "app": _in_app,
}
