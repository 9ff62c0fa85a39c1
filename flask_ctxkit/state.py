"""What one app owns of the kit: its rooms, composed, and the seam around its ``wsgi_app``."""

from __future__ import annotations

import logging
import threading
import time
import typing as t
import weakref
from functools import partial

from flask.logging import default_handler, has_level_handler
from werkzeug.wsgi import get_host

from . import internals, sync
from .contexts.first_request import FirstRequest
from .contexts.registry import Registry
from .deferred import run_deferred, waiting
from .findings.catalogue import Rules
from .pipeline import Pipeline
from .redact import Redactor
from .resources.attachment import end_behind
from .resources.health import Resources
from .resources.holders import held_by
from .session.interface import CtxSessionInterface
from .session.mapping import TELLING
from .session.model import LOUD
from .trace.calls import call_app, inner_app
from .trace.functions import observe_functions, wrap
from .trace.pushes import observe_contexts
from .trace.recorder import Recorder
from .trace.recording import KEY, Recording, now
from .trace.resources import ResourceSteps
from .trace.signals import SignalSeam
from .trace.site import HEADERS, WAITED, make_site
from .trace.stores.memory import MemoryStore

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask, Response

    from .config import Config
    from .contexts.registry import Leak
    from .session.model import Verdict
    from .web.pages import Pages

logger = logging.getLogger("flask_ctxkit")


class State:
    """What one app owns of the kit, in ``app.extensions["ctxkit"]``.

    It holds the app weakly: the app alone decides how long it lives.
    """

    def __init__(self, app: Flask, config: Config) -> None:
        self._app = weakref.ref(app)
        self.config = config
        self.started_at = time.time()
        self.tracing = False
        self.pages = False
        self.redactor = Redactor(
            config.redact,
            config.redact_allow,
            cookie_names=(app.config["SESSION_COOKIE_NAME"],),
        )
        self.registry = Registry(app.name, config.stuck_after, self.redactor.url)
        self.rules = Rules(config)
        self.store = MemoryStore(config.max_traces)
        self.recorder = Recorder(
            self.redactor,
            self.registry,
            rate=config.trace_rate,
            limit=config.max_events,
            telling=TELLING,
            app_name=app.name,
        )
        self.pipeline = Pipeline(self.app_or_none, self.rules, self.store, self.link)
        self.recorder.sinks.append(self.pipeline.finished)
        self.recorder.on_escape = self.pipeline.explain
        self.resource_step = ResourceSteps(self.recorder).note
        self.recorder.on_end = end_behind
        self.resources = Resources(self.app_or_none, self.recorder.describe)
        self.resources.on_forgotten = self.registry.has_lost
        self.registry.held = held_by
        self.registry.on_leak = self._leaked
        self.registry.on_wrong_pop = self.pipeline.explain_leak
        self.registry.on_orphan = self.recorder.abandon
        self.first = FirstRequest(self._call_first, self._waited_first)
        self.own_hooks: tuple[t.Callable[..., t.Any], ...] = ()
        self._lock = threading.Lock()
        self._resolved = False
        self._address = ""
        self.headers = False
        self._hastened: t.Callable[..., t.Any] | None = None
        self._signal_seam: SignalSeam | None = None
        self._pages: Pages | None = None

    @property
    def app(self) -> Flask:
        """The app.

        :raises RuntimeError: if it is gone.
        """
        app = self._app()
        if app is None:
            raise RuntimeError("The app of this kit is gone. Keep a reference to the app.")
        return app

    def app_or_none(self) -> Flask | None:
        """The app, or None if it is gone."""
        return self._app()

    # ------------------------------------------------------- what depends on app.debug

    def resolve(self, app: Flask, environ: WSGIEnvironment) -> None:
        """Decide what is "auto", at the first request: ``app.run(debug=True)`` sets
        ``app.debug`` after ``CtxKit(app)``.
        """
        with self._lock:
            if self._resolved:
                return
            self.pages = app.debug if self.config.pages == "auto" else self.config.pages
            try:
                # No rule is added after the first request.
                self.redactor.hide_arguments(rule.rule for rule in app.url_map.iter_rules())
                self.recorder.captures.forget()
                self.start_tracing(app)
                if not self.tracing:
                    self._hastened = sync.hasten(app)
                if self.pages:
                    self._open_pages(app)
                if app.debug:
                    self._announce(environ)
                self.pipeline.examine_app(app)
            except BaseException as own:
                self.recorder.failed("start", own)
            self._resolved = True

    def _open_pages(self, app: Flask) -> None:
        from .web.pages import Pages

        self._pages = Pages(self)
        self.headers = app.debug if self.config.headers == "auto" else self.config.headers

    def start_tracing(self, app: Flask) -> None:
        """Set the recorder's seams, once, if tracing is on by now."""
        wanted = app.debug if self.config.trace == "auto" else self.config.trace
        if wanted:
            self.trace_on()

    def trace_on(self) -> None:
        """Record from now on, whatever ``CTXKIT_TRACE`` says; also where the app was used before.

        A context that was pushed before is not recorded. It stays on, and once is enough.
        """
        if self.tracing:
            return
        app = self.app
        self.tracing = self.registry.recording = True
        sync.stop(app, self._hastened)
        observe_contexts(app, self.recorder)
        observe_functions(app, self.recorder, self.own_hooks)
        self._signal_seam = SignalSeam(app, self.recorder)
        interface = app.session_interface
        if isinstance(interface, CtxSessionInterface):
            interface.listen(self.judged, self.judged_later)

    def judged(self, verdict: Verdict, recording: t.Any = None) -> bool:
        """Note *verdict* on the trace of the request that it is about, the current one's if
        *recording* is None.

        :return: False where there is no such trace, and nothing noted.
        """
        if recording is None:
            # While the session is opened, none is bound to the application context yet.
            recording = getattr(internals.current_request_context(), KEY, None)
        if recording is None or recording.state != "running":
            return False
        recording.verdicts = (*recording.verdicts, verdict)
        if verdict.code in LOUD:
            recording.odd = True
        return True

    def judged_later(self) -> t.Callable[[Verdict], bool]:
        """What notes verdicts on the current request's trace, also when its context is gone."""
        return partial(
            self.judged, recording=getattr(internals.current_request_context(), KEY, None)
        )

    def _announce(self, environ: WSGIEnvironment) -> None:
        """Log once where the pages are; in debug the log reaches the terminal, like Flask's."""
        if not has_level_handler(logger):
            logger.addHandler(default_handler)
        if not logger.level:
            logger.setLevel(logging.INFO)
        if self._pages is not None:
            root, scheme = environ.get("SCRIPT_NAME", ""), environ["wsgi.url_scheme"]
            # Whoever came first chose the Host, and may be a scanner or a health check.
            trusted = self._pages.guard.trusts(environ.get("HTTP_HOST"))
            host = get_host(environ) if trusted else f"127.0.0.1:{environ['SERVER_PORT']}"
            self._address = f"{scheme}://{host}{root}{self.config.url_prefix}"
            logger.info("ctxkit: %s/", self._address)

    def _leaked(self, leak: Leak) -> None:
        self.pipeline.examine_leak(leak)

    def link(self, recording: Recording) -> str:
        """Where the trace of *recording* can be seen, or "" where there are no pages."""
        return f"{self._address}/requests/{recording.id}" if self._address else ""

    # ------------------------------------------------------------------------ the seam

    def seam(self, app: Flask) -> t.Callable[..., t.Any]:
        """What answers each call of the app's ``wsgi_app`` from now on."""
        inner, recorder, prefix = inner_app(app), self.recorder, self.config.url_prefix
        reference = self._app
        top = internals.current_app_context

        def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> t.Any:
            if waiting:
                run_deferred()
            if not self._resolved:
                self._resolve(environ)
            if self._pages is not None and environ.get("PATH_INFO", "").startswith(prefix):
                answer = self._page(environ, start_response)
                if answer is not None:
                    return answer
            before = top(None)
            if before is not None:
                self._entered(before, environ)
            try:
                if self.tracing:
                    return call_app(inner, reference(), recorder, environ, start_response)
                return inner(reference(), environ, start_response)
            finally:
                after = top(None)
                if after is not None and after is not before:
                    self._exited(after)

        return wsgi_app

    def _resolve(self, environ: WSGIEnvironment) -> None:
        app = self._app()
        if app is not None:
            self.resolve(app, environ)

    def _call_first(self, function: t.Callable[[], t.Any]) -> None:
        app = self.app
        site, _ = make_site("before_first_request", function, app)
        wrap(site, app.ensure_sync(function), self.recorder)()

    def _waited_first(self, start: int) -> None:
        try:
            recording = self.recorder.current() if self.tracing else None
            if recording is not None:
                recording.add((WAITED, start, now(), None, None))
        except BaseException as own:
            self.recorder.failed("before_first_request", own)

    def add_headers(self, recording: Recording, response: Response) -> None:
        """Give a viewer who may look the trace's id and the time that each phase took."""
        if self._pages is None or recording.request is None:
            return
        if not self._pages.guard.access(recording.request.environ).look:
            return
        start = now()
        response.headers["X-Ctxkit-Trace"] = recording.id
        response.headers.add("Server-Timing", recording.server_timing())
        changes = recording.look_response(response, HEADERS)
        recording.add((HEADERS, start, now(), changes, None))

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> t.Any:
        assert self._pages is not None
        try:
            return self._pages.answer(environ, start_response)
        except BaseException as own:
            # The guard fails closed: what can't be decided is the app's to answer.
            self.recorder.failed("pages", own)
            return None

    def _entered(self, ctx: t.Any, environ: WSGIEnvironment) -> None:
        """A call begins while *ctx* is current: legal in tests and inside another request."""
        try:
            if "werkzeug.debug.preserve_context" in environ:
                return
            if ctx.app.extensions.get("ctxkit") is self:
                path = environ.get("PATH_INFO", "")
                recording = getattr(ctx, KEY, None)
                self.registry.call_begins(internals.whole_context(ctx), recording, path)
        except BaseException as own:
            self.recorder.failed("leak check", own)

    def _exited(self, ctx: t.Any) -> None:
        """A call ended while *ctx*, which it did not find, is current."""
        try:
            owner = ctx.app.extensions.get("ctxkit") or self
            recording = getattr(ctx, KEY, None)
            owner.registry.call_ends(internals.whole_context(ctx), recording)
        except BaseException as own:
            self.recorder.failed("leak check", own)
