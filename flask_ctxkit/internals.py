"""The only file that touches private Flask and Werkzeug names, one branch per Flask line.

"Old" is Flask 3.0 and 3.1, where an application context and a request context are two
objects in two context variables. Since 3.2 one object in one variable is both.
"""

from __future__ import annotations

import contextvars
import sys
import typing as t
from importlib.metadata import version
from operator import attrgetter

import flask
from flask import ctx as flask_ctx
from flask import globals as flask_globals
from flask.ctx import AppContext

if t.TYPE_CHECKING:
    from types import CodeType, FrameType

    from flask import Flask, Request
    from flask.sessions import SessionInterface
    from werkzeug.local import LocalProxy
    from werkzeug.test import Client, Cookie

    Context = t.Any
    """An application context, or a request context of the old line."""

FLASK_VERSION: t.Final = version("flask")
_app_var: t.Final[contextvars.ContextVar[t.Any]] = flask_globals._cv_app  # noqa: SLF001
_request_var: t.Final[contextvars.ContextVar[t.Any] | None] = getattr(
    flask_globals, "_cv_request", None
)
ONE_CONTEXT: t.Final = _request_var is None
"""True since 3.2: a context with a request stands in both stacks."""

GLOBALS_CLASS: t.Final = flask_ctx._AppCtxGlobals  # noqa: SLF001
"""The class of a stock ``g``, whose every write goes through its ``__dict__``."""
CONTEXT_CLASSES: t.Final[tuple[type, ...]] = (
    (AppContext,) if ONE_CONTEXT else (AppContext, flask_ctx.RequestContext)
)
WSGI_APP_CODE: t.Final[CodeType] = flask.Flask.wsgi_app.__code__
REQUEST_PUSH_CODE: t.Final[CodeType | None] = (
    None if ONE_CONTEXT else flask_ctx.RequestContext.push.__code__
)
"""The function that pushes the application context of a request, on the old line."""
_APP_POP_CODE: t.Final[CodeType] = AppContext.pop.__code__
_REQUEST_POP_CODE: t.Final[CodeType | None] = (
    None if ONE_CONTEXT else flask_ctx.RequestContext.pop.__code__
)


current_app_context: t.Final = _app_var.get
"""``current_app_context(None)``: the application context on top, or None."""


def current_app() -> Flask:
    """The app of the application context on top, which there must be."""
    app: Flask = _app_var.get().app
    return app


def current_request_context() -> Context | None:
    """The context of the request that ``request`` points at, or None."""
    if _request_var is not None:
        return _request_var.get(None)
    ctx = _app_var.get(None)
    return ctx if ctx is not None and ctx._request is not None else None  # noqa: SLF001


def top_request_context() -> Context | None:
    """The topmost context with a request of the current unit, or None.

    Since 3.2 ``request`` doesn't see it under a context without one.
    """
    ctx = current_request_context()
    if ctx is None and ONE_CONTEXT:
        stack = request_stack()
        return stack[-1] if stack else None
    return ctx


def g_of_request(ctx: Context) -> t.Any:
    """The ``g`` of a request context of the old line.

    :raises RuntimeError: where it is not pushed and no other context is.
    """
    own = own_app_context(ctx)
    return flask_globals.app_ctx.g if own is None else own.g


def request_context_maker(cls: t.Any) -> t.Callable[[t.Any, t.Any], Context]:
    """What makes a *cls* of an app and an environ, as ``Flask.request_context`` does."""
    return t.cast("t.Callable[..., t.Any]", cls.from_environ if ONE_CONTEXT else cls)


def app_stack(where: contextvars.Context | None = None) -> list[Context]:
    """The application contexts of the current unit, or of *where*, bottom to top."""
    return _walk(_app_var, where)


def request_stack(where: contextvars.Context | None = None) -> list[Context]:
    """The contexts with a request of the current unit, or of *where*, bottom to top."""
    if _request_var is not None:
        return _walk(_request_var, where)
    return [ctx for ctx in _walk(_app_var, where) if ctx._request is not None]  # noqa: SLF001


def _walk(var: contextvars.ContextVar[t.Any], where: contextvars.Context | None) -> list[Context]:
    return stack_below(var.get(None) if where is None else where.get(var))


def stack_below(ctx: Context | None) -> list[Context]:
    """The stack that *ctx* stands on, bottom to top, with *ctx* as its top.

    Also of another unit, and of apps without a kit: a context knows what it was pushed on.
    """
    # Each push remembers its predecessor in its token. The n-th time that a context is met
    # from the top, its predecessor stands in its n-th token from the end.
    found: list[Context] = []
    met: dict[int, int] = {}
    while ctx is not None:
        found.append(ctx)
        met[id(ctx)] = nth = met.get(id(ctx), 0) + 1
        tokens = _tokens(ctx)
        if nth > len(tokens):
            break  # a zombie: current, but already popped
        before = tokens[-nth].old_value
        ctx = None if before is contextvars.Token.MISSING else before
    found.reverse()
    return found


def _tokens(ctx: Context) -> list[contextvars.Token[t.Any]]:
    if ONE_CONTEXT:
        return [] if ctx._cv_token is None else [ctx._cv_token]  # noqa: SLF001
    return [token[0] if isinstance(token, tuple) else token for token in ctx._cv_tokens]  # noqa: SLF001


def is_pushed(ctx: Context) -> bool:
    """Whether *ctx* is pushed; a context can be current without (a zombie)."""
    return bool(_tokens(ctx))


def is_current(ctx: Context) -> bool:
    """Whether *ctx* is the one on top of its stack, for the caller."""
    in_request = request_of(ctx) is not None
    return ctx is (current_request_context() if in_request else _app_var.get(None))


def push_count(ctx: Context) -> int:
    """How many pops *ctx* is away from its end."""
    return int(ctx._push_count) if ONE_CONTEXT else len(ctx._cv_tokens)  # noqa: SLF001


def is_ending(ctx: Context) -> bool:
    """Whether *ctx* is the one whose teardown functions run, for one of them.

    The old line runs them with whatever context is on top, also where one below it is popped.
    """
    if ONE_CONTEXT:
        return bool(ctx._push_count < 1)  # noqa: SLF001
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented
    while frame is not None and frame.f_code is not _APP_POP_CODE:
        frame = frame.f_back
    return frame is not None and frame.f_locals["self"] is ctx


def pop_ends(ctx: Context) -> bool:
    """Whether popping *ctx* now runs its teardown functions."""
    return push_count(ctx) == 1


def is_refused(ctx: Context) -> bool:
    """Whether Flask refused to pop *ctx*, and did nothing.

    The old line never does: what it pops in the wrong place it has torn down before it notices.
    """
    return ONE_CONTEXT and bool(ctx._push_count > 0)  # noqa: SLF001


def error_of_pop() -> BaseException | None:
    """What ended a context that is popped without saying so."""
    return None if ONE_CONTEXT else sys.exc_info()[1]


def call_placed(ctx: Context, function: t.Callable[[], object]) -> None:
    """Call *function* where the application context *ctx*, which was popped, is current again.

    Neither pushed nor popped, and the caller's own context variables stay as they are.
    """

    def place_and_call() -> None:
        _app_var.set(ctx)
        function()

    contextvars.copy_context().run(place_and_call)


def call_in_app_context(app: Flask, function: t.Callable[[t.Any], t.Any]) -> t.Any:
    """Call *function* with a new application context of *app*, which is current meanwhile.

    Neither pushed nor popped: no signal is sent, and no teardown function runs.
    """
    ctx: t.Any = type(app).app_context(app)

    def place_and_call() -> t.Any:
        token = _app_var.set(ctx)
        if ONE_CONTEXT:
            ctx._cv_token, ctx._push_count = token, 1  # noqa: SLF001
        else:
            ctx._cv_tokens.append(token)  # noqa: SLF001
        return function(ctx)

    return contextvars.copy_context().run(place_and_call)


def request_of(ctx: Context) -> Request | None:
    """The request of *ctx*, or None for a context without one."""
    if ONE_CONTEXT:
        return t.cast("Request | None", ctx._request)  # noqa: SLF001
    return getattr(ctx, "request", None)


request_in: t.Final[t.Callable[[t.Any], t.Any]] = attrgetter(
    "_request" if ONE_CONTEXT else "request"
)
"""The request of a context of the class that can have one."""

pushes_of: t.Final[t.Callable[[t.Any], t.Any]] = attrgetter(
    "_cv_token" if ONE_CONTEXT else "_cv_tokens"
)
"""True where the context is pushed, as :func:`is_pushed`."""


def _session_attribute() -> str:
    # 3.0 keeps the session in a plain attribute, since 3.1.3 "session" is a property.
    own = getattr(CONTEXT_CLASSES[-1], "session", None)
    return "_session" if isinstance(own, property) else "session"


raw_session: t.Final[t.Callable[[t.Any], t.Any]] = attrgetter(_session_attribute())
"""The session of a context with a request as it is, or None while it is not opened.

``ctx.session`` would set ``accessed``, and so add ``Vary: Cookie`` to the response.
"""

header_pairs: t.Final[t.Callable[[t.Any], list[tuple[str, str]]]] = attrgetter("_list")
"""The headers of a response, not copied: Werkzeug's iterator costs three times as much."""

status_of: t.Final[t.Callable[[t.Any], int]] = attrgetter("_status_code")
"""The status of a response, without a call of its property."""


ACCESS_IS_TOLD: t.Final = isinstance(CONTEXT_CLASSES[-1].__dict__.get("session"), property)
"""True since 3.1.3: the context tells the session that it is handed out. Before, a session
finds out for itself."""


def opens_for(request: Request) -> bool:
    """Whether the session that is opened for *request* becomes its context's session.

    False outside of the context, and for a second session of the same request, as the test
    client's ``session_transaction`` opens one: such a session is handed out untold.
    """
    ctx = _app_var.get(None) if _request_var is None else _request_var.get(None)
    if ctx is None:
        return False
    of = ctx._request if ONE_CONTEXT else ctx.request  # noqa: SLF001
    return of is request and ctx.__dict__.get("_session", ctx) is None


def app_context_of(ctx: Context) -> tuple[Context, bool]:
    """The application context of *ctx*, a pushed request context, and whether it is its own.

    The old line lets a request use an application context of its app that it finds pushed.
    """
    if ONE_CONTEXT:
        return ctx, False
    own = ctx._cv_tokens[-1][1]  # noqa: SLF001
    return (_app_var.get(None), False) if own is None else (own, True)


def own_app_context(ctx: Context) -> Context | None:
    """What *ctx* pushed on the stack of application contexts; None where it found one there."""
    if ONE_CONTEXT or isinstance(ctx, AppContext):
        return ctx
    tokens = ctx._cv_tokens  # noqa: SLF001
    return tokens[-1][1] if tokens else None


def app_context_in(frames: t.Iterable[FrameType], ctx: Context) -> Context | None:
    """What *ctx*, a context with a request, has on the stack of application contexts.

    The old line takes the request off its stack before its application context ends; that
    one is then found in the frame that pops both, if it is among *frames*.
    """
    own = own_app_context(ctx)
    if own is not None:
        return own
    for frame in frames:
        if frame.f_code is _REQUEST_POP_CODE and frame.f_locals.get("self") is ctx:
            return frame.f_locals.get("app_ctx")
    return None


def whole_context(ctx: Context) -> Context:
    """The context of the request whose own application context *ctx* is, or *ctx* itself.

    For the application context that is current for the caller.
    """
    request_context = current_request_context()
    if ONE_CONTEXT or request_context is None or not request_context._cv_tokens:  # noqa: SLF001
        return ctx
    own = request_context._cv_tokens[-1][1] is ctx  # noqa: SLF001
    return request_context if own else ctx


def is_requests_own(ctx: Context) -> bool:
    """Whether *ctx*, the current application context, is one that a request pushed."""
    return request_of(whole_context(ctx)) is not None


def after_this_request_functions(ctx: Context) -> t.Sequence[t.Callable[..., t.Any]]:
    """What ``after_this_request`` registered on *ctx* so far."""
    return t.cast("t.Sequence[t.Callable[..., t.Any]]", ctx._after_request_functions)  # noqa: SLF001


def context_in(where: contextvars.Context) -> Context | None:
    """The application context that is current in *where*: a greenlet's or a task's."""
    return where.get(_app_var)


def wsgi_context(frame: FrameType) -> Context | None:
    """The request context of a running ``Flask.wsgi_app``, read from its frame.

    None where *frame* runs something else, or has not made its context yet.
    """
    return frame.f_locals.get("ctx") if frame.f_code is WSGI_APP_CODE else None


def preprocessor_in(frame: FrameType) -> t.Any:
    """The url_value_preprocessor that a ``Flask.preprocess_request`` called last, or None."""
    return frame.f_locals.get("url_func")


def run_placed(
    app: Flask,
    environ: t.Any,
    function: t.Callable[[], t.Any],
    interface: SessionInterface | None = None,
) -> t.Any:
    """Call *function* where the contexts of a request to *app* are current.

    Neither pushed nor popped: no signal is sent, no hook and no teardown runs, and the
    caller's own context variables stay as they are. The session is opened and the URL
    matched, so *function* sees what a view would see.

    :param interface: opens the session instead of the app's own.
    :raises Exception: what ``open_session`` raises.
    """
    opener = app.session_interface if interface is None else interface
    return contextvars.copy_context().run(_place_and_call, app, environ, function, opener)


def _place_and_call(
    app: Flask, environ: t.Any, function: t.Callable[[], t.Any], interface: SessionInterface
) -> t.Any:
    ctx: t.Any = type(app).request_context(app, environ)
    if ONE_CONTEXT:
        ctx._cv_token = _app_var.set(ctx)  # noqa: SLF001
        ctx._push_count = 1  # noqa: SLF001
        request = ctx._request  # noqa: SLF001
    else:
        app_ctx = type(app).app_context(app)
        app_ctx._cv_tokens.append(_app_var.set(app_ctx))  # noqa: SLF001
        assert _request_var is not None
        ctx._cv_tokens.append((_request_var.set(ctx), app_ctx))  # noqa: SLF001
        request = ctx.request
    session = interface.open_session(app, request)
    if session is None:  # an empty session is falsy too
        session = interface.make_null_session(app)
    len(session)  # one that waits to be read until it is touched is read now
    if hasattr(ctx, "_session"):
        ctx._session = session  # noqa: SLF001
    else:
        ctx.session = session
    if ctx.url_adapter is not None:
        ctx.match_request()
    return function()


def bare_context() -> contextvars.Context:
    """A copy of the caller's context variables, without those of Flask's contexts.

    What runs in it finds nothing pushed, and what it leaves pushed is gone with it.
    """
    bare = contextvars.Context()
    for variable, value in contextvars.copy_context().items():
        if variable is not _app_var and variable is not _request_var:
            bare.run(variable.set, value)
    return bare


POP: t.Final = "pop"
"""The attribute of a context that Flask calls to pop it: its class's, or its own."""
ON_LEAVE: t.Final = "_ctxkit_on_leave"
"""The attribute of an application context that holds what closes what is open in it."""


def leave(ctx: Context, error: BaseException | None = None) -> None:
    """Take *ctx*, which is current and pushed once, off its stack without any teardown.

    :param error: what ended it, for what is open in it and is closed now.
    """
    owner = own_app_context(ctx)
    closes = None if owner is None else owner.__dict__.get(ON_LEAVE)
    try:
        if closes is not None:
            closes(error)
    finally:
        _leave(ctx)


def _leave(ctx: Context) -> None:
    if ONE_CONTEXT:
        token, ctx._cv_token, ctx._push_count = ctx._cv_token, None, 0  # noqa: SLF001
        _app_var.reset(token)
    elif isinstance(ctx, AppContext):
        _app_var.reset(ctx._cv_tokens.pop())  # noqa: SLF001
    else:
        assert _request_var is not None
        token, app_context = ctx._cv_tokens.pop()  # noqa: SLF001
        _request_var.reset(token)
        if app_context is not None:
            _app_var.reset(app_context._cv_tokens.pop())  # noqa: SLF001
    flask.appcontext_popped.send(ctx.app, _async_wrapper=ctx.app.ensure_sync)


def give_session(ctx: Context, session: t.Any) -> None:
    """Make *session* the one of *ctx*, which then opens none."""
    setattr(ctx, _session_attribute(), session)


_BODY: t.Final = (
    "_cached_data", "form", "files",
    # Limits of this request's own, since 3.1: by them it read what another one refuses.
    "_max_content_length", "_max_form_memory_size", "_max_form_parts",
)  # fmt: skip


def body_of(request: Request) -> dict[str, t.Any]:
    """What of the body *request* has read and kept, by attribute, and the limits that it has
    for itself. Nothing is read.
    """
    return {name: request.__dict__[name] for name in _BODY if name in request.__dict__}


def give_body(request: Request, body: t.Mapping[str, t.Any]) -> None:
    """Let *request* have read *body*, as :func:`body_of` tells it."""
    request.__dict__.update(body)


def proxy_parts(proxy: LocalProxy[t.Any]) -> tuple[t.Any, str | None]:
    """What *proxy* was made for, and the attribute of it that it stands for, or None.

    Nothing is looked up or called, so ``session`` is not marked as accessed.
    """
    # Slots of the proxy itself: every other access is handed on to the object behind it.
    made_for = object.__getattribute__(proxy, "_LocalProxy__wrapped")
    resolve = object.__getattribute__(proxy, "_get_current_object")
    cells = dict(zip(resolve.__code__.co_freevars, resolve.__closure__ or (), strict=True))
    getter = cells["get_name"].cell_contents if "get_name" in cells else None
    # Only an attrgetter knows the name; pickling is its one way to tell.
    name = getter.__reduce__()[1][0] if type(getter) is attrgetter else None
    return made_for, name


def client_cookies(client: Client) -> list[Cookie]:
    """Every cookie that a test client holds, of whatever domain and path.

    :raises TypeError: for a client without cookies.
    """
    if client._cookies is None:  # noqa: SLF001
        raise TypeError("Cookies are disabled. Create a client with use_cookies=True.")
    return list(client._cookies.values())  # noqa: SLF001


def give_cookies(client: Client, host: str, headers: list[str]) -> None:
    """Let a test client take ``Set-Cookie`` *headers* as if *host* had sent them."""
    client._update_cookies_from_response(host, "/", headers)  # noqa: SLF001
